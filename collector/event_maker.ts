/**
 * Events, states and gaps in the model's form, out of what the collector remembers.
 *
 * Turns times since boot into Unix milliseconds by an offset that its owner keeps up to date: the host's clock may be
 * set at any time, so each event gets the time of the clock as it is now, while a process' start stays what was said
 * first. Durations come from the time since boot and are never touched by that.
 *
 * @module
 */

import {
  blankProcessEvent,
  type ExecutableKind,
  type Gap,
  type ProcessEvent,
  type ProcessEventKind,
  type ProcessState,
} from "../proto/process_event.ts";
import { blankProcessState } from "../proto/snapshot_codec.ts";
import type { ExitRecord, LossRecord, TableEntry } from "./sources/source.ts";
import type { Suspicion } from "./suspicions.ts";
import type { TrackedProcess } from "./tracked_process.ts";

/** The kernel's path of a memfd: `/memfd:` and the name that its maker gave it. */
const MEMFD = "/memfd:";

/** What a table shows of a process' use of the host. */
export type Usage = Pick<TableEntry, "cpuTime" | "memoryUsage">;

export class EventMaker {
  #offsetMs = 0;
  #hostMounts: number | null = null;
  readonly #source: string;
  readonly #userName: (userId: number) => string | null;
  /** Names since the last {@linkcode begin}: a storm has few users and many events. */
  readonly #names = new Map<number, string | null>();

  constructor(source: string, userName: (userId: number) => string | null) {
    this.#source = source;
    this.#userName = userName;
  }

  /** Unix milliseconds of the moment of boot. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Begins a batch: `offsetMs` is from now on the Unix time of the moment of boot, and names are looked up anew. */
  begin(offsetMs: number): void {
    this.#offsetMs = offsetMs;
    this.#names.clear();
  }

  /** Says which mount namespace is the host's own; until then no executable counts as foreign. */
  setHostMounts(mountNamespace: number | null): void {
    this.#hostMounts = mountNamespace;
  }

  start(process: TrackedProcess, time: number, reason: string | null, changed: readonly string[]): ProcessEvent {
    const event = this.#event("start", time, process);
    event.reason = reason;
    if (changed.length > 0) event.modifiedFields = changed;
    return event;
  }

  /** The end of a process; without a record nothing is known but that it ended before `time`. */
  stop(process: TrackedProcess, time: number, reason: string | null, record: ExitRecord | null): ProcessEvent {
    const event = this.#event("stop", time, process);
    event.reason = reason;
    if (record === null) return event;
    event.endTime = event.time;
    if (process.start !== "unknown") event.durationMs = Math.max(0, time - process.startTime) / 1e6;
    if (record.exitStatus !== null) {
      const signal = record.exitStatus & 0x7f;
      if (signal === 0) event.exitCode = (record.exitStatus >> 8) & 0xff;
      else event.exitSignal = signal;
    }
    if (record.cpuTime !== null) event.cpuTimeMs = record.cpuTime / 1e6;
    return event;
  }

  modify(process: TrackedProcess, time: number, reason: string, changed: string[], usage: Usage): ProcessEvent {
    const event = this.#event("modify", time, process);
    event.reason = reason;
    event.modifiedFields = changed;
    event.memoryUsage = usage.memoryUsage;
    event.cpuTimeMs = milliseconds(usage.cpuTime);
    return event;
  }

  suspicious(process: TrackedProcess, time: number, { severity, reason }: Suspicion): ProcessEvent {
    const event = this.#event("suspicious", time, process);
    event.severity = severity;
    event.reason = reason;
    return event;
  }

  state(process: TrackedProcess, entry: TableEntry): ProcessState {
    return {
      execId: process.execId,
      parentExecId: process.parentExecId,
      pid: entry.pid,
      ppid: nullIfZero(entry.ppid),
      name: entry.name,
      executablePath: process.image.executablePath,
      argv: process.image.argv,
      argvLength: process.image.argvLength,
      userId: process.userId,
      userName: this.#nameOf(process.userId),
      effectiveUserId: process.effectiveUserId,
      groupId: process.groupId,
      namespacePid: process.namespacePid,
      startTime: this.#startMs(process),
      cpuTimeMs: milliseconds(entry.cpuTime),
      memoryUsage: entry.memoryUsage,
      threads: entry.threads,
      executableKind: this.#executableKind(process),
      context: process.context,
      status: entry.status,
      kernelThread: entry.kernelThread,
    };
  }

