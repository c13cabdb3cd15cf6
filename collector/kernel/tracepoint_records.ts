/**
 * The records that the programs of `tracepoint_programs.ts` put into the ring, and their way into objects.
 *
 * The layouts stand here once. Numbers are little-endian. The bytes come from our own programs and are trusted in shape;
 * the strings in them were chosen by whoever runs the process.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import type { EnvironmentFilter } from "./environment.ts";
import { CREDENTIAL_IDS } from "./kernel_search.ts";
import { readU64 } from "./little_endian.ts";
import { NAME_BYTES, RECORD_KINDS, type RecordKind } from "./process_records.ts";
import { decodeName, TextCache } from "./text_cache.ts";

/** What every record starts with; `kind` is the index in `RECORD_KINDS`. A start time of 0 is not known. */
const COMMON = { kind: 0, pid: 4, time: 8, startTime: 16 };
export const FORKED = { ...COMMON, creator: 24, cloneFlags: 28, bytes: 32 };
export const EXITED = { ...COMMON, status: 24, flags: 28, bytes: 32 };
/** Followed by the arguments, the environment and the file name. */
export const EXECUTED = {
  ...COMMON,
  userId: 24,
  groupId: 28,
  cgroupId: 32,
  name: 40,
  argvLength: 56,
  environmentLength: 64,
  argvBytes: 72,
  environmentBytes: 76,
  fileNameBytes: 80,
  flags: 84,
  ppid: 88,
  /** As in `cred`: see `CREDENTIAL_IDS`. */
  ids: 96,
  /** Three sets as in `cred`; the effective one is the last. */
  capabilities: 128,
  bytes: 152,
};
/** Bits of `EXECUTED.flags`. */
export const ARGUMENTS_UNREAD = 1, ENVIRONMENT_UNREAD = 2, CREDENTIALS_KNOWN = 4;
/** Bits of `EXITED.flags`. */
export const STATUS_KNOWN = 1;
/** Of `clone(2)`. */
export const CLONE_PARENT = 0x8000, CLONE_THREAD = 0x1_0000;

/** As long as the kernel takes one (PATH_MAX). */
export const MAX_FILE_NAME_BYTES = 4_096;
/** Where a record is made: an element per processor cannot be larger. */
export const MAX_EXECUTED_BYTES = 32_768;
/** What is left for the environment. */
export const MAX_ENVIRONMENT_BYTES = MAX_EXECUTED_BYTES - EXECUTED.bytes - MAX_ARGV_BYTES - MAX_FILE_NAME_BYTES;

export interface Credentials {
  readonly effectiveUserId: number;
  readonly savedUserId: number;
  readonly effectiveGroupId: number;
  readonly savedGroupId: number;
  readonly effectiveCapabilities: number;
}

/** What the kernel said of an `execve` that succeeded. */
export interface Executed {
  readonly kind: "exec";
  readonly time: number;
  readonly pid: number;
  readonly ppid: number | null;
  readonly startTime: number | null;
  readonly credentials: Credentials | null;
  readonly userId: number;
  readonly groupId: number;
  readonly name: string;
  readonly cgroupId: number | null;
  readonly argv: Uint8Array | null;
  readonly argvLength: number;
  /** What was given to `execve`: relative, a link, or a script, whose interpreter runs. */
  readonly fileName: string | null;
  /** `null` when nothing of it is wanted, or it could not be read. */
  readonly environment: readonly string[] | null;
  readonly environmentCut: boolean;
}

export interface Forked {
  readonly kind: "fork";
  readonly time: number;
  readonly pid: number;
  /** The process that made it. */
  readonly creator: number;
  /** Whether its parent is the creator's parent. */
  readonly isSibling: boolean;
}

export interface Exited {
  readonly kind: "exit";
  readonly time: number;
  readonly pid: number;
  readonly startTime: number | null;
  readonly exitStatus: number | null;
}

export class TracepointDecoder {
  readonly #names = new TextCache(decodeName);
  readonly #fileNames = new TextCache(decodeName);
  readonly #filter: EnvironmentFilter;
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #damaged = 0;

  constructor(filter: EnvironmentFilter) {
    this.#filter = filter;
  }

