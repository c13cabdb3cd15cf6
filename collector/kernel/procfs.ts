/**
 * `/proc`, read through libc: Deno refuses it to every program without `--allow-all`.
 *
 * Buffers are kept and paths built byte by byte, as a process table is read in thousands of small calls. What cannot be
 * read (another user's executable, a process that has just ended) is `null`; a process that ended while it was read is
 * left out.
 *
 * Nobody can hold the reader up with arguments on a file system of his own: the kernel reads them from anonymous memory
 * only (`FOLL_ANON`, Linux 4.17).
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { TICK_NS } from "../../proto/identity.ts";
import type { TableEntry } from "../sources/source.ts";
import { decodeName, TextCache } from "./text_cache.ts";
import { AT_FDCWD, checked, cString, libc, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./libc.ts";
import {
  parseCredentials,
  parseForkCount,
  parseIds,
  parseStat,
  stateName,
  type ThreadCredentials,
} from "./procfs_parse.ts";

/** `PF_KTHREAD` of linux/sched.h. */
const KERNEL_THREAD_FLAG = 0x0020_0000;
/** Longest path that is read from a link. */
const MAX_LINK_BYTES = 4096;
/** Longest that is read at once; arguments are mostly shorter. */
const READ_BYTES = 1 << 16;
/** Arguments are read this far to know their length; beyond it the length is not known. */
const MAX_COUNTED_BYTES = 4 << 20;

const state = {
  root: -1,
  path: new Uint8Array(64),
  bytes: new Uint8Array(READ_BYTES),
  directory: new Uint8Array(1 << 16),
  ids: new Float64Array(4),
  pageBytes: 0,
};
const STAT = cString("/stat"), STATUS = cString("/status"), CMDLINE = cString("/cmdline"), EXE = cString("/exe");
const decoder = new TextDecoder();
const names = new TextCache(decodeName), paths = new TextCache(decodeName);

/**
 * The whole process table. Processes that end meanwhile are not in it.
 *
 * With `known`, an earlier table, a process that began before `settledBefore` (nanoseconds since boot) and has kept its
 * name is not read whole again: its program, arguments and ids are those of the earlier table.
 */
export function readProcessTable(known?: ReadonlyMap<number, TableEntry>, settledBefore = 0): TableEntry[] {
  const table: TableEntry[] = [];
  const root = openRoot();
  checked(Number(libc.lseek(root, 0n, 0)), "lseek");
  const view = new DataView(state.directory.buffer);
  for (;;) {
    const count = checked(libc.getdents64(root, state.directory, state.directory.length), "getdents64");
    if (count === 0) return table;
    // struct linux_dirent64: inode, offset, u16 length, u8 type, name
    for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
      let digits = 0, pid = 0;
      for (let byte = state.directory[at + 19]!; byte >= 48 && byte <= 57; byte = state.directory[at + 19 + digits]!) {
        state.path[digits++] = byte;
        pid = pid * 10 + byte - 48;
      }
      if (digits === 0) continue;
      const entry = readEntry(pid, digits, known?.get(pid), settledBefore);
      if (entry !== null) table.push(entry);
    }
  }
}

/** One process, `null` when it is gone. */
export function readProcess(pid: number): TableEntry | null {
  return readEntry(pid, putPid(pid));
}

/** Whether a process runs; `null` when it is gone. */
export function readRunState(pid: number): RunState | null {
  const count = readFile(putPid(pid), STAT);
  const stat = count <= 0 ? null : parseStat(state.bytes, count);
  if (stat === null) return null;
  const name = stateName(stat.state);
  return { startTicks: stat.startTicks, threads: stat.threads, isEnded: name === "zombie" || name === "dead" };
}

export interface RunState {
  readonly startTicks: number;
  /** Threads that it has, an ended first one included. */
  readonly threads: number;
  /** Whether its first thread has ended. */
  readonly isEnded: boolean;
}

/** Arguments of a process as they are now; `null` when they cannot be read. A kernel thread or zombie has none. */
export function readArguments(pid: number): { argv: Uint8Array; length: number | null } | null {
  return readCommand(putPid(pid));
}

