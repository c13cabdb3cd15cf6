/**
 * Rules over several rows: joins, aggregates and subqueries as SQL over a bounded window of recent events in memory.
 *
 * Nothing runs by a timer. An event that passes a base predicate of a rule (`window_query.ts`) enters the rule's table and
 * makes the rule due; at the end of the batch its query runs once, over the rows later than the newest event's time less
 * the rule's window. Time is that of the events. A batch may span more than a moment (a backlog): a due rule is therefore
 * also evaluated before rows that its triggers could see leave the window, a few times a batch (`window_watch.ts`). Past
 * that it is evaluated whenever the time has moved by a part of the window, over a window that is longer by no more than
 * that: in a flood a rule may count a little too much, and misses nothing.
 *
 * A finding is one group of the query, or without GROUP BY one combination of events. It is raised once, and again when
 * an event a whole window later than the one it was raised for completes it again: what goes on for an hour is not
 * hundreds of alerts, and not a single one either.
 *
 * Bounded: rows and bytes of all tables together, the time of an evaluation, the rows of a result. Whatever a bound, a late
 * event or a jump of the clock keeps out of a verdict is a reason with it.
 *
 * An event that an exception covers does not enter the table: for the rule it did not happen, whatever batch it came in.
 *
 * A batch is taken over as a whole: what {@linkcode WindowLane.judge} did is kept by {@linkcode WindowLane.commit}, and
 * undone when another batch begins without that. Without rules there is no lane, and no database.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { allSteps } from "../steps.ts";
import { authorizeReads, READ_LIMITS } from "./authorizer.ts";
import { openingDeadlineViews } from "./deadline_views.ts";
import { CorrelationTable } from "./correlation_table.ts";
import type { PlanStep } from "./plan.ts";
import { columnAt, columnsOf } from "./predicate.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import type { ValidatedRule } from "./rule.ts";
import { type SeenChanges, type SeenMemory, SeenTable } from "./seen_table.ts";
import { filtersOf, SuppressorJudge, type SuppressorsOf } from "./suppressor.ts";
import { leaveOutSlow, WindowBases } from "./window_bases.ts";
import { AHEAD, FILES_CUT, LATE, type WindowEvaluation } from "./window_evaluation.ts";
import { WindowTable } from "./window_table.ts";
import { Watch } from "./window_watch.ts";

const DEFAULT_WINDOW_ROWS = 200_000;
/** Bytes of all tables together, of which the rows that fit follow where they are long. */
const DEFAULT_WINDOW_BYTES = 48 << 20;
/** An event may be so much later than this host's clock says; one that is more is left out. */
export const MAX_AHEAD_MS = 60_000;
/** Rows between two chances to do something else, or so much time. */
const ROWS_PER_STEP = 32, STEP_MS = 5;
/** After a row that took so long, it is measured which rule takes how long for the rest of the batch. */
const SLOW_ROW_MS = 1;
/** Of what a rule may take, the part that it may take while it is taken out. */
const PAUSED_SHARE = 10;

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!;

export interface WindowLaneOptions {
  /** Most rows of all rules together. */
  readonly maxRows?: number;
  readonly maxBytes?: number;
  /** Milliseconds of one evaluation. */
  readonly deadlineMs: number;
  readonly costOf?: (rule: ValidatedRule) => RuleCost;
  /** What keeps events out of windows. */
  readonly suppressorsOf?: SuppressorsOf;
}

/** What a lane is made of, and takes long to make. */
interface Parts {
  readonly db: DatabaseSync;
  readonly watches: readonly Watch[];
  readonly bases: WindowBases;
}

