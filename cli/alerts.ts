/**
 * `alerts`: what the rules found, as a list or one in full.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { SEVERITIES } from "../proto/process_event.ts";
import { atMostArguments, choiceOption, integerOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { Conditions, timeConditions } from "./conditions.ts";
import { tellCoverage } from "./coverage.ts";
import { type Cell, openOutput, type ShownColumn } from "./output.ts";
import { timeCell, userOf } from "./process_cells.ts";
import { record } from "./record.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { counted, localTime, span } from "./units.ts";

const NAMES = tableNamed("alerts").columns.map((column) => column.name);
const TIME = NAMES.indexOf("time"), COMPLETENESS = NAMES.indexOf("completeness");
const SELECT = `SELECT ${NAMES.join(", ")} FROM alerts`;

export function alerts(call: Call): Exit {
  atMostArguments(call, 1, "alerts");
  const [id] = call.arguments;
  return id === undefined ? list(call) : detail(call, id);
}

function list(call: Call): Exit {
  const limit = integerOption(call, "limit", 1, 1_000_000, 100);
  const where = new Conditions();
  const rule = call.values["rule"] as string | undefined;
  if (rule !== undefined) where.add("rule_id = ?", rule);
  const least = choiceOption(call, "severity", SEVERITIES);
  if (least !== null) {
    const enough = SEVERITIES.slice(SEVERITIES.indexOf(least));
    where.add(`severity IN (${enough.map(() => "?").join(", ")})`, ...enough);
  }
  const range = timeConditions(call, where);
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  const rows = store.rows(
    `${SELECT} ${where.sql} ORDER BY time DESC, alert_id DESC LIMIT ?`,
    ...where.parameters,
    limit + 1,
  );
  const cut = rows.length > limit;
  if (cut) rows.pop();
  rows.reverse();
  const output = openOutput(call.format, NAMES, SHOWN, call.screen, (text) => call.out.write(text));
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No alert matches");
  if (cut) call.note(`The newest ${counted(limit, "alert")}; --limit or --since shows more`);
  const partial =
    rows.filter((row) => row[COMPLETENESS] !== null && verdict(row[COMPLETENESS]!).reasons !== null).length;
  if (partial > 0) {
    call.note(
      `${counted(partial, "alert")} of rules that could not see everything; ` +
        'the line "saw" of alerts ALERT says what was missing',
    );
  }
  const from = cut ? Number(rows[0]![TIME]) : range.from;
  const rejected = tellRejectedRules(call, store);
  const lacking = tellCoverage(call, store, readStatuses(layout, call.now()), { from, until: range.until });
  return rejected || lacking ? EXIT.degraded : EXIT.complete;
}

/** A rule that was rejected finds nothing: no alert of it means nothing. */
function tellRejectedRules(call: Call, store: Store): boolean {
  const rejected = Number(store.rows("SELECT count(*) FROM detection_rules WHERE state = 'rejected'")[0]![0]);
  if (rejected > 0) call.note(`${counted(rejected, "rule")} rejected, which can find nothing (rules list says why)`);
  return rejected > 0;
}

const SHOWN: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell), style: severityStyle(String(cell)) }),
  },
  { name: "rule_id", title: "RULE", least: 20 },
  { name: "pid", title: "PID", keep: true, optional: 2 },
  { name: "user_name", title: "USER", optional: 1, show: (_, of) => userOf(of) },
  { name: "event_id", title: "EVENT", keep: true },
  {
    name: "command_line",
    title: "COMMAND",
    least: 24,
    optional: 3,
    show: (_, of) => String(of("command_line") ?? of("name") ?? ""),
  },
];

/** More alerts of one event than there are rules that match it would be a fault; so many are shown. */
const MAX_DETAILED = 100;

function detail(call: Call, id: string): Exit {
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const isEvent = /^\d{1,16}$/.test(id);
  const rows = store.rows(
    `${SELECT} WHERE ${isEvent ? "event_id" : "alert_id"} = ? ORDER BY alert_id LIMIT ${MAX_DETAILED}`,
    isEvent ? Number(id) : id,
  );
  if (rows.length === 0) {
    throw new CommandError(`There is no alert ${id}; alerts lists them, with their event numbers in column EVENT`);
  }
  if (call.format !== "table") {
    const output = openOutput(call.format, NAMES, [], call.screen, (text) => call.out.write(text));
    for (const row of rows) output.add(row);
    output.end();
    return EXIT.complete;
  }
  rows.forEach((row, i) => {
    if (i > 0) call.out.write("\n");
    writeDetail(call, row);
  });
  return EXIT.complete;
}

function writeDetail(call: Call, row: readonly Cell[]): void {
  const of = (name: string): Cell => row[NAMES.indexOf(name)] ?? null;
  const text = (name: string): string | null => of(name) === null ? null : String(of(name));
  const process = (name: Cell, pid: Cell): string => pid === null ? `${name}` : `${name} ${pid}`;
  const detected = Number(of("detected_time")), happened = Number(of("time"));
  const severity = String(of("severity")), saw = verdict(of("completeness"));
  record(call, `${of("title")}`, severityStyle(severity), [
    ["severity", severity, severityStyle(severity)],
    ["rule", text("rule_id")],
    ["its version", text("rule_hash")],
    ["about", text("description")?.replace(/\s+/g, " ").trim() ?? null],
    ["tags", strings(of("tags")).join(", ")],
    ["saw", saw.text, saw.reasons === null ? undefined : "warning"],
    ["time", localTime(happened)],
    ["detected", `${localTime(detected)} (${span(detected - happened)} later)`],
    null,
    ["process", process(of("name"), of("pid"))],
    ["executable", text("executable_path")],
    ["command", text("command_line")],
    ["user", userOf(of).text],
    ["parent", process(of("parent_name") ?? "", of("ppid"))],
    ["of parent", text("parent_executable_path")],
    ["its command", text("parent_command_line")],
    null,
    ...evidence(of("evidence"), call.screen.marks.dot),
    null,
    ["alert", text("alert_id")],
    ["event", text("event_id")],
    ["exec", text("exec_id")],
    ["collector", text("collector_id")],
  ]);
  call.out.write("\n");
  call.note(`tree ${of("exec_id")} shows where it came from`);
}

/** Whether the rule could see everything, in words; `reasons` is `null` when it could. */
function verdict(cell: Cell): { text: string; reasons: string[] | null } {
  const found = parsed(cell) as { complete?: unknown; reasons?: unknown } | null;
  if (found?.complete === true) return { text: "all that it looks at", reasons: null };
  const reasons = Array.isArray(found?.reasons) ? found.reasons.map(String) : ["it was not noted"];
  return { text: `not all that it looks at: ${reasons.join("; ")}`, reasons };
}

/** What the rule selected, one line a column. */
function evidence(cell: Cell, mark: string): [string, string | null][] {
  const selected = parsed(cell);
  if (typeof selected !== "object" || selected === null) return [["evidence", cell === null ? null : String(cell)]];
  return Object.entries(selected).map(([name, value]) => [`${mark} ${name}`, value === null ? "NULL" : String(value)]);
}

function strings(cell: Cell): string[] {
  const list = parsed(cell);
  return Array.isArray(list) ? list.map(String) : [];
}

/** JSON of the store; `null` when it is damaged. */
function parsed(cell: Cell): unknown {
  try {
    return JSON.parse(String(cell));
  } catch {
    return null;
  }
}
