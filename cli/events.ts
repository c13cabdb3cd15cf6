/**
 * `events`: what happened to processes, newest last.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { atMostArguments, integerOption } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { conditions, timeConditions } from "./conditions.ts";
import { tellCoverage } from "./coverage.ts";
import { type Cell, type CellByName, type ShownColumn } from "./output.ts";
import { commandOf, containerColumn, howEnded, timeCell, userOf, WIDE_COLUMNS } from "./process_cells.ts";
import type { Style } from "./screen.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import type { TableCell } from "./table.ts";
import { counted, span } from "./units.ts";

const NAMES = tableNamed("process_events").columns.map((column) => column.name);
const TIME = NAMES.indexOf("time");

export function events(call: Call): Exit {
  atMostArguments(call, 0, "events");
  const limit = integerOption(call, "limit", 1, 1_000_000, 100);
  const where = conditions(call);
  const range = timeConditions(call, where);
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  const rows = store.rows(
    `SELECT ${NAMES.join(", ")} FROM process_events ${where.sql} ORDER BY time DESC, event_id DESC LIMIT ?`,
    ...where.parameters,
    limit + 1,
  );
  const cut = rows.length > limit;
  if (cut) rows.pop();
  rows.reverse();
  const output = openRows(call, NAMES, shown(call.values["wide"] === true));
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No event matches");
  if (cut) call.note(`The newest ${counted(limit, "event")}; --limit or --since shows more`);
  // Of a cut answer, only the time that it shows is spoken of
  const from = cut ? Number(rows[0]![TIME]) : range.from;
  return tellCoverage(call, store, readStatuses(layout, call.now()), { from, until: range.until })
    ? EXIT.degraded
    : EXIT.complete;
}

const KIND_STYLES: ReadonlyMap<Cell, Style> = new Map<Cell, Style>([
  ["start", "good"],
  ["stop", "faint"],
  ["modify", "accent"],
  ["suspicious", "bad"],
]);

/** What is particular about the event: how a process ended, what changed, why it was made. */
function detail(of: CellByName): TableCell {
  const parts: string[] = [];
  if (of("event_type") === "stop") {
    const ended = howEnded(of), lived = of("duration_ms");
    if (ended !== null) parts.push(ended);
    if (lived !== null) parts.push(span(Number(lived)));
  }
  const reason = of("reason"), changed = of("modified_fields");
  if (reason !== null) parts.push(String(reason));
  if (changed !== null) parts.push(String(changed).replaceAll(/[[\]"]/g, "").replaceAll(",", ", "));
  const failed = of("exit_signal") !== null || (of("exit_code") ?? 0) !== 0;
  return { text: parts.join(", "), style: failed ? "warning" : "faint" };
}

function shown(wide: boolean): ShownColumn[] {
  return [...SHOWN, containerColumn(2), ...(wide ? [SOURCE_COLUMN, ...WIDE_COLUMNS] : []), COMMAND_COLUMN];
}

const SOURCE_COLUMN: ShownColumn = { name: "source", title: "SOURCE" };
const COMMAND_COLUMN: ShownColumn = {
  name: "command_line",
  title: "COMMAND",
  least: 24,
  show: (_, of) => commandOf(of),
};

const SHOWN: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  {
    name: "event_type",
    title: "EVENT",
    keep: true,
    show: (kind) => ({ text: `${kind}`, style: KIND_STYLES.get(kind) }),
  },
  { name: "pid", title: "PID", keep: true },
  { name: "ppid", title: "PPID", keep: true, optional: 1 },
  { name: "user_name", title: "USER", optional: 3, show: (_, of) => userOf(of) },
  { name: "reason", title: "DETAIL", optional: 4, show: (_, of) => detail(of) },
];
