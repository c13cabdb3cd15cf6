/**
 * What a query sees as `process_events`: the view over all partitions, or one that has no more than it names.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import { columnsSelect } from "../partition_layout.ts";
import { MAX_EXPANSION } from "../store_layout.ts";
import { type DeadlineViews, narrowName, wholeGate } from "./deadline_views.ts";
import type { EventPart } from "./event_groups.ts";
import type { GuardedQuery } from "./sql_guard.ts";
import { tickColumn } from "./weave.ts";

const EVENTS = tableNamed("process_events");
export const EVENT_COLUMNS: readonly string[] = EVENTS.columns.map(({ name }) => name);

/**
 * Where a query reads `process_events` so often that SQLite would expand it to more SELECTs than it can plan in time
 * (nothing stops it while it plans), the table is read as one: all of it that `--since` leaves, into memory, under the
 * deadline. Where it names its columns, it is given those alone: SQLite would make all of them, dictionaries and all, of
 * what it groups or sorts over several partitions. Answers are the same.
 */
export function chooseGate(db: DatabaseSync, views: DeadlineViews, query: GuardedQuery, isNarrow: boolean): boolean {
  const gate = views.gates.get("process_events"), reads = query.needs.eventReads;
  // Where events may be grouped, an earlier query may have left another view in the place of the table
  if (gate === undefined || (views.partitions < 2 && views.groups === null)) return false;
  const columns = isNarrow && reads > 0 ? namedColumns(query.sql) : null;
  const parts = columns === null ? null : views.parts(query.earliest ?? null);
  const isMany = (parts ?? []).length ** reads > MAX_EXPANSION;
  const narrow = parts === null || parts.length === 0 || isMany ? null : narrowSelect(views, parts, columns!);
  seeThrough(db, gate, narrow, views.partitions ** reads > MAX_EXPANSION ? wholeGate(gate) : gate);
  return narrow !== null;
}

/** SQL of a gate that has these columns of these partitions alone. */
export function narrowSelect(views: DeadlineViews, parts: readonly EventPart[], columns: readonly string[]): string {
  const list = columns.map((name) => `"${name}"`).join(", ");
  const selects = parts.map(({ number, layout }) => columnsSelect(number, layout, columns));
  return `SELECT ${list} FROM (${selects.join(" UNION ALL ")}) WHERE ${views.eventCondition}`;
}

/** Has queries see `process_events` through a view that this SELECT makes. */
export function seeEvents(db: DatabaseSync, views: DeadlineViews, select: string): void {
  const gate = views.gates.get("process_events")!;
  seeThrough(db, gate, select, gate);
}

/** The same, or through the view `otherwise` where there is no SELECT. */
function seeThrough(db: DatabaseSync, gate: string, select: string | null, otherwise: string): void {
  const narrow = narrowName(gate);
  asWriter(db, () =>
    db.exec(
      `DROP VIEW temp.process_events; DROP VIEW IF EXISTS temp."${narrow}";
       ${select === null ? "" : `CREATE TEMP VIEW "${narrow}" AS ${select};`}
       CREATE TEMP VIEW process_events AS SELECT * FROM temp."${select === null ? otherwise : narrow}"`,
    ));
}

/** Does what changes temporary tables and views. */
export function asWriter(db: DatabaseSync, act: () => void): void {
  // Its values may be those of an array, or not
  const [fixed] = Object.values(db.prepare("SELECT query_only FROM pragma_query_only").get()!);
  db.exec("PRAGMA query_only = 0");
  try {
    act();
  } finally {
    db.exec(`PRAGMA query_only = ${fixed}`);
  }
}

/**
 * Columns of `process_events` that a query may read: all whose name is a word in it. `null` where it may read any
 * without its name. What is not found here SQLite does not find either, and the query is prepared again with all.
 */
export function namedColumns(sql: string): string[] | null {
  const text = sql.toLowerCase();
  if (text.replaceAll(/\bcount\s*\(\s*\*\s*\)/g, "").includes("*") || text.includes("natural")) return null;
  const words = new Set(text.match(/\w+/g));
  return EVENT_COLUMNS.filter((name) => name === tickColumn(EVENTS) || words.has(name));
}
