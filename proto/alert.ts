/**
 * An alert: what a rule found in one event, self-contained so that a reader needs no store.
 *
 * @module
 */
import type { Completeness } from "./completeness.ts";
import { canonicalJson } from "./ledger/canonical_json.ts";
import type { Severity } from "./process_event.ts";

/** Most ancestors that an alert names. */
export const MAX_ANCESTORS = 16;

/** Times are Unix milliseconds. Field by field the `alerts` table of the catalog. */
export interface Alert {
  /**
   * `ruleId@collector:epoch:sequence`, of a rule over a window `ruleId@key:time` with the key of the finding and the time
   * of the event that completed it: stable over redelivery, so that a receiver can drop a second copy. A summary's is
   * `ruleId@summary:` and what follows in the id of the alert that it is of.
   */
  readonly alertId: string;
  /** Of the event that caused it, in Unix milliseconds. */
  readonly time: number;
  /** When the rule found it, in Unix milliseconds. */
  readonly detectedTime: number;
  /** Id of the rule. */
  readonly ruleId: string;
  /** SHA-256 of the rule's file, in hexadecimal; `null` in an alert of an earlier version of the agent. */
  readonly ruleHash: string | null;
  /** The rule's title, one line. */
  readonly title: string;
  /** The rule's description. */
  readonly description: string;
  /** The rule's severity. */
  readonly severity: Severity;
  /** The rule's tags, such as `attack.t1059.004`. */
  readonly tags: readonly string[];
  /** Number of the event that caused it: `event_id` of `process_events`. */
  readonly eventId: number;
  /** The execution that it is about: see `identity.ts`. */
  readonly execId: string;
  /** Process id. */
  readonly pid: number;
  /** Process id of the parent. */
  readonly ppid: number | null;
  /** Name of the process, as the kernel has it. */
  readonly name: string;
  /** Absolute path of the executable. */
  readonly executablePath: string | null;
  /** Arguments joined by spaces, secrets masked. */
  readonly commandLine: string | null;
  /** Real user id. */
  readonly userId: number | null;
  /** Name of that user. */
  readonly userName: string | null;
  /** Name of the parent process. */
  readonly parentName: string | null;
  /** Absolute path of the parent's executable. */
  readonly parentExecutablePath: string | null;
  /** The parent's arguments joined by spaces, secrets masked. */
  readonly parentCommandLine: string | null;
  /** The row that the rule selected, column by column, and the hash of the event's executable where it has one. */
  readonly evidence: Readonly<Record<string, string | number | null>>;
  /** Collector that reported the event. */
  readonly collectorId: string;
  /** Whether the rule could see everything that it looks at. */
  readonly completeness: Completeness;
  /** A summary says how often an alert came again, or how many hits became none; the rest is that of the first of them. */
  readonly kind: "alert" | "summary";
  /** Of a summary what it sums up, otherwise `null`. */
  readonly repeats: Repeats | null;
  /** What tells its hits from those of other alerts of the rule: the process, unless the rule says otherwise. */
  readonly dedupKey: string;
  /** Id of the first alert of the same family of processes; its own when there is none. */
  readonly groupId: string;
  /** How often the rule found something before, repeated hits counted, and when last. */
  readonly hitsBefore: number;
  /** Unix milliseconds of the newest of these hits; `null` when there was none. */
  readonly lastHitTime: number | null;
  /** Numbers of the events that caused it, as far as they are known; `eventId` is one of them. */
  readonly causes: readonly number[];
  /** Execution of the parent: see `identity.ts`. */
  readonly parentExecId: string | null;
  /** Start of the process, in Unix milliseconds. */
  readonly startTime: number | null;
  /** Effective user id. */
  readonly effectiveUserId: number | null;
  /** User id of who logged in, through every change of user since. */
  readonly loginUserId: number | null;
  /** Working directory. */
  readonly cwd: string | null;
  /** Id of the container; `null` outside of any. */
  readonly containerId: string | null;
  /** What standard input leads to, one of {@linkcode STDIO_KINDS}. */
  readonly stdinKind: string | null;
  /** What standard output leads to, one of {@linkcode STDIO_KINDS}. */
  readonly stdoutKind: string | null;
  /** The parent first, at most {@linkcode MAX_ANCESTORS}, as far as the store knew them then. */
  readonly ancestry: readonly Ancestor[];
  /** The newest checkpoint of the audit ledger when the alert was raised; `null` when the agent knew none. */
  readonly ledger: AlertHead | null;
}

/** Hits that did not become alerts of their own. */
export interface Repeats {
  /** How many there were. */
  readonly count: number;
  /** Times of the first and the last of them. */
  readonly from: number;
  /** Unix milliseconds of the last of them. */
  readonly to: number;
  /** Why they did not, in words. */
  readonly reason: string;
}

/** A process that others come from, as it was known when the alert was raised. */
export interface Ancestor {
  /** Names its execution: see `identity.ts`. */
  readonly execId: string;
  /** Process id. */
  readonly pid: number;
  /** Command name; `null` where the store did not know it. */
  readonly name: string | null;
  /** Absolute path of the executable. */
  readonly executablePath: string | null;
  /** Name of the real user. */
  readonly userName: string | null;
}

/** A head of a ledger: whoever keeps the alert elsewhere keeps an anchor for it. */
export interface AlertHead {
  /** Name of the ledger. */
  readonly origin: string;
  /** Entries under its checkpoint. */
  readonly size: number;
  /** Base64, as in a checkpoint. */
  readonly root: string;
}

/** What the ledger has the SHA-256 of: the alert without its head, as canonical JSON. */
export function alertText({ ledger: _, ...alert }: Alert): string {
  return canonicalJson(alert);
}
