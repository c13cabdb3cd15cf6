/**
 * How many rows the tables of the store have: what a query may cost is told from that before it runs.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { partitionTable } from "../proto/partition_layout.ts";
import type { Store } from "./store_reader.ts";

/** Rows of a table of the catalog; of `process_events` those since a time, in Unix milliseconds. */
export function rowsOf(store: Store, table: string, since: number | null = null): number {
  if (table === "process_events") return eventsSince(store, since === null ? null : Math.floor(since));
  const { name } = store.tables.get(table) ?? tableNamed(table);
  return numberIn(store, `SELECT count(*) FROM main."${name}"`);
}

/** A closed partition knows how many it has; the others are counted by their index of time. */
function eventsSince(store: Store, since: number | null): number {
  const partitions = store.rows(
    "SELECT partition, events, from_time, to_time FROM main.partitions WHERE state <> 'removing'",
  );
  let sum = 0;
  for (const [number, events, from, to] of partitions) {
    if (since !== null && to !== null && Number(to) < since) continue;
    const isWhole = since === null || (from !== null && Number(from) >= since);
    if (events !== null && isWhole) sum += Number(events);
    else {
      const sql = `SELECT count(*) FROM ${partitionTable(Number(number))} WHERE time >= ?`;
      sum += numberIn(store, sql, since ?? Number.MIN_SAFE_INTEGER);
    }
  }
  return sum;
}

function numberIn(store: Store, sql: string, ...parameters: number[]): number {
  return Number(store.first(sql, ...parameters)![0]);
}
