/**
 * What each rule has cost since the agent's start.
 *
 * @module
 */

export interface RuleCost {
  /** How often it was asked: predicates in the stream lane, statements over a batch or a window otherwise. */
  evaluations: number;
  /** What it found, also what was found before and not raised again. */
  matches: number;
  /** Milliseconds. In the stream lane an estimate from one row in {@linkcode SAMPLED_ROWS}. */
  cpuMs: number;
  /** Rows that it was asked about. */
  rows: number;
}

/** In the stream lane a rule's time is taken on one row of so many: looking at the clock costs more than most predicates. */
export const SAMPLED_ROWS = 64;

export function newRuleCost(): RuleCost {
  return { evaluations: 0, matches: 0, cpuMs: 0, rows: 0 };
}