function* partsOf(
  rules: readonly ValidatedRule[],
  { costOf = newRuleCost, deadlineMs, suppressorsOf = filtersOf }: WindowLaneOptions,
): Generator<void, Parts> {
  const suppressors = yield* SuppressorJudge.building(rules, suppressorsOf);
  const db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  let isWhole = false;
  try {
    db.exec("PRAGMA temp_store = MEMORY");
    const watches: Watch[] = [];
    for (const rule of rules) {
      watches.push(new Watch(db, rule, `window_${watches.length}`, costOf(rule), deadlineMs));
      yield;
    }
    const bases = yield* WindowBases.building(watches, suppressors);
    const asked = watches.map(({ table }) => table).filter((table) => table instanceof WindowTable);
    const shapes = asked.flatMap((table) => [...table.shapes]);
    const views = yield* openingDeadlineViews(db, shapes, () => null, 1, false);
    authorizeReads(db, {
      tables: new Map(shapes.map(({ name, columns }) => [name, new Set(columns.map((column) => column.name))])),
      functions: "query",
      views,
    });
    for (const table of asked) {
      table.prepare(views);
      yield;
    }
    db.setAuthorizer(null);
    isWhole = true;
    return { db, watches, bases };
  } finally {
    // Who gives up between two steps, and a rule that SQLite does not take, leave no database open
    if (!isWhole) db.close();
  }
}

