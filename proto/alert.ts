/**
 * An alert: what a rule found in one event, self-contained so that a reader needs no store.
 *
 * @module
 */
import type { Completeness } from "./completeness.ts";
import { canonicalJson } from "./ledger/canonical_json.ts";
import type { Severity } from "./process_event.ts";

/** Times are Unix milliseconds. Field by field the `alerts` table of the catalog. */
export interface Alert {
  /**
   * `ruleId@collector:epoch:sequence`, of a rule over a window `ruleId@key:time` with the key of the finding and the time
   * of the event that completed it: stable over redelivery, so that a receiver can drop a second copy.
   */
  readonly alertId: string;
  readonly time: number;
  readonly detectedTime: number;
  readonly ruleId: string;
  /** SHA-256 of the rule's file, in hexadecimal; `null` in an alert of an earlier version of the agent. */
  readonly ruleHash: string | null;
  readonly title: string;
  readonly description: string;
  readonly severity: Severity;
  readonly tags: readonly string[];
  readonly eventId: number;
  readonly execId: string;
  readonly pid: number;
  readonly ppid: number | null;
  readonly name: string;
  readonly executablePath: string | null;
  readonly commandLine: string | null;
  readonly userId: number | null;
  readonly userName: string | null;
  readonly parentName: string | null;
  readonly parentExecutablePath: string | null;
  readonly parentCommandLine: string | null;
  /** The row that the rule selected, column by column, and the hash of the event's executable where it has one. */
  readonly evidence: Readonly<Record<string, string | number | null>>;
  readonly collectorId: string;
  /** Whether the rule could see everything that it looks at. */
  readonly completeness: Completeness;
  /** The newest checkpoint of the audit ledger when the alert was raised; `null` when the agent knew none. */
  readonly ledger: AlertHead | null;
}

/** A head of a ledger: whoever keeps the alert elsewhere keeps an anchor for it. */
export interface AlertHead {
  readonly origin: string;
  readonly size: number;
  /** Base64, as in a checkpoint. */
  readonly root: string;
}

/** What the ledger has the SHA-256 of: the alert without its head, as canonical JSON. */
export function alertText({ ledger: _, ...alert }: Alert): string {
  return canonicalJson(alert);
}
