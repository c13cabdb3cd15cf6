/**
 * `sources` and `collectors`: who sees, what it sees, and what it cannot see.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { blindness } from "./coverage.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";

export function sources(call: Call): Exit {
  return list(call, "sources", "name", SOURCES);
}

export function collectors(call: Call): Exit {
  return list(call, "collectors", "stream", COLLECTORS);
}

function list(call: Call, table: "sources" | "collectors", order: string, shown: readonly ShownColumn[]): Exit {
  atMostArguments(call, 0, table);
  const { layout } = findPlaces(call), names = tableNamed(table).columns.map((column) => column.name);
  using store = Store.open(layout.store);
  const output = openRows(call, names, shown);
  const rows = store.rows(`SELECT ${names.join(", ")} FROM ${table} ORDER BY collector_id, ${order} LIMIT 100000`);
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note(`No collector has reported any ${table === "sources" ? "source" : "event"} yet`);
  const blind = blindness(readStatuses(layout, call.now()));
  if (blind !== null) call.note(`This is as it was last: ${blind} (health says more)`);
  return blind === null ? EXIT.complete : EXIT.degraded;
}

/** A JSON array of texts as words. */
function words(cell: Cell): string {
  try {
    const list: unknown = JSON.parse(String(cell));
    return Array.isArray(list) ? list.map(String).join("; ") : String(cell);
  } catch {
    return String(cell ?? "");
  }
}

const SOURCES: readonly ShownColumn[] = [
  { name: "collector_id", title: "COLLECTOR", optional: 1 },
  { name: "name", title: "SOURCE", keep: true },
  {
    name: "state",
    title: "STATE",
    keep: true,
    show: (cell) => ({ text: String(cell), style: cell === "active" ? "good" : "faint" }),
  },
  { name: "detail", title: "DETAIL", least: 20 },
  { name: "misses", title: "MISSES", least: 16, optional: 3, show: (cell) => words(cell) },
  { name: "unknown_columns", title: "UNKNOWN COLUMNS", least: 16, optional: 2, show: (cell) => words(cell) },
];

const COLLECTORS: readonly ShownColumn[] = [
  { name: "stream", title: "STREAM", keep: true },
  { name: "collector_id", title: "COLLECTOR", least: 8 },
  { name: "source", title: "SOURCE", keep: true },
  { name: "version", title: "VERSION", keep: true, optional: 2 },
  { name: "boot_id", title: "BOOT", least: 8, optional: 1 },
  { name: "first_seen", title: "FIRST", keep: true, optional: 3, show: (cell) => timeCell(cell, "s") },
  { name: "last_seen", title: "LAST", keep: true, show: (cell) => timeCell(cell, "s") },
  { name: "last_sequence", title: "SEQUENCE", keep: true, optional: 4 },
];
