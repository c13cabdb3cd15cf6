/**
 * What an alert shows of a correlation's hit.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { Correlation } from "./correlation.ts";
import type { Hit } from "./correlation_hits.ts";
import { bounded } from "./evidence.ts";

/** Executions of the events that an alert points to. */
const MAX_CAUSES = 32;

const MEASURES: Readonly<Partial<Record<string, string>>> = {
  event_count: "count",
  value_count: "distinct",
  value_sum: "sum",
  value_avg: "average",
  value_percentile: "percentile",
};

/** The values of its group, what was measured, and the events that it is made of, the last {@linkcode MAX_CAUSES}. */
export function evidenceOf({ kind, groupBy }: Correlation, { group, measure, causes }: Hit): Record<string, SqlValue> {
  const rows = causes(), ids = new Set<string>();
  for (let i = rows.length - 1; i >= 0 && ids.size < MAX_CAUSES; i--) {
    if (rows[i]!.execId !== null) ids.add(rows[i]!.execId!);
  }
  const values = groupBy.map((name, i) => [name, bounded(group[i]!)] as const);
  const measured = MEASURES[kind];
  return {
    ...Object.fromEntries(values),
    ...measured === undefined ? {} : { [measured]: measure },
    events: rows.length,
    exec_ids: JSON.stringify([...ids].reverse()),
  };
}
