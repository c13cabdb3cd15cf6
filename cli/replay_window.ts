/**
 * Judges stored events by a rule over several of them, as the agent would have: by its own lane, in the order of time.
 *
 * SQLite picks the events that can take part; the lane gets those and no others. It begins early enough for the first
 * window to be whole. What is asked about a rule of the type `first_seen` begins with what it would have learned.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { formsOf } from "../proto/rules/correlation.ts";
import { formSql } from "../proto/rules/predicate_sql.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import type { Cell } from "./output.ts";
import type { Replay, ReplayOptions } from "./replay_scan.ts";
import type { Store } from "./store_reader.ts";

/** How long one statement and its judgement should take, and the time that the first one spans. */
const SLICE_MS = 150, FIRST_SPAN_MS = 60_000;
/** Events that are judged at once. */
const BATCH = 1_000;
/** Time of one evaluation: nobody waits for this but who asked. */
const DEADLINE_MS = 10_000;

const PLACES = columnPlaces("process_events");
const WIDTH = tableNamed("process_events").columns.length;
const TIME = PLACES.get("time")!, EVENT_ID = PLACES.get("event_id")!;

/** What was found, and what each of the examples shows. */
export interface WindowReplay extends Replay {
  readonly evidence: ReadonlyMap<number, Record<string, Cell>>;
  /** Columns that the rule reads. */
  readonly columns: ReadonlySet<string>;
}

/** Judges every stored event of a time by a rule over several. @throws StoreError */
export function replayWindow(store: Store, rule: ValidatedRule, options: ReplayOptions): WindowReplay {
  const { from, until, deadlineMs, progress } = options;
  using lane = new WindowLane([rule], { deadlineMs: DEADLINE_MS, maxRows: 1_000_000, maxBytes: 1 << 30 });
  const { correlation, window } = rule, columns = lane.columns, names = [...columns];
  const places = names.map((name) => PLACES.get(name)!);
  const forms = window?.bases ?? formsOf(correlation!);
  const meets = forms.map((form) => formSql(form, "e")).join(" OR ");
  const before = correlation?.kind === "first_seen" ? correlation.windowMs : lane.windowMs;
  const edges = store.first(
    "SELECT min(time), max(time) FROM main.process_events WHERE time BETWEEN ? AND ?",
    from - before,
    until,
  );
  const [first, last] = edges === null || edges[0] === null ? [null, null] : [Number(edges[0]), Number(edges[1])];
  const range = store.first("SELECT min(time) FROM main.process_events WHERE time BETWEEN ? AND ?", from, until);
  const shown: { eventId: number; time: number; evidence: Record<string, Cell> }[] = [];
  let events = 0, matches = 0, faults = 0, fault: string | null = null, stopped: number | null = null;
  const judge = (rows: readonly (readonly SqlValue[])[], passed: number): void => {
    const out = newWindowEvaluation();
    for (const _ of lane.judge(rows, Infinity, out, new Set(), passed));
    lane.commit();
    for (const { reason } of out.faults) [faults, fault] = [faults + 1, reason];
    for (const { cells, time, evidence } of out.findings) {
      if (time < from) continue;
      matches += 1;
      shown.push({ eventId: cells[EVENT_ID] as number, time, evidence });
      if (shown.length > options.examples) shown.shift();
    }
  };
  const began = performance.now();
  let at = first, width = FIRST_SPAN_MS;
  while (at !== null && last !== null && at <= last) {
    if (performance.now() - began > deadlineMs) {
      stopped = at;
      break;
    }
    const to: number = Math.min(at + width - 1, last), start = performance.now();
    const rows = store.rows(
      `SELECT ${names.map((name) => `"e"."${name}"`).join(", ")} FROM main.process_events AS "e"
       WHERE "e".time BETWEEN ? AND ? AND (${meets}) ORDER BY "e".time, "e".event_id`,
      at,
      to,
    );
    const seen = store.first(
      "SELECT count(*) FROM main.process_events WHERE time BETWEEN ? AND ?",
      Math.max(at, from),
      to,
    );
    events += Number(seen![0]);
    for (let next = 0; next < rows.length; next += BATCH) judge(rows.slice(next, next + BATCH).map(cellsOf), -Infinity);
    // Time passes also where nothing can take part
    judge([], to);
    progress((to - first! + 1) / (last - first! + 1), events, matches);
    const elapsed = performance.now() - start;
    if (elapsed < SLICE_MS / 2) width = Math.min(width * 2, Number.MAX_SAFE_INTEGER / 4);
    else if (elapsed > SLICE_MS * 2) width = Math.max(1, Math.ceil(width / 2));
    at = to + 1;
  }
  if (stopped === null && last !== null) judge([], until);
  const newest = shown.toReversed();
  return {
    events,
    matches,
    faults,
    fault,
    from: range === null || range[0] === null ? null : Number(range[0]),
    to: last,
    stopped,
    examples: newest.map(({ eventId, time }) => ({ eventId, time })),
    evidence: new Map(newest.map(({ eventId, evidence }) => [eventId, evidence])),
    columns,
  };

  function cellsOf(row: readonly Cell[]): SqlValue[] {
    const cells: SqlValue[] = Array(WIDTH).fill(null);
    places.forEach((place, i) => {
      const value = row[i]!;
      cells[place] = typeof value === "bigint" ? Number(value) : value as SqlValue;
    });
    cells[TIME] = Number(cells[TIME]);
    return cells;
  }
}
