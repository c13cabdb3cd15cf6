/**
 * The lanes in which the agent's rules judge: rows one by one, rows of a window, and rows of collectors' tables.
 *
 * A lane that fails is noticed and costs its verdict on the batch, never the events. Other rules are made ready beside
 * those that judge, filled from the store, and put in their place between two batches.
 *
 * @module
 */
import type { SqlValue } from "../proto/event_row.ts";
import { CollectedLane } from "../proto/rules/collected_lane.ts";
import { formsOf } from "../proto/rules/correlation.ts";
import { RuleEngine, type RuleEngineOptions } from "../proto/rules/engine.ts";
import type { Evaluation } from "../proto/rules/evaluation.ts";
import { preparePrograms } from "../proto/rules/program.ts";
import type { RuleCost } from "../proto/rules/rule_cost.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { SeenChanges } from "../proto/rules/seen_table.ts";
import { newWindowEvaluation, type WindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import { allSteps } from "../proto/steps.ts";
import type { Counters } from "./counters.ts";
import type { Journal } from "./journal.ts";
import { type Pace, paced } from "./paced.ts";
import { PreparedRules, windowsOf } from "./prepared_rules.ts";
import type { LoadedRules } from "./loaded_rules.ts";
import type { CollectedRows } from "./store/collected_tables.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";
import type { Stream } from "./store/streams.ts";
import { refillingTables, tableRows } from "./table_windows.ts";
import { NOT_READ_BACK, refilling } from "./window_keeper.ts";

export interface RuleLanesOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
  /** Most rows of all windows together. */
  readonly windowRows?: number;
  readonly journal: Journal;
  readonly counters: Counters;
  readonly costOf: (rule: ValidatedRule) => RuleCost;
}

export class RuleLanes {
  #loaded: LoadedRules;
  readonly #options: RuleLanesOptions;
  #engine: RuleEngine;
  /** `null` without rules over windows: they cost nothing then. */
  #window: WindowLane | null;
  /** `null` without rules over tables of collectors. */
  #collected: CollectedLane | null;
  /** What the batch gave that is judged and not stored yet. */
  #pending: WindowEvaluation | null = null;
  /** Ids of rules that are taken out for a while. */
  #out: ReadonlySet<string> = new Set();

  constructor(loaded: LoadedRules, options: RuleLanesOptions) {
    this.#loaded = loaded;
    this.#options = options;
    this.#window = allSteps(this.#laneOf(loaded));
    this.#collected = this.#collectedOf(loaded);
    this.#engine = new RuleEngine(loaded.active.filter(isOverRow), this.#engineOptions(loaded));
  }

