/**
 * `processes`: the process table as the store has it.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { atMostArguments, choiceOption, integerOption } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { conditions } from "./conditions.ts";
import { tellCoverage } from "./coverage.ts";
import { type Cell, type ShownColumn } from "./output.ts";
import {
  commandOf,
  containerColumn,
  processStatus,
  sizeCell,
  spanCell,
  timeCell,
  userOf,
  WIDE_COLUMNS,
} from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import type { TableCell } from "./table.ts";
import { counted } from "./units.ts";

const COLUMNS = tableNamed("processes").columns.map((column) => column.name);
/**
 * Hashes come with events, of an execution one that never changes: they are not in the table itself. NULL where the store
 * no longer has the start, and for what ran before the collector did.
 */
const NAMES = [...COLUMNS, "executable_hash"];
const SELECT = `SELECT ${COLUMNS.join(", ")}, (
  SELECT event.executable_hash FROM process_events AS event
  WHERE event.exec_id = processes.exec_id AND event.executable_hash IS NOT NULL LIMIT 1
) AS executable_hash FROM processes`;

const SORTS = {
  pid: "pid, start_time",
  start: "start_time, pid",
  cpu: "cpu_time_ms DESC, pid",
  memory: "memory_usage DESC, pid",
  name: "name, pid",
} as const;

export function processes(call: Call): Exit {
  atMostArguments(call, 0, "processes");
  const sort = choiceOption(call, "sort", Object.keys(SORTS) as (keyof typeof SORTS)[]) ?? "pid";
  const all = call.values["all"] === true;
  const limit = integerOption(call, "limit", 1, 1_000_000, null);
  const where = conditions(call);
  if (!all) where.add("end_time IS NULL");
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  const output = openRows(call, NAMES, shown(all, call.values["wide"] === true));
  // Nobody should wait for a slow reader while the cursor is open
  call.out.hold();
  let count = 0, cut = false;
  for (
    const row of store.each(
      `${SELECT} ${where.sql} ORDER BY ${SORTS[sort]} LIMIT ?`,
      ...where.parameters,
      limit === null ? -1 : limit + 1,
    )
  ) {
    cut = count === limit;
    if (cut) break;
    count += 1;
    output.add(row);
  }
  output.end();
  call.out.flush();
  if (limit !== null && cut) call.note(`Cut at ${counted(limit, "process", "processes")}, as --limit says`);
  const statuses = readStatuses(layout, call.now());
  // What was lost before the last whole snapshot is made good by it, for what lives
  const from = all ? null : Number(store.rows("SELECT max(time) FROM scan_metadata")[0]![0] ?? 0);
  return tellCoverage(call, store, statuses, { from, until: null }) ? EXIT.degraded : EXIT.complete;
}

function shown(all: boolean, wide: boolean): ShownColumn[] {
  const time = (cell: Cell): TableCell => timeCell(cell, "s");
  return [
    { name: "pid", title: "PID", keep: true },
    { name: "ppid", title: "PPID", keep: true, optional: 4 },
    { name: "user_name", title: "USER", show: (_, of) => userOf(of) },
    { name: "start_time", title: "STARTED", keep: true, optional: 1, show: time },
    ...(all ? [{ name: "end_time", title: "ENDED", keep: true, optional: 6, show: time }] : []),
    { name: "cpu_time_ms", title: "CPU", keep: true, optional: 2, show: spanCell },
    { name: "memory_usage", title: "MEMORY", keep: true, optional: 5, show: sizeCell },
    { name: "status", title: "STATE", keep: true, show: (_, of) => processStatus(of) },
    ...(wide ? [{ name: "threads", title: "THREADS" }] : []),
    containerColumn(3),
    ...(wide ? [...WIDE_COLUMNS, { name: "executable_hash", title: "HASH" }] : []),
    { name: "command_line", title: "COMMAND", least: 24, show: (_, of) => commandOf(of) },
  ];
}
