/**
 * The refusal of a query, and the words that help its author mend it.
 *
 * @module
 */

/** The guard does not let a query through: why, in a sentence for a person, and where in the SQL (a zero-based offset). */
export class SqlRefusedError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "SqlRefusedError";
  /** `reason`: why, for people; `offset`: where in the query. */
  constructor(readonly reason: string, readonly offset: number, options?: ErrorOptions) {
    super(`${reason} (at character ${offset + 1})`, options);
  }
}

/** Throws {@linkcode SqlRefusedError}. */
export function refuse(reason: string, offset: number): never {
  throw new SqlRefusedError(reason, offset);
}

/**
 * `; did you mean X?` for the candidate nearest to a name that is not known, or nothing when none is near.
 *
 * @example
 * ```ts
 * import { suggestion } from "./sql_refused.ts";
 * import assert from "node:assert/strict";
 * assert.equal(suggestion("comand_line", ["pid", "command_line"]), "; did you mean command_line?");
 * ```
 */
export function suggestion(name: string, candidates: Iterable<string>): string {
  const wanted = name.toLowerCase().slice(0, 64);
  let best: string | null = null, least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best === null ? "" : `; did you mean ${best}?`;
}

/** Edit distance in which two letters that changed places count as one slip (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [], row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : change;
      next.push(Math.min(change, swap, row[j]! + 1, next[j - 1]! + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
