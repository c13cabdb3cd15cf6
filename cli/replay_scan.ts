/**
 * Judges stored events by a rule, a short time of them after another.
 *
 * Each slice is a few statements of some tenths of a second together, one for each partition that has events of that
 * time, so that no cursor holds up the agent's log, and one knows how far it is.
 *
 * @module
 */
import { formSql } from "../proto/rules/predicate_sql.ts";
import type { RowQuery } from "../proto/rules/sql_guard.ts";
import type { Suppressor } from "../proto/rules/suppressor.ts";
import type { Cell } from "./output.ts";
import { type Part, PartGoneError, partsWithin } from "./replay_part.ts";
import type { Store } from "./store_reader.ts";

/** How long one slice should take. */
const SLICE_MS = 150;
const FIRST_SPAN_MS = 1_000;
/** Slices with matches that are remembered for examples: each has one at least. */
const MAX_KEPT = 1_000;

export interface Example {
  readonly eventId: number;
  readonly time: number;
  /** What the rule shows of it, where that is known already. */
  readonly evidence?: Readonly<Record<string, Cell>>;
}

export interface Replay {
  /** Events that were looked at, and of them those that match. */
  readonly events: number;
  readonly matches: number;
  /** Events that match and that exceptions take; of a rule over a window, events that they keep out of it. */
  readonly excepted: number;
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
  /** What the operator has excepted. */
  readonly exceptions: readonly Suppressor[];
  /** Called after each slice with the share, 0 to 1, that is done, and what there is so far. */
  readonly progress: (share: number, events: number, matches: number) => void;
}

/** Judges every stored event of a time by a condition over one row that passed both gates. @throws StoreError */
export function replayRows(store: Store, query: RowQuery, options: ReplayOptions): Replay {
  const { from, until, deadlineMs, progress } = options, { alias, where, translation: { form } } = query;
  const items = options.exceptions.map((each) => each.form);
  const excepted = items.length === 0 ? null : formSql(items.length === 1 ? items[0]! : { kind: "or", items }, alias);
  const parts = partsWithin(store, { alias, where, excepted, form }, from, until), scan = new Scan(parts);
  const walk = slices(parts, deadlineMs, (start, end) => {
    const before = scan.events;
    scan.slice(start, end);
    return scan.events - before;
  });
  let step = walk.next();
  for (; !step.done; step = walk.next()) progress(step.value, scan.events, scan.matches);
  const { events, matches, excepted: taken, faults, fault } = scan, { first, last, stopped } = step.value;
  const counts = { events, matches, excepted: taken, faults, fault };
  return { ...counts, from: first, to: last, stopped, examples: scan.newest(options.examples) };
}

export interface Walked {
  readonly first: number | null;
  readonly last: number | null;
  readonly stopped: number | null;
}

/**
 * Goes over the time of some partitions in slices, both of whose ends are included; yields the share that is done.
 *
 * @param judge looks at a slice and says how many events it had
 */
export function* slices(
  parts: readonly Part[],
  deadlineMs: number,
  judge: (from: number, to: number) => number,
): Generator<number, Walked> {
  if (parts.length === 0) return { first: null, last: null, stopped: null };
  const first = Math.min(...parts.map((part) => part.first)), last = Math.max(...parts.map((part) => part.last));
  const began = performance.now();
  let width = FIRST_SPAN_MS;
  for (let at = first; at <= last;) {
    if (performance.now() - began > deadlineMs) return { first, last, stopped: at };
    const to = Math.min(at + width - 1, last), start = performance.now(), events = judge(at, to);
    const elapsed = performance.now() - start;
    yield (to - first + 1) / (last - first + 1);
    if (elapsed < SLICE_MS / 2) width = Math.min(width * 2, Number.MAX_SAFE_INTEGER / 4);
    else if (elapsed > SLICE_MS * 2) width = Math.max(1, Math.ceil(width / 2));
    at = to + 1;
    // Nothing was there: go where there is something
    if (events === 0 && at <= last) at = nextTime(parts, at, last) ?? last + 1;
  }
  return { first, last, stopped: null };
}

/** The time of the first event of the partitions between two times; `null` without one. */
export function nextTime(parts: readonly Part[], from: number, to: number): number | null {
  let next: number | null = null;
  for (const part of parts) {
    const time = part.last < from ? null : orGone(() => part.next(from, to)) ?? null;
    if (time !== null && (next === null || time < next)) next = time;
  }
  return next;
}

/** What is asked of a partition; `null` when retention has taken it meanwhile. */
export function orGone<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch (error) {
    if (error instanceof PartGoneError) return null;
    throw error;
  }
}

class Scan {
  events = 0;
  matches = 0;
  excepted = 0;
  faults = 0;
  fault: string | null = null;
  readonly #parts: readonly Part[];
  /** Slices that have matches, oldest first. */
  readonly #kept: { readonly part: Part; readonly from: number; readonly to: number }[] = [];

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
  }

  slice(from: number, to: number): void {
    for (const part of this.#parts) {
      if (part.last < from || part.first > to) continue;
      const found = orGone(() => part.count(from, to));
      if (found !== null) {
        this.events += found.events;
        this.matches += found.matches;
        this.excepted += found.excepted;
        this.faults += found.faults;
        this.fault = found.fault ?? this.fault;
        for (const times of found.found) this.#keep(part, ...times);
      }
      if (part.last <= to) part.close();
    }
  }

  #keep(part: Part, from: number, to: number): void {
    this.#kept.push({ part, from, to });
    if (this.#kept.length > MAX_KEPT) this.#kept.shift();
  }

  /** Newest first. */
  newest(most: number): Example[] {
    let found: Example[] = [];
    if (most === 0) return found;
    for (const { part, from, to } of this.#kept.toReversed()) {
      // Slices of several partitions may be of one time
      if (found.length >= most && found.at(-1)!.time > to) break;
      const rows = orGone(() => part.newest(["event_id", "time"], from, to, most)) ?? [];
      found.push(...rows.map(([eventId, time]) => ({ eventId: Number(eventId), time: Number(time) })));
      found = found.sort((a, b) => b.time - a.time || b.eventId - a.eventId).slice(0, most);
    }
    for (const { part } of this.#kept) part.close();
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
