/**
 * What the window lane says of a batch of rows.
 *
 * @module
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { SqlValue } from "../event_row.ts";
import type { Fault } from "./evaluation.ts";
import type { ValidatedRule } from "./rule.ts";
import type { Suppressed } from "./suppressor.ts";

/** Why a verdict may be wrong, as long as the time of it is within the window. */
export const LATE = "events came later than the window is long";
export const AHEAD = "events that were ahead of this host's clock were left out";
export const WENT_BACK = "the clock went back, and the window began anew";
export const UNJUDGED = "a condition could not be computed on an event, which was left out";
export const FORGOT = "its memory was full and forgot a value (remember)";
export const SLOW = "its conditions on one event took too long, and it did not see all (agent.rule_deadline_ms)";
export const FILES_CUT = "an event named more files than are looked at";
export const CAPPED = "the window had no room for its oldest rows (agent.window_rows)";

/** What a rule found. */
export interface Finding {
  readonly rule: ValidatedRule;
  /** Index in the batch of the event that completed it; `null` when that came before. */
  readonly row: number | null;
  /** That event; of one that came before with the columns that an alert shows. */
  readonly cells: readonly SqlValue[];
  /** Names the group or combination; the same for the same, also after a restart. */
  readonly key: string;
  /** Time of that event. */
  readonly time: number;
  /** The columns that the rule selects; long texts are cut and end in `…`. */
  readonly evidence: Readonly<Record<string, SqlValue>>;
  /** Why the window was not whole; empty when it was. */
  readonly reasons: readonly string[];
}

export interface WindowEvaluation {
  readonly findings: Finding[];
  readonly faults: Fault[];
  /** Rules whose query ran to its end. */
  readonly evaluated: Set<ValidatedRule>;
  /** Rows that came too late for a rule that would have used them, and rows that were ahead of the clock. */
  late: number;
  ahead: number;
  /** Findings that were raised before. */
  suppressed: number;
  /** Events that an exception kept out of the window of a rule that would have used them. */
  readonly excepted: Suppressed[];
}

export function newWindowEvaluation(): WindowEvaluation {
  return { findings: [], faults: [], evaluated: new Set(), late: 0, ahead: 0, suppressed: 0, excepted: [] };
}

/** Names a finding by the values that tell it from others of its rule. */
export function keyOf(values: readonly (SqlValue | bigint)[]): string {
  const text = JSON.stringify(values.map((value) => typeof value === "bigint" ? Number(value) : readable(value)));
  return bytesToHex(blake3(new TextEncoder().encode(text), { dkLen: 12 }));
}

/** unhex() gives bytes, which no other value is. */
export function readable(value: SqlValue | bigint | Uint8Array): SqlValue | bigint {
  return value instanceof Uint8Array ? bytesToHex(value) : value;
}
