/**
 * What every event source of the collector gives, whatever rung of the ladder it stands on.
 *
 * A source is opened while the process still has its privileges and keeps working after they are gone. Records carry
 * raw kernel facts: no names resolved, nothing redacted. They are trusted in shape, never in content: every string in
 * them was chosen by whoever started the process.
 *
 * @module
 */
import type { ProcessContext, SourceName } from "../../proto/process_event.ts";

/** What is made of the raw facts later: names, the container, the environment without its secrets. */
type Derived = "effectiveUserName" | "groupName" | "containerId" | "containerRuntime" | "podId" | "environment";

/**
 * The circumstances of a process as a rung finds them: raw kernel facts, `null` where it cannot tell. What is set for
 * nobody (login user, session, terminal) is `null` too. See `ProcessContext` for the meaning of each.
 */
export interface RawContext extends Omit<ProcessContext, Derived> {
  /** Address family of the socket that standard input is (`AF_INET`: 2); absent when it is none, or not known. */
  readonly stdinFamily?: number;
  /** The variables of the allow-list, `NAME=value` each, as bytes in `latin1`: not redacted yet. */
  readonly environment: readonly string[] | null;
  /** Whether there was more environment than could be read. */
  readonly environmentCut: boolean;
}

/** The context of a rung that knows nothing of it; spread and override. */
export const NOTHING_KNOWN: RawContext = {
  cwd: null,
  savedUserId: null,
  effectiveGroupId: null,
  savedGroupId: null,
  loginUserId: null,
  sessionId: null,
  tty: null,
  effectiveCapabilities: null,
  userNamespace: null,
  pidNamespace: null,
  mountNamespace: null,
  networkNamespace: null,
  cgroupPath: null,
  cgroupId: null,
  interpreterPath: null,
  scriptPath: null,
  stdinKind: null,
  stdoutKind: null,
  environment: null,
  environmentCut: false,
};

/**
 * An `execve` that succeeded. Times are nanoseconds since boot, as doubles. What a rung reads from `/proc` after the
 * fact is `null` when the process was gone by then.
 */
export interface ExecRecord {
  readonly kind: "exec";
  readonly time: number;
  readonly pid: number;
  readonly ppid: number | null;
  readonly startTime: number | null;
  readonly userId: number | null;
  readonly groupId: number | null;
  readonly effectiveUserId: number | null;
  /** The kernel's command name (at most 15 bytes); empty when it could not be read. */
  readonly name: string;
  readonly executablePath: string | null;
  /** NUL-ended arguments, a copy that the receiver owns; `null` when they could not be read. */
  readonly argv: Uint8Array | null;
  /** True length in bytes, `null` when unknown. */
  readonly argvLength: number | null;
  readonly inode: number | null;
  readonly device: number | null;
  /**
   * When the inode of the executable last changed, as it was executed: nanoseconds of the file system's clock, as near as
   * a double holds them. With device and inode it names a version of the file. Only where the rung can tell.
   */
  readonly changeTime?: number | null;
  /** Whether the executable has the set-user-id bit; absent when that is not known. */
  readonly setsUserId?: boolean;
  readonly namespacePid: number | null;
  /** `null` when nothing of it is known. */
  readonly context: RawContext | null;
}

/** A process (not a thread) was created. */
export interface ForkRecord {
  readonly kind: "fork";
  readonly time: number;
  readonly pid: number;
  readonly ppid: number;
  /** `null` when the rung cannot tell; the receiver asks {@linkcode ProcessSource.look}. */
  readonly startTime: number | null;
  /** Where a child differs from its parent from the start; `null` when unknown. */
  readonly namespacePid: number | null;
  readonly pidNamespace: number | null;
}

/** The last thread of a process ended. `exitStatus` is the wait status: signal in bits 0 to 6, code in bits 8 to 15. */
export interface ExitRecord {
  readonly kind: "exit";
  readonly time: number;
  readonly pid: number;
  readonly startTime: number | null;
  readonly exitStatus: number | null;
  /** User plus system time in nanoseconds, as the scheduler last brought it up to date: it can be a tick short. */
  readonly cpuTime: number | null;
}

/** Records that the kernel made and this source did not get. `count` null: unknown. Times are nanoseconds since boot. */
export interface LossRecord {
  readonly kind: "loss";
  readonly recordKind: "exec" | "fork" | "exit" | "all";
  readonly from: number;
  readonly to: number;
  readonly count: number | null;
  readonly reason: string;
}

export type SourceRecord = ExecRecord | ForkRecord | ExitRecord | LossRecord;

/** One process as the table shows it now. Times are nanoseconds (since boot for `startTime`). */
export interface TableEntry {
  readonly pid: number;
  readonly ppid: number;
  readonly startTime: number;
  readonly name: string;
  readonly executablePath: string | null;
  readonly argv: Uint8Array | null;
  readonly argvLength: number | null;
  readonly userId: number | null;
  readonly groupId: number | null;
  readonly effectiveUserId: number | null;
  readonly cpuTime: number | null;
  /** Resident bytes. */
  readonly memoryUsage: number | null;
  readonly threads: number | null;
  readonly namespacePid: number | null;
  /** `null` when nothing of it is known. */
  readonly context: RawContext | null;
  /** See `ProcessState.status`. */
  readonly status: string;
  readonly kernelThread: boolean;
}

/** What a source got and what it cannot give, in words for `health` and for the supervisor's first lines. */
export interface SourceDescription {
  readonly name: SourceName;
  /** One sentence: what it sees. */
  readonly sees: string;
  /** Sentences: what it misses; empty for the best rung. */
  readonly misses: readonly string[];
  /** Columns of `process_events` that it can never fill: NULL in every row. */
  readonly unknownColumns: readonly string[];
}

export interface ProcessSource {
  readonly description: SourceDescription;
  /** Reads the whole process table. Where that could be held up by a process it goes on beside this thread. */
  snapshot(): TableEntry[] | Promise<TableEntry[]>;
  /**
   * One process from the table, or null when it is gone (used by rungs whose records lack fields). Its arguments are
   * null where reading them could hold this thread up.
   */
  look(pid: number): TableEntry | null;
  /**
   * Hands every record that waits to `receive`, oldest first, and returns how many there were. Never blocks. A throw
   * of `receive` does not lose the records after it.
   */
  drain(receive: (record: SourceRecord) => void): number;
  /** Whether records wait; on rungs that can tell. */
  readonly pending?: boolean;
  /**
   * Resolves when records wait or `timeoutMs` has passed. Polling sources resolve when their next snapshot is due.
   */
  wait(timeoutMs: number): Promise<void>;
  /**
   * Waits for `ms` and, for some rungs, for records that are not whole yet: when it resolves, everything from before can
   * be drained. Only on rungs whose records want reading on meanwhile; others just wait.
   */
  gather?(ms: number): Promise<void>;
  /** Received and lost records by kind, since start. */
  counters(): SourceCounters;
  close(): void;
}

export interface SourceCounters {
  readonly received: Readonly<Record<"exec" | "fork" | "exit", number>>;
  readonly lost: Readonly<Record<"exec" | "fork" | "exit", number>>;
  /** Losses whose number is unknown (socket overruns). */
  readonly overruns: number;
  /** Records that could not be read whole (argv fault, path cut). */
  readonly damaged: number;
}
