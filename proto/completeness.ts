/**
 * Whether a verdict of a rule could be whole, and if not, why.
 *
 * "No match" and "could not look" are never the same answer: every evaluation and every alert carries this.
 *
 * @module
 */

/** Most reasons that one verdict names, and the longest of them in UTF-16 code units. */
export const MAX_REASONS = 8, MAX_REASON_LENGTH = 200;

/** Whether something is as complete as it could be, and why it is not. */
export interface Completeness {
  /** Whether nothing is known to be missing. */
  readonly complete: boolean;
  /** Why not, for people; empty exactly when it is complete. */
  readonly reasons: readonly string[];
}

export const COMPLETE: Completeness = { complete: true, reasons: [] };

/** A verdict with these reasons against it: each once, bounded in number and length. */
export function completenessOf(reasons: Iterable<string>): Completeness {
  const all = [...new Set(reasons)];
  if (all.length === 0) return COMPLETE;
  const named = all.length > MAX_REASONS
    ? [...all.slice(0, MAX_REASONS - 1), `and ${all.length - MAX_REASONS + 1} further reasons`]
    : all;
  return { complete: false, reasons: named.map(cut) };
}

function cut(reason: string): string {
  if (reason.length <= MAX_REASON_LENGTH) return reason;
  return reason.slice(0, MAX_REASON_LENGTH - 1).toWellFormed() + "…";
}
