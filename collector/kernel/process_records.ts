/**
 * The records that our eBPF programs put into the ring, and their way into objects.
 *
 * The layouts stand here once: `process_programs.ts` writes by them, {@linkcode RecordDecoder} reads by them. Numbers
 * are little-endian (both processors that this runs on are). The bytes come from our own programs and are trusted in
 * shape; the strings in them were chosen by whoever runs the process.
 *
 * @module
 */
import type { ExecRecord, ExitRecord, ForkRecord, RawContext } from "../sources/source.ts";
import { CONTEXT, ContextDecoder, CWD_CUT, DELETED, GROUP_CUT, joinComponents, TTY_LIMIT } from "./context_records.ts";
import type { EnvironmentFilter } from "./environment.ts";
import { readU64 } from "./little_endian.ts";
import { decodeName, TextCache } from "./text_cache.ts";

export const RECORD_KINDS = ["exec", "fork", "exit"] as const;
export type RecordKind = (typeof RECORD_KINDS)[number];

/** What every record starts with; `kind` is the index in {@linkcode RECORD_KINDS}. */
const COMMON = { kind: 0, pid: 4, time: 8, startTime: 16 };
export const FORK = { ...COMMON, ppid: 24, namespacePid: 28, pidNamespace: 32, padding: 36, bytes: 40 };
export const EXIT = { ...COMMON, status: 24, padding: 28, cpuTime: 32, bytes: 40 };
/**
 * Followed by the texts: those of the context (`context_records.ts`), the path, the script and its interpreter, the
 * arguments, the environment. Ends are counted from where they begin.
 */
export const EXEC = {
  ...COMMON,
  userId: 24,
  groupId: 28,
  effectiveUserId: 32,
  ppid: 36,
  inode: 40,
  device: 48,
  flags: 52,
  name: 56,
  namespacePid: 72,
  pathEnd: 76,
  scriptEnd: 80,
  interpreterEnd: 84,
  argvEnd: 88,
  environmentEnd: 92,
  argvLength: 96,
  environmentLength: 104,
  /** Seconds and nanoseconds; both zero where the kernel does not say. */
  changeSeconds: 112,
  changeNanoseconds: 120,
  padding: 124,
  context: 128,
  bytes: 128 + CONTEXT.bytes,
};
/** Bits of `EXEC.flags`. */
export const PATH_CUT = 1, UNLINKED = 2, ARGV_UNREAD = 4, SCRIPT_UNREAD = 8, ENVIRONMENT_UNREAD = 16;
export const MODE_KNOWN = 32, SETS_USER_ID = 64;
const UNREAD = PATH_CUT | ARGV_UNREAD | SCRIPT_UNREAD | ENVIRONMENT_UNREAD;

export const NAME_BYTES = 16;
/** The kernel's own paths end here too (PATH_MAX). */
export const MAX_PATH_BYTES = 4096;
/** Longer than the first line of a script that the kernel reads (BINPRM_BUF_SIZE). */
export const MAX_INTERPRETER_BYTES = 256;
/** Bytes of texts after each of them. The environment takes what the others leave. */
export const PATH_LIMIT = TTY_LIMIT + MAX_PATH_BYTES;
export const SCRIPT_LIMIT = PATH_LIMIT + MAX_PATH_BYTES;
/** What the kernel lets an element of a map per processor have (PCPU_MIN_UNIT_SIZE). */
export const MAX_EXEC_BYTES = 32_768;
export const EXEC_TEXT_LIMIT = MAX_EXEC_BYTES - EXEC.bytes;

/** Per kind of record, how many there were and how many found no room in the ring. */
export const COUNTER_BYTES = 16 * RECORD_KINDS.length;
export function counterOffset(kind: RecordKind, counter: "seen" | "lost"): number {
  return RECORD_KINDS.indexOf(kind) * 16 + (counter === "seen" ? 0 : 8);
}

export type ProcessRecord = ExecRecord | ForkRecord | ExitRecord;

