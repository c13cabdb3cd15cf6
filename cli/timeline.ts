/**
 * `timeline`: events, alerts and gaps about one thing, in the order of their times.
 *
 * Each kind is asked for the newest so many and all are merged, so that memory is bounded by `--limit`, whatever the
 * store holds.
 *
 * @module
 */
import { alertNamed } from "./alert_named.ts";
import { atMostArguments, integerOption, spanOption, timeRange } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { Conditions } from "./conditions.ts";
import { tellCoverage, touching } from "./coverage.ts";
import { ancestorsOf, CHILD_OF, descendantsOf, findProcess } from "./family.ts";
import type { Cell, CellByName, ShownColumn } from "./output.ts";
import { commandOf, howEnded, timeCell, userOf } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { severityStyle, type Style } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { counted, span, type TimeRange } from "./units.ts";

/** Columns that every kind of line has, from the table that it is of. */
const NAMES = [
  ...["time", "kind", "detail", "severity", "pid", "ppid", "user_name", "user_id", "effective_user_id", "name"],
  ...["executable_path", "executable_kind", "command_line", "exit_code", "exit_signal", "duration_ms"],
  ...["exec_id", "event_id", "alert_id", "after_ms"],
] as const;
type Name = (typeof NAMES)[number];
const TIME = NAMES.indexOf("time"), KIND = NAMES.indexOf("kind"), AFTER = NAMES.indexOf("after_ms");

const DEFAULT_AROUND_MS = 600_000;
/** Descendants whose events the timeline of an alert has. */
const MAX_DESCENDANTS = 200;
/** Children of its parent beside it. */
const MAX_SIBLINGS = 100;

const EVENT: Readonly<Partial<Record<Name, string>>> = {
  kind: "event_type",
  detail: `CASE WHEN reason IS NULL THEN modified_fields WHEN modified_fields IS NULL THEN reason
    ELSE reason || ', ' || modified_fields END`,
  alert_id: "NULL",
};
const ALERT: Readonly<Partial<Record<Name, string>>> = {
  kind: "'alert'",
  detail: "rule_id || ': ' || title",
  effective_user_id: "NULL",
  executable_kind: "NULL",
  exit_code: "NULL",
  exit_signal: "NULL",
  duration_ms: "NULL",
};
const GAP: Readonly<Partial<Record<Name, string>>> = {
  time: "to_time",
  kind: "'gap'",
  detail: "source || ': ' || reason",
  duration_ms: "to_time - from_time",
};
const CHILD: Readonly<Partial<Record<Name, string>>> = {
  time: "start_time",
  kind: "'child'",
  detail: "NULL",
  severity: "NULL",
  duration_ms: "end_time - start_time",
  event_id: "NULL",
  alert_id: "NULL",
};

export function timeline(call: Call): Exit {
  atMostArguments(call, 1, "timeline");
  const limit = integerOption(call, "limit", 1, 100_000, 200);
  const around = spanOption(call, "around", DEFAULT_AROUND_MS);
  const asked = timeRange(call);
  const subject = subjectOf(call);
  if (call.values["around"] !== undefined && subject.kind !== "alert") {
    throw new UsageError("--around belongs to --alert");
  }
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const notes: string[] = [];
  const { rows, range, near } = store.atOneMoment(() => gather(store, subject, { asked, around, limit }, notes));
  const cut = rows.length > limit;
  if (cut) keep(rows, limit, near);
  const output = openRows(call, NAMES, SHOWN);
  let before: number | null = null;
  for (const row of rows) {
    const time = Number(row[TIME]);
    row[AFTER] = before === null ? null : time - before;
    before = time;
    output.add(row);
  }
  output.end();
  if (rows.every((row) => row[KIND] === "gap")) call.note("Nothing of that is in the store");
  for (const note of notes) call.note(note);
  if (cut && near === null) call.note(`The newest ${counted(limit, "line")}; --limit, --since or --until shows others`);
  if (cut && near !== null) {
    call.note(`The ${counted(limit, "line")} nearest to the alert; --limit or --around shows others`);
  }
  const until = cut && near !== null ? Number(rows.at(-1)![TIME]) : range.until;
  const shownRange = { from: cut ? Number(rows[0]![TIME]) : range.from, until };
  return tellCoverage(call, store, readStatuses(layout, call.now()), shownRange) ? EXIT.degraded : EXIT.complete;
}

