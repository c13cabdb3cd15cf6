/**
 * What the rule engine says of a batch of rows.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { ValidatedRule } from "./rule.ts";

/** A rule matched a row. */
export interface Hit {
  readonly rule: ValidatedRule;
  /** Index in the batch. */
  readonly row: number;
  /** The columns that the rule selects; long texts are cut and end in `…`. */
  readonly evidence: Readonly<Record<string, SqlValue>>;
}

/** A rule could not look at some of the rows. */
export interface Fault {
  readonly rule: ValidatedRule;
  readonly reason: string;
  /** How many rows of the batch it did not judge. */
  readonly rows: number;
  /**
   * Whether its time was up. Otherwise single rows failed, which whoever starts processes may bring about: no reason to
   * take the rule out, or they could switch it off.
   */
  readonly timedOut: boolean;
}

export interface Evaluation {
  readonly hits: readonly Hit[];
  readonly faults: readonly Fault[];
}