export class RecordDecoder {
  readonly #names = new TextCache(decodeName);
  readonly #paths = new TextCache((bytes) => joinComponents(bytes, 0, bytes.length));
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  readonly #contexts = new ContextDecoder();
  readonly #environment: EnvironmentFilter | null;
  #damaged = 0;

  /** `environment`: null when records hold none. */
  constructor(environment: EnvironmentFilter | null = null) {
    this.#environment = environment;
  }

  get received(): Readonly<Record<RecordKind, number>> {
    return { ...this.#received };
  }

  /** Records of which a part could not be read, and ones that no program of ours writes. */
  get damaged(): number {
    return this.#damaged;
  }

  /** The record of `length` bytes at `at`, which owns all it holds; null when it is none of ours. */
  decode(bytes: Uint8Array, view: DataView, at: number, length: number): ProcessRecord | null {
    const kind = length < COMMON.startTime + 8 ? undefined : RECORD_KINDS[view.getUint32(at + COMMON.kind, true)];
    if (kind === "exec" && length >= EXEC.bytes) return this.#exec(bytes, view, at, length);
    if (kind === "fork" && length >= FORK.bytes) return this.#fork(view, at);
    if (kind === "exit" && length >= EXIT.bytes) return this.#exit(view, at);
    this.#damaged++;
    return null;
  }

  #exec(bytes: Uint8Array, view: DataView, at: number, length: number): ExecRecord | null {
    const flags = view.getUint32(at + EXEC.flags, true);
    const texts = at + EXEC.bytes, end = at + length;
    const pathStart = texts + view.getUint32(at + EXEC.context + CONTEXT.ttyEnd, true);
    const pathEnd = texts + view.getUint32(at + EXEC.pathEnd, true);
    const scriptEnd = texts + view.getUint32(at + EXEC.scriptEnd, true);
    const argvStart = texts + view.getUint32(at + EXEC.interpreterEnd, true);
    const argvEnd = texts + view.getUint32(at + EXEC.argvEnd, true);
    const environmentEnd = texts + view.getUint32(at + EXEC.environmentEnd, true);
    const isOrdered = pathStart <= pathEnd && pathEnd <= scriptEnd && scriptEnd <= argvStart && argvStart <= argvEnd &&
      argvEnd <= environmentEnd && environmentEnd <= end;
    const shared = isOrdered ? this.#contexts.decode(bytes, view, at + EXEC.context, end) : null;
    if (shared === null) {
      this.#damaged++;
      return null;
    }
    const contextFlags = view.getUint32(at + EXEC.context + CONTEXT.flags, true);
    const pathIsCut = (flags & PATH_CUT) !== 0 || pathEnd - pathStart > MAX_PATH_BYTES;
    if (pathIsCut || (flags & UNREAD) !== 0 || (contextFlags & (CWD_CUT | GROUP_CUT)) !== 0) this.#damaged++;
    this.#received.exec++;

    const isScript = pathEnd !== scriptEnd && (flags & SCRIPT_UNREAD) === 0;
    const filter = (flags & ENVIRONMENT_UNREAD) === 0 ? this.#environment : null;
    const context: RawContext = !isScript && filter === null ? shared : {
      ...shared,
      scriptPath: isScript ? scriptPath(this.#string(bytes, pathEnd, scriptEnd), shared.cwd) : null,
      interpreterPath: isScript ? this.#string(bytes, scriptEnd, argvStart) : null,
      environment: filter === null ? null : filter.select(bytes, argvEnd, environmentEnd),
      environmentCut: filter !== null && readU64(view, at + EXEC.environmentLength) > environmentEnd - argvEnd,
    };
    return {
      kind: "exec",
      time: readU64(view, at + EXEC.time),
      pid: view.getUint32(at + EXEC.pid, true),
      ppid: view.getUint32(at + EXEC.ppid, true),
      startTime: readU64(view, at + EXEC.startTime),
      userId: view.getUint32(at + EXEC.userId, true),
      groupId: view.getUint32(at + EXEC.groupId, true),
      effectiveUserId: view.getUint32(at + EXEC.effectiveUserId, true),
      name: this.#name(bytes, at + EXEC.name),
      executablePath: pathIsCut ? null : this.#path(bytes, pathStart, pathEnd, flags),
      argv: (flags & ARGV_UNREAD) === 0 ? bytes.slice(argvStart, argvEnd) : null,
      argvLength: exactOrNull(readU64(view, at + EXEC.argvLength)),
      inode: exactOrNull(readU64(view, at + EXEC.inode)),
      device: view.getUint32(at + EXEC.device, true),
      changeTime: changeTime(
        view.getBigInt64(at + EXEC.changeSeconds, true),
        view.getUint32(at + EXEC.changeNanoseconds, true),
      ),
      ...((flags & MODE_KNOWN) === 0 ? {} : { setsUserId: (flags & SETS_USER_ID) !== 0 }),
      namespacePid: numberOrNull(view.getUint32(at + EXEC.namespacePid, true)),
      context,
    };
  }

  #fork(view: DataView, at: number): ForkRecord {
    this.#received.fork++;
    return {
      kind: "fork",
      time: readU64(view, at + FORK.time),
      pid: view.getUint32(at + FORK.pid, true),
      ppid: view.getUint32(at + FORK.ppid, true),
      startTime: readU64(view, at + FORK.startTime),
      namespacePid: numberOrNull(view.getUint32(at + FORK.namespacePid, true)),
      pidNamespace: numberOrNull(view.getUint32(at + FORK.pidNamespace, true)),
    };
  }

