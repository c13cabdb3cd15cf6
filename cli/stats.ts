/**
 * `stats`: how much of what, by hour, program, user and so on.
 *
 * @module
 */
import { gateSql } from "../proto/rules/sql_gate.ts";
import { atMostArguments, choiceOption, integerOption, timeRange } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { plainCell } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { parserFor } from "./sql_parser.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { count, counted } from "./units.ts";

const HOUR_MS = 3_600_000;
/** Hours of every time zone begin at one of these. */
const QUARTER_MS = 900_000;
/** Expressions over `process_events` that events are counted by. */
const BY = {
  hour: `time / ${QUARTER_MS} * ${QUARTER_MS}`,
  day: `time / ${QUARTER_MS} * ${QUARTER_MS}`,
  type: "event_type",
  program: "executable_path",
  name: "name",
  parent: "parent_name",
  user: "coalesce(user_name, user_id)",
  container: "container_id",
  source: "source",
} as const;
type By = keyof typeof BY;

export async function stats(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "stats");
  const by: By = choiceOption(call, "by", Object.keys(BY) as By[]) ?? "hour";
  const isTime = by === "hour" || by === "day";
  const limit = integerOption(call, "limit", 1, 1_000_000, isTime ? 1_000 : 20), range = timeRange(call);
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  call.out.hold();
  const terms = [
    ...range.from === null ? [] : [`time >= ${Math.floor(range.from)}`],
    ...range.until === null ? [] : [`time <= ${Math.floor(range.until)}`],
  ];
  // As a person's query, so that events which are alike are counted together (`sql_grouped.ts`)
  const sql = `SELECT ${BY[by]} AS value, count(*) AS events, count(*) FILTER (WHERE event_type = 'start'),
       count(*) FILTER (WHERE event_type = 'stop'), count(*) FILTER (WHERE event_type IN ('modify', 'suspicious')),
       min(time), max(time)
     FROM process_events ${terms.length === 0 ? "" : `WHERE ${terms.join(" AND ")}`} GROUP BY value
     ORDER BY ${isTime ? "value" : `events DESC, value LIMIT ${limit + 1}`}`;
  const found = [...store.hunt(gateSql(sql, "hunt", await parserFor(sql, new Map()))).rows];
  const rows = isTime ? folded(found, by === "hour" ? hourOf : dayOf).slice(-limit - 1) : found;
  const cut = rows.length > limit;
  if (cut && isTime) rows.shift();
  else if (cut) rows.pop();
  const output = openRows(call, [by, ...COUNTS], shown(by, isTime));
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No event matches");
  if (cut) {
    call.note(
      isTime
        ? `The newest ${counted(limit, by)}; --limit shows more`
        : `The ${count(limit)} most frequent; --limit shows more`,
    );
  }
  const statuses = readStatuses(layout, call.now());
  return tellCoverage(call, store, statuses, range) ? EXIT.degraded : EXIT.complete;
}

/** Rows of quarters of an hour, added up to those of what they are part of. */
function folded(quarters: readonly Cell[][], partOf: (time: number) => number): Cell[][] {
  const rows: Cell[][] = [];
  for (const [quarter, ...counts] of quarters) {
    const value = partOf(Number(quarter)), last = rows.at(-1);
    if (last?.[0] !== value) rows.push([value, ...counts]);
    else {
      for (let i = 0; i < 4; i++) last[1 + i] = Number(last[1 + i]) + Number(counts[i]);
      last[6] = counts[5]!;
    }
  }
  return rows;
}

/** The beginning of the hour of a time, by the local clock; both hours are told apart that a change to winter time has. */
function hourOf(time: number): number {
  const east = -new Date(time).getTimezoneOffset() * 60_000 || 0;
  return Math.floor((time + east) / HOUR_MS) * HOUR_MS - east;
}

/** The beginning of the local day of a time. */
function dayOf(time: number): number {
  const begin = new Date(time).setHours(0, 0, 0, 0);
  return Number.isNaN(begin) ? hourOf(time) : begin;
}

const COUNTS = ["events", "starts", "stops", "changes", "first_seen", "last_seen"];

function shown(by: By, isTime: boolean): ShownColumn[] {
  const number = (cell: Cell) => ({ text: count(Number(cell)), number: true });
  const time = (cell: Cell) => timeCell(cell, "s");
  return [
    { name: by, title: by.toUpperCase(), keep: isTime, least: 16, show: isTime ? time : plainCell },
    ...COUNTS.slice(0, 4).map((name): ShownColumn => ({ name, title: name.toUpperCase(), keep: true, show: number })),
    ...(isTime ? [] : COUNTS.slice(4).map((name, i): ShownColumn => ({
      name,
      title: i === 0 ? "FIRST" : "LAST",
      keep: true,
      optional: 1 + i,
      show: time,
    }))),
  ];
}