/** Credentials of every thread of this process. */
export function readThreadCredentials(): ThreadCredentials[] {
  const fd = checked(
    libc.open(cString("/proc/self/task"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
    "open /proc/self/task",
  );
  const tids: number[] = [];
  try {
    const view = new DataView(state.directory.buffer);
    for (;;) {
      const count = checked(libc.getdents64(fd, state.directory, state.directory.length), "getdents64");
      if (count === 0) break;
      for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
        const end = state.directory.indexOf(0, at + 19);
        const name = decoder.decode(state.directory.subarray(at + 19, end));
        if (/^\d+$/.test(name)) tids.push(Number(name));
      }
    }
  } finally {
    libc.close(fd);
  }
  const threads: ThreadCredentials[] = [];
  for (const tid of tids) {
    const bytes = readWholeFile(`/proc/self/task/${tid}/status`, READ_BYTES);
    if (bytes !== null) threads.push(parseCredentials(tid, decoder.decode(bytes))); // null: that thread has ended
  }
  return threads;
}

/** The id of this boot. */
export function readBootId(): string {
  const bytes = readWholeFile("/proc/sys/kernel/random/boot_id", 64);
  const text = bytes === null ? "" : decoder.decode(bytes).trim();
  if (!/^[0-9a-f-]{36}$/.test(text)) {
    throw new Error("The kernel does not tell its boot id in /proc/sys/kernel/random/boot_id");
  }
  return text;
}

/** Forks since boot, threads included; `null` when the kernel does not say. */
export function readForkCount(): number | null {
  const bytes = readWholeFile("/proc/stat", 1 << 20);
  return bytes === null ? null : parseForkCount(decoder.decode(bytes));
}

/** A copy of a file's bytes, up to `limit`; `null` when it cannot be opened or read. */
export function readWholeFile(path: string, limit: number): Uint8Array | null {
  const fd = libc.openat(AT_FDCWD, cString(path), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return null;
  try {
    const chunks: Uint8Array[] = [];
    let total = 0;
    while (total < limit) {
      const count = libc.read(fd, state.bytes, Math.min(state.bytes.length, limit - total));
      if (count < 0) return null;
      if (count === 0) break;
      chunks.push(state.bytes.slice(0, count));
      total += count;
    }
    if (chunks.length === 1) return chunks[0]!;
    const whole = new Uint8Array(total);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  } finally {
    libc.close(fd);
  }
}

function readEntry(pid: number, digits: number, known?: TableEntry, settledBefore = 0): TableEntry | null {
  let count = readFile(digits, STAT);
  if (count <= 0) return null;
  const stat = parseStat(state.bytes, count);
  if (stat === null) return null;
  const name = names.text(state.bytes, stat.nameFrom, stat.nameTo);
  const now = {
    ppid: stat.ppid,
    cpuTime: (stat.userTicks + stat.systemTicks) * TICK_NS,
    memoryUsage: stat.residentPages * pageBytes(),
    status: stateName(stat.state),
  };
  const startTime = stat.startTicks * TICK_NS;
  if (known !== undefined && startTime < settledBefore && known.startTime === startTime && known.name === name) {
    return { ...known, ...now };
  }
  const kernelThread = (stat.flags & KERNEL_THREAD_FLAG) !== 0;
  count = readFile(digits, STATUS);
  const ids = count > 0 && parseIds(state.bytes, count, state.ids);
  const args = kernelThread ? null : readCommand(digits);
  return {
    pid,
    ...now,
    startTime,
    name,
    executablePath: kernelThread ? null : readLink(digits, EXE),
    argv: args?.argv ?? null,
    argvLength: args?.length ?? null,
    userId: ids ? state.ids[0]! : null,
    groupId: ids ? state.ids[2]! : null,
    effectiveUserId: ids ? state.ids[1]! : null,
    threads: stat.threads,
    namespacePid: null,
    context: null,
    kernelThread,
  };
}

/** The arguments of the process whose pid stands in `path`, and their true length, `null` past a limit. */
function readCommand(digits: number): { argv: Uint8Array; length: number | null } | null {
  const fd = openFile(digits, CMDLINE);
  if (fd < 0) return null;
  let count = libc.read(fd, state.bytes, state.bytes.length);
  const argv = count < 0 ? null : state.bytes.slice(0, Math.min(count, MAX_ARGV_BYTES));
  let length = count;
  while (count === state.bytes.length && length < MAX_COUNTED_BYTES) {
    count = libc.read(fd, state.bytes, state.bytes.length);
    length += Math.max(0, count);
  }
  libc.close(fd);
  return argv === null ? null : { argv, length: length < MAX_COUNTED_BYTES ? length : null };
}

function openRoot(): number {
  if (state.root < 0) {
    state.root = checked(libc.open(cString("/proc"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open /proc");
  }
  return state.root;
}

function putPid(pid: number): number {
  let digits = 1;
  for (let rest = Math.floor(pid / 10); rest > 0; rest = Math.floor(rest / 10)) digits++;
  for (let i = digits - 1, rest = pid; i >= 0; i--, rest = Math.floor(rest / 10)) state.path[i] = 48 + rest % 10;
  return digits;
}

/** Opens a file of the process whose pid stands in `path`; -1 when it is gone or may not be opened. */
function openFile(digits: number, suffix: Uint8Array): number {
  state.path.set(suffix, digits);
  return libc.openat(openRoot(), state.path, O_RDONLY | O_CLOEXEC, 0);
}

/** Reads a file of the process whose pid stands in `path` into `bytes`. Bytes read, or -1. */
function readFile(digits: number, suffix: Uint8Array): number {
  const fd = openFile(digits, suffix);
  if (fd < 0) return -1;
  const count = libc.read(fd, state.bytes, state.bytes.length);
  libc.close(fd);
  return count;
}

/** As the kernel has it: an executable that no directory names any more ends with " (deleted)". */
function readLink(digits: number, suffix: Uint8Array): string | null {
  state.path.set(suffix, digits);
  const count = libc.readlinkat(openRoot(), state.path, state.bytes, MAX_LINK_BYTES);
  return count <= 0 ? null : paths.text(state.bytes, 0, count);
}

function pageBytes(): number {
  if (state.pageBytes === 0) state.pageBytes = libc.getpagesize();
  return state.pageBytes;
}
