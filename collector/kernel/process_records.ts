/**
 * The records that our eBPF programs put into the ring, and their way into objects.
 *
 * The layouts stand here once: `process_programs.ts` writes by them, {@linkcode RecordDecoder} reads by them. Numbers
 * are little-endian (both processors that this runs on are). The bytes come from our own programs and are trusted in
 * shape; the strings in them were chosen by whoever runs the process.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import type { ExecRecord, ExitRecord, ForkRecord } from "../sources/source.ts";
import { decodeName, TextCache } from "./text_cache.ts";

export const RECORD_KINDS = ["exec", "fork", "exit"] as const;
export type RecordKind = (typeof RECORD_KINDS)[number];

/** What every record starts with; `kind` is the index in {@linkcode RECORD_KINDS}. */
const COMMON = { kind: 0, pid: 4, time: 8, startTime: 16 };
export const FORK = { ...COMMON, ppid: 24, padding: 28, bytes: 32 };
export const EXIT = { ...COMMON, status: 24, padding: 28, cpuTime: 32, bytes: 40 };
/** Followed by the path, then the arguments. */
export const EXEC = {
  ...COMMON,
  userId: 24,
  groupId: 28,
  effectiveUserId: 32,
  ppid: 36,
  inode: 40,
  cgroupId: 48,
  device: 56,
  flags: 60,
  name: 64,
  pathBytes: 80,
  argvBytes: 84,
  argvLength: 88,
  bytes: 96,
};
/** Bits of `EXEC.flags`. */
export const PATH_CUT = 1, UNLINKED = 2, ARGV_UNREAD = 4;

export const NAME_BYTES = 16;
/** The kernel's own paths end here too (PATH_MAX). */
export const MAX_PATH_BYTES = 4096;
export const MAX_EXEC_BYTES = EXEC.bytes + MAX_PATH_BYTES + MAX_ARGV_BYTES;

/** Per kind of record, how many there were and how many found no room in the ring. */
export const COUNTER_BYTES = 16 * RECORD_KINDS.length;
export function counterOffset(kind: RecordKind, counter: "seen" | "lost"): number {
  return RECORD_KINDS.indexOf(kind) * 16 + (counter === "seen" ? 0 : 8);
}

export type ProcessRecord = ExecRecord | ForkRecord | ExitRecord;

export class RecordDecoder {
  readonly #names = new TextCache(decodeName);
  readonly #paths = new TextCache(joinComponents);
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #damaged = 0;

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
    const argvStart = at + EXEC.bytes + view.getUint32(at + EXEC.pathBytes, true);
    const argvEnd = argvStart + view.getUint32(at + EXEC.argvBytes, true);
    if (argvEnd > at + length) {
      this.#damaged++;
      return null;
    }
    if ((flags & (PATH_CUT | ARGV_UNREAD)) !== 0) this.#damaged++;
    this.#received.exec++;
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
      executablePath: this.#path(bytes, at + EXEC.bytes, argvStart, flags),
      argv: (flags & ARGV_UNREAD) === 0 ? bytes.slice(argvStart, argvEnd) : null,
      argvLength: exactOrNull(readU64(view, at + EXEC.argvLength)),
      inode: exactOrNull(readU64(view, at + EXEC.inode)),
      device: view.getUint32(at + EXEC.device, true),
      namespacePid: null,
      context: null,
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
      namespacePid: null,
      pidNamespace: null,
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
    if ((flags & PATH_CUT) !== 0 || start === end) return null;
    const path = this.#paths.text(bytes, start, end);
    // As the kernel's d_path() and so /proc/PID/exe say it.
    return (flags & UNLINKED) === 0 ? path : `${path} (deleted)`;
  }
}

/** The walk goes from the file up to the root, each component ended by NUL. */
function joinComponents(bytes: Uint8Array): string {
  return "/" + decodeName(bytes.subarray(0, -1)).split("\0").reverse().join("/");
}

/** A 64-bit number as a double: exact below 2^53, which nanoseconds since boot pass after 104 days by single units. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

function exactOrNull(value: number): number | null {
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}
