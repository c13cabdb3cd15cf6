/**
 * `sinks`: where alerts go, how it goes there, and what is still owed.
 *
 * @module
 */
import { atMostArguments } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { type Cell, plainCell, type ShownColumn } from "./output.ts";
import { sizeCell, spanCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import type { Style } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import type { TableCell } from "./table.ts";
import { counted, span } from "./units.ts";

const STORED = ["sink", "state", "failures", "last_error", "last_error_time", "delivered", "last_delivered_time"];
const COUNTED = ["failed", "refused", "dropped"];
const NAMES = [
  ...STORED,
  ...COUNTED,
  ...["next_attempt_ms", "backlog", "backlog_bytes", "oldest_time", "dead", "delay_p50_ms", "delay_p99_ms"],
];

const STATE_STYLES: ReadonlyMap<string, Style> = new Map<string, Style>([
  ["ready", "good"],
  ["retrying", "warning"],
  ["open", "bad"],
  ["disabled", "bad"],
]);

const shown = (now: number): readonly ShownColumn[] => [
  { name: "sink", title: "SINK", keep: true },
  {
    name: "state",
    title: "STATE",
    keep: true,
    show: (cell) => ({ text: String(cell), style: STATE_STYLES.get(String(cell)) }),
  },
  { name: "backlog", title: "OWED", keep: true },
  { name: "backlog_bytes", title: "BYTES", optional: 3, show: (cell) => sizeCell(cell) },
  { name: "delivered", title: "DELIVERED", keep: true },
  { name: "delay_p50_ms", title: "P50", optional: 1, show: (cell) => spanCell(cell) },
  { name: "delay_p99_ms", title: "P99", optional: 1, show: (cell) => spanCell(cell) },
  { name: "dead", title: "DEAD", keep: true },
  { name: "dropped", title: "DROPPED" },
  { name: "last_delivered_time", title: "LAST", optional: 2, show: (cell) => agoCell(cell, now) },
  { name: "last_error", title: "LAST ERROR", least: 16, show: (cell) => plainCell(cell) },
];

/** How long ago: a time of day has no room on a narrow screen. */
function agoCell(cell: Cell, now: number): TableCell {
  return typeof cell === "number" ? { text: `${span(Math.max(0, now - cell))} ago` } : plainCell(cell);
}

export function sinks(call: Call): Exit {
  atMostArguments(call, 0, "sinks");
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const owed = "FROM alert_deliveries d WHERE d.sink = s.sink AND d.state = 'pending'";
  const rows = store.rows(
    `SELECT ${[...STORED, ...COUNTED].map((name) => `s.${name}`).join(", ")}, s.left_ms, s.noted_time,
       (SELECT count(*) ${owed}), (SELECT coalesce(sum(d.bytes), 0) ${owed}), (SELECT min(d.added_time) ${owed}),
       (SELECT count(*) FROM alert_deliveries d WHERE d.sink = s.sink AND d.state = 'dead')
     FROM alert_sinks s ORDER BY s.sink`,
  );
  const { agent } = readStatuses(layout, call.now());
  const counters = agent.kind === "read" ? agent.status.counters : {};
  const output = openRows(call, NAMES, shown(call.now()));
  const late: string[] = [];
  for (const row of rows) {
    const stored = row.slice(0, STORED.length + COUNTED.length), sink = String(row[0]);
    const [left, noted, backlog, bytes, oldest, dead] = row.slice(stored.length);
    const next = row[1] === "retrying" || row[1] === "open"
      ? Math.max(0, Number(left) - Math.max(0, call.now() - Number(noted)))
      : null;
    const delay = (which: string): Cell => counters[`delay_delivered_${sink}_${which}_ms`] ?? null;
    output.add([...stored, next, backlog!, bytes!, oldest!, dead!, delay("p50"), delay("p99")]);
    if (oldest !== null && row[1] !== "ready") {
      const tried = row[1] === "disabled"
        ? "nothing more is tried before 'ask sinks reload' or a start of the agent"
        : `next attempt in ${span(next ?? 0)}`;
      late.push(
        `${sink}: ${counted(Number(backlog), "alert")} owed for ${span(call.now() - Number(oldest))}; ${tried}`,
      );
    }
  }
  output.end();
  for (const line of late) call.note(line);
  if (rows.length === 0) call.note("No sink is known: the agent has not begun yet");
  if (agent.kind !== "read" || !agent.live) call.note("The agent does not run, and delivers nothing now");
  return EXIT.complete;
}