  /** Makes other rules ready: see {@linkcode Detection.prepare}. */
  *prepare(loaded: LoadedRules): Generator<void, PreparedRules> {
    const options = this.#engineOptions(loaded);
    yield* preparePrograms(
      loaded.active.flatMap(({ window, correlation }) =>
        window?.bases ?? (correlation === null ? [] : formsOf(correlation))
      ),
    );
    const engine = yield* RuleEngine.building(loaded.active.filter(isOverRow), options);
    let prepared: PreparedRules | null = null;
    try {
      const isSame = windowsOf(loaded) === windowsOf(this.#loaded);
      const window = isSame ? this.#window : yield* this.#laneOf(loaded);
      yield;
      return prepared = new PreparedRules(loaded, engine, window, isSame, this.#collectedOf(loaded));
    } finally {
      if (prepared === null) engine.close();
    }
  }

  /** Gives lanes that take the place of others the rows of the store. @throws StoreError */
  *refill({ window, isSameWindow, collected }: PreparedRules, store: Store, now: number): Generator<void> {
    if (collected !== null) yield* refillingTables(collected, store, now);
    if (isSameWindow || window === null) return;
    yield* this.#filling(window, store, now);
    if (this.#window !== null) window.inherit(this.#window);
  }

  /** From now on these judge, and all of them: see {@linkcode RuleLanes.pause}. */
  swap({ loaded, engine, window, isSameWindow, collected }: PreparedRules): void {
    this.#engine.close();
    this.#collected?.[Symbol.dispose]();
    this.#collected = collected;
    if (!isSameWindow) this.#window?.[Symbol.dispose]();
    this.#loaded = loaded;
    this.#engine = engine;
    this.#window = window;
    this.#pending = null;
  }

  /** Makes the windows what they were when the last batch was stored. @throws StoreError */
  *recovering(store: Store, now: number): Generator<void> {
    this.#pending = null;
    if (this.#collected !== null) {
      const fresh = this.#collectedOf(this.#loaded)!;
      yield* refillingTables(fresh, store, now);
      this.#collected[Symbol.dispose]();
      this.#collected = fresh;
    }
    if (this.#window !== null) yield* this.#filling(this.#window, store, now);
  }

  *#filling(window: WindowLane, store: Store, now: number): Generator<void> {
    const { journal } = this.#options;
    try {
      const { rows, ms, isCut } = yield* refilling(window, store, now);
      if (rows > 0) journal.say(`${rows} rows of the last events are in the windows of rules again, read in ${ms} ms`);
      if (isCut) {
        journal.notice(`the windows of rules were not read back whole: ${rows} rows in ${ms} ms were the most`);
      }
    } catch (error) {
      if (error instanceof StoreError) throw error;
      // What keeps a window from being filled, such as no memory, must not keep events from being stored.
      journal.notice(`the windows of rules were not read back: ${words(error)}`);
      window.mark(NOT_READ_BACK, now);
    }
  }

  /** The next batch begins: what was judged last and not stored is as if it never came. */
  begin(): void {
    this.#pending = null;
    this.#collected?.rollback();
  }

  async judgeRows(rows: readonly SqlValue[][], pace: Pace): Promise<Evaluation> {
    try {
      return await paced(this.#engine.steps(rows), pace);
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule judged a batch of ${rows.length} events: ${words(error)}`);
      return { hits: [], faults: [], suppressed: [] };
    }
  }

  /** `passed`: up to which no further event is expected. */
  async judgeWindows(
    rows: readonly SqlValue[][],
    now: number,
    pace: Pace,
    passed = -Infinity,
  ): Promise<WindowEvaluation> {
    this.#pending = null;
    const found = newWindowEvaluation(), lane = this.#window;
    if (lane === null) return found;
    try {
      await paced(lane.judge(rows, now, found, this.#out, passed), pace);
      return this.#pending = found;
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule over a window judged a batch of ${rows.length} events: ${words(error)}`);
      lane.rollback();
      lane.mark("a batch of events is not in the window", lane.newest);
      return newWindowEvaluation();
    }
  }

  async judgeTables(
    batch: readonly CollectedRows[],
    { collectorId }: Stream,
    now: number,
    pace: Pace,
  ): Promise<WindowEvaluation> {
    const found = newWindowEvaluation(), lane = this.#collected;
    if (lane === null || batch.length === 0) return found;
    try {
      await paced(lane.judge(tableRows(batch, collectorId, lane), now, found, this.#out), pace);
      return found;
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule over a collector's table judged a batch: ${words(error)}`);
      lane.rollback();
      lane.mark(batch.map(({ table }) => table));
      return newWindowEvaluation();
    }
  }

  /** The batch that was judged is stored: keeps what it did to the windows. */
  commit(): void {
    this.#collected?.commit();
    if (this.#pending === null) return;
    const { late, ahead, suppressed } = this.#pending, { counters } = this.#options;
    this.#window?.commit();
    counters.window_late += late;
    counters.window_ahead += ahead;
    counters.window_suppressed += suppressed;
    this.#pending = null;
  }

  /** What rules remember anew from the batch that was judged. */
  get seen(): readonly SeenChanges[] {
    return this.#pending === null ? [] : this.#window?.seenChanges ?? [];
  }

  /** These are out for a while and judge nothing, but for windows, which go on taking events. */
  pause(rules: readonly ValidatedRule[]): void {
    this.#out = new Set(rules.map(({ id }) => id));
    this.#engine.pause(new Set(rules));
  }

  /** Brings what rules cost up to date. */
  tally(): void {
    this.#engine.tally();
  }

  get window(): Pick<WindowLane, "due" | "newest" | "windowMs" | "rows" | "bytes" | "reasons" | "mark"> | null {
    return this.#window;
  }

  get collected(): Pick<CollectedLane, "reasons"> | null {
    return this.#collected;
  }

  close(): void {
    this.#engine.close();
    this.#window?.[Symbol.dispose]();
    this.#collected?.[Symbol.dispose]();
  }

  #engineOptions({ exceptions }: LoadedRules): RuleEngineOptions {
    const { deadlineMs, costOf } = this.#options;
    return { deadlineMs, costOf, suppressorsOf: exceptions.of };
  }

  *#laneOf({ active, exceptions }: LoadedRules): Generator<void, WindowLane | null> {
    const { deadlineMs, windowRows, costOf } = this.#options, rules = active.filter(isOverWindow);
    if (rules.length === 0) return null;
    const bound = windowRows === undefined ? {} : { maxRows: windowRows };
    const { of: suppressorsOf } = exceptions;
    return yield* WindowLane.building(rules, { deadlineMs, ...bound, costOf, suppressorsOf });
  }

  #collectedOf({ active }: LoadedRules): CollectedLane | null {
    const rules = active.filter((rule) => rule.collected !== undefined), { deadlineMs, costOf } = this.#options;
    return rules.length === 0 ? null : new CollectedLane(rules, { deadlineMs, costOf });
  }
}

function isOverRow({ windowMs, collected }: ValidatedRule): boolean {
  return windowMs === null && collected === undefined;
}

function isOverWindow({ windowMs, collected }: ValidatedRule): boolean {
  return windowMs !== null && collected === undefined;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