  get received(): Readonly<Record<RecordKind, number>> {
    return { ...this.#received };
  }

  /** Records that no program of ours writes. */
  get damaged(): number {
    return this.#damaged;
  }

  /** The record of `length` bytes at `at`, which owns all it holds; `null` when it is none of ours. */
  decode(bytes: Uint8Array, view: DataView, at: number, length: number): Executed | Forked | Exited | null {
    const kind = length < COMMON.startTime + 8 ? undefined : RECORD_KINDS[view.getUint32(at + COMMON.kind, true)];
    if (kind === "exec" && length >= EXECUTED.bytes) return this.#executed(bytes, view, at, length);
    if (kind === "fork" && length >= FORKED.bytes) return this.#forked(view, at);
    if (kind === "exit" && length >= EXITED.bytes) return this.#exited(view, at);
    this.#damaged++;
    return null;
  }

  #executed(bytes: Uint8Array, view: DataView, at: number, length: number): Executed | null {
    const flags = view.getUint32(at + EXECUTED.flags, true);
    const argv = at + EXECUTED.bytes;
    const environment = argv + view.getUint32(at + EXECUTED.argvBytes, true);
    const fileName = environment + view.getUint32(at + EXECUTED.environmentBytes, true);
    const end = fileName + view.getUint32(at + EXECUTED.fileNameBytes, true);
    if (end > at + length) {
      this.#damaged++;
      return null;
    }
    this.#received.exec++;
    const isSet = (bit: number): boolean => (flags & bit) !== 0;
    const hasEnvironment = !this.#filter.isEmpty && !isSet(ENVIRONMENT_UNREAD);
    let nameEnd = at + EXECUTED.name;
    while (nameEnd < at + EXECUTED.name + NAME_BYTES && bytes[nameEnd] !== 0) nameEnd++;
    return {
      kind: "exec",
      time: readU64(view, at + EXECUTED.time),
      pid: view.getUint32(at + EXECUTED.pid, true),
      ppid: view.getUint32(at + EXECUTED.ppid, true) || null,
      credentials: isSet(CREDENTIALS_KNOWN) ? readCredentials(view, at) : null,
      startTime: readU64(view, at + EXECUTED.startTime) || null,
      userId: view.getUint32(at + EXECUTED.userId, true),
      groupId: view.getUint32(at + EXECUTED.groupId, true),
      name: this.#names.text(bytes, at + EXECUTED.name, nameEnd),
      cgroupId: exactOrNull(readU64(view, at + EXECUTED.cgroupId)),
      argv: isSet(ARGUMENTS_UNREAD) ? null : bytes.slice(argv, environment),
      argvLength: readU64(view, at + EXECUTED.argvLength),
      // Without its NUL. One that fills its place was cut, which the kernel's own limit rules out.
      fileName: end - fileName < 2 ? null : this.#fileNames.text(bytes, fileName, end - 1),
      environment: hasEnvironment ? this.#filter.select(bytes, environment, fileName) : null,
      environmentCut: hasEnvironment && readU64(view, at + EXECUTED.environmentLength) > fileName - environment,
    };
  }

  #forked(view: DataView, at: number): Forked {
    this.#received.fork++;
    return {
      kind: "fork",
      time: readU64(view, at + FORKED.time),
      pid: view.getUint32(at + FORKED.pid, true),
      creator: view.getUint32(at + FORKED.creator, true),
      isSibling: (view.getUint32(at + FORKED.cloneFlags, true) & CLONE_PARENT) !== 0,
    };
  }

  #exited(view: DataView, at: number): Exited {
    this.#received.exit++;
    const isKnown = (view.getUint32(at + EXITED.flags, true) & STATUS_KNOWN) !== 0;
    return {
      kind: "exit",
      time: readU64(view, at + EXITED.time),
      pid: view.getUint32(at + EXITED.pid, true),
      startTime: readU64(view, at + EXITED.startTime) || null,
      exitStatus: isKnown ? view.getUint32(at + EXITED.status, true) : null,
    };
  }
}

function readCredentials(view: DataView, at: number): Credentials {
  const id = (offset: number): number => view.getUint32(at + EXECUTED.ids + offset, true);
  return {
    effectiveUserId: id(CREDENTIAL_IDS.euid),
    savedUserId: id(CREDENTIAL_IDS.suid),
    effectiveGroupId: id(CREDENTIAL_IDS.egid),
    savedGroupId: id(CREDENTIAL_IDS.sgid),
    effectiveCapabilities: readU64(view, at + EXECUTED.capabilities + 16),
  };
}

/** Zero, and what a double cannot hold, is no id. */
function exactOrNull(value: number): number | null {
  return value !== 0 && value <= Number.MAX_SAFE_INTEGER ? value : null;
}
