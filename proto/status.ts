/**
 * What each daemon says of itself once a second, in a file that the CLI reads.
 *
 * The file is replaced atomically, so a reader sees one moment; while nothing happens only its signs of life change
 * (`status_image.ts`). It is as trustworthy as the daemon that wrote it: what
 * one says is checked against the other. Older than {@linkcode STALE_AFTER_MS} means that the daemon no longer runs or
 * no longer answers.
 *
 * @module
 */

import type { AttributeStanding } from "./demand.ts";
import type { Registration } from "./registration.ts";

/** How often a daemon brings its status file up to date. */
export const STATUS_INTERVAL_MS = 1_000;
/** Age at which a reader calls a status stale. */
export const STALE_AFTER_MS = 3_000;

/** What a collector says of redaction when all is as it should be. */
export const REDACTION_ON = "on";

/** What both daemons say. Times are Unix milliseconds, memory bytes, CPU milliseconds. */
export interface TierStatus {
  /** Id of the boot, as the kernel has it. */
  readonly bootId: string;
  /** When it was written. */
  readonly time: number;
  /** Milliseconds since the daemon began, from a clock that does not jump. */
  readonly uptimeMs: number;
  /** Process id. */
  readonly pid: number;
  /** User id that it runs as; `null` when it cannot know. */
  readonly userId: number | null;
  /** Version of the program. */
  readonly version: string;
  /** `starting`, `running`, `stopping` or `stopped`; of the agent also `degraded`, see {@linkcode StoreStatus}. */
  readonly state: string;
  /** Resident memory. */
  readonly memoryBytes: number;
  /** User and system time together. */
  readonly cpuMs: number;
  /** Faults that an operator should see, newest last, bounded. */
  readonly notices: readonly Notice[];
  /** How many notices there were, also those no longer listed. */
  readonly noticeCount: number;
}

/** Something that an operator should see. */
export interface Notice {
  /** When, in Unix milliseconds. */
  readonly time: number;
  /** One line. */
  readonly text: string;
}

/** How a source of events is. */
export interface SourceStatus {
  /** Name of the source. */
  readonly name: string;
  /** `active` or `unavailable`. */
  readonly state: string;
  /** One line for people: what it sees, or why it does not. */
  readonly detail: string;
  /** What it cannot see, one line each. */
  readonly misses: readonly string[];
  /** Columns that this source cannot fill: NULL in every row. */
  readonly unknownColumns: readonly string[];
}

/** Whether a second source proves that the first one misses nothing. */
export interface CompletenessStatus {
  /** `proven`: both saw the same in the last hour; `differs`; `unproven`: there is nothing to compare, or not always. */
  readonly state: string;
  /** The same in words. */
  readonly detail: string;
}

/** The collector's write-ahead log. Counts are since the collector's start. */
export interface LogStatus {
  /** Its directory, or `memory`. */
  readonly place: string;
  /** What an operator should see to, empty when all is as it should be. */
  readonly trouble: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** Bytes that it may take. */
  readonly maxBytes: number;
  /** Files that it consists of. */
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
  /** Places of damage. */
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
  /** Entries under the newest checkpoint. */
  readonly signed: number;
  /** When that was published, in Unix milliseconds; 0 before the first. */
  readonly checkpointTime: number;
  /** Epochs of its seals that have ended. */
  readonly sealedEpochs: number;
  /** Taken, and not on disk yet. */
  readonly pendingBytes: number;
  /** Entries that found no room, or no ledger. */
  readonly refused: number;
  /** Calls of the disk that failed. */
  readonly faults: number;
}

