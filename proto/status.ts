/**
 * What each daemon says of itself once a second, in a file that the CLI reads.
 *
 * The file is replaced atomically, so a reader sees one moment. It is as trustworthy as the daemon that wrote it: what
 * one says is checked against the other. Older than {@linkcode STALE_AFTER_MS} means that the daemon no longer runs or
 * no longer answers.
 *
 * @module
 */

import type { AttributeStanding } from "./demand.ts";

/** How often a daemon replaces its status file. */
export const STATUS_INTERVAL_MS = 1_000;
/** Age at which a reader calls a status stale. */
export const STALE_AFTER_MS = 3_000;

/** What a collector says of redaction when all is as it should be. */
export const REDACTION_ON = "on";

/** What both daemons say. Times are Unix milliseconds, memory bytes, CPU milliseconds. */
export interface TierStatus {
  readonly bootId: string;
  readonly time: number;
  /** Milliseconds since the daemon began, from a clock that does not jump. */
  readonly uptimeMs: number;
  readonly pid: number;
  readonly userId: number | null;
  readonly version: string;
  /** `starting`, `running`, `stopping` or `stopped`; of the agent also `degraded`, see {@linkcode StoreStatus}. */
  readonly state: string;
  readonly memoryBytes: number;
  readonly cpuMs: number;
  /** Faults that an operator should see, newest last, bounded. */
  readonly notices: readonly Notice[];
  /** How many notices there were, also those no longer listed. */
  readonly noticeCount: number;
}

export interface Notice {
  readonly time: number;
  readonly text: string;
}

export interface SourceStatus {
  readonly name: string;
  /** `active` or `unavailable`. */
  readonly state: string;
  readonly detail: string;
  readonly misses: readonly string[];
  /** Columns that this source cannot fill: NULL in every row. */
  readonly unknownColumns: readonly string[];
}

/** Whether a second source proves that the first one misses nothing. */
export interface CompletenessStatus {
  /** `proven`: both saw the same in the last hour; `differs`; `unproven`: there is nothing to compare, or not always. */
  readonly state: string;
  readonly detail: string;
}

/** The collector's write-ahead log. Counts are since the collector's start. */
export interface LogStatus {
  /** Its directory, or `memory`. */
  readonly place: string;
  /** What an operator should see to, empty when all is as it should be. */
  readonly trouble: string;
  readonly bytes: number;
  readonly maxBytes: number;
  readonly segments: number;
  /** Taken, and not on disk yet. */
  readonly pendingBytes: number;
  /** Share, 0 to 1, of the room that is taken by what is not acknowledged; of memory's while the disk takes nothing. */
  readonly load: number;
  /** Whether the collector looks less often and says less, as the log fills up. */
  readonly isSlowed: boolean;
  /** Items that found no room. */
  readonly refused: number;
  /** Numbers whose records cannot be read any more, and places of damage. */
  readonly missing: number;
  readonly damaged: number;
  /** Calls of the disk that failed. */
  readonly faults: number;
  /** Segments that were deleted before their time. */
  readonly hastened: number;
  /** Why nothing is written now, or empty. */
  readonly fault: string;
  /** Unix milliseconds of the oldest item that is not acknowledged, to a second or so; `null` when nothing waits. */
  readonly oldestTime: number | null;
}

/** The audit ledger. Counts are since the collector's start. */
export interface LedgerStatus {
  /** `on`; `off` by configuration; `waiting`: its disk cannot be used yet; `broken`: it is left alone. */
  readonly state: string;
  /** Its directory. */
  readonly place: string;
  /** What an operator should see to, empty when all is as it should be. */
  readonly trouble: string;
  /** The name that its checkpoints have; empty while it is not open. */
  readonly origin: string;
  /** Entries, and those under the newest checkpoint, which was published at `checkpointTime`; 0 before the first. */
  readonly size: number;
  readonly signed: number;
  readonly checkpointTime: number;
  readonly sealedEpochs: number;
  /** Taken, and not on disk yet. */
  readonly pendingBytes: number;
  /** Entries that found no room, or no ledger. */
  readonly refused: number;
  /** Calls of the disk that failed. */
  readonly faults: number;
}

export interface CollectorStatus extends TierStatus {
  readonly collectorId: string;
  readonly epoch: string;
  readonly sources: readonly SourceStatus[];
  /** Whether every thread gave up its privileges, in words. */
  readonly confinement: string;
  /** Whether secrets are masked: {@linkcode REDACTION_ON}, or in words what is not as it should be. */
  readonly redaction: string;
  readonly completeness: CompletenessStatus;
  /** What is collected of the attributes that cost something, and why. */
  readonly attributes: readonly AttributeStanding[];
  readonly connected: boolean;
  readonly lastSequence: number;
  readonly acknowledgedSequence: number;
  /** Everything that was seen before this time outlives the collector, or was counted as refused. */
  readonly durableTime: number;
  readonly log: LogStatus;
  readonly ledger: LedgerStatus;
  readonly queuedEvents: number;
  readonly trackedProcesses: number;
  /** The kernel's own count of forks since boot, to bound what a gap missed. */
  readonly forksSinceBoot: number | null;
  /** By name: `exec_received`, `exec_lost`, `events`, `gaps`, `redacted`, ... */
  readonly counters: Readonly<Record<string, number>>;
}

export interface RuleStatus {
  readonly id: string;
  readonly title: string;
  readonly severity: string;
  readonly file: string;
  /**
   * `active`; `draft`: judged and counted, raising no alert; `disabled` by its own file or the operator's overrides;
   * `rejected`. The reason says why it is not active, and of one that is, why another version of its file is not.
   */
  readonly state: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly reason: string | null;
  readonly hits: number;
  /** `stream`, `sql: ` and why it is not judged there, or `window: ` and its time; `null` for a rule that cannot run. */
  readonly lane: string | null;
  /** SHA-256 of the file of the version that is judged, in hexadecimal; `null` where the file could not be read. */
  readonly hash: string | null;
  /** Since the agent's start, also over reloads: how often it was asked, what it found, what it took (milliseconds), about how many rows. */
  readonly evaluations: number;
  readonly matches: number;
  readonly cpuMs: number;
  readonly rows: number;
  /** Why "no match" of it may be wrong now; empty while its verdicts are complete. */
  readonly degraded: readonly string[];
}

export interface ConnectionStatus {
  readonly collectorId: string;
  readonly epoch: string;
  readonly connectedSince: number;
  readonly lastSequence: number;
  readonly lastEventTime: number;
}

/** Whether the agent's store takes what comes, and what was found in it. */
export interface StoreStatus {
  /** `taking`; `refusing`: nothing is stored, judged or acknowledged, and collectors keep what they see; `unknown`. */
  readonly state: string;
  /** Why it takes nothing, with what to do; empty while it does. */
  readonly reason: string;
  /** Since when it takes nothing; 0 while it does. */
  readonly since: number;
  /** Room on its disk, `null` when that is not known. */
  readonly freeBytes: number | null;
  /** When all of it was last checked; 0 before the first time. */
  readonly checkedTime: number;
  /** `ok`, or what is damaged; empty before the first check. */
  readonly check: string;
}

export interface AgentStatus extends TierStatus {
  readonly rules: readonly RuleStatus[];
  readonly collectors: readonly ConnectionStatus[];
  readonly storeBytes: number;
  readonly lastCommitTime: number;
  readonly store: StoreStatus;
  /** By name: `events`, `duplicates`, `alerts`, `gaps`, `connections_refused`, `alerts_undelivered`, ... */
  readonly counters: Readonly<Record<string, number>>;
}
