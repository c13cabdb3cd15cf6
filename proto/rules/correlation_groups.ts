/**
 * Which groups of a correlation an event is of.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { Partitioning } from "./correlation_plan.ts";
import { filesOf, MAX_FILES } from "./file_values.ts";
import { keyOf } from "./window_evaluation.ts";

/** Longest text that stands for a group as it is. */
const MAX_PLAIN_KEY = 64;

/** The values of each group that an event is of by names of files, NULL where it has none; `isCut` when there were more. */
export function groupsOf(
  cells: readonly SqlValue[],
  { sources }: Partitioning,
): { readonly groups: readonly SqlValue[][]; readonly isCut: boolean } {
  let groups: SqlValue[][] = [[]], isCut = false;
  for (const source of sources) {
    let values: readonly SqlValue[];
    if (source.kind === "column") values = [cells[source.place]!];
    else {
      const files = filesOf(cells, source);
      isCut ||= files.isCut;
      values = files.names;
    }
    groups = groups.flatMap((group) => values.map((value) => [...group, value]));
    if (groups.length <= MAX_FILES) continue;
    groups = groups.slice(0, MAX_FILES);
    isCut = true;
  }
  return { groups, isCut };
}

/** Names the rows that belong together; `null` for a row that takes no part, since it lacks a value of the group. */
export function keyFor(cells: readonly SqlValue[], places: readonly number[]): string | null {
  if (places.length === 0) return "";
  if (places.length === 1) {
    const value = cells[places[0]!]!;
    if (value === null) return null;
    if (typeof value === "number") return String(value);
  }
  return keyOfValues(places.map((place) => cells[place]!));
}

/** The same, by the values of the group. */
export function keyOfValues(values: readonly SqlValue[]): string | null {
  if (values.includes(null)) return null;
  const text = JSON.stringify(values);
  return text.length <= MAX_PLAIN_KEY ? text : keyOf(values);
}