  /** What the file of the last known table keeps of a process. */
  known(process: TrackedProcess, status: string): ProcessState {
    return {
      ...blankProcessState(),
      execId: process.execId,
      parentExecId: process.parentExecId,
      pid: process.pid,
      ppid: process.ppid,
      name: process.image.name,
      executablePath: process.image.executablePath,
      userId: process.userId,
      startTime: this.#startMs(process),
      status,
      kernelThread: process.kernelThread,
    };
  }

  gap(record: LossRecord): Gap {
    return {
      source: this.#source,
      recordKind: record.recordKind,
      from: this.#ms(record.from),
      to: this.#ms(record.to),
      count: record.count,
      reason: record.reason,
    };
  }

  #event(kind: ProcessEventKind, time: number, process: TrackedProcess): ProcessEvent {
    const event = blankProcessEvent(kind, this.#ms(time), process.execId, process.pid);
    const image = process.image, parent = process.parentImage;
    event.parentExecId = process.parentExecId;
    event.ppid = process.ppid;
    event.name = image.name;
    event.executablePath = image.executablePath;
    event.onDiskMismatch = image.onDiskMismatch;
    event.argv = image.argv;
    event.argvLength = image.argvLength;
    event.inode = image.inode;
    event.device = image.device;
    event.executableKind = this.#executableKind(process);
    event.namespacePid = process.namespacePid;
    if (kind !== "stop") event.context = process.context;
    event.userId = process.userId;
    event.userName = this.#nameOf(process.userId);
    event.effectiveUserId = process.effectiveUserId;
    event.groupId = process.groupId;
    event.startTime = this.#startMs(process);
    if (parent !== null) {
      event.parentName = parent.name;
      event.parentExecutablePath = parent.executablePath;
      event.parentCommandLine = parent.commandLine;
    }
    event.source = this.#source;
    return event;
  }

  #executableKind({ image, context }: TrackedProcess): ExecutableKind | null {
    const { executablePath, onDiskMismatch } = image;
    if (executablePath === null) return null;
    if (onDiskMismatch === true) return executablePath.startsWith(MEMFD) ? "memfd" : "deleted";
    const mounts = context?.mountNamespace ?? null;
    return mounts !== null && this.#hostMounts !== null && mounts !== this.#hostMounts ? "foreign" : "file";
  }

  #nameOf(userId: number | null): string | null {
    if (userId === null) return null;
    let name = this.#names.get(userId);
    if (name === undefined) {
      name = this.#userName(userId);
      this.#names.set(userId, name);
    }
    return name;
  }

  #startMs(process: TrackedProcess): number | null {
    if (process.start === "unknown") return null;
    process.startMs ??= this.#ms(process.startTime);
    return process.startMs;
  }

  /** The wire knows no time before 1970, whatever a source claims or the clock shows. */
  #ms(time: number): number {
    return Math.max(0, Math.floor(this.#offsetMs + time / 1e6));
  }
}

/**
 * The host's own mount namespace, as the table shows it: that of the first process. Where the host hides that one, the
 * kernel's own threads stand for it, whose first has pid 2: they keep what the first process began with.
 */
export function hostMounts(table: { get(pid: number): TrackedProcess | undefined }): number | null {
  const first = table.get(1), threads = table.get(2);
  const witness = first?.context?.mountNamespace ?? (threads?.kernelThread ? threads.context?.mountNamespace : null);
  return witness ?? null;
}

function milliseconds(nanoseconds: number | null): number | null {
  return nanoseconds === null ? null : nanoseconds / 1e6;
}

/** The kernel's parent of the first process and of its own threads is 0, which is none. */
export function nullIfZero(pid: number | null): number | null {
  return pid === 0 ? null : pid;
}
