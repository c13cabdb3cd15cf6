/**
 * Judges stored events by a rule, a short time of them after another.
 *
 * SQLite over the stored rows is what a rule means, and was measured to be two to three times as fast here as the rule's
 * predicate over rows that SQLite hands out, most of whose time is the handing out. Each slice is one statement of some
 * tenths of a second, so that no cursor holds up the agent's log, and one knows how far it is.
 *
 * @module
 */
import type { RowQuery } from "../proto/rules/sql_guard.ts";
import type { Cell } from "./output.ts";
import { RowFaultError, type Store } from "./store_reader.ts";

/** How long one statement should take. */
const SLICE_MS = 150;
const FIRST_SPAN_MS = 1_000;
/** Slices with matches that are remembered for examples: each has one at least. */
const MAX_KEPT = 1_000;

export interface Example {
  readonly eventId: number;
  readonly time: number;
}

export interface Replay {
  /** Events that were looked at, and of them those that match. */
  readonly events: number;
  readonly matches: number;
  /** Events for which the condition cannot be computed, and the reason of the last. */
  readonly faults: number;
  readonly fault: string | null;
  /** Times of the first and the last event; `null` without one. */
  readonly from: number | null;
  readonly to: number | null;
  /** The time was up here: later events were not looked at. */
  readonly stopped: number | null;
  /** The newest matches, newest first. */
  readonly examples: readonly Example[];
}

export interface ReplayOptions {
  /** Unix milliseconds, both included. */
  readonly from: number;
  readonly until: number;
  readonly examples: number;
  readonly deadlineMs: number;
  /** Called after each slice with the share, 0 to 1, that is done, and what there is so far. */
  readonly progress: (share: number, events: number, matches: number) => void;
}

/** Judges every stored event of a time by a condition over one row that passed both gates. @throws StoreError */
export function replayRows(store: Store, query: RowQuery, options: ReplayOptions): Replay {
  const scan = new Scan(store, query), { from, until, deadlineMs, progress } = options;
  const edge = (order: "ASC" | "DESC"): number | null => {
    const row = store.first(
      `SELECT time FROM main.process_events WHERE time BETWEEN ? AND ? ORDER BY time ${order} LIMIT 1`,
      from,
      until,
    );
    return row === null ? null : Number(row[0]);
  };
  const first = edge("ASC"), last = edge("DESC");
  let at: number | null = first, width = FIRST_SPAN_MS, stopped: number | null = null;
  const began = performance.now();
  while (at !== null && last !== null && at <= last) {
    if (performance.now() - began > deadlineMs) {
      stopped = at;
      break;
    }
    const to: number = Math.min(at + width - 1, last), start = performance.now(), before = scan.events;
    scan.slice(at, to);
    const elapsed = performance.now() - start;
    progress((to - first! + 1) / (last - first! + 1), scan.events, scan.matches);
    if (elapsed < SLICE_MS / 2) width = Math.min(width * 2, Number.MAX_SAFE_INTEGER / 4);
    else if (elapsed > SLICE_MS * 2) width = Math.max(1, Math.ceil(width / 2));
    at = to + 1;
    // Nothing was there: go where there is something
    if (scan.events === before && at <= last) at = next(store, at, last);
  }
  const { events, matches, faults, fault } = scan;
  return { events, matches, faults, fault, from: first, to: last, stopped, examples: scan.newest(options.examples) };
}

function next(store: Store, from: number, to: number): number | null {
  const sql = "SELECT time FROM main.process_events WHERE time BETWEEN ? AND ? ORDER BY time LIMIT 1";
  const row = store.first(sql, from, to);
  return row === null ? null : Number(row[0]);
}

class Scan {
  events = 0;
  matches = 0;
  faults = 0;
  fault: string | null = null;
  readonly #store: Store;
  readonly #from: string;
  readonly #where: string;
  /** Times of slices that have matches, oldest first. */
  readonly #kept: (readonly [number, number])[] = [];

  constructor(store: Store, { alias, where }: RowQuery) {
    this.#store = store;
    this.#from = `FROM main.process_events AS "${alias}" WHERE "${alias}".time BETWEEN ?1 AND ?2`;
    // The line end closes a comment that ends the condition
    this.#where = `(${where}\n)`;
  }

  slice(from: number, to: number): void {
    let events: number, matches: number;
    try {
      const row = this.#store.first(
        `SELECT count(*), count(*) FILTER (WHERE ${this.#where}) ${this.#from}`,
        from,
        to,
      )!;
      [events, matches] = [Number(row[0]), Number(row[1])];
    } catch (error) {
      if (!(error instanceof RowFaultError)) throw error;
      if (from === to) return this.#oneByOne(from, error);
      const middle = Math.floor((from + to) / 2);
      this.slice(from, middle);
      return this.slice(middle + 1, to);
    }
    this.#found(events, matches, from, to);
  }

  /** Some event of this millisecond cannot be judged, and the others can. */
  #oneByOne(time: number, first: RowFaultError): void {
    const { rows: ids } = { rows: this.#store.rows("SELECT event_id FROM process_events WHERE time = ?", time) };
    let matches = 0;
    for (const [id] of ids) {
      try {
        const row = this.#store.first(
          `SELECT count(*) ${this.#from} AND event_id = ?3 AND ${this.#where}`,
          time,
          time,
          Number(id),
        );
        matches += Number(row![0]);
      } catch (error) {
        if (!(error instanceof RowFaultError)) throw error;
        this.faults += 1;
        this.fault = first.message;
      }
    }
    // Examples are asked for by the same statement, which would fail: this time gives none
    this.events += ids.length;
    this.matches += matches;
  }

  #found(events: number, matches: number, from: number, to: number): void {
    this.events += events;
    this.matches += matches;
    if (matches === 0) return;
    this.#kept.push([from, to]);
    if (this.#kept.length > MAX_KEPT) this.#kept.shift();
  }

  /** Newest first. */
  newest(most: number): Example[] {
    const found: Example[] = [];
    for (const [from, to] of this.#kept.toReversed()) {
      const left = most - found.length;
      if (left <= 0) break;
      const sql = `SELECT json_group_array(json_array(event_id, time)) FROM
        (SELECT event_id, time ${this.#from} AND ${this.#where} ORDER BY time DESC, event_id DESC LIMIT ?3)`;
      const row = this.#store.first(sql, from, to, left);
      const pairs = JSON.parse(String(row![0])) as [number, number][];
      found.push(...pairs.map(([eventId, time]) => ({ eventId, time })));
    }
    return found;
  }
}

/** What a rule shows of one event, by name; `null` when the event is not there any more. */
export function evidenceAt(store: Store, { alias, outputs }: RowQuery, eventId: number): Record<string, Cell> | null {
  const list = outputs.map(({ column, sql }) => column === null ? `(${sql}\n)` : `"${alias}"."${column}"`).join(", ");
  const row = store.first(
    `SELECT ${list} FROM main.process_events AS "${alias}" WHERE "${alias}".event_id = ?`,
    eventId,
  );
  return row === null ? null : Object.fromEntries(outputs.map(({ name }, i) => [name, row[i]!]));
}
