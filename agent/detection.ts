/**
 * Runs the rules over new events and keeps each rule's standing.
 *
 * A rule that fails costs its own verdict on some rows, which is counted and noticed, never the events. One that runs
 * past its deadline several batches in a row is taken out for a while, says so in `health` and `rules list`, and is then
 * tried again: who can make a rule slow, by a flood of long arguments, must not be able to turn it off for good. One
 * that only fails on odd rows costs the others nothing, and stays. Rules over windows see events also while they are out,
 * so that their window is whole when they come back.
 *
 * Judging gives way to other work every few milliseconds (`paced.ts`), so that no batch makes the sockets wait.
 *
 * Other rules take the place of these between two batches, never within one: each event is judged once, by the rules
 * before or by those after. What a rule has counted stays with its id. A draft is judged and counted, and alerts nobody.
 *
 * @module
 */
import type { Alert, AlertHead } from "../proto/alert.ts";
import { completenessOf } from "../proto/completeness.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import type { Gap } from "../proto/process_event.ts";
import { CollectedLane } from "../proto/rules/collected_lane.ts";
import { RuleEngine, type RuleEngineOptions } from "../proto/rules/engine.ts";
import type { Evaluation, Fault } from "../proto/rules/evaluation.ts";
import type { AlertPolicy } from "../proto/rules/alert_policy.ts";
import type { RuleResponse } from "../proto/rules/rule_responses.ts";
import { formsOf } from "../proto/rules/correlation.ts";
import type { SeenChanges } from "../proto/rules/seen_table.ts";
import { preparePrograms } from "../proto/rules/program.ts";
import { newRuleCost, type RuleCost } from "../proto/rules/rule_cost.ts";
import { laneOf, type ValidatedRule } from "../proto/rules/rule.ts";
import { newWindowEvaluation, type WindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import type { RuleStatus } from "../proto/status.ts";
import { allSteps } from "../proto/steps.ts";
import { alertOf } from "./alerts/alert_of.ts";
import type { Counters } from "./counters.ts";
import type { Around, Judge } from "./ingest.ts";
import type { Journal } from "./journal.ts";
import { Demands } from "./demands.ts";
import { type Pace, paced } from "./paced.ts";
import { PreparedRules, windowsOf } from "./prepared_rules.ts";
import { RuleStandings } from "./rule_standings.ts";
import { type LoadedRules, type Remark, ruleRow } from "./rules_loader.ts";
import { Sight } from "./sight.ts";
import type { CollectedRows } from "./store/collected_tables.ts";
import { refillingTables, tableRows } from "./table_windows.ts";
import type { RuleRow } from "./store/rule_table.ts";
import type { Store } from "./store/store.ts";
import type { Stream } from "./store/streams.ts";
import { StoreError } from "./store/store_error.ts";
import { Suppressions } from "./suppressions.ts";
import { NOT_READ_BACK, refilling } from "./window_keeper.ts";

/** Reasons that the status gives for each rule. */
const MAX_SHOWN_REASONS = 3;
/** How old may be what {@linkcode Detection.recentStatuses} says of what rules cost. */
const RECENT_MS = 5_000;

const NOTHING_AROUND: Around = { gaps: [], sources: null };
const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, COLLECTOR_ID = PLACES.get("collector_id")!;

export interface DetectionOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
  /** Most rows of all windows together. */
  readonly windowRows?: number;
  readonly journal: Journal;
  readonly counters: Counters;
  /** Called when a rule was taken out or put back. */
  readonly changed?: () => void;
  /** What of what a rule reads no registered collector gives. */
  readonly lacksOf?: (rule: ValidatedRule) => readonly string[];
  /** The newest checkpoint of a collector's ledger. */
  readonly head?: (collectorId: string) => AlertHead | null;
  /** A clock that does not jump, in milliseconds. */
  readonly clock?: () => number;
}

export class Detection implements Judge {
  #loaded: LoadedRules;
  readonly #options: DetectionOptions;
  readonly #clock: () => number;
  readonly #standings: RuleStandings;
  /** Also of rules that are made ready. */
  readonly #costs = new Map<string, RuleCost>();
  readonly #sight = new Sight();
  /** What the rules need that collectors collect on demand. */
  readonly demands: Demands = new Demands();
  /** What exceptions and filters took. */
  readonly suppressions: Suppressions;
  /** `null` without rules over windows: they cost nothing then. */
  #window: WindowLane | null;
  #engine: RuleEngine;
  /** `null` without rules over tables of collectors. */
  #collected: CollectedLane | null;
  /** What the batch gave that is judged and not stored yet. */
  #pending: WindowEvaluation | null = null;
  /** Ids of rules that are taken out for a while. */
  #out: ReadonlySet<string> = new Set();
  /** What was said of the rules last; `null` when more than counts has changed since. */
  #recent: { readonly until: number; readonly statuses: readonly RuleStatus[] } | null = null;

