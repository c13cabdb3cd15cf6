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
import type { SqlValue } from "../proto/event_row.ts";
import type { Gap } from "../proto/process_event.ts";
import type { AlertPolicy } from "../proto/rules/alert_policy.ts";
import type { Fault } from "../proto/rules/evaluation.ts";
import { newRuleCost, type RuleCost } from "../proto/rules/rule_cost.ts";
import type { RuleResponse } from "../proto/rules/rule_responses.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { SeenChanges } from "../proto/rules/seen_table.ts";
import type { WindowEvaluation } from "../proto/rules/window_evaluation.ts";
import type { RuleStatus } from "../proto/status.ts";
import { allSteps } from "../proto/steps.ts";
import type { Counters } from "./counters.ts";
import { Demands } from "./demands.ts";
import { FindingAlerts } from "./finding_alerts.ts";
import type { Around, Judge } from "./ingest.ts";
import type { Journal } from "./journal.ts";
import type { PreparedRules } from "./prepared_rules.ts";
import { RuleLanes } from "./rule_lanes.ts";
import { RuleStandings } from "./rule_standings.ts";
import { RuleStatuses } from "./rule_statuses.ts";
import type { LoadedRules } from "./loaded_rules.ts";
import { Sight } from "./sight.ts";
import type { RuleRow } from "./store/rule_table.ts";
import type { Store } from "./store/store.ts";
import type { Stream } from "./store/streams.ts";
import { Suppressions } from "./suppressions.ts";

