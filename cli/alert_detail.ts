/**
 * One alert in full: what was found, of whom, what became of it, and what to ask next.
 *
 * @module
 */
import type { Alert, Ancestor } from "../proto/alert.ts";
import { nextQueries } from "../proto/alert_queries.ts";
import { decodeAncestry } from "../proto/ancestry.ts";
import { tableNamed } from "../proto/catalog.ts";
import { printable } from "../proto/printable.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { type Cell, type CellByName, openOutput } from "./output.ts";
import { userOf } from "./process_cells.ts";
import { record, type RecordLine } from "./record.ts";
import { paint, severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { Store } from "./store_reader.ts";
import { counted, localTime, span } from "./units.ts";

const NAMES = tableNamed("alerts").columns.map((column) => column.name);
const SELECT = `SELECT ${NAMES.join(", ")} FROM alerts`;

/** More alerts of one event than there are rules that match it would be a fault; so many are shown. */
const MAX_DETAILED = 100;

export function alertDetail(call: Call, id: string): Exit {
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
    writeDetail(call, store, row);
  });
  return EXIT.complete;
}

function writeDetail(call: Call, store: Store, row: readonly Cell[]): void {
  const of = (name: string): Cell => row[NAMES.indexOf(name)] ?? null;
  const text = (name: string): string | null => of(name) === null ? null : String(of(name));
  const process = (name: Cell, pid: Cell): string => pid === null ? `${name}` : `${name} ${pid}`;
  const detected = Number(of("detected_time")), happened = Number(of("time"));
  const severity = String(of("severity")), saw = verdict(of("completeness")), id = String(of("alert_id"));
  const isSummary = of("kind") === "summary", group = text("group_id");
  record(call, `${of("title")}`, severityStyle(severity), [
    ["severity", severity, severityStyle(severity)],
    ["rule", text("rule_id")],
    ["its version", text("rule_hash")],
    ["about", text("description")?.replace(/\s+/g, " ").trim() ?? null],
    ["tags", strings(of("tags")).join(", ")],
    ["saw", saw.text, saw.reasons === null ? undefined : "warning"],
    ["stands for", isSummary ? summed(of) : null],
    ["state", stateWords(store, of)],
    ["time", localTime(happened)],
    ["detected", `${localTime(detected)} (${span(detected - happened)} later)`],
    ["came again", isSummary ? null : repeats(store, id)],
    ["before", before(of)],
    ...history(store, id),
    ...deliveries(store, id),
    null,
    ["process", process(of("name"), of("pid"))],
    ["executable", text("executable_path")],
    ["command", text("command_line")],
    ["user", userOf(of).text],
    ["login", text("login_user_id")],
    ["directory", text("cwd")],
    ["container", text("container_id")],
    ["input", text("stdin_kind")],
    ["output", text("stdout_kind")],
    ["parent", process(of("parent_name") ?? "", of("ppid"))],
    ["of parent", text("parent_executable_path")],
    ["its command", text("parent_command_line")],
    ["ancestry", ancestry(of("ancestry"))],
    null,
    ...evidence(of("evidence"), call.screen.marks.dot),
    ...causes(store, of, call.screen.marks.dot),
    null,
    ["alert", id],
    ["group", group === id ? null : group],
    ["also in it", others(store, id, group)],
    ["same are", text("dedup_key")],
    ["event", text("event_id")],
    ["exec", text("exec_id")],
    ["collector", text("collector_id")],
    [
      "ledger",
      of("ledger_origin") === null ? null : `${of("ledger_origin")} ${of("ledger_size")} ${of("ledger_root")}`,
    ],
  ]);
  call.out.write("\n");
  writeQueries(call, {
    time: happened,
    ruleId: String(of("rule_id")),
    execId: String(of("exec_id")),
    executablePath: text("executable_path"),
    evidence: (parsed(of("evidence")) ?? {}) as Alert["evidence"],
    loginUserId: of("login_user_id") as number | null,
    parentExecId: text("parent_exec_id"),
    groupId: others(store, id, group) === null ? "" : group!,
  });
  call.note(`tree ${of("exec_id")} shows where it came from`);
}