/** What a collector says of itself. */
export interface CollectorStatus extends TierStatus {
  /** Name of the collector. */
  readonly collectorId: string;
  /** Names this start of it. */
  readonly epoch: string;
  /** How each source is. */
  readonly sources: readonly SourceStatus[];
  /** Whether every thread gave up its privileges, in words. */
  readonly confinement: string;
  /** Whether secrets are masked: {@linkcode REDACTION_ON}, or in words what is not as it should be. */
  readonly redaction: string;
  /** Whether a second source proves that nothing is missed. */
  readonly completeness: CompletenessStatus;
  /** What is collected of the attributes that cost something, and why. */
  readonly attributes: readonly AttributeStanding[];
  /** Whether it is connected to the agent. */
  readonly connected: boolean;
  /** Number of the last item that it has taken. */
  readonly lastSequence: number;
  /** Number of the last item that the agent has committed. */
  readonly acknowledgedSequence: number;
  /** Everything that was seen before this time outlives the collector, or was counted as refused. */
  readonly durableTime: number;
  /** The write-ahead log. */
  readonly log: LogStatus;
  /** The audit ledger. */
  readonly ledger: LedgerStatus;
  /** Events that wait to be sent. */
  readonly queuedEvents: number;
  /** Processes that it knows of. */
  readonly trackedProcesses: number;
  /** The kernel's own count of forks since boot, to bound what a gap missed. */
  readonly forksSinceBoot: number | null;
  /** By name: `exec_received`, `exec_lost`, `events`, `gaps`, `redacted`, ... */
  readonly counters: Readonly<Record<string, number>>;
}

/** How a rule is. */
export interface RuleStatus {
  /** Id of the rule. */
  readonly id: string;
  /** Its title. */
  readonly title: string;
  /** Its severity. */
  readonly severity: string;
  /** Its file. */
  readonly file: string;
  /**
   * `active`; `draft`: judged and counted, raising no alert; `disabled` by its own file or the operator's overrides;
   * `rejected`. The reason says why it is not active, and of one that is, why another version of its file is not.
   */
  readonly state: string;
  /** Line of a fault in the file, one-based; `null` for none. */
  readonly line: number | null;
  /** Column of the fault, one-based. */
  readonly column: number | null;
  /** Why it is not active; `null` for nothing to say. */
  readonly reason: string | null;
  /** Rows that it matched since the agent's start. */
  readonly hits: number;
  /** `stream`, `sql: ` and why it is not judged there, or `window: ` and its time; `null` for a rule that cannot run. */
  readonly lane: string | null;
  /** SHA-256 of the file of the version that is judged, in hexadecimal; `null` where the file could not be read. */
  readonly hash: string | null;
  /** Since the agent's start, also over reloads: how often it was asked, what it found, what it took (milliseconds), about how many rows. */
  readonly evaluations: number;
  /** What it found. */
  readonly matches: number;
  /** Milliseconds that it took. */
  readonly cpuMs: number;
  /** Rows that it was asked about, about. */
  readonly rows: number;
  /** Hits that exceptions and filters took, since the agent's start; of a rule over a window, events. */
  readonly suppressed: number;
  /** Why "no match" of it may be wrong now; empty while its verdicts are complete. */
  readonly degraded: readonly string[];
}

/** An exception of the operator, or a filter of Sigma, and what it did since the agent's start. */
export interface SuppressorStatus {
  /** What it is. */
  readonly kind: "exception" | "filter";
  /** Its id. */
  readonly id: string;
  /** The file that it stands in. */
  readonly file: string;
  /** Line in that file, one-based. */
  readonly line: number;
  /** Why it is right that these are suppressed. */
  readonly reason: string;
  /** Empty where nobody says. */
  readonly author: string;
  /** Unix milliseconds from which on it suppresses nothing; `null` for never. */
  readonly expires: number | null;
  /** How many rules it is for. */
  readonly rules: number;
  /** Hits that it took. */
  readonly suppressed: number;
  /** Time of the newest event that it was suppressed for; `null` before the first. */
  readonly lastTime: number | null;
  /** Of which rules, those with the most. */
  readonly byRule: readonly { readonly ruleId: string; readonly count: number }[];
}

