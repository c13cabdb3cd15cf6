/**
 * `gaps`: what could not be seen or kept, newest last.
 *
 * The gaps are the answer here, so finding some is no failure of the command. What is being missed at this moment has no
 * record yet: while a daemon does not run, the list is degraded.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { atMostArguments, integerOption, timeRange } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { gapsWithin, gapWords, tellBlindness, touching } from "./coverage.ts";
import { type CellByName, type ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import type { TableCell } from "./table.ts";
import { count, counted, span } from "./units.ts";

const NAMES = tableNamed("gaps").columns.map((column) => column.name);

export function gaps(call: Call): Exit {
  atMostArguments(call, 0, "gaps");
  const limit = integerOption(call, "limit", 1, 1_000_000, 100);
  const range = timeRange(call);
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  const { rows, summary } = store.atOneMoment(() => ({
    rows: store.rows(
      `SELECT ${NAMES.join(", ")} FROM gaps WHERE ${touching.sql} ORDER BY to_time DESC, gap_id DESC LIMIT ?`,
      ...touching.parameters(range),
      limit + 1,
    ),
    summary: gapsWithin(store, range),
  }));
  const cut = rows.length > limit;
  if (cut) rows.pop();
  rows.reverse();
  const output = openRows(call, NAMES, SHOWN);
  for (const row of rows) output.add(row);
  output.end();
  call.note(summary === null ? "No gap is recorded" : gapWords(summary));
  if (cut) call.note(`The newest ${counted(limit, "gap")}; --limit or --since shows more`);
  return tellBlindness(call, store, readStatuses(layout, call.now()), range) ? EXIT.degraded : EXIT.complete;
}

function lasted(of: CellByName): TableCell {
  const from = of("from_time"), to = of("to_time");
  return from === null || to === null
    ? { text: "-", style: "null" }
    : { text: span(Number(to) - Number(from)), number: true };
}

function lost(of: CellByName): TableCell {
  const lost = of("count");
  if (lost === null) return { text: "unknown", style: "warning", number: true };
  return { text: count(lost as number | bigint), style: lost === 0 ? undefined : "bad", number: true };
}

const SHOWN: readonly ShownColumn[] = [
  { name: "from_time", title: "FROM", keep: true, show: (cell) => timeCell(cell, "s") },
  { name: "to_time", title: "TO", keep: true, optional: 1, show: (cell) => timeCell(cell, "s") },
  { name: "to_time", title: "LASTED", keep: true, show: (_, of) => lasted(of) },
  { name: "source", title: "SOURCE", least: 5 },
  { name: "record_kind", title: "KIND", least: 4 },
  { name: "count", title: "LOST", keep: true, show: (_, of) => lost(of) },
  { name: "reason", title: "REASON", least: 16 },
];