/** Whether the rule could see everything, in words; `reasons` is `null` when it could. */
export function verdict(cell: Cell): { text: string; reasons: string[] | null } {
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

/** Most entries of a list in the detail. */
const MAX_LISTED = 10;

function summed(of: CellByName): string {
  const from = localTime(Number(of("first_time"))), to = localTime(Number(of("last_time")));
  return `${counted(Number(of("repeat_count")), "hit")} from ${from} to ${to}: ${of("reason")}`;
}

function stateWords(store: Store, of: CellByName): string {
  const status = String(of("status") ?? "open"), since = of("status_time"), muted = of("muted_by");
  const words = since === null ? status : `${status} since ${localTime(Number(since))}`;
  if (muted === null) return words;
  const [mute] = store.rows("SELECT kind, reason, created_by FROM alert_mutes WHERE mute_id = ?", String(muted));
  if (mute === undefined) return `${words}; kept from the sinks by ${muted}`;
  return `${words}; kept from the sinks by the ${mute[0]} ${muted} of ${mute[2]}: ${mute[1]}`;
}

/** How often it came again so far, while its window lasts. */
function repeats(store: Store, id: string): string | null {
  const [row] = store.rows("SELECT count, last_time FROM alert_windows WHERE alert_id = ? AND kind = 'repeat'", id);
  if (row === undefined || row[0] === 0) return null;
  return `${counted(Number(row[0]), "time")} so far, the last at ${localTime(Number(row[1]))}`;
}

function before(of: CellByName): string | null {
  const hits = of("hits_before");
  if (hits === null) return null;
  if (hits === 0) return "the first that the rule found here";
  return `${counted(Number(hits), "hit")} of the rule, the last at ${localTime(Number(of("last_hit_time")))}`;
}

function history(store: Store, id: string): RecordLine[] {
  return store.rows(
    `SELECT time, action, actor, text FROM alert_history WHERE alert_id = ? ORDER BY entry_id DESC LIMIT ${MAX_LISTED}`,
    id,
  ).reverse().map(([time, action, actor, text]) => [
    String(action),
    `${localTime(Number(time))} by ${actor}${text === "" ? "" : `: ${text}`}`,
  ]);
}

function deliveries(store: Store, id: string): RecordLine[] {
  const rows = store.rows(
    `SELECT sink, state, delivered_time, attempts, reason FROM alert_deliveries WHERE alert_id = ? ORDER BY sink
     LIMIT ${MAX_LISTED}`,
    id,
  );
  return rows.map(([sink, state, time, attempts, reason]) => {
    const tried = Number(attempts) === 0 ? "" : ` after ${counted(Number(attempts), "attempt")}`;
    switch (state) {
      case "done":
        return [
          `to ${sink}`,
          `delivered ${time === null ? "" : localTime(Number(time))}${Number(attempts) > 1 ? tried : ""}`,
        ];
      case "pending":
        return [`to ${sink}`, `owed${tried}`, "warning"];
      default:
        return [`to ${sink}`, `${state === "dead" ? "a dead letter" : "given up"}${tried}: ${reason}`, "bad"];
    }
  });
}

function ancestry(cell: Cell): string | null {
  let list: Ancestor[];
  try {
    list = decodeAncestry(cell as string | null);
  } catch {
    return "it cannot be read";
  }
  if (list.length === 0) return null;
  return list.map(({ name, executablePath, pid }) => `${name ?? executablePath ?? "?"} ${pid}`).join(" < ");
}

/** The events that caused it, looked up; those that retention took are named by their numbers. */
function causes(store: Store, of: CellByName, mark: string): RecordLine[] {
  const list = parsed(of("causes"));
  const ids = (Array.isArray(list) ? list : []).filter((id) => Number.isSafeInteger(id)) as number[];
  const lines = ids.slice(0, MAX_LISTED).map((id): RecordLine => {
    const [row] = store.rows("SELECT time, event_type, pid, command_line FROM process_events WHERE event_id = ?", id);
    const words = row === undefined
      ? "not stored any more"
      : `${localTime(Number(row[0]))} ${row[1]} ${row[2]} ${row[3] ?? ""}`;
    return [`${mark} event ${id}`, words];
  });
  return lines.length === 0 ? [] : [null, ...lines];
}

/** What to ask next, each on a line of its own that can be copied whole. */
function writeQueries(call: Call, alert: Parameters<typeof nextQueries>[0]): void {
  const { out, screen } = call;
  out.write(`${paint("Ask next, by query", "heading", screen)}\n`);
  for (const { about, sql } of nextQueries(alert)) {
    out.write(`  ${paint(`${screen.marks.dot} ${about}`, "faint", screen)}\n    ${printable(sql)}\n`);
  }
}

function others(store: Store, id: string, group: string | null): string | null {
  if (group === null) return null;
  const rows = store.rows(
    "SELECT rule_id, count(*) FROM alerts WHERE group_id = ? AND alert_id <> ? GROUP BY rule_id ORDER BY 2 DESC LIMIT 10",
    group,
    id,
  );
  return rows.length === 0 ? null : rows.map(([rule, n]) => n === 1 ? String(rule) : `${rule} (${n})`).join(", ");
}