/** A connection of a collector to the agent. */
export interface ConnectionStatus {
  /** Name of the collector. */
  readonly collectorId: string;
  /** Names its start. */
  readonly epoch: string;
  /** Since when, in Unix milliseconds. */
  readonly connectedSince: number;
  /** Number of the last item of it that is stored. */
  readonly lastSequence: number;
  /** Unix milliseconds of the newest event of it; 0 before the first. */
  readonly lastEventTime: number;
}

/** One subscriber of the agent's bus that came over the socket. Counts are since it connected for the first time. */
export interface BusClientStatus {
  /** Name of the client. */
  readonly name: string;
  /** Whether it is connected now. */
  readonly connected: boolean;
  /** Patterns that it subscribed. */
  readonly patterns: number;
  /** Messages that wait for it. */
  readonly queued: number;
  /** Messages that it was given. */
  readonly delivered: number;
  /** What it was too slow for, or what was under way when its connection broke. */
  readonly lost: number;
  /** What it may not do, or did too often. */
  readonly refused: number;
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

/** A state of `lifecycle_states.ts`, why it is that where it needs words, and how it came to it. */
export interface LifecycleStatus {
  /** The state's name. */
  readonly state: string;
  /** Since when, in Unix milliseconds. */
  readonly since: number;
  /** Why; empty where there is nothing to say. */
  readonly reason: string;
  /** Newest last. */
  readonly history: readonly { readonly time: number; readonly event: string; readonly state: string }[];
}

/** A collector in the agent's registry. */
export interface CollectorStanding {
  /** Name of the collector. */
  readonly collectorId: string;
  /** The state that it is in. */
  readonly lifecycle: LifecycleStatus;
  /** Whether it is connected now. */
  readonly connected: boolean;
  /** Names its last start. */
  readonly epoch: string;
  /** Version of its program. */
  readonly softwareVersion: string;
  /** The source that it said it has. */
  readonly source: string;
  /** What it registered; `null` of one that has not. */
  readonly registration: Registration | null;
  /** Heartbeats missed in a row. */
  readonly missed: number;
  /** Unix milliseconds of the last that came from it; 0 before the first. */
  readonly lastHeard: number;
  /** How often it has registered. */
  readonly registrations: number;
  /** What was refused under its name, and why the last time. */
  readonly refused: number;
  /** Why something was refused under its name the last time; empty before. */
  readonly refusal: string;
}

/** What the supervisor says of a process that it runs. */
export interface SupervisedProcess {
  /** Name of the process. */
  readonly name: string;
  /** `running`; `waiting` for its next start; `exhausted`: its restarts are used up for now; `stopped` on request. */
  readonly state: string;
  /** 0 while it does not run. */
  readonly pid: number;
  /** Restarts so far. */
  readonly restarts: number;
  /** Restarts that are left for now. */
  readonly budget: number;
  /** Empty before its first end. */
  readonly lastEnd: string;
  /** Unix milliseconds; 0 when no start is due. */
  readonly nextStart: number;
}

/** What the agent says of itself. */
export interface AgentStatus extends TierStatus {
  /** The state that it is in. */
  readonly lifecycle: LifecycleStatus;
  /** The collectors that it knows. */
  readonly registry: readonly CollectorStanding[];
  /** Empty when nobody supervises it, or the supervisor does not speak to it. */
  readonly supervised: readonly SupervisedProcess[];
  /** How each rule is. */
  readonly rules: readonly RuleStatus[];
  /** Exceptions and filters. */
  readonly suppressors: readonly SuppressorStatus[];
  /** Connections of collectors, now and before. */
  readonly collectors: readonly ConnectionStatus[];
  /** Bytes of the store. */
  readonly storeBytes: number;
  /** When it was last committed, in Unix milliseconds; 0 before the first time. */
  readonly lastCommitTime: number;
  /** The store. */
  readonly store: StoreStatus;
  /** Subscribers of the bus. */
  readonly busClients: readonly BusClientStatus[];
  /** By name: `events`, `duplicates`, `alerts`, `gaps`, `connections_refused`, `alerts_undelivered`, ... */
  readonly counters: Readonly<Record<string, number>>;
}
