/**
 * `stats`: how much of what, by hour, program, user and so on.
 *
 * @module
 */
import { atMostArguments, choiceOption, integerOption, timeRange } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { plainCell } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { count, counted } from "./units.ts";

const HOUR_MS = 3_600_000, DAY_MS = 86_400_000;
/** Expressions over `process_events` that events are counted by. */
const BY = {
  hour: `time / ${HOUR_MS} * ${HOUR_MS}`,
  day: `time / ${DAY_MS} * ${DAY_MS}`,
  type: "event_type",
  program: "executable_path",
  name: "name",
  parent: "parent_name",
  user: "coalesce(user_name, user_id)",
  container: "container_id",
  source: "source",
} as const;
type By = keyof typeof BY;

export function stats(call: Call): Exit {
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
  const rows = store.rows(
    `SELECT ${BY[by]} AS value, count(*), sum(event_type = 'start'), sum(event_type = 'stop'),
       sum(event_type IN ('modify', 'suspicious')), min(time), max(time)
     FROM process_events ${terms.length === 0 ? "" : `WHERE ${terms.join(" AND ")}`} GROUP BY value
     ORDER BY ${isTime ? "value DESC" : "count(*) DESC, value"} LIMIT ?`,
    limit + 1,
  );
  const cut = rows.length > limit;
  if (cut) rows.pop();
  if (isTime) rows.reverse();
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
