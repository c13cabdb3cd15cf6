/**
 * Rules over several rows: joins, aggregates and subqueries as SQL over a bounded window of recent events in memory.
 *
 * Nothing runs by a timer. An event that passes a base predicate of a rule (`window_query.ts`) enters the rule's table and
 * makes the rule due; at the end of the batch its query runs once, over the rows later than the newest event's time less
 * the rule's window. Time is that of the events. A batch may span more than a moment (a backlog): a due rule is
 * therefore also evaluated before rows that its triggers could see leave the window, up to {@linkcode MAX_EXTRA} times a
 * batch. Past that it is evaluated whenever the time has moved by a {@linkcode GRAIN}th of the window, over a window that
 * is longer by no more than that: in a flood a rule may count a little too much, and misses nothing.
 *
 * A finding is one group of the query, or without GROUP BY one combination of events. It is raised once, and again when
 * an event a whole window later than the one it was raised for completes it again: what goes on for an hour is not
 * hundreds of alerts, and not a single one either.
 *
 * Bounded: rows and bytes of all tables together, the time of an evaluation, the rows of a result. Whatever a bound, a late
 * event or a jump of the clock keeps out of a verdict is a reason with it.
 *
 * A batch is taken over as a whole: what {@linkcode WindowLane.judge} did is kept by {@linkcode WindowLane.commit}, and
 * undone when another batch begins without that. Without rules there is no lane, and no database.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { authorizeReads, type DeadlineViews, openDeadlineViews, READ_LIMITS } from "./authorizer.ts";
import { bounded } from "./evidence.ts";
import type { PlanStep } from "./plan.ts";
import { columnAt, columnsOf } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { programOf } from "./program.ts";
import { RowView } from "./row_view.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import type { ValidatedRule } from "./rule.ts";
import { StreamIndex } from "./stream_index.ts";
import { UNDECIDED } from "./undecided.ts";
import { AHEAD, CAPPED, keyOf, LATE, readable, SLOW, WENT_BACK, type WindowEvaluation } from "./window_evaluation.ts";
import { WindowTable } from "./window_table.ts";

export const DEFAULT_WINDOW_ROWS = 200_000;
/** Bytes of all tables together, of which the rows that fit follow where they are long. */
export const DEFAULT_WINDOW_BYTES = 48 << 20;
/** An event may be so much later than this host's clock says; one that is more is left out. */
export const MAX_AHEAD_MS = 60_000;
/** Evaluations of a rule within a batch, beside the one at its end, each because rows are about to leave. */
const MAX_EXTRA = 16;
const GRAIN = 20;
/** Rows between two chances to do something else, or so much time. */
const ROWS_PER_STEP = 32, STEP_MS = 5;
/** After a row that took so long, it is measured which rule takes how long for the rest of the batch. */
const SLOW_ROW_MS = 1;
/** Of what a rule may take, the part that it may take while it is taken out. */
const PAUSED_SHARE = 10;
/** Findings of one rule that are remembered as raised. */
const MAX_RAISED = 10_000;

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!;

export interface WindowLaneOptions {
  /** Most rows of all rules together. */
  readonly maxRows?: number;
  readonly maxBytes?: number;
  /** Milliseconds of one evaluation. */
  readonly deadlineMs: number;
  readonly costOf?: (rule: ValidatedRule) => RuleCost;
}

interface Watch {
  readonly rule: ValidatedRule;
  readonly table: WindowTable;
  readonly windowMs: number;
  readonly cost: RuleCost;
  due: boolean;
  /** The newest time when it became due. */
  dueAt: number;
  /** Index in the batch of the last row that it can use. */
  trigger: number;
  extra: number;
  /** Time for which a finding was raised last. */
  readonly raised: Map<string, number>;
  /** Times of what keeps verdicts from being whole, by reason. */
  readonly marks: Map<string, number>;
  /** Why its last evaluation was not whole. */
  cut: string | null;
  /** Milliseconds that its bases took of this batch, as far as that was measured. */
  spent: number;
  /** Most that they may. */
  limit: number;
}