/** Of rows in the order of their times, the newest, or those nearest to a time. */
function keep(rows: Cell[][], limit: number, near: number | null): void {
  let from = rows.length - limit;
  if (near !== null) {
    const far = (row: readonly Cell[]): number => Math.abs(Number(row[TIME]) - near);
    while (from > 0 && far(rows[from - 1]!) <= far(rows[from + limit - 1]!)) from -= 1;
  }
  rows.splice(from + limit);
  rows.splice(0, from);
}

interface Subject {
  readonly kind: "process" | "user" | "file" | "alert";
  readonly name: string;
}

function subjectOf(call: Call): Subject {
  const option = (kind: "user" | "file" | "alert"): Subject[] => {
    const name = call.values[kind] as string | undefined;
    return name === undefined ? [] : [{ kind, name }];
  };
  const named = call.arguments.map((name): Subject => ({ kind: "process", name }));
  const [subject, second] = [...named, ...option("user"), ...option("file"), ...option("alert")];
  if (subject === undefined || second !== undefined) {
    throw new UsageError("timeline takes one of a pid or exec_id, --user, --file and --alert");
  }
  return subject;
}

interface Bounds {
  readonly asked: TimeRange;
  readonly around: number;
  readonly limit: number;
}

interface Gathered {
  /** In the order of their times; more than `limit` when there are more. */
  readonly rows: Cell[][];
  readonly range: TimeRange;
  /** Time of the alert that it is about. */
  readonly near: number | null;
}

function gather(store: Store, subject: Subject, { asked, around, limit }: Bounds, notes: string[]): Gathered {
  let range = asked, near: number | null = null;
  const rows: Cell[][] = [];
  const add = (columns: Readonly<Partial<Record<Name, string>>>, table: string, where: Conditions): void => {
    const list = NAMES.map((name) => name === "after_ms" ? "NULL" : columns[name] ?? name).join(", ");
    const time = columns.time ?? "time";
    if (range.from !== null) where.add(`${time} >= ?`, Math.floor(range.from));
    if (range.until !== null) where.add(`${time} <= ?`, Math.ceil(range.until));
    // The alert itself is never among what is left out
    const order = near === null ? `${time} DESC` : `abs(${time} - ${Math.floor(near)})`;
    rows.push(...store.rows(
      `SELECT ${list} FROM ${table} ${where.sql} ORDER BY ${order} LIMIT ?`,
      ...where.parameters,
      limit + 1,
    ));
  };
  const both = (term: string, ...parameters: (string | number)[]): void => {
    for (const [columns, table] of [[EVENT, "process_events"], [ALERT, "alerts"]] as const) {
      const where = new Conditions();
      where.add(term, ...parameters);
      add(columns, table, where);
    }
  };
  const ofProcess = (id: string): void => both("exec_id >= ? AND exec_id < ?", id, `${id}.`);
  switch (subject.kind) {
    case "process": {
      const self = findProcess(store, subject.name, notes);
      // Before its begin and after its end nothing of it can be missing
      const start = self.of("start_time"), end = self.of("end_time");
      range = {
        from: asked.from ?? (start === null ? null : Number(start)),
        until: asked.until ?? (end === null ? null : Number(end)),
      };
      ofProcess(self.id);
      const children = new Conditions();
      children.add(CHILD_OF, self.id, `${self.id}.`);
      add(CHILD, "processes", children);
      break;
    }
    case "user": {
      const isNumber = /^\d{1,10}$/.test(subject.name), events = new Conditions(), alerts = new Conditions();
      if (isNumber) events.add("user_id = ? OR effective_user_id = ?", Number(subject.name), Number(subject.name));
      else events.add("user_name = ? OR effective_user_name = ?", subject.name, subject.name);
      alerts.add(isNumber ? "user_id = ?" : "user_name = ?", isNumber ? Number(subject.name) : subject.name);
      add(EVENT, "process_events", events);
      add(ALERT, "alerts", alerts);
      break;
    }
    case "file": {
      const events = new Conditions(), alerts = new Conditions(), { name } = subject;
      events.add("executable_path = ? OR script_path = ? OR interpreter_path = ?", name, name, name);
      alerts.add("executable_path = ?", name);
      add(EVENT, "process_events", events);
      add(ALERT, "alerts", alerts);
      break;
    }
    case "alert": {
      const alert = alertNamed(store, subject.name);
      near = alert.time;
      range = { from: asked.from ?? alert.time - around, until: asked.until ?? alert.time + around };
      const self = findProcess(store, alert.execId, notes), ancestors = ancestorsOf(store, self, notes);
      const wanted = { all: true, limit: MAX_DESCENDANTS };
      for (const node of [...ancestors, self, ...descendantsOf(store, self, ancestors, wanted, notes)]) {
        ofProcess(node.id);
      }
      // What the same parent started beside it, such as the program that fetched this one
      const parent = ancestors.at(-1);
      if (parent !== undefined) { for (const id of childrenWithin(store, parent.id, self.id, range)) ofProcess(id); }
      break;
    }
  }
  const gaps = store.rows(
    `SELECT ${NAMES.map((name) => GAP[name] ?? "NULL").join(", ")} FROM gaps WHERE ${touching.sql}
     ORDER BY to_time DESC LIMIT ?`,
    ...touching.parameters(range),
    limit + 1,
  );
  return { rows: [...rows, ...gaps].sort((a, b) => Number(a[TIME]) - Number(b[TIME])), range, near };
}