const NOTHING_AROUND: Around = { gaps: [], sources: null };

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
  /** What the rules need that collectors collect on demand. */
  readonly demands: Demands = new Demands();
  /** What exceptions and filters took. */
  readonly suppressions: Suppressions;
  readonly #standings: RuleStandings;
  /** Also of rules that are made ready. */
  readonly #costs = new Map<string, RuleCost>();
  readonly #sight = new Sight(this.demands);
  readonly #lanes: RuleLanes;
  readonly #alerts: FindingAlerts;
  readonly #statuses: RuleStatuses;

  constructor(loaded: LoadedRules, options: DetectionOptions) {
    this.#loaded = loaded;
    this.#options = options;
    this.suppressions = new Suppressions(loaded.exceptions, loaded.active);
    const clock = options.clock ?? (() => performance.now());
    this.#standings = new RuleStandings({ ...options, clock });
    this.#takeRules();
    this.#lanes = new RuleLanes(loaded, { ...options, costOf: this.#costOf });
    this.#alerts = new FindingAlerts(
      this.#standings,
      this.#sight,
      (collectorId) => options.head?.(collectorId) ?? null,
    );
    this.#statuses = new RuleStatuses({
      loaded: () => this.#loaded,
      standings: this.#standings,
      lanes: this.#lanes,
      suppressions: this.suppressions,
      sight: this.#sight,
      costOf: this.#costOf,
      lacksOf: (rule) => options.lacksOf?.(rule) ?? [],
      clock,
    });
  }

  /**
   * Makes other rules ready, in steps with room for batches between them; nothing changes before {@linkcode swap}. Who
   * does not come so far closes what was prepared.
   */
  prepare(loaded: LoadedRules): Generator<void, PreparedRules> {
    return this.#lanes.prepare(loaded);
  }

  /**
   * Gives windows that take the place of others the events of the store, `null` when there is none: then
   * {@linkcode recover} does so. In steps with room for other work, between two batches and right before
   * {@linkcode swap}.
   *
   * @throws StoreError
   */
  *refill(prepared: PreparedRules, store: Store | null, now: number): Generator<void> {
    if (store === null) return;
    yield* this.#lanes.refill(prepared, store, now);
    if (!prepared.isSameWindow && prepared.window !== null) this.#lookAt(store, prepared.window, now);
  }

  /** From now on, between two batches, these rules judge. One that was taken out stays out if it is the same version. */
  swap(prepared: PreparedRules): void {
    this.#lanes.swap(prepared);
    this.#loaded = prepared.loaded;
    this.#takeRules();
    this.#pausedChanged();
  }

  /** Makes window and sight what they were when the last batch was stored. @throws StoreError */
  recover(store: Store, now: number): void {
    allSteps(this.recovering(store, now));
  }

  /** The same, in steps with room for other work, but for no batch. @throws StoreError */
  *recovering(store: Store, now: number): Generator<void> {
    yield* this.#lanes.recovering(store, now);
    this.#lookAt(store, this.#lanes.window, now);
  }

  /** What was not seen in the time that these windows span. @throws StoreError */
  #lookAt(store: Store, window: RuleLanes["window"], now: number): void {
    const newest = window?.newest ?? -Infinity;
    const { gaps, sources } = store.recent.sightSince(Number.isFinite(newest) ? newest - window!.windowMs : now);
    this.#statuses.changed();
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
    this.#lanes.begin();
    this.suppressions.begin();
    if (gaps.length > 0 || sources !== null) this.#statuses.changed();
    for (const gap of gaps) this.#sight.noteGap(gap);
    if (sources !== null) this.#sight.noteSources(stream.collectorId, sources);
    if (rows.length === 0 && collected.length === 0) return [];
    this.#putBack();
    const pace = { began: performance.now() };
    const ofTables = await this.#lanes.judgeTables(collected, stream, now, pace);
    if (rows.length === 0) {
      this.#noteFaults(ofTables.faults, collected.length, ofTables);
      return [...this.#alerts.ofTables(ofTables, stream, now)];
    }
    const ofRows = await this.#lanes.judgeRows(rows, pace);
    const found = await this.#lanes.judgeWindows(rows, now, pace);
    this.suppressions.add([...ofRows.suppressed, ...found.excepted]);
    const alerts = new Map<string, Alert>();
    const raise = (alert: Alert): void => {
      if (!alerts.has(alert.alertId)) alerts.set(alert.alertId, alert);
    };
    for (const alert of this.#alerts.ofRows(ofRows, rows, stream, now)) raise(alert);
    for (const alert of this.#alerts.ofWindows(found, stream, now)) raise(alert);
    for (const alert of this.#alerts.ofTables(ofTables, stream, now)) raise(alert);
    const evaluated = new Set([...found.evaluated, ...ofTables.evaluated]);
    const faults = [...ofRows.faults, ...found.faults, ...ofTables.faults];
    this.#noteFaults(faults, rows.length, { ...found, evaluated });
    return [...alerts.values()];
  }

  /** The time, on the events' clock, at which a rule is due though no event comes; `Infinity` when none is. */
  get due(): number {
    return this.#lanes.window?.due ?? Infinity;
  }

  /**
   * The alerts of what did not happen until `passed`, up to which no further event is expected. As after
   * {@linkcode judge}, what is not {@linkcode stored} is as if it had not been asked for.
   */
  async judgeAbsence(now: number, passed: number): Promise<Alert[]> {
    this.suppressions.begin();
    const found = await this.#lanes.judgeWindows([], now, { began: performance.now() }, passed);
    this.#noteFaults(found.faults, 0, found);
    return [...this.#alerts.ofWindows(found, null, now)];
  }

  /** What rules remember anew from the batch that was judged. */
  get seen(): readonly SeenChanges[] {
    return this.#lanes.seen;
  }

  /** Keeps what the last batch did, and counts its alerts: a batch that was not stored is judged again. */
  stored(alerts: readonly Alert[]): void {
    this.#lanes.commit();
    this.suppressions.stored();
    this.#options.counters.hits_excepted = this.suppressions.total;
    if (alerts.length > 0) this.#statuses.changed();
    this.#standings.raised(alerts);
  }

  /** What the windows take, by the names of the status; nothing without rules over them. */
  get gauges(): Readonly<Record<string, number>> {
    const { window } = this.#lanes;
    return window === null ? {} : { window_rows: window.rows, window_bytes: window.bytes };
  }

  /** The rules that judge now. */
  get loaded(): LoadedRules {
    return this.#loaded;
  }

  /** Every rule that was found, whether it runs or not. */
  rows(): RuleRow[] {
    return this.#statuses.rows();
  }

  /** The same, as the status shows it. */
  statuses(): RuleStatus[] {
    return this.#statuses.statuses();
  }

  /** The same as it was some seconds ago at most, and not before the last alert, fault or change. */
  get recentStatuses(): readonly RuleStatus[] {
    return this.#statuses.recent;
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

  /** Something may be missing that no collector told of. */
  noteGap(gap: Gap): void {
    this.#sight.noteGap(gap);
  }

  close(): void {
    this.#lanes.close();
  }

  readonly #costOf = ({ id }: ValidatedRule): RuleCost => {
    let cost = this.#costs.get(id);
    if (cost === undefined) this.#costs.set(id, cost = newRuleCost());
    return cost;
  };

  #takeRules(): void {
    const { active, exceptions } = this.#loaded;
    this.demands.take(active);
    this.suppressions.take(exceptions, active);
    this.#standings.renew(active);
    for (const id of this.#costs.keys()) if (this.#standings.rule(id) === undefined) this.#costs.delete(id);
  }

  /** Rules were taken out or put back, or others judge: tells the lanes which are out, and whoever stores it. */
  #pausedChanged(): void {
    this.#lanes.pause(this.paused.map((id) => this.#standings.rule(id)!));
    this.#statuses.changed();
    try {
      this.#options.changed?.();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.journal.notice(`the standing of rules is not stored: ${why}`);
    }
  }

  #noteFaults(faults: readonly Fault[], rows: number, { evaluated }: WindowEvaluation): void {
    if (!this.#standings.hasNews(faults)) return;
    this.#statuses.changed();
    if (this.#standings.noteFaults(faults, rows, evaluated)) this.#pausedChanged();
  }

  #putBack(): void {
    const back = this.#standings.putBack(), { window } = this.#lanes;
    if (back.length === 0) return;
    for (const id of back) window?.mark("the rule was taken out meanwhile", window.newest, id);
    this.#pausedChanged();
  }
}
