/**
 * The tables of a store, and which of their rows are seen.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { CATALOG } from "../proto/catalog.ts";
import type { Table } from "../proto/tables/table.ts";
import { printable } from "../proto/printable.ts";
import { tableOf, type TableSet } from "../proto/table_descriptor.ts";
import { cells } from "./marked_rows.ts";
import { StoreError } from "./store_error.ts";
import { DESCRIPTOR_COLUMNS, storedDescriptor } from "./stored_descriptor.ts";

/** By which condition `--since` narrows a table; tables without one have no time of their own. */
const SINCE: Readonly<Record<string, (since: number) => string>> = {
  process_events: (since) => `time >= ${since}`,
  processes: (since) => `end_time IS NULL OR end_time >= ${since}`,
  alerts: (since) => `time >= ${since}`,
  gaps: (since) => `to_time >= ${since}`,
};

/** The condition on the rows of a table that leaves what happened since then, in Unix milliseconds. */
export function sinceCondition(since: number | null): (table: Table) => string | null {
  return (table) => {
    if (since === null) return null;
    const condition = SINCE[table.name] ?? (CATALOG.has(table.name) ? undefined : (from: number) => `time >= ${from}`);
    return condition?.(Math.floor(since)) ?? null;
  };
}

/**
 * What `collected_tables` says there is, each checked before its names stand in any SQL, and why one is left out.
 */
export function tablesOf(db: DatabaseSync): { tables: TableSet; leftOut: string[] } {
  const tables = new Map<string, Table>(), leftOut: string[] = [];
  const there = new Set([...db.prepare("SELECT name FROM main.sqlite_schema").iterate()].map((row) => cells(row)[0]));
  const rows = db.prepare(`SELECT ${DESCRIPTOR_COLUMNS.join(", ")} FROM main.collected_tables`);
  for (const row of [...rows.iterate()].map(cells)) {
    const { name, descriptor, fault } = storedDescriptor(row);
    if (fault === null && there.has(name)) tables.set(name, tableOf(descriptor));
    else {leftOut.push(
        `The table ${printable(name.slice(0, 64))} of a collector is left out: ${fault ?? "it is not there"}`,
      );}
  }
  return { tables, leftOut };
}

/** A view over a table that is not there would be found out only when it is asked. */
export function requireTables(db: DatabaseSync, path: string): void {
  const there = new Set([...db.prepare("SELECT name FROM sqlite_schema").iterate()].map((row) => cells(row)[0]));
  const missing = [...CATALOG.keys()].filter((name) => !there.has(name));
  if (missing.length === 0) return;
  throw new StoreError(
    `The store ${path} lacks the tables ${
      missing.join(", ")
    }: it is not one of this version's. Move it away, and start ` +
      `the agent, which makes a new one`,
  );
}
