/**
 * What the window lane asks of the memory of one rule: which rows it wants, and what it finds in them.
 *
 * There are three: SQL over tables (`window_table.ts`), correlations (`correlation_table.ts`) and the values that a
 * `first_seen` has seen (`seen_table.ts`). What was taken in since the last {@linkcode WatchTable.keep} is undone by
 * {@linkcode WatchTable.undo}; tables of SQL leave that to the transaction of their database.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { Form } from "./predicate.ts";

/** Findings of one evaluation that are taken; more are a fault. */
export const MAX_FOUND = 1_000;

/** One finding, before it is known whether it was raised already. */
export interface Found {
  readonly key: string;
  /** Arrival of the event that completed it; `null` when that is not known. */
  readonly arrival: number | null;
  /** That event, when it came before this batch: a row of `process_events` with what an alert shows. */
  readonly cells: readonly SqlValue[] | null;
  readonly evidence: () => Record<string, SqlValue>;
}

/** What one evaluation gave. */
export interface Evaluated {
  readonly found: readonly Found[];
  /** Of these, and more that were not listed because they were raised before. */
  readonly suppressed: number;
  /** Why it is not whole, `null` when it is. */
  readonly fault: { readonly reason: string; readonly timedOut: boolean } | null;
  readonly ms: number;
}

export interface WatchTable {
  /** What a row must meet to be taken in, each with its bit. */
  readonly bases: readonly Form[];
  /**
   * Bits of the bases that an exception takes a row from. Of an absence those are not what it waits for: an exception must
   * not bring about an alert.
   */
  readonly suppressible: number;
  /** Columns that a row must have to be taken in. */
  readonly columns: ReadonlySet<string>;
  /** How long rows are of use: the time that is read back after a restart. */
  readonly keepMs: number;
  readonly rows: number;
  /** Bytes beside those of the lane's database. */
  readonly bytes: number;
  /** Time that no row is older than; `Infinity` when there is none. */
  readonly oldest: number;
  /** Events may be later than the window and still count. */
  readonly takesLate: boolean;
  /** Whether SQLite judges again what a base could not; where not, an event that cannot be judged is a fault. */
  readonly judgesAgain: boolean;
  /** Whether there are rows enough for anything to be found. */
  readonly isEnough: boolean;
  /** The time at which an evaluation is due though nothing came; `Infinity` when none is. */
  readonly due: number;
  /** The time at which rows were looked at first. */
  begin(time: number): void;
  /** Takes a row, once, for the bases whose bits are set. One of before a restart is not new: its arrival is not positive. */
  insert(cells: readonly SqlValue[], arrival: number, bases: number): void;
  /** Rows up to a time that nothing can use any more may go. */
  evict(until: number): void;
  /** Drops some tenth of its rows at once, the oldest; the time up to which they went, `null` when there are none. */
  shrink(): number | null;
  /** Drops rows later than a time. */
  evictAfter(from: number): void;
  /**
   * What the rule finds in what came since the last time. `asOf` is the time that has been reached, `raisedFor` the time
   * for which a finding was raised last.
   */
  evaluate(deadlineMs: number, asOf: number, raisedFor: (key: string) => number | undefined): Evaluated;
  /** What came and was not evaluated is not new any more. */
  settle(): void;
  keep(): void;
  undo(): void;
  /** Forgets everything, to be given again what is up to this time. */
  clear(newest: number): void;
}
