/**
 * `process`: one process in full, with each program that it ran and its alerts.
 *
 * @module
 */
import { integerOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { ancestorsOf, findProcess, type Node, PROCESS_COLUMNS } from "./family.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { commandOf, containerOf, processStatus, timeCell, userOf } from "./process_cells.ts";
import { record, type RecordLine } from "./record.ts";
import { openRows } from "./row_output.ts";
import { safeJson } from "./safe_json.ts";
import { paint, severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { Table } from "./table.ts";
import { bytes, count, counted, localTime, span } from "./units.ts";

const EXECUTION_NAMES = [
  ...["time", "event_id", "exec_id", "name", "executable_path", "command_line", "executable_hash", "hash_algorithm"],
  ...["executable_kind", "file_exists", "on_disk_mismatch", "script_path", "source"],
];
const ALERT_NAMES = ["time", "severity", "rule_id", "title", "event_id", "alert_id", "exec_id"];
/** What the executions of a process are named by: its own name, or that with "-" and a tick. */
const OF_PROCESS = "exec_id >= ? AND exec_id < ?";
/** Capabilities of capability.h whose possession alone is worth a word, by bit. */
const CAPABILITIES: ReadonlyMap<number, string> = new Map([
  [1, "DAC_OVERRIDE"],
  [7, "SETUID"],
  [12, "NET_ADMIN"],
  [13, "NET_RAW"],
  [16, "SYS_MODULE"],
  [19, "SYS_PTRACE"],
  [21, "SYS_ADMIN"],
  [39, "BPF"],
]);

export function process(call: Call): Exit {
  const [which] = call.arguments;
  if (which === undefined || call.arguments.length > 1) throw new UsageError("process takes one pid or exec_id");
  const limit = integerOption(call, "limit", 1, 10_000, 20);
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const notes: string[] = [];
  const found = store.atOneMoment(() => {
    const self = findProcess(store, which, notes);
    const ancestors = ancestorsOf(store, self, []);
    const range = [self.id, `${self.id}.`] as const;
    const newest = (sql: string): Cell[][] => store.rows(sql, ...range, limit + 1);
    const executions = newest(
      `SELECT ${EXECUTION_NAMES.join(", ")} FROM process_events WHERE ${OF_PROCESS} AND event_type = 'start'
       ORDER BY time DESC, event_id DESC LIMIT ?`,
    );
    const alerts = newest(
      `SELECT ${ALERT_NAMES.join(", ")} FROM alerts WHERE ${OF_PROCESS} ORDER BY time DESC, alert_id DESC LIMIT ?`,
    );
    return { self, parent: ancestors.at(-1) ?? null, executions, alerts };
  });
  const { self, executions, alerts } = found;
  for (const [rows, what] of [[executions, "execution"], [alerts, "alert"]] as const) {
    if (rows.length <= limit) continue;
    rows.pop();
    notes.push(`The newest ${counted(limit, what)}; --limit shows more`);
  }
  executions.reverse();
  alerts.reverse();
  write(call, found);
  for (const note of notes) call.note(note);
  const start = self.of("start_time"), end = self.of("end_time");
  const range = { from: start === null ? null : Number(start), until: end === null ? null : Number(end) };
  return tellCoverage(call, store, readStatuses(layout, call.now()), range) ? EXIT.degraded : EXIT.complete;
}

interface Found {
  readonly self: Node;
  readonly parent: Node | null;
  readonly executions: readonly Cell[][];
  readonly alerts: readonly Cell[][];
}

function write(call: Call, found: Found): void {
  const { self, executions, alerts } = found;
  if (call.format === "table" && call.values["columns"] === undefined) return show(call, found);
  if (call.format !== "json" || call.values["columns"] !== undefined) {
    const output = openRows(call, PROCESS_COLUMNS, []);
    output.add(self.row);
    return output.end();
  }
  const objects = (names: readonly string[], rows: readonly (readonly Cell[])[]): unknown[] =>
    rows.map((row) => Object.fromEntries(names.map((name, i) => [name, exact(row[i] ?? null)])));
  const answer = {
    process: objects(PROCESS_COLUMNS, [self.row])[0],
    executions: objects(EXECUTION_NAMES, executions),
    alerts: objects(ALERT_NAMES, alerts),
  };
  call.out.write(`${safeJson(answer, 2)}\n`);
}

/** JSON has no integers beyond those of a double: they become texts, which are exact. */
function exact(cell: Cell): string | number | null {
  if (typeof cell === "bigint") return String(cell);
  return cell instanceof Uint8Array ? cell.toHex() : cell;
}

function show(call: Call, { self, parent, executions, alerts }: Found): void {
  const { of } = self;
  const text = (name: string): string | null => of(name) === null ? null : String(of(name));
  const named = (id: string, name: string): string | null => {
    const number = text(id), word = text(name);
    return number === null ? word : word === null ? number : `${word} (${number})`;
  };
  const start = of("start_time"), end = of("end_time"), ended = end !== null;
  const lived = start === null ? null : Math.max(0, Number(ended ? end : call.now()) - Number(start));
  const last = executions.at(-1);
  const hash = last?.[EXECUTION_NAMES.indexOf("executable_hash")] ?? null;
  const algorithm = last?.[EXECUTION_NAMES.indexOf("hash_algorithm")] ?? null;
  const kind = text("executable_kind");
  const lines: RecordLine[] = [
    ["process", self.id],
    ["execution", text("exec_id")],
    ["state", ended ? processStatus(of).text : text("status"), ended ? "faint" : "good"],
    ["began", start === null ? null : localTime(Number(start))],
    ["ended", ended ? localTime(Number(end)) : null],
    [ended ? "lived" : "lives for", lived === null ? null : span(lived)],
    ["last seen", of("collection_time") === null ? null : localTime(Number(of("collection_time")))],
    null,
    ["command", commandOf(of).text],
    ["executable", text("executable_path")],
    ["kind of file", kind === "file" ? null : kind, "warning"],
    ["its hash", hash === null ? null : `${algorithm ?? ""} ${hash}`.trim()],
    ["script", text("script_path")],
    ["interpreter", text("interpreter_path")],
    ["directory", text("cwd")],
    ["stdin, stdout", [text("stdin_kind") ?? "?", text("stdout_kind") ?? "?"].join(", ").replace("?, ?", "") || null],
    ["environment", text("environment")],
    null,
    ["parent", parent === null ? text("ppid") : `${parent.of("name")} ${parent.of("pid")}, ${parent.id}`],
    ["its command", parent === null ? null : commandOf(parent.of).text],
    ["user", userOf(of).text === "-" ? null : userOf(of).text],
    ["group", named("group_id", "group_name")],
    ["logged in as", text("login_user_id")],
    ["session", text("session_id")],
    ["terminal", text("tty")],
    ["may", capabilities(of("effective_capabilities"))],
    null,
    ["container", of("container_id") === null ? null : containerOf(of).text],
    ["pod", text("pod_id")],
    ["control group", text("cgroup_path")],
    ["CPU", of("cpu_time_ms") === null ? null : span(Number(of("cpu_time_ms")))],
    ["memory", of("memory_usage") === null ? null : bytes(Number(of("memory_usage")))],
    ["threads", of("threads") === null ? null : count(Number(of("threads")))],
    ["collector", text("collector_id")],
  ];
  record(call, `${of("name")} ${of("pid")}`, ended ? "faint" : "heading", withoutEmptyParts(lines));
  section(call, "Executions", EXECUTION_NAMES, EXECUTIONS, executions);
  section(call, "Alerts", ALERT_NAMES, ALERTS, alerts);
}

/** One blank line between parts that have something. */
function withoutEmptyParts(lines: readonly RecordLine[]): RecordLine[] {
  const kept = lines.filter((line) => line === null || (line[1] !== null && line[1] !== ""));
  return kept.filter((line, i) => line !== null || (kept[i - 1] ?? null) !== null && i < kept.length - 1);
}

function section(
  call: Call,
  title: string,
  names: readonly string[],
  shown: readonly ShownColumn[],
  rows: readonly Cell[][],
): void {
  if (rows.length === 0) return;
  call.out.write(`\n${paint(`${title}`, "heading", call.screen)}\n`);
  const table = new Table(shown, call.screen, (text) => call.out.write(text));
  for (const row of rows) {
    const of = (name: string): Cell => row[names.indexOf(name)] ?? null;
    table.add(shown.map(({ name, show }) => {
      const made = show!(of(name), of);
      return typeof made === "string" ? { text: made } : made;
    }));
  }
  table.end();
}

const EXECUTIONS: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  { name: "executable_path", title: "EXECUTABLE", least: 12, show: (cell, of) => String(cell ?? of("name") ?? "?") },
  { name: "executable_hash", title: "HASH", least: 8, optional: 1, show: (cell) => String(cell ?? "-") },
  { name: "command_line", title: "COMMAND", least: 16, show: (_, of) => commandOf(of) },
];

const ALERTS: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell), style: severityStyle(String(cell)) }),
  },
  { name: "rule_id", title: "RULE", least: 12, show: (cell) => String(cell) },
  { name: "event_id", title: "EVENT", keep: true, show: (cell) => String(cell) },
];

/** Capabilities as words: those that matter most by name. */
function capabilities(cell: Cell): string | null {
  if (cell === null) return null;
  const set = BigInt.asUintN(64, BigInt(cell as number | bigint));
  if (set === 0n) return "nothing beyond its user";
  const names = [...CAPABILITIES].filter(([bit]) => (set >> BigInt(bit)) & 1n).map(([, name]) => name);
  const all = set.toString(2).replaceAll("0", "").length;
  const others = all - names.length;
  const rest = others > 0
    ? counted(others, names.length > 0 ? "other" : "capability", names.length > 0 ? "others" : "capabilities")
    : "";
  return [names.join(", "), rest].filter((part) => part !== "").join(" and ");
}