  constructor(loaded: LoadedRules, options: DetectionOptions) {
    this.#loaded = loaded;
    this.#options = options;
    this.suppressions = new Suppressions(loaded.exceptions, loaded.active);
    this.#clock = options.clock ?? (() => performance.now());
    this.#standings = new RuleStandings({ ...options, clock: this.#clock });
    this.#takeRules();
    this.#window = allSteps(this.#laneOf(loaded));
    this.#collected = this.#collectedOf(loaded);
    const rules = loaded.active.filter((rule) => rule.windowMs === null && rule.collected === undefined);
    this.#engine = new RuleEngine(rules, this.#engineOptions(loaded));
  }

  /**
   * Makes other rules ready, in steps with room for batches between them; nothing changes before {@linkcode swap}. Who
   * does not come so far closes what was prepared.
   */
  *prepare(loaded: LoadedRules): Generator<void, PreparedRules> {
    const rules = loaded.active.filter((rule) => rule.windowMs === null && rule.collected === undefined);
    const options = this.#engineOptions(loaded);
    yield* preparePrograms(
      loaded.active.flatMap(({ window, correlation }) =>
        window?.bases ?? (correlation === null ? [] : formsOf(correlation))
      ),
    );
    const engine = yield* RuleEngine.building(rules, options);
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

  /**
   * Gives windows that take the place of others the events of the store, `null` when there is none: then
   * {@linkcode recover} does so. In steps with room for other work, between two batches and right before
   * {@linkcode swap}.
   *
   * @throws StoreError
   */
  *refill({ window, isSameWindow, collected }: PreparedRules, store: Store | null, now: number): Generator<void> {
    if (store !== null && collected !== null) yield* refillingTables(collected, store, now);
    if (isSameWindow || window === null || store === null) return;
    yield* this.#filling(window, store, now);
    if (this.#window !== null) window.inherit(this.#window);
    this.#lookAt(store, window, now);
  }

  /** From now on, between two batches, these rules judge. One that was taken out stays out if it is the same version. */
  swap({ loaded, engine, window, isSameWindow, collected }: PreparedRules): void {
    this.#engine.close();
    this.#collected?.[Symbol.dispose]();
    this.#collected = collected;
    if (!isSameWindow) this.#window?.[Symbol.dispose]();
    this.#loaded = loaded;
    this.#takeRules();
    this.#engine = engine;
    this.#window = window;
    this.#pending = null;
    this.#pausedChanged();
  }

  /** Makes window and sight what they were when the last batch was stored. @throws StoreError */
  recover(store: Store, now: number): void {
    allSteps(this.recovering(store, now));
  }

  /** The same, in steps with room for other work, but for no batch. @throws StoreError */
  *recovering(store: Store, now: number): Generator<void> {
    this.#pending = null;
    if (this.#collected !== null) {
      const fresh = this.#collectedOf(this.#loaded)!;
      yield* refillingTables(fresh, store, now);
      this.#collected[Symbol.dispose]();
      this.#collected = fresh;
    }
    if (this.#window !== null) yield* this.#filling(this.#window, store, now);
    this.#lookAt(store, this.#window, now);
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

  /** What was not seen in the time that these windows span. @throws StoreError */
  #lookAt(store: Store, window: WindowLane | null, now: number): void {
    const newest = window?.newest ?? -Infinity;
    const { gaps, sources } = store.sightSince(Number.isFinite(newest) ? newest - window!.windowMs : now);
    this.#recent = null;
    this.#sight.clear();
    for (const gap of gaps) this.#sight.noteGap(gap);
    for (const [collectorId, known] of sources) this.#sight.noteSources(collectorId, known);
  }

  /** The alerts that the rules raise on rows of `process_events`, at most one for each rule and row or finding. */
  async judge(
    rows: readonly SqlValue[][],
    stream: Stream,
    now: number,
    { gaps, sources, rows: collected = [] }: Around = NOTHING_AROUND,
  ): Promise<Alert[]> {
    this.#pending = null;
    this.#collected?.rollback();
    this.suppressions.begin();
    if (gaps.length > 0 || sources !== null) this.#recent = null;
    for (const gap of gaps) this.#sight.noteGap(gap);
    if (sources !== null) this.#sight.noteSources(stream.collectorId, sources);
    if (rows.length === 0 && collected.length === 0) return [];
    this.#putBack();
    const pace = { began: performance.now() };
    const ofTables = await this.#judgeTables(collected, stream, now, pace);
    if (rows.length === 0) {
      this.#noteFaults(ofTables.faults, collected.length, ofTables);
      return this.#tableAlerts(ofTables, stream, now);
    }
    const { hits, faults, suppressed } = await this.#judgeRows(rows, pace);
    const found = await this.#judgeWindows(rows, now, pace);
    this.suppressions.add([...suppressed, ...found.excepted]);
    const alerts = new Map<string, Alert>(), head = this.#options.head?.(stream.collectorId) ?? null;
    const raise = (alert: Alert): void => {
      if (!alerts.has(alert.alertId)) alerts.set(alert.alertId, alert);
    };
    for (const { rule, row, evidence } of hits) {
      if (rule.status === "draft") continue;
      const cells = rows[row]!, time = cells[TIME] as number;
      const own = faults.filter((fault) => fault.rule === rule).map(({ reason }) => reason);
      const lacks = this.#attributeLacks(rule, time, stream.collectorId);
      const completeness = completenessOf([...own, ...lacks, ...this.#sight.lacks(time, time)]);
      raise(alertOf(rule, cells, evidence, stream, now, head, completeness));
    }
    for (const alert of this.#alertsOf(found, stream, now)) raise(alert);
    for (const alert of this.#tableAlerts(ofTables, stream, now)) raise(alert);
    const evaluated = new Set([...found.evaluated, ...ofTables.evaluated]);
    this.#noteFaults([...faults, ...found.faults, ...ofTables.faults], rows.length, { ...found, evaluated });
    return [...alerts.values()];
  }

  /** The time, on the events' clock, at which a rule is due though no event comes; `Infinity` when none is. */
  get due(): number {
    return this.#window?.due ?? Infinity;
  }

  /**
   * The alerts of what did not happen until `passed`, up to which no further event is expected. As after
   * {@linkcode judge}, what is not {@linkcode stored} is as if it had not been asked for.
   */
  async judgeAbsence(now: number, passed: number): Promise<Alert[]> {
    this.#pending = null;
    this.suppressions.begin();
    const found = await this.#judgeWindows([], now, { began: performance.now() }, passed);
    this.#noteFaults(found.faults, 0, found);
    return [...this.#alertsOf(found, null, now)];
  }

  /** The alerts of what rules over collectors' tables found. */
  #tableAlerts({ findings }: WindowEvaluation, stream: Stream, now: number): Alert[] {
    return findings.flatMap(({ rule: { id, windowMs }, cells, key, time, evidence, reasons }) => {
      const rule = this.#standings.rule(id)!;
      if (rule.status === "draft") return [];
      const lacks = windowMs === null ? [] : this.#sight.lacks(time - windowMs, time);
      const finding = windowMs === null ? null : `${key}:${time}`;
      const head = this.#options.head?.(stream.collectorId) ?? null;
      return alertOf(rule, cells, evidence, stream, now, head, completenessOf([...reasons, ...lacks]), finding, key);
    });
  }

  *#alertsOf({ findings }: WindowEvaluation, stream: Stream | null, now: number): Generator<Alert> {
    for (const { rule: { id }, row, cells, key, time, evidence, reasons } of findings) {
      // The lane knows the rule as it was when its window began: an override may have changed what it says of it
      const rule = this.#standings.rule(id)!;
      if (rule.status === "draft") continue;
      const until = rule.correlation?.kind === "absence" ? time + rule.correlation.windowMs : time;
      // Rows of the window may be of any collector
      const lacks = this.#attributeLacks(rule, time - rule.windowMs!, null);
      const completeness = completenessOf([...reasons, ...lacks, ...this.#sight.lacks(time - rule.windowMs!, until)]);
      // An event of before this batch may be of another collector
      const of = row !== null && stream !== null ? stream : {
        number: 0,
        collectorId: cells[COLLECTOR_ID] as string ?? "",
        epoch: "",
      };
      const head = this.#options.head?.(of.collectorId) ?? null;
      yield alertOf(rule, cells, evidence, of, now, head, completeness, `${key}:${time}`, key);
    }
  }

  /** What rules remember anew from the batch that was judged. */
  get seen(): readonly SeenChanges[] {
    return this.#pending === null ? [] : this.#window?.seenChanges ?? [];
  }

  /** Keeps what the last batch did, and counts its alerts: a batch that was not stored is judged again. */
  stored(alerts: readonly Alert[]): void {
    this.#collected?.commit();
    this.suppressions.stored();
    this.#options.counters.hits_excepted = this.suppressions.total;
    if (this.#pending !== null) {
      const { late, ahead, suppressed } = this.#pending, { counters } = this.#options;
      this.#window?.commit();
      counters.window_late += late;
      counters.window_ahead += ahead;
      counters.window_suppressed += suppressed;
      this.#pending = null;
    }
    if (alerts.length > 0) this.#recent = null;
    this.#standings.raised(alerts);
  }

  /** What the windows take, by the names of the status; nothing without rules over them. */
  get gauges(): Readonly<Record<string, number>> {
    if (this.#window === null) return {};
    return { window_rows: this.#window.rows, window_bytes: this.#window.bytes };
  }

  /** The rules that judge now. */
  get loaded(): LoadedRules {
    return this.#loaded;
  }

  /** Every rule that was found, whether it runs or not. */
  rows(): RuleRow[] {
    this.#engine.tally();
    const running = this.#loaded.active.map((rule) => {
      const { hits, paused } = this.#standings.of(rule.id), cost = this.#costOf(rule);
      const row = ruleRow(rule, paused === null ? rule.status : "rejected", paused, hits);
      const suppressed = this.suppressions.of(rule.id);
      return { ...row, ...cost, suppressed, degraded: this.#degraded(rule, paused), ...this.#remarkOf(rule, paused) };
    });
    return [...running, ...this.#loaded.others];
  }

  /** The same, as the status shows it. */
  statuses(): RuleStatus[] {
    this.#engine.tally();
    const running = this.#loaded.active.map((rule): RuleStatus => {
      const { id, title, severity, file, hash } = rule, { hits, paused } = this.#standings.of(id);
      const { evaluations, matches, cpuMs, rows } = this.#costOf(rule), remark = this.#remarkOf(rule, paused);
      const { line, column, reason } = remark ?? { line: null, column: null, reason: paused };
      const state = paused === null ? rule.status : "rejected", degraded = this.#degraded(rule, paused);
      const lane = laneOf(rule);
      return {
        ...{ id, title, severity, file, hash, state, line, column, reason, hits, lane },
        ...{ evaluations, matches, cpuMs, rows, degraded, suppressed: this.suppressions.of(id) },
      };
    });
    return [...running, ...this.#loaded.others.map(({ description: _, tags: __, sql: ___, ...status }) => status)];
  }

  /**
   * The same as it was {@linkcode RECENT_MS} ago at most, and not before the last alert, fault or change: to look at every
   * rule once a second costs a quiet host more than to judge its events.
   */
  get recentStatuses(): readonly RuleStatus[] {
    const now = this.#clock();
    if (this.#recent === null || now >= this.#recent.until) {
      this.#recent = { until: now + RECENT_MS, statuses: this.statuses() };
    }
    return this.#recent.statuses;
  }

  /** What there is to say of a rule that runs; of one that is taken out, that is what matters. */
  #remarkOf({ id }: ValidatedRule, paused: string | null): Remark | undefined {
    return paused === null ? this.#loaded.remarks.get(id) : undefined;
  }

  /** Ids of rules that are taken out for a while. */
  get paused(): string[] {
    return this.#standings.paused;
  }

  /** What a rule says of its alerts. */
  alertPolicy(ruleId: string): AlertPolicy | undefined {
    return this.#standings.rule(ruleId)?.alert;
  }

  /** What a rule asks to be done to the processes of its alerts. */
  responsesOf(ruleId: string): readonly RuleResponse[] {
    return this.#standings.rule(ruleId)?.responses ?? [];
  }

  /** How many rules run now. */
  get active(): number {
    return this.#loaded.active.filter(({ id, status }) => status === "active" && this.#standings.of(id).paused === null)
      .length;
  }

  close(): void {
    this.#engine.close();
    this.#window?.[Symbol.dispose]();
    this.#collected?.[Symbol.dispose]();
  }

  readonly #costOf = ({ id }: ValidatedRule): RuleCost => {
    let cost = this.#costs.get(id);
    if (cost === undefined) this.#costs.set(id, cost = newRuleCost());
    return cost;
  };

  #engineOptions({ exceptions }: LoadedRules): RuleEngineOptions {
    return { deadlineMs: this.#options.deadlineMs, costOf: this.#costOf, suppressorsOf: exceptions.of };
  }

  *#laneOf({ active, exceptions }: LoadedRules): Generator<void, WindowLane | null> {
    const { deadlineMs, windowRows } = this.#options, rules = active.filter(isOverWindow);
    if (rules.length === 0) return null;
    const bound = windowRows === undefined ? {} : { maxRows: windowRows };
    const { of: suppressorsOf } = exceptions;
    return yield* WindowLane.building(rules, { deadlineMs, ...bound, costOf: this.#costOf, suppressorsOf });
  }

  #collectedOf({ active }: LoadedRules): CollectedLane | null {
    const rules = active.filter((rule) => rule.collected !== undefined), { deadlineMs } = this.#options;
    return rules.length === 0 ? null : new CollectedLane(rules, { deadlineMs, costOf: this.#costOf });
  }

  async #judgeTables(
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

  async #judgeRows(rows: readonly SqlValue[][], pace: Pace): Promise<Evaluation> {
    try {
      return await paced(this.#engine.steps(rows), pace);
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule judged a batch of ${rows.length} events: ${words(error)}`);
      return { hits: [], faults: [], suppressed: [] };
    }
  }

  async #judgeWindows(
    rows: readonly SqlValue[][],
    now: number,
    pace: Pace,
    passed = -Infinity,
  ): Promise<WindowEvaluation> {
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

  /** Something may be missing that no collector told of. */
  noteGap(gap: Gap): void {
    this.#sight.noteGap(gap);
  }

  /** Why "no match" of a rule may be wrong now. */
  #degraded(rule: ValidatedRule, paused: string | null): readonly string[] {
    if (paused !== null) return [paused];
    const unsupplied = this.#options.lacksOf?.(rule) ?? [];
    if (rule.collected !== undefined) {
      return [...unsupplied, ...this.#collected?.reasons(rule) ?? []].slice(0, MAX_SHOWN_REASONS);
    }
    if (rule.windowMs === null || this.#window === null) {
      const reasons = [...unsupplied, ...this.#attributeLacks(rule, Infinity, null)];
      return completenessOf(reasons).reasons.slice(0, MAX_SHOWN_REASONS);
    }
    const { newest } = this.#window, from = newest - rule.windowMs;
    const lacks = this.#attributeLacks(rule, from, null);
    const reasons = [...unsupplied, ...lacks, ...this.#window.reasons(rule), ...this.#sight.lacks(from, newest)];
    return completenessOf(reasons).reasons.slice(0, MAX_SHOWN_REASONS);
  }

  /** What a rule reads and does not get in events from this time on; nothing for most rules. */
  #attributeLacks(rule: ValidatedRule, from: number, collectorId: string | null): string[] {
    const lacks = this.demands.lacks(rule, from, collectorId);
    return rule.attributes.hashes ? [...lacks, ...this.#sight.lacksHashes(collectorId)] : lacks;
  }

  #takeRules(): void {
    const { active, exceptions } = this.#loaded;
    this.demands.take(active);
    this.suppressions.take(exceptions, active);
    this.#standings.renew(active);
    for (const id of this.#costs.keys()) if (this.#standings.rule(id) === undefined) this.#costs.delete(id);
  }

  /** Rules were taken out or put back, or others judge: tells the engine which are out, and whoever stores it. */
  #pausedChanged(): void {
    this.#out = new Set(this.paused);
    this.#engine.pause(new Set([...this.#out].map((id) => this.#standings.rule(id)!)));
    this.#recent = null;
    try {
      this.#options.changed?.();
    } catch (error) {
      this.#options.journal.notice(`the standing of rules is not stored: ${words(error)}`);
    }
  }

  #noteFaults(faults: readonly Fault[], rows: number, { evaluated }: WindowEvaluation): void {
    if (!this.#standings.hasNews(faults)) return;
    this.#recent = null;
    if (this.#standings.noteFaults(faults, rows, evaluated)) this.#pausedChanged();
  }

  #putBack(): void {
    const back = this.#standings.putBack();
    if (back.length === 0) return;
    for (const id of back) this.#window?.mark("the rule was taken out meanwhile", this.#window.newest, id);
    this.#pausedChanged();
  }
}

function isOverWindow({ windowMs, collected }: ValidatedRule): boolean {
  return windowMs !== null && collected === undefined;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