export class WindowLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #watches: readonly Watch[];
  readonly #bases: WindowBases;
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
  /** Which batch has the transaction: one that was given up between two steps must not go on in another's. */
  #batch = 0;

  /**
   * Makes a lane at once; {@linkcode WindowLane.building} does so in steps.
   *
   * @throws Error of SQLite when its own gate does not let a rule pass
   */
  constructor(
    rules: readonly ValidatedRule[],
    options: WindowLaneOptions,
    { db, watches, bases }: Parts = allSteps(partsOf(rules, options)),
  ) {
    const { maxRows = DEFAULT_WINDOW_ROWS, maxBytes = DEFAULT_WINDOW_BYTES } = options;
    this.#maxRows = maxRows;
    this.#maxBytes = maxBytes;
    this.#deadlineMs = options.deadlineMs;
    this.#db = db;
    this.#watches = watches;
    this.#bases = bases;
    this.#pages = db.prepare(
      "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count) AS n",
    );
  }

  /** Makes a lane in steps of one rule. @throws Error of SQLite when its own gate does not let a rule pass */
  static *building(rules: readonly ValidatedRule[], options: WindowLaneOptions): Generator<void, WindowLane> {
    return new WindowLane(rules, options, yield* partsOf(rules, options));
  }

  /** Rows of all tables together; a row that several rules use counts for each. */
  get rows(): number {
    return this.#watches.reduce((sum, { table }) => sum + table.rows, 0);
  }

  /** Bytes of all tables together. */
  get bytes(): number {
    return this.#watches.reduce((sum, { table }) => sum + table.bytes, Number(this.#pages.get()!["n"]) * 4_096);
  }

  /** How far back events are of use to one of its rules, in milliseconds. */
  get windowMs(): number {
    return Math.max(0, ...this.#watches.map(({ keepMs }) => keepMs));
  }

  /** Time of the newest event, `-Infinity` before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Columns of `process_events` that rows must have to be judged here. */
  get columns(): ReadonlySet<string> {
    const columns = new Set(this.#bases.columns);
    for (const { table } of this.#watches) {
      for (const column of table.columns) columns.add(column);
      for (const base of table.bases) for (const place of columnsOf(base)) columns.add(columnAt(place).name);
    }
    return columns;
  }

  /** How SQLite goes about the query of a rule; empty when it is not here. */
  planOf(rule: ValidatedRule): readonly PlanStep[] {
    const table = this.#watches.find((each) => each.rule.id === rule.id)?.table;
    return table instanceof WindowTable ? table.plan : [];
  }

  /** Why the verdict of a rule is not whole now; empty when it is. */
  reasons(rule: ValidatedRule): readonly string[] {
    const watch = this.#watches.find((each) => each.rule.id === rule.id);
    return watch?.reasons(this.#newest) ?? [];
  }

  /**
   * Judges a batch, with room for other work between the steps. `now` is this host's clock; `paused` are rules that see
   * the rows and are not evaluated. `passed` is the time up to which no further event is expected, later than that of the
   * newest one on a quiet host. Ends with a transaction open: {@linkcode WindowLane.commit} keeps what was done.
   */
  *judge(
    rows: readonly (readonly SqlValue[])[],
    now: number,
    out: WindowEvaluation,
    paused: ReadonlySet<string> = new Set(),
    passed = -Infinity,
  ): Generator<void> {
    this.rollback();
    this.#db.exec("BEGIN");
    this.#isOpen = true;
    const base = this.#arrival, batch = this.#batch, bases = this.#bases;
    this.#arrival += rows.length;
    if (this.#newest > now + MAX_AHEAD_MS) this.#beginAnew(now + MAX_AHEAD_MS);
    for (const watch of this.#watches) {
      if (rows.length > 0) watch.table.begin(Math.min(rows[0]![TIME] as number, now));
      watch.extra = watch.spent = 0;
      // One that was taken out, perhaps for this, must not slow every batch down
      watch.limit = paused.has(watch.rule.id) ? this.#deadlineMs / PAUSED_SHARE : this.#deadlineMs;
    }
    this.#bases.isMeasured = false;
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
          if (!watch.leavesTooMuch(time)) continue;
          watch.extra += 1;
          due.delete(watch);
          this.#evaluate(watch, rows, base, time, out);
          yield;
          if (batch !== this.#batch) return;
        }
        this.#newest = time;
      }
      const wanting = bases.wanting(cells, this.#newest), after = performance.now();
      if (after - looked > SLOW_ROW_MS) bases.isMeasured = true;
      looked = after;
      if (bases.isMeasured) {
        const left = rows.length - 1 - row;
        leaveOutSlow(this.#watches, { left, newest: this.#newest, deadlineMs: this.#deadlineMs }, out);
      }
      for (const [watch, met] of wanting) {
        const kept = bases.unsuppressed(watch, met, cells, out);
        if (kept === 0) continue;
        if (isAhead) {
          out.ahead += 1;
          watch.marks.set(AHEAD, this.#newest);
          continue;
        }
        if (time <= this.#newest - watch.windowMs && !watch.table.takesLate) {
          out.late += 1;
          watch.marks.set(LATE, this.#newest);
          continue;
        }
        watch.table.insert(cells, base + row, kept);
        if (watch.table instanceof CorrelationTable && watch.table.isCut) {
          watch.table.isCut = false;
          watch.marks.set(FILES_CUT, this.#newest);
        }
        watch.trigger = row;
        if (due.has(watch) || paused.has(watch.rule.id)) continue;
        due.add(watch);
        watch.dueAt = this.#newest;
      }
      if (wanting.size > 0 && this.rows > this.#maxRows) this.#shrink();
    }
    const reached = Math.max(this.#newest, passed);
    for (const watch of this.#watches) {
      if (watch.table.due <= reached && !paused.has(watch.rule.id)) due.add(watch);
    }
    for (const watch of due) {
      this.#evaluate(watch, rows, base, reached, out);
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
    for (const { table } of this.#watches) table.keep();
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
    for (const { table } of this.#watches) table.undo();
  }

  /** Forgets everything, to be filled from a store: {@linkcode WindowLane.restore}, newest rows first. */
  clear(newest: number): void {
    this.rollback();
    for (const watch of this.#watches) watch.clear(newest);
    this.#newest = this.#keptNewest = newest;
  }

  /** Takes a row that was judged before a restart. Says no when there is no room for more. */
  restore(cells: readonly SqlValue[]): boolean {
    const time = cells[TIME] as number;
    for (const [watch, met] of this.#bases.wanting(cells, this.#newest)) {
      const kept = this.#bases.unsuppressed(watch, met, cells, null);
      if (kept === 0) continue;
      if (time > this.#newest - watch.keepMs) watch.table.insert(cells, this.#restored--, kept);
    }
    return this.rows < this.#maxRows && (this.#restored % 1_024 !== 0 || this.bytes < this.#maxBytes);
  }

  /** Takes a finding that was raised before a restart. */
  restoreRaised(ruleId: string, key: string, time: number): void {
    const watch = this.#watches.find(({ rule }) => rule.id === ruleId);
    if (watch !== undefined && !(watch.raised.get(key)! >= time)) watch.raised.set(key, time);
  }

  /** What values the rules remember anew, to be stored with the batch that was judged. */
  get seenChanges(): readonly SeenChanges[] {
    return this.#seenTables.map(({ changes }) => changes).filter((changes) => changes !== null);
  }

  /** Gives a rule back what it remembers. Says no when no rule remembers such values. */
  restoreSeen(memory: SeenMemory, values: Iterable<readonly [string, number]>): boolean {
    const watch = this.#watches.find(({ rule }) => rule.id === memory.ruleId);
    return watch?.table instanceof SeenTable && watch.table.restore(memory, values);
  }

  get #seenTables(): readonly SeenTable[] {
    return this.#watches.map(({ table }) => table).filter((table) => table instanceof SeenTable);
  }

  /** The time at which an evaluation is due though no event comes; `Infinity` when none is. */
  get due(): number {
    return Math.min(Infinity, ...this.#watches.map(({ table }) => table.due));
  }

  /** From here on verdicts have this reason against them, until `time` has left the window. */
  mark(reason: string, time: number, ruleId: string | null = null): void {
    for (const watch of this.#watches) {
      if (ruleId === null || watch.rule.id === ruleId) watch.marks.set(reason, time);
    }
  }

  /** Takes over what the verdicts of another lane, whose place this one takes, had against them. */
  inherit(other: WindowLane): void {
    for (const before of other.#watches) {
      this.#watches.find((each) => each.rule.id === before.rule.id)?.inherit(before);
    }
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #evaluate(
    watch: Watch,
    rows: readonly (readonly SqlValue[])[],
    base: number,
    reached: number,
    out: WindowEvaluation,
  ): void {
    const { rule, table, cost, raised } = watch;
    // Rows that its first trigger could see stay until now: see Watch.leavesTooMuch().
    if (table instanceof WindowTable) table.evict(watch.dueAt - watch.windowMs);
    if (!table.isEnough) {
      table.settle();
      watch.cut = null;
      out.evaluated.add(rule);
      return;
    }
    const { found, suppressed, fault, ms } = table.evaluate(this.#deadlineMs, reached, (key) => raised.get(key));
    cost.evaluations += 1;
    cost.rows += table.rows;
    cost.cpuMs += ms;
    cost.matches += found.length + suppressed;
    out.suppressed += suppressed;
    watch.cut = fault?.reason ?? null;
    if (fault === null) out.evaluated.add(rule);
    else out.faults.push({ rule, rows: table.rows, ...fault });
    for (const { key, arrival, cells: before, evidence } of found) {
      const row = before === null ? arrival !== null && arrival >= base ? arrival - base : watch.trigger : null;
      const cells = before ?? rows[row!]!, time = cells[TIME] as number, last = raised.get(key);
      if (last !== undefined && time < last + watch.windowMs) {
        out.suppressed += 1;
        continue;
      }
      this.#undo.push({ watch, key, before: last });
      raised.delete(key);
      raised.set(key, time);
      out.findings.push({ rule, row, cells, key, time, evidence: evidence(), reasons: watch.reasons(this.#newest) });
    }
  }

  /** Drops the oldest tenth of the largest table. */
  #shrink(): void {
    const [largest] = [...this.#watches].sort((a, b) => b.table.rows - a.table.rows);
    largest!.shrink();
  }

  #tidy(): void {
    for (const watch of this.#watches) watch.tidy(this.#newest);
    // What values take is bounded by their number
    const seen = this.#seenTables.reduce((sum, { bytes }) => sum + bytes, 0);
    while (this.rows > 0 && this.bytes - seen > this.#maxBytes) this.#shrink();
  }

  #beginAnew(until: number): void {
    this.#newest = until;
    for (const watch of this.#watches) watch.goBack(until);
  }
}
