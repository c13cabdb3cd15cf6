/**
 * What is new in the store since it was asked last: events and alerts in the order of their times.
 *
 * Those of several collectors may come late, so a little is read twice and what was told is remembered.
 *
 * @module
 */
import type { Conditions } from "./conditions.ts";
import type { Cell, CellByName } from "./output.ts";
import type { Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";

export const FOLLOWED_NAMES = [
  ...["time", "kind", "detail", "severity", "pid", "ppid", "user_name", "user_id", "effective_user_id", "name"],
  ...["executable_path", "command_line", "exit_code", "exit_signal", "duration_ms", "exec_id", "event_id", "alert_id"],
] as const;
const PLACES = new Map<string, number>(FOLLOWED_NAMES.map((name, place) => [name, place]));
const EVENT: Readonly<Record<string, string>> = { kind: "event_type", detail: "reason", alert_id: "NULL" };
const ALERT: Readonly<Record<string, string>> = {
  kind: "'alert'",
  detail: "rule_id || ': ' || title",
  effective_user_id: "NULL",
  exit_code: "NULL",
  exit_signal: "NULL",
  duration_ms: "NULL",
};
export const FOLLOWED_KINDS = ["events", "alerts", "all"] as const;
export type FollowedKind = (typeof FOLLOWED_KINDS)[number];
/** How much before the newest is read again, for what comes late. */
const OVERLAP_MS = 10_000;
/** Rows of one look; a burst of more is told. */
export const MAX_ROWS = 2_000;

/** An event or alert. */
export interface Followed {
  readonly cells: readonly Cell[];
  readonly of: CellByName;
}

/** What is new in the store since it was asked last. */
export class Follower {
  readonly #places: Places;
  readonly #kind: FollowedKind;
  readonly #where: Conditions;
  #from: number;
  #seen = new Map<string, number>();

  constructor(places: Places, kind: FollowedKind, where: Conditions, from: number) {
    this.#places = places;
    this.#kind = kind;
    this.#where = where;
    this.#from = Math.floor(from);
  }

  statuses(now: number): ReturnType<typeof readStatuses> {
    return readStatuses(this.#places.layout, now);
  }

  /** In the order of their times. `missed` when there were more than are read at once. @throws StoreError */
  read(): { rows: Followed[]; missed: boolean } {
    const store = Store.open(this.#places.layout.store), found: Cell[][] = [];
    let missed = false;
    try {
      for (const [columns, table, of] of [[EVENT, "process_events", "events"], [ALERT, "alerts", "alerts"]] as const) {
        if (this.#kind !== "all" && this.#kind !== of) continue;
        const list = FOLLOWED_NAMES.map((name) => columns[name] ?? name).join(", ");
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
    // What began and ended within a millisecond has its numbers in the order of what happened
    const number = PLACES.get("event_id")!;
    found.sort((a, b) => Number(a[0]) - Number(b[0]) || Number(a[number]) - Number(b[number]));
    for (const row of found) this.#seen.set(keyOf(row), Number(row[0]));
    const newest = found.reduce((last, row) => Math.max(last, Number(row[0])), this.#from + OVERLAP_MS);
    this.#from = Math.max(this.#from, newest - OVERLAP_MS);
    for (const [key, time] of this.#seen) if (time < this.#from) this.#seen.delete(key);
    return { rows: found.map((cells) => ({ cells, of: (name) => cells[PLACES.get(name) ?? -1] ?? null })), missed };
  }
}

function keyOf(row: readonly Cell[]): string {
  return `${row[PLACES.get("event_id")!]} ${row[PLACES.get("alert_id")!] ?? ""}`;
}