/** Children of a process that began in a time, without one of them: the newest, and not too many. */
function childrenWithin(store: Store, parent: string, without: string, range: TimeRange): string[] {
  const rows = store.rows(
    `SELECT process_id FROM processes WHERE ${CHILD_OF} AND process_id <> ? AND start_time BETWEEN ? AND ?
     ORDER BY start_time DESC LIMIT ?`,
    parent,
    `${parent}.`,
    without,
    Math.floor(range.from ?? 0),
    Math.ceil(range.until ?? Number.MAX_SAFE_INTEGER),
    MAX_SIBLINGS,
  );
  return rows.map(([id]) => String(id));
}

const KIND_STYLES: ReadonlyMap<Cell, Style> = new Map<Cell, Style>([
  ["start", "good"],
  ["child", "good"],
  ["stop", "faint"],
  ["modify", "accent"],
  ["suspicious", "bad"],
  ["gap", "warning"],
]);

/** The command of an event, the title of an alert, the loss of a gap. */
function what(of: CellByName): { text: string; style?: Style | undefined } {
  const kind = of("kind"), detail = of("detail");
  if (kind === "gap") return { text: `${detail ?? ""} (${span(Number(of("duration_ms")))})`, style: "warning" };
  if (kind === "alert") return { text: String(detail ?? ""), style: severityStyle(String(of("severity"))) };
  const { text, style } = commandOf(of), parts: string[] = [];
  if (kind === "stop" || kind === "child") parts.push(howEnded(of) ?? "");
  if (of("duration_ms") !== null) parts.push(span(Number(of("duration_ms"))));
  if (detail !== null) parts.push(String(detail).replaceAll(/[[\]"]/g, "").replaceAll(",", ", "));
  const facts = parts.filter((part) => part !== "").join(", ");
  return { text: facts === "" ? text : `${text}  (${facts})`, style };
}

const SHOWN: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  {
    name: "after_ms",
    title: "AFTER",
    keep: true,
    optional: 2,
    show: (cell) => cell === null ? { text: "" } : { text: `+${span(Number(cell))}`, number: true },
  },
  {
    name: "kind",
    title: "WHAT",
    keep: true,
    show: (kind) => ({ text: `${kind}`, style: KIND_STYLES.get(kind) ?? "bad" }),
  },
  { name: "pid", title: "PID", keep: true, optional: 3 },
  { name: "user_name", title: "USER", optional: 1, show: (_, of) => of("kind") === "gap" ? "-" : userOf(of) },
  { name: "command_line", title: "DETAIL", least: 24, show: (_, of) => what(of) },
];