export class WindowLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #views: DeadlineViews;
  readonly #watches: readonly Watch[];
  readonly #predicates: readonly { readonly watch: Watch; readonly bit: number; readonly matches: Predicate }[];
  readonly #index: StreamIndex;
  readonly #view: RowView;
  readonly #pages: StatementSync;
  readonly #maxRows: number;
  readonly #maxBytes: number;
  readonly #deadlineMs: number;
  /** Time of the newest event; moves forward alone. */
  #newest = -Infinity;
  #keptNewest = -Infinity;
  /** Arrival of the next row, and of the next that is restored: those came before. */
  #arrival = 1;
  #restored = 0;
  /** What was raised in the batch that is not kept yet: the watch, the key, and what was there before. */
  #undo: { watch: Watch; key: string; before: number | undefined }[] = [];
  #isOpen = false;
  #isMeasured = false;
  /** Which batch has the transaction: one that was given up between two steps must not go on in another's. */
  #batch = 0;

  /** @throws Error of SQLite when its own gate does not let a rule pass */
  constructor(rules: readonly ValidatedRule[], options: WindowLaneOptions) {
    const { costOf = newRuleCost, maxRows = DEFAULT_WINDOW_ROWS, maxBytes = DEFAULT_WINDOW_BYTES } = options;
    this.#maxRows = maxRows;
    this.#maxBytes = maxBytes;
    this.#deadlineMs = options.deadlineMs;
    this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    try {
      this.#db.exec("PRAGMA temp_store = MEMORY");
      this.#watches = rules.map((rule, i) => ({
        rule,
        table: new WindowTable(this.#db, rule, `window_${i}`),
        windowMs: rule.windowMs!,
        cost: costOf(rule),
        due: false,
        dueAt: 0,
        trigger: 0,
        extra: 0,
        raised: new Map(),
        marks: new Map(),
        cut: null,
        spent: 0,
        limit: options.deadlineMs,
      }));
      const tables = this.#watches.flatMap(({ table }) => table.shapes);
      this.#views = openDeadlineViews(this.#db, tables);
      this.#pages = this.#db.prepare(
        "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count) AS n",
      );
      authorizeReads(this.#db, {
        tables: new Map(tables.map(({ name, columns }) => [name, new Set(columns.map((column) => column.name))])),
        functions: "query",
        views: this.#views,
      });
      for (const { table } of this.#watches) table.prepare(this.#views);
      this.#db.setAuthorizer(null);
    } catch (error) {
      this.#db.close();
      throw error;
    }
    const bases = this.#watches.flatMap((watch) =>
      watch.table.query.bases.map((form, base) => ({ watch, form, bit: 1 << base }))
    );
    this.#predicates = bases.map(({ watch, form, bit }) => ({ watch, bit, matches: programOf(form).predicate }));
    this.#index = new StreamIndex(bases.map(({ form }) => programOf(form).terms));
    const places = new Set<number>();
    for (const { form } of bases) columnsOf(form, places);
    this.#view = new RowView([...places].filter((place) => columnAt(place).type === "TEXT"));
  }

  /** Rows of all tables together; a row that several rules use counts for each. */
  get rows(): number {
    return this.#watches.reduce((sum, { table }) => sum + table.rows, 0);
  }

  /** Bytes of all tables together. */
  get bytes(): number {
    return Number(this.#pages.get()!["n"]) * 4_096;
  }

  /** The longest window of its rules, in milliseconds. */
  get windowMs(): number {
    return Math.max(0, ...this.#watches.map(({ windowMs }) => windowMs));
  }

  /** Time of the newest event, `-Infinity` before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Columns of `process_events` that rows must have to be judged here. */
  get columns(): ReadonlySet<string> {
    const columns = new Set<string>();
    for (const { table: { query } } of this.#watches) {
      for (const column of query.columns) columns.add(column);
      for (const base of query.bases) for (const place of columnsOf(base)) columns.add(columnAt(place).name);
    }
    return columns;
  }

  /** How SQLite goes about the query of a rule; empty when it is not here. */
  planOf(rule: ValidatedRule): readonly PlanStep[] {
    return this.#watches.find((each) => each.rule.id === rule.id)?.table.plan ?? [];
  }

  /** Why the verdict of a rule is not whole now; empty when it is. */
  reasons(rule: ValidatedRule): readonly string[] {
    const watch = this.#watches.find((each) => each.rule.id === rule.id);
    return watch === undefined ? [] : this.#reasonsOf(watch);
  }

  /**
   * Judges a batch, with room for other work between the steps. `now` is this host's clock; `paused` are rules that see
   * the rows and are not evaluated. Ends with a transaction open: {@linkcode WindowLane.commit} keeps what was done.
   */
  *judge(
    rows: readonly (readonly SqlValue[])[],
    now: number,
    out: WindowEvaluation,
    paused: ReadonlySet<string> = new Set(),
  ): Generator<void> {
    this.rollback();
    this.#db.exec("BEGIN");
    this.#isOpen = true;
    const base = this.#arrival, batch = this.#batch;
    this.#arrival += rows.length;
    if (this.#newest > now + MAX_AHEAD_MS) this.#beginAnew(now + MAX_AHEAD_MS);
    for (const watch of this.#watches) {
      watch.extra = watch.spent = 0;
      // One that was taken out, perhaps for this, must not slow every batch down
      watch.limit = paused.has(watch.rule.id) ? this.#deadlineMs / PAUSED_SHARE : this.#deadlineMs;
    }
    this.#isMeasured = false;
    const due = new Set<Watch>();
    let stepped = performance.now(), looked = stepped;
    for (let row = 0; row < rows.length; row++) {
      if (row > 0 && (row % ROWS_PER_STEP === 0 || looked - stepped > STEP_MS)) {
        yield;
        if (batch !== this.#batch) return;
        stepped = looked = performance.now();
      }
      const cells = rows[row]!, time = cells[TIME] as number;
      const isAhead = time > now + MAX_AHEAD_MS;
      if (time > this.#newest && !isAhead) {
        for (const watch of due) {
          if (!leavesTooMuch(watch, time)) continue;
          watch.extra += 1;
          due.delete(watch);
          this.#evaluate(watch, rows, base, out);
          yield;
          if (batch !== this.#batch) return;
        }
        this.#newest = time;
      }
      const wanting = this.#wanting(cells), after = performance.now();
      if (after - looked > SLOW_ROW_MS) this.#isMeasured = true;
      looked = after;
      if (this.#isMeasured) this.#leaveOutSlow(rows.length - 1 - row, out);
      for (const [watch, bases] of wanting) {
        if (isAhead) {
          out.ahead += 1;
          watch.marks.set(AHEAD, this.#newest);
          continue;
        }
        if (time <= this.#newest - watch.windowMs) {
          out.late += 1;
          watch.marks.set(LATE, this.#newest);
          continue;
        }
        watch.table.insert(cells, base + row, bases);
        watch.trigger = row;
        if (due.has(watch) || paused.has(watch.rule.id)) continue;
        due.add(watch);
        watch.dueAt = this.#newest;
      }
      if (wanting.size > 0 && this.rows > this.#maxRows) this.#shrink();
    }
    for (const watch of due) {
      this.#evaluate(watch, rows, base, out);
      yield;
      if (batch !== this.#batch) return;
    }
    this.#tidy();
  }

  /** Keeps what the last batch did. */
  commit(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#db.exec("COMMIT");
    this.#undo = [];
    this.#keptNewest = this.#newest;
  }

  /** Undoes what the last batch did, unless it was kept. */
  rollback(): void {
    this.#batch += 1;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#db.exec("ROLLBACK");
    for (const { watch, key, before } of this.#undo.reverse()) {
      if (before === undefined) watch.raised.delete(key);
      else watch.raised.set(key, before);
    }
    this.#undo = [];
    this.#newest = this.#keptNewest;
    for (const { table } of this.#watches) table.recount();
  }

  /** Forgets everything, to be filled from a store: {@linkcode WindowLane.restore}, newest rows first. */
  clear(newest: number): void {
    this.rollback();
    for (const watch of this.#watches) {
      watch.table.clear();
      watch.raised.clear();
      watch.marks.clear();
      watch.cut = null;
    }
    this.#newest = this.#keptNewest = newest;
  }

  /** Takes a row that was judged before a restart. Says no when there is no room for more. */
  restore(cells: readonly SqlValue[]): boolean {
    const time = cells[TIME] as number;
    for (const [watch, bases] of this.#wanting(cells)) {
      if (time > this.#newest - watch.windowMs) watch.table.insert(cells, this.#restored--, bases);
    }
    return this.rows < this.#maxRows && (this.#restored % 1_024 !== 0 || this.bytes < this.#maxBytes);
  }

  /** Takes a finding that was raised before a restart. */
  restoreRaised(ruleId: string, key: string, time: number): void {
    const watch = this.#watches.find(({ rule }) => rule.id === ruleId);
    if (watch !== undefined && !(watch.raised.get(key)! >= time)) watch.raised.set(key, time);
  }

  /** From here on verdicts have this reason against them, until `time` has left the window. */
  mark(reason: string, time: number, ruleId: string | null = null): void {
    for (const watch of this.#watches) {
      if (ruleId === null || watch.rule.id === ruleId) watch.marks.set(reason, time);
    }
  }

  /** Takes over what the verdicts of another lane, whose place this one takes, had against them. */
  inherit(other: WindowLane): void {
    for (const { rule, marks, cut } of other.#watches) {
      const watch = this.#watches.find((each) => each.rule.id === rule.id);
      if (watch === undefined) continue;
      for (const [reason, time] of marks) if (!(watch.marks.get(reason)! >= time)) watch.marks.set(reason, time);
      if (watch.rule.hash === rule.hash) watch.cut = cut;
    }
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  /** The rules that can use a row, each with the bits of the bases that it meets. */
  #wanting(cells: readonly SqlValue[]): ReadonlyMap<Watch, number> {
    const { always } = this.#index, view = this.#view;
    view.load(cells);
    const { ids, count } = this.#index.find(view.cells);
    if (count + always.length === 0) return NOBODY;
    const wanting = new Map<Watch, number>();
    for (let i = 0; i < count + always.length; i++) {
      const { watch, bit, matches } = this.#predicates[i < count ? ids[i]! : always[i - count]!]!;
      if (watch.spent > watch.limit) continue;
      const began = this.#isMeasured ? performance.now() : 0;
      let isMet: boolean;
      try {
        isMet = matches(view);
      } catch (error) {
        if (error !== UNDECIDED && !(error instanceof RangeError)) throw error;
        isMet = true; // the query itself will tell
      }
      if (isMet) wanting.set(watch, (wanting.get(watch) ?? 0) | bit);
      if (this.#isMeasured) watch.spent += performance.now() - began;
    }
    return wanting;
  }

  /** A rule whose bases have taken their time sees no more of the batch: so long nobody else was judged. */
  #leaveOutSlow(left: number, out: WindowEvaluation): void {
    for (const watch of this.#watches) {
      const { rule, limit } = watch;
      if (!(watch.spent > limit) || watch.spent === Infinity) continue;
      watch.spent = Infinity;
      if (left === 0) continue;
      watch.marks.set(SLOW, this.#newest);
      if (limit < this.#deadlineMs) continue;
      out.faults.push({
        rule,
        rows: left,
        reason: `its conditions on one event took ${limit} ms of a batch`,
        timedOut: true,
      });
    }
  }

  #evaluate(watch: Watch, rows: readonly (readonly SqlValue[])[], base: number, out: WindowEvaluation): void {
    const { rule, table, cost, raised } = watch;
    // Rows that its first trigger could see stay until now: see leavesTooMuch().
    table.evict(watch.dueAt - watch.windowMs);
    if (!table.isEnough) {
      watch.cut = null;
      out.evaluated.add(rule);
      return;
    }
    const { rows: results, fault, ms } = table.evaluate(this.#views, this.#deadlineMs);
    cost.evaluations += 1;
    cost.rows += table.rows;
    cost.cpuMs += ms;
    cost.matches += results.length;
    watch.cut = fault?.reason ?? null;
    if (fault === null) out.evaluated.add(rule);
    else out.faults.push({ rule, rows: table.rows, ...fault });
    const { key: places, newest, outputs } = table.query;
    for (const result of results) {
      const arrival = newest === null ? -1 : Number(result[newest]);
      const row = arrival >= base ? arrival - base : watch.trigger;
      const time = rows[row]![TIME] as number, key = keyOf(places.map((place) => result[place]!));
      const before = raised.get(key);
      if (before !== undefined && time < before + watch.windowMs) {
        out.suppressed += 1;
        continue;
      }
      this.#undo.push({ watch, key, before });
      raised.delete(key);
      raised.set(key, time);
      const evidence = Object.fromEntries(outputs.map((name, place) => [name, bounded(readable(result[place]!))]));
      out.findings.push({ rule, row, key, time, evidence, reasons: this.#reasonsOf(watch) });
    }
  }

  #reasonsOf({ marks, cut, windowMs }: Watch): string[] {
    const reasons: string[] = [];
    for (const [reason, time] of marks) {
      if (time > this.#newest - windowMs) reasons.push(reason);
      else marks.delete(reason);
    }
    if (cut !== null) reasons.push(`its last evaluation was not whole: ${cut}`);
    return reasons;
  }

  /** Drops the oldest tenth of the largest table. */
  #shrink(): void {
    const [largest] = [...this.#watches].sort((a, b) => b.table.rows - a.table.rows);
    const { table, marks } = largest!, until = table.tenth;
    if (until === null) return;
    table.evict(until);
    marks.set(CAPPED, until);
  }

  /** What left the windows of rules that were not due, findings that may be raised again, and the bound of bytes. */
  #tidy(): void {
    for (const { table, windowMs, raised } of this.#watches) {
      if (table.oldest <= this.#newest - windowMs * 1.25) table.evict(this.#newest - windowMs);
      if (raised.size <= MAX_RAISED) continue;
      for (const [key, time] of raised) if (time <= this.#newest - windowMs) raised.delete(key);
      // One that is forgotten early is raised twice rather than not at all.
      for (const key of raised.keys()) {
        if (raised.size <= MAX_RAISED) break;
        raised.delete(key);
      }
    }
    while (this.rows > 0 && this.bytes > this.#maxBytes) this.#shrink();
  }

  /** The host's clock was set back: what is later than it would keep everything that comes out of the windows. */
  #beginAnew(until: number): void {
    this.#newest = until;
    for (const { table, raised, marks } of this.#watches) {
      table.evictAfter(until);
      for (const [key, time] of raised) if (time > until) raised.delete(key);
      marks.clear();
      marks.set(WENT_BACK, until);
    }
  }
}

const NOBODY: ReadonlyMap<Watch, number> = new Map();

/** Whether a rule that is due must be evaluated before the newest time becomes this one. */
function leavesTooMuch({ table, windowMs, dueAt, extra }: Watch, time: number): boolean {
  if (table.oldest > time - windowMs) return false;
  return extra < MAX_EXTRA || time - dueAt > windowMs / GRAIN;
}