  #exit(view: DataView, at: number): ExitRecord {
    this.#received.exit++;
    return {
      kind: "exit",
      time: readU64(view, at + EXIT.time),
      pid: view.getUint32(at + EXIT.pid, true),
      startTime: readU64(view, at + EXIT.startTime),
      exitStatus: view.getUint32(at + EXIT.status, true),
      cpuTime: readU64(view, at + EXIT.cpuTime),
    };
  }

  #name(bytes: Uint8Array, start: number): string {
    let end = start;
    while (end < start + NAME_BYTES && bytes[end] !== 0) end++;
    return this.#names.text(bytes, start, end);
  }

  /** A path that was not walked to its root is no path: null, like the kernel's own ENAMETOOLONG. */
  #path(bytes: Uint8Array, start: number, end: number, flags: number): string | null {
    if (start === end) return null;
    const path = this.#paths.text(bytes, start, end);
    // As the kernel's d_path() and so /proc/PID/exe say it.
    return (flags & UNLINKED) === 0 ? path : path + DELETED;
  }

  /** Without its NUL. */
  #string(bytes: Uint8Array, start: number, end: number): string {
    return this.#names.text(bytes, start, end - 1);
  }
}

/** As `statx` and `nanoseconds()` of the hasher make it: the two are compared. */
function changeTime(seconds: bigint, nanoseconds: number): number | null {
  const rest = (nanoseconds & ~CHANGE_TIME_QUERIED) >>> 0;
  if (seconds < 0n || (seconds === 0n && rest === 0)) return null; // a file of before 1970, or none at all
  return Number(seconds) * 1e9 + rest;
}
/** Since Linux 6.13 the kernel marks so that a time was looked at (`I_CTIME_QUERIED`). */
const CHANGE_TIME_QUERIED = 0x8000_0000;

/** A script as it was named to `execve`, made absolute. In a directory that is gone there is nothing to name it by. */
function scriptPath(name: string, cwd: string | null): string {
  if (name.startsWith("/") || cwd === null || cwd.endsWith(DELETED)) return name;
  return `${cwd === "/" ? "" : cwd}/${name.replace(/^(?:\.\/+)+/, "")}`;
}

/** Neither a pid nor an inode of a namespace is zero. */
function numberOrNull(value: number): number | null {
  return value === 0 ? null : value;
}

function exactOrNull(value: number): number | null {
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}
