/**
 * Processes and the host in `/proc`, read through libc: Deno refuses it to every program without `--allow-all`.
 *
 * What cannot be read (another user's executable, a process that has just ended) is `null`; a process that ended while
 * it was read is left out.
 *
 * Arguments are memory of the process, and whoever reads them can be made to wait for ever: the kernel reads anonymous
 * pages only (`FOLL_ANON`, Linux 4.17), so for no file system, but behind a thread of the process that changes its
 * address space while another waits for one. So they are read here only where {@linkcode Extent} asks for it; watchers
 * use `ProcfsReader`.
 *
 * @module
 */
import { TICK_NS } from "../../proto/identity.ts";
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import type { TableEntry } from "../sources/source.ts";
import { AT_FDCWD, checked, cString, libc, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./libc.ts";
import {
  LINK_REFUSED,
  linkText,
  listNumbers,
  listProcesses,
  openProcFile,
  PROC_READ_BYTES,
  procBytes,
  putPid,
  readProcFile,
  readProcLink,
} from "./proc_files.ts";
import { type Draft, lacksStreams, readContext, withoutStreams } from "./procfs_context.ts";
import {
  parseCoveredPids,
  parseProcMount,
  parseStatus,
  parseThreadCount,
  type ProcMount,
} from "./procfs_context_parse.ts";
import {
  parseCredentials,
  parseForkCount,
  parseIds,
  parseStat,
  type Stat,
  stateName,
  type ThreadCredentials,
} from "./procfs_parse.ts";
import { decodeName, TextCache } from "./text_cache.ts";

/** `PF_KTHREAD` and `PF_EXITING` of linux/sched.h. */
const KERNEL_THREAD_FLAG = 0x0020_0000, EXITING_FLAG = 0x4;
/** Arguments are read this far to know their length; beyond it the length is not known. */
export const MAX_COUNTED_BYTES = 4 << 20;

const STAT = cString("/stat"), STATUS = cString("/status"), EXE = cString("/exe"), CMDLINE = cString("/cmdline");
const state = { ids: new Float64Array(4), pageBytes: 0 };
const decoder = new TextDecoder();
const names = new TextCache(decodeName);

/** What of a process is read beside its `stat`, `status` and `exe`. */
export interface Extent {
  /** Its arguments, on this thread: only for who may wait for ever. */
  readonly argv: boolean;
  /** Its circumstances, without the environment. */
  readonly context: boolean;
}
/** `stat`, `status`, `exe` and `cmdline`. */
export const PLAIN: Extent = { argv: true, context: false };
/** All that no process can hold back. */
export const SAFE: Extent = { argv: false, context: true };

/** The whole process table. Processes that end meanwhile are not in it. */
export function readProcessTable(extent: Extent = PLAIN): TableEntry[] {
  const table: TableEntry[] = [];
  for (const pid of listProcesses()) {
    const entry = readProcess(pid, extent);
    if (entry !== null) table.push(entry);
  }
  return table;
}

/**
 * One process, `null` when it is gone.
 *
 * Of a `known` one that began before `settledBefore` (nanoseconds since boot) and has kept its name only what moves is
 * read: the rest is as it was.
 */
export function readProcess(
  pid: number,
  extent: Extent = PLAIN,
  known: TableEntry | null = null,
  settledBefore: number = 0,
): Draft<TableEntry> | null {
  const digits = putPid(pid), stat = readStat(digits);
  if (stat === null) return null;
  const name = names.text(procBytes, stat.nameFrom, stat.nameTo);
  const startTime = stat.startTicks * TICK_NS, kernelThread = (stat.flags & KERNEL_THREAD_FLAG) !== 0;
  const now = {
    ppid: stat.ppid,
    cpuTime: (stat.userTicks + stat.systemTicks) * TICK_NS,
    memoryUsage: stat.residentPages * pageBytes(),
    status: stateName(stat.state),
    threads: stat.threads,
  };
  if (known !== null && startTime < settledBefore && known.startTime === startTime && known.name === name) {
    return { ...known, ...now };
  }
  const exe = kernelThread ? 0 : readProcLink(digits, EXE);
  const entry: Draft<TableEntry> = {
    pid,
    ...now,
    startTime,
    name,
    executablePath: linkText(exe),
    argv: null,
    argvLength: null,
    userId: null,
    groupId: null,
    effectiveUserId: null,
    namespacePid: null,
    context: null,
    kernelThread,
  };
  const count = readProcFile(digits, STATUS);
  if (extent.context) {
    const status = parseStatus(procBytes, Math.max(0, count));
    entry.userId = status.userId;
    entry.effectiveUserId = status.effectiveUserId;
    entry.groupId = status.groupId;
    entry.namespacePid = status.namespacePid;
    const context = readContext(digits, stat, status, exe !== LINK_REFUSED);
    if (lacksStreams(context) && isEnding(digits)) withoutStreams(context);
    entry.context = context;
  } else if (count > 0 && parseIds(procBytes, count, state.ids)) {
    [entry.userId, entry.effectiveUserId, entry.groupId] = [state.ids[0]!, state.ids[1]!, state.ids[2]!];
  }
  if (extent.argv && !kernelThread) {
    const command = readCommand(digits);
    entry.argv = command?.argv ?? null;
    entry.argvLength = command?.length ?? null;
  }
  return entry;
}

export interface RunState {
  readonly startTicks: number;
  /** Threads that it has, an ended first one included. */
  readonly threads: number;
  /** Whether its first thread has ended. */
  readonly isEnded: boolean;
}

/** Whether a process runs; `null` when it is gone. */
export function readRunState(pid: number): RunState | null {
  const stat = readStat(putPid(pid));
  if (stat === null) return null;
  return { startTicks: stat.startTicks, threads: stat.threads, isEnded: hasEnded(stat) };
}

/**
 * Arguments of a process as they are now; `null` when they cannot be read. A kernel thread or zombie has none. Can wait
 * for ever.
 */
export function readArguments(pid: number): { argv: Uint8Array; length: number | null } | null {
  return readCommand(putPid(pid));
}

/** How `/proc` is mounted here; `null` when that is not said. */
export function readProcMount(): ProcMount | null {
  const text = readMounts();
  return text === null ? null : parseProcMount(text);
}

/** Pids of the directories of `/proc` that something else is mounted over. */
export function readCoveredPids(): number[] {
  return parseCoveredPids(readMounts() ?? "");
}

function readMounts(): string | null {
  const bytes = readWholeFile("/proc/self/mountinfo", 4 << 20);
  return bytes === null ? null : decoder.decode(bytes);
}

/** Threads of the whole host, hidden ones too; `null` when the kernel does not say. */
export function readThreadCount(): number | null {
  const bytes = readWholeFile("/proc/loadavg", 256);
  return bytes === null ? null : parseThreadCount(decoder.decode(bytes));
}

/** Credentials of every thread of this process. */
export function readThreadCredentials(): ThreadCredentials[] {
  const fd = checked(
    libc.open(cString("/proc/self/task"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
    "open /proc/self/task",
  );
  let tids: number[];
  try {
    tids = listNumbers(fd);
  } finally {
    libc.close(fd);
  }
  const threads: ThreadCredentials[] = [];
  for (const tid of tids) {
    const bytes = readWholeFile(`/proc/self/task/${tid}/status`, PROC_READ_BYTES);
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
      const count = libc.read(fd, procBytes, Math.min(procBytes.length, limit - total));
      if (count < 0) return null;
      if (count === 0) break;
      chunks.push(procBytes.slice(0, count));
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

function readStat(digits: number): Stat | null {
  const count = readProcFile(digits, STAT);
  return count <= 0 ? null : parseStat(procBytes, count);
}

function hasEnded(stat: Stat): boolean {
  const name = stateName(stat.state);
  return name === "zombie" || name === "dead";
}

/** Whether a process has begun to end: its files are closed then. */
function isEnding(digits: number): boolean {
  const stat = readStat(digits);
  return stat === null || hasEnded(stat) || (stat.flags & EXITING_FLAG) !== 0;
}

/** The arguments of the process whose pid stands in the path, and their true length, `null` past a limit. */
function readCommand(digits: number): { argv: Uint8Array; length: number | null } | null {
  const fd = openProcFile(digits, CMDLINE);
  if (fd < 0) return null;
  let count = libc.read(fd, procBytes, procBytes.length);
  const argv = count < 0 ? null : procBytes.slice(0, Math.min(count, MAX_ARGV_BYTES));
  let length = count;
  while (count === procBytes.length && length < MAX_COUNTED_BYTES) {
    count = libc.read(fd, procBytes, procBytes.length);
    length += Math.max(0, count);
  }
  libc.close(fd);
  return argv === null ? null : { argv, length: length < MAX_COUNTED_BYTES ? length : null };
}

function pageBytes(): number {
  if (state.pageBytes === 0) state.pageBytes = libc.getpagesize();
  return state.pageBytes;
}
