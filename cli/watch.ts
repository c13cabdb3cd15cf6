/**
 * `watch`: events and alerts as they are stored, on a screen of their own or, where the output is no terminal, line by
 * line until somebody ends it.
 *
 * The store is asked for what is new by the time of the events. Those of several collectors may come late, so a little is
 * read twice and what was shown is remembered.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { atMostArguments, choiceOption, spanOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { type Conditions, conditions } from "./conditions.ts";
import { blindness } from "./coverage.ts";
import { fit } from "./display_width.ts";
import { type Line, type LiveView, runLive } from "./live_screen.ts";
import type { Cell, CellByName } from "./output.ts";
import { commandOf, howEnded, userOf } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { severityStyle, type Style } from "./screen.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { StoreError } from "./store_error.ts";
import { counted, localTime, span } from "./units.ts";

const NAMES = [
  ...["time", "kind", "detail", "severity", "pid", "ppid", "user_name", "user_id", "effective_user_id", "name"],
  ...["executable_path", "command_line", "exit_code", "exit_signal", "duration_ms", "exec_id", "event_id", "alert_id"],
] as const;
const PLACES = new Map<string, number>(NAMES.map((name, place) => [name, place]));
const EVENT: Readonly<Record<string, string>> = { kind: "event_type", detail: "reason", alert_id: "NULL" };
const ALERT: Readonly<Record<string, string>> = {
  kind: "'alert'",
  detail: "rule_id || ': ' || title",
  effective_user_id: "NULL",
  exit_code: "NULL",
  exit_signal: "NULL",
  duration_ms: "NULL",
};
const KINDS = ["events", "alerts", "all"] as const;
type Kind = (typeof KINDS)[number];
/** How much before the newest is read again, for what comes late. */
const OVERLAP_MS = 10_000;
/** Rows of one look; a burst of more is told. */
const MAX_ROWS = 2_000;
/** Lines that are kept to scroll back. */
const MAX_KEPT = 5_000;

export async function watch(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "watch");
  const kind = choiceOption(call, "show", KINDS) ?? "all";
  const intervalMs = spanOption(call, "interval", 1_000), back = spanOption(call, "back", 10_000);
  const lastsMs = call.values["for"] === undefined ? null : spanOption(call, "for", 1);
  const where = conditions(call), isNumber = /^\d+$/.test(String(call.values["user"] ?? ""));
  if ((call.values["type"] !== undefined || isNumber) && kind !== "events") {
    throw new UsageError(
      `${isNumber ? "--user with a number" : "--type"} needs --show events: alerts do not have that`,
    );
  }
  const follower = new Follower(findPlaces(call), kind, where, call.now() - back);
  if (call.isInteractive && call.format === "table") {
    if (lastsMs !== null) throw new UsageError("--for is for an output that is no terminal");
    await runLive(call, new WatchView(call, follower), intervalMs);
    return EXIT.complete;
  }
  if (call.format === "json") {
    throw new UsageError("watch has no end to close a JSON array at; --format jsonl has none");
  }
  return await stream(call, follower, intervalMs, lastsMs);
}

/** Rows until the time is over, or the reader goes. */
async function stream(call: Call, follower: Follower, intervalMs: number, lastsMs: number | null): Promise<Exit> {
  const format = call.format === "table" ? "jsonl" : call.format;
  const output = openRows({ ...call, format }, NAMES, []), began = performance.now();
  for (;;) {
    const { rows, missed } = follower.read();
    for (const row of rows) output.add(row);
    call.out.flush();
    if (missed) call.note(`More than ${MAX_ROWS} at once: events has those that are left out`);
    const left = lastsMs === null ? Infinity : lastsMs - (performance.now() - began);
    if (left <= 0) break;
    await new Promise((resolve) => setTimeout(resolve, Math.min(intervalMs, left)));
  }
  const blind = blindness(follower.statuses(call.now()));
  if (blind !== null) call.note(`Nothing new can come: ${blind} (health says more)`);
  return blind === null ? EXIT.complete : EXIT.degraded;
}

/** What is new in the store since it was asked last. */
class Follower {
  readonly #places: Places;
  readonly #kind: Kind;
  readonly #where: Conditions;
  #from: number;
  #seen = new Map<string, number>();

  constructor(places: Places, kind: Kind, where: Conditions, from: number) {
    this.#places = places;
    this.#kind = kind;
    this.#where = where;
    this.#from = Math.floor(from);
  }

