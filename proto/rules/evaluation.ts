/**
 * What the rule engine says of a batch of rows.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { ValidatedRule } from "./rule.ts";
import type { Suppressed } from "./suppressor.ts";

/** A rule matched a row. */
export interface Hit {
  /** The rule. */
  readonly rule: ValidatedRule;
  /** Index in the batch. */
  readonly row: number;
  /** The columns that the rule selects; long texts are cut and end in `…`. */
  readonly evidence: Readonly<Record<string, SqlValue>>;
}

/** A rule could not look at some of the rows. */
export interface Fault {
  /** The rule. */
  readonly rule: ValidatedRule;
  /** Why, for people. */
  readonly reason: string;
  /** How many rows of the batch it did not judge. */
  readonly rows: number;
  /**
   * Whether its time was up. Otherwise single rows failed, which whoever starts processes may bring about: no reason to
   * take the rule out, or they could switch it off.
   */
  readonly timedOut: boolean;
}

/** What rules found in a batch of rows. */
export interface Evaluation {
  /** Matches, in the order of the rules, then of the rows. */
  readonly hits: readonly Hit[];
  /** Rules that could not judge all rows. */
  readonly faults: readonly Fault[];
  /** Hits that an exception or a filter took; they are not among the others. */
  readonly suppressed: readonly Suppressed[];
}
