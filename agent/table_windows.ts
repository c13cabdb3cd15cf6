/**
 * Between the store's rows of collectors' tables and the lane that judges them.
 *
 * @module
 */
import type { SqlValue } from "../proto/event_row.ts";
import { type CollectedLane, MAX_TABLE_ROWS, type TableRows } from "../proto/rules/collected_lane.ts";
import type { CollectedRows } from "./store/collected_tables.ts";
import type { Store } from "./store/store.ts";

/** How far ahead of this host's clock a row may be that the windows are measured from. */
const MAX_AHEAD_MS = 60_000;
/** Findings that are taken for raised. */
const MAX_RAISED = 10_000;

/** Rows as the lane takes them; of a collector of an earlier version, which fills fewer columns, the others are NULL. */
export function tableRows(batch: readonly CollectedRows[], collectorId: string, lane: CollectedLane): TableRows[] {
  const widths = new Map(lane.tables.map(({ table }) => [table.name, table.columns.length]));
  return batch.filter(({ table }) => widths.has(table)).map(({ table, rows }) => ({
    table,
    rows: rows.map(({ rowId, time, values }) => {
      const row: SqlValue[] = [rowId, time, collectorId, ...values];
      while (row.length < widths.get(table)!) row.push(null);
      return row.length === widths.get(table) ? row : row.slice(0, widths.get(table));
    }),
  }));
}

/** Gives a lane the rows of the store that its windows span, and what they raised. @throws StoreError */
export function* refillingTables(lane: CollectedLane, store: Store, now: number): Generator<void> {
  let longest = 0, newest = -Infinity;
  for (const { table, windowMs } of lane.tables) {
    const last = windowMs === 0 || !store.tables.has(table.name)
      ? null
      : store.recent.newestRowTime(table.name, now + MAX_AHEAD_MS);
    yield;
    if (last === null) continue;
    longest = Math.max(longest, windowMs);
    newest = Math.max(newest, last);
    lane.restore(table.name, store.recent.rowsSince(table, last - windowMs, MAX_TABLE_ROWS), now);
    yield;
  }
  if (longest === 0) return;
  for (const { ruleId, finding, time } of store.recent.findingsSince(newest - longest, MAX_RAISED)) {
    lane.restoreRaised(ruleId, finding, time);
  }
}