  statuses(now: number): ReturnType<typeof readStatuses> {
    return readStatuses(this.#places.layout, now);
  }

  /** In the order of their times. `missed` when there were more than are read at once. @throws StoreError */
  read(): { rows: Cell[][]; missed: boolean } {
    const store = Store.open(this.#places.layout.store), found: Cell[][] = [];
    let missed = false;
    try {
      for (const [columns, table, of] of [[EVENT, "process_events", "events"], [ALERT, "alerts", "alerts"]] as const) {
        if (this.#kind !== "all" && this.#kind !== of) continue;
        const list = NAMES.map((name) => columns[name] ?? name).join(", ");
        const more = this.#where.sql === "" ? "" : ` AND ${this.#where.sql.replace(/^WHERE /, "")}`;
        const rows = store.rows(
          `SELECT ${list} FROM ${table} WHERE time >= ?${more} ORDER BY time DESC LIMIT ?`,
          this.#from,
          ...this.#where.parameters,
          MAX_ROWS + 1,
        );
        const fresh = rows.filter((row) => !this.#seen.has(keyOf(row)));
        if (rows.length > MAX_ROWS && fresh.length > MAX_ROWS) missed = true;
        found.push(...fresh.slice(0, MAX_ROWS));
      }
    } finally {
      store.close();
    }
    found.sort((a, b) => Number(a[0]) - Number(b[0]));
    for (const row of found) this.#seen.set(keyOf(row), Number(row[0]));
    const newest = found.reduce((last, row) => Math.max(last, Number(row[0])), this.#from + OVERLAP_MS);
    this.#from = Math.max(this.#from, newest - OVERLAP_MS);
    for (const [key, time] of this.#seen) if (time < this.#from) this.#seen.delete(key);
    return { rows: found, missed };
  }
}

function keyOf(row: readonly Cell[]): string {
  return `${row[PLACES.get("event_id")!]} ${row[PLACES.get("alert_id")!] ?? ""}`;
}

const KIND_STYLES: ReadonlyMap<Cell, Style> = new Map<Cell, Style>([
  ["start", "good"],
  ["stop", "faint"],
  ["modify", "accent"],
  ["suspicious", "bad"],
]);

class WatchView implements LiveView {
  readonly keys = "q quit  a alerts only  / filter  arrows scroll  space pause";
  filter = "";
  readonly #call: Call;
  readonly #follower: Follower;
  readonly #kept: { readonly line: Line; readonly isAlert: boolean; readonly text: string }[] = [];
  #head: Line = { text: "" };
  #onlyAlerts = false;
  #scrolled = 0;

  constructor(call: Call, follower: Follower) {
    this.#call = call;
    this.#follower = follower;
  }

  press(key: string): void {
    if (key === "a") this.#onlyAlerts = !this.#onlyAlerts;
    else if (key === "up") this.#scrolled += 1;
    else if (key === "down") this.#scrolled -= 1;
    else if (key === "pageup") this.#scrolled += 10;
    else if (key === "pagedown") this.#scrolled -= 10;
    else if (key === "end") this.#scrolled = 0;
  }

  refresh(): void {
    const now = this.#call.now(), blind = blindness(this.#follower.statuses(now));
    try {
      const { rows, missed } = this.#follower.read();
      for (const row of rows) this.#keep(row);
      if (missed) this.#note(`More than ${MAX_ROWS} at once: events has those that are left out`);
      const facts = `${localTime(now, "s")}  ${counted(this.#kept.length, "line")}`;
      this.#head = blind === null
        ? { text: facts, style: "heading" }
        : { text: `${facts}  nothing new can come: ${blind}`, style: "warning" };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#head = { text: printable(error.message), style: "bad" };
    }
  }

  draw(columns: number, rows: number): Line[] {
    const sought = this.filter.toLowerCase(), { cut } = this.#call.screen.marks;
    const lines = this.#kept.filter(({ isAlert, text }) =>
      (isAlert || !this.#onlyAlerts) && (sought === "" || text.includes(sought))
    );
    const room = Math.max(1, rows - 1);
    this.#scrolled = Math.max(0, Math.min(this.#scrolled, lines.length - room));
    const end = lines.length - this.#scrolled;
    return [this.#head, ...lines.slice(Math.max(0, end - room), end).map(({ line }) => line)]
      .map(({ text, style }) => ({ text: fit(text, columns, cut), ...(style === undefined ? {} : { style }) }));
  }

  #keep(row: readonly Cell[]): void {
    const of: CellByName = (name) => row[PLACES.get(name) ?? -1] ?? null, kind = of("kind"), isAlert = kind === "alert";
    const ended = kind === "stop" ? howEnded(of) : null, lived = of("duration_ms");
    const facts = [ended ?? "", lived === null ? "" : span(Number(lived)), isAlert ? "" : String(of("detail") ?? "")]
      .filter((fact) => fact !== "").join(", ");
    const what = isAlert ? String(of("detail")) : `${commandOf(of).text}${facts === "" ? "" : `  (${facts})`}`;
    const clock = localTime(Number(of("time"))).slice(11, 23);
    const text = printable(
      `${clock} ${String(kind).padEnd(6)} ${String(of("pid") ?? "-").padStart(7)} ${userOf(of).text}  ${
        what.slice(0, 4_096)
      }`,
    );
    const style = isAlert ? severityStyle(String(of("severity"))) : KIND_STYLES.get(kind);
    this.#add({ text, ...(style === undefined ? {} : { style }) }, isAlert);
  }

  #note(text: string): void {
    this.#add({ text, style: "warning" }, true);
  }

  #add(line: Line, isAlert: boolean): void {
    this.#kept.push({ line, isAlert, text: line.text.toLowerCase() });
    if (this.#kept.length > MAX_KEPT) this.#kept.splice(0, this.#kept.length - MAX_KEPT);
  }
}
