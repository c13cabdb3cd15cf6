/**
 * Runs the rules over new events and keeps each rule's standing.
 *
 * A rule that fails costs its own verdict on some rows, which is counted and noticed, never the events. One that runs
 * past its deadline several batches in a row is taken out for a while, says so in `health` and `rules list`, and is then
 * tried again: who can make a rule slow, by a flood of long arguments, must not be able to turn it off for good. One
 * that only fails on odd rows costs the others nothing, and stays. Rules over windows see events also while they are out,
 * so that their window is whole when they come back.
 *
 * Judging gives way to other work every {@linkcode SLICE_MS}, so that no batch makes the sockets wait.
 *
 * @module
 */
import type { Alert, AlertHead } from "../proto/alert.ts";
import { completenessOf } from "../proto/completeness.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import type { Evaluation, Fault } from "../proto/rules/evaluation.ts";
import { newRuleCost, type RuleCost } from "../proto/rules/rule_cost.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { newWindowEvaluation, type WindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import type { RuleStatus } from "../proto/status.ts";
import { alertOf } from "./alerts/alert_of.ts";
import type { Counters } from "./counters.ts";
import type { Around, Judge } from "./ingest.ts";
import type { Journal } from "./journal.ts";
import { type LoadedRules, ruleRow } from "./rules_loader.ts";
import { Sight } from "./sight.ts";
import type { RuleRow, Store, Stream } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";
import { NOT_READ_BACK, refillWindow } from "./window_keeper.ts";

/** Batches in a row in which a rule may run past its deadline. */
export const MAX_FAULTS = 3;
/** Work that is done in one go; a step that is under way is finished. */
const SLICE_MS = 20;
/** Reasons that the status gives for each rule. */
const MAX_SHOWN_REASONS = 3;
const FIRST_PAUSE_MS = 60_000;
const LAST_PAUSE_MS = 3_600_000;

interface Standing {
  hits: number;
  /** Batches in a row that it did not get through in time. */
  faults: number;
  /** How long it is taken out the next time. */
  pauseMs: number;
  /** Why it is taken out, `null` while it runs. */
  paused: string | null;
  /** When it is tried again, on the clock of `performance.now()`. */
  until: number;
  readonly cost: RuleCost;
}

const NOTHING_AROUND: Around = { gaps: [], sources: null };
const TIME = columnPlaces("process_events").get("time")!;

export interface DetectionOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
  /** Most rows of all windows together. */
  readonly windowRows?: number;
  readonly journal: Journal;
  readonly counters: Counters;
  /** Called when a rule was taken out or put back. */
  readonly changed?: () => void;
  /** The newest checkpoint of a collector's ledger. */
  readonly head?: (collectorId: string) => AlertHead | null;
  /** A clock that does not jump, in milliseconds. */
  readonly clock?: () => number;
}

export class Detection implements Judge {
  readonly #loaded: LoadedRules;
  readonly #options: DetectionOptions;
  readonly #clock: () => number;
  readonly #standing = new Map<string, Standing>();
  readonly #sight = new Sight();
  /** `null` without rules over windows: they cost nothing then. */
  readonly #window: WindowLane | null;
  #engine: RuleEngine;
  /** What the batch gave that is judged and not stored yet. */
  #pending: WindowEvaluation | null = null;
  /** When the next rule is put back. */
  #nextReturn = Infinity;

  constructor(loaded: LoadedRules, options: DetectionOptions) {
    this.#loaded = loaded;
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    for (const { id } of loaded.active) {
      this.#standing.set(id, {
        hits: 0,
        faults: 0,
        pauseMs: FIRST_PAUSE_MS,
        paused: null,
        until: 0,
        cost: newRuleCost(),
      });
    }
    const overWindows = loaded.active.filter((rule) => rule.windowMs !== null);
    this.#window = overWindows.length === 0 ? null : new WindowLane(overWindows, {
      deadlineMs: options.deadlineMs,
      ...(options.windowRows === undefined ? {} : { maxRows: options.windowRows }),
      costOf: this.#costOf,
    });
    this.#engine = this.#build();
  }

  /** Makes window and sight what they were when the last batch was stored. @throws StoreError */
  recover(store: Store, now: number): void {
    this.#sight.clear();
    this.#pending = null;
    if (this.#window !== null) this.#refill(this.#window, store, now);
    const newest = this.#window?.newest ?? -Infinity;
    const since = Number.isFinite(newest) ? newest - this.#window!.windowMs : now;
    const { gaps, sources } = store.sightSince(since);
    for (const gap of gaps) this.#sight.noteGap(gap);
    for (const [collectorId, known] of sources) this.#sight.noteSources(collectorId, known);
  }

  #refill(lane: WindowLane, store: Store, now: number): void {
    const { journal } = this.#options;
    try {
      const { rows, ms, isCut } = refillWindow(lane, store, now);
      if (rows > 0) journal.say(`${rows} rows of the last events are in the windows of rules again, read in ${ms} ms`);
      if (isCut) {
        journal.notice(`the windows of rules were not read back whole: ${rows} rows in ${ms} ms were the most`);
      }
    } catch (error) {
      if (error instanceof StoreError) throw error;
      // What keeps a window from being filled, such as no memory, must not keep events from being stored.
      journal.notice(`the windows of rules were not read back: ${words(error)}`);
      lane.mark(NOT_READ_BACK, now);
    }
  }

  /** The alerts that the rules raise on rows of `process_events`, at most one for each rule and row or finding. */
  async judge(
    rows: readonly SqlValue[][],
    stream: Stream,
    now: number,
    { gaps, sources }: Around = NOTHING_AROUND,
  ): Promise<Alert[]> {
    this.#pending = null;
    for (const gap of gaps) this.#sight.noteGap(gap);
    if (sources !== null) this.#sight.noteSources(stream.collectorId, sources);
    if (rows.length === 0) return [];
    if (this.#clock() >= this.#nextReturn) this.#putBack();
    const pace = { began: performance.now() };
    const { hits, faults } = await this.#judgeRows(rows, pace);
    const found = await this.#judgeWindows(rows, now, pace);
    const alerts = new Map<string, Alert>(), head = this.#options.head?.(stream.collectorId) ?? null;
    const raise = (alert: Alert): void => {
      if (!alerts.has(alert.alertId)) alerts.set(alert.alertId, alert);
    };
    for (const { rule, row, evidence } of hits) {
      const cells = rows[row]!, time = cells[TIME] as number;
      const own = faults.filter((fault) => fault.rule === rule).map(({ reason }) => reason);
      const completeness = completenessOf([...own, ...this.#sight.lacks(time, time)]);
      raise(alertOf(rule, cells, evidence, stream, now, head, completeness));
    }
    for (const { rule, row, key, time, evidence, reasons } of found.findings) {
      const completeness = completenessOf([...reasons, ...this.#sight.lacks(time - rule.windowMs!, time)]);
      raise(alertOf(rule, rows[row]!, evidence, stream, now, head, completeness, `${key}:${time}`));
    }
    this.#noteFaults([...faults, ...found.faults], rows.length, found);
    return [...alerts.values()];
  }

  /** Keeps what the last batch did, and counts its alerts: a batch that was not stored is judged again. */
  stored(alerts: readonly Alert[]): void {
    if (this.#pending !== null) {
      const { late, ahead, suppressed } = this.#pending, { counters } = this.#options;
      this.#window?.commit();
      counters.window_late += late;
      counters.window_ahead += ahead;
      counters.window_suppressed += suppressed;
      this.#pending = null;
    }
    for (const { ruleId } of alerts) {
      const standing = this.#standing.get(ruleId);
      if (standing !== undefined) standing.hits += 1;
    }
  }

  /** What the windows take, by the names of the status; nothing without rules over them. */
  get gauges(): Readonly<Record<string, number>> {
    if (this.#window === null) return {};
    return { window_rows: this.#window.rows, window_bytes: this.#window.bytes };
  }

  /** Every rule that was found, whether it runs or not. */
  rows(): RuleRow[] {
    const running = this.#loaded.active.map((rule) => {
      const { hits, paused, cost } = this.#standing.get(rule.id)!;
      const row = ruleRow(rule, paused === null ? "active" : "rejected", paused, hits);
      return { ...row, ...cost, degraded: this.#degraded(rule, paused) };
    });
    return [...running, ...this.#loaded.others];
  }

  /** The same, as the status shows it. */
  statuses(): RuleStatus[] {
    return this.rows().map(({ description: _, tags: __, sql: ___, ...status }) => status);
  }

  /** Ids of rules that are taken out for a while. */
  get paused(): string[] {
    return [...this.#standing].filter(([, standing]) => standing.paused !== null).map(([id]) => id);
  }

  /** How many rules run now. */
  get active(): number {
    return [...this.#standing.values()].filter((standing) => standing.paused === null).length;
  }

  close(): void {
    this.#engine.close();
    this.#window?.[Symbol.dispose]();
  }

  readonly #costOf = (rule: ValidatedRule): RuleCost => this.#standing.get(rule.id)!.cost;

  #build(): RuleEngine {
    const running = this.#loaded.active.filter(({ id, windowMs }) =>
      windowMs === null && this.#standing.get(id)!.paused === null
    );
    return new RuleEngine(running, { deadlineMs: this.#options.deadlineMs, costOf: this.#costOf });
  }

  async #judgeRows(rows: readonly SqlValue[][], pace: Pace): Promise<Evaluation> {
    try {
      return await paced(this.#engine.steps(rows), pace);
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule judged a batch of ${rows.length} events: ${words(error)}`);
      return { hits: [], faults: [] };
    }
  }

  async #judgeWindows(rows: readonly SqlValue[][], now: number, pace: Pace): Promise<WindowEvaluation> {
    const found = newWindowEvaluation(), lane = this.#window;
    if (lane === null) return found;
    const paused = new Set([...this.#standing].filter(([, { paused }]) => paused !== null).map(([id]) => id));
    try {
      await paced(lane.judge(rows, now, found, paused), pace);
      return this.#pending = found;
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`no rule over a window judged a batch of ${rows.length} events: ${words(error)}`);
      lane.rollback();
      lane.mark("a batch of events is not in the window", lane.newest);
      return newWindowEvaluation();
    }
  }

  /** Why "no match" of a rule may be wrong now. */
  #degraded(rule: ValidatedRule, paused: string | null): readonly string[] {
    if (paused !== null) return [paused];
    if (rule.windowMs === null || this.#window === null) return [];
    const { newest } = this.#window;
    const reasons = [...this.#window.reasons(rule), ...this.#sight.lacks(newest - rule.windowMs, newest)];
    return completenessOf(reasons).reasons.slice(0, MAX_SHOWN_REASONS);
  }

  #rebuild(): void {
    this.#engine.close();
    this.#engine = this.#build();
    const paused = [...this.#standing.values()].filter((standing) => standing.paused !== null);
    this.#nextReturn = Math.min(...paused.map((standing) => standing.until));
    try {
      this.#options.changed?.();
    } catch (error) {
      this.#options.journal.notice(
        `the standing of rules is not stored: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  #noteFaults(faults: readonly Fault[], rows: number, { evaluated }: WindowEvaluation): void {
    const { counters, journal } = this.#options;
    const late = new Set(faults.filter(({ timedOut }) => timedOut).map(({ rule }) => rule.id));
    // A rule over a window that was not due in this batch has proven nothing.
    const proven = new Set([...evaluated].map(({ id }) => id));
    for (const { id, windowMs } of this.#loaded.active) {
      if (!late.has(id) && (windowMs === null || proven.has(id))) this.#standing.get(id)!.faults = 0;
    }
    let takenOut = false;
    for (const { rule, reason, rows: unjudged, timedOut } of faults) {
      counters.rule_faults += 1;
      journal.notice(
        rule.windowMs === null
          ? `rule ${rule.id} did not judge ${unjudged} of ${rows} events: ${reason}`
          : `rule ${rule.id} did not judge the whole of its window of ${unjudged} rows: ${reason}`,
      );
      if (!timedOut) continue;
      const standing = this.#standing.get(rule.id)!;
      standing.faults += 1;
      if (standing.faults < MAX_FAULTS) continue;
      const seconds = standing.pauseMs / 1_000;
      standing.paused = `taken out for ${seconds} s after ${standing.faults} faults in a row, the last: ${reason}`;
      standing.until = this.#clock() + standing.pauseMs;
      standing.pauseMs = Math.min(standing.pauseMs * 2, LAST_PAUSE_MS);
      journal.notice(`rule ${rule.id} (${rule.file}) is ${standing.paused}`);
      takenOut = true;
    }
    if (takenOut) this.#rebuild();
  }

  /** Gives rules whose time is up another try; the first fault takes them out again. */
  #putBack(): void {
    const now = this.#clock();
    for (const [id, standing] of this.#standing) {
      if (standing.paused === null || standing.until > now) continue;
      standing.paused = null;
      standing.faults = MAX_FAULTS - 1;
      this.#window?.mark("the rule was taken out meanwhile", this.#window.newest, id);
    }
    this.#rebuild();
  }
}

/** When the last pause ended, on the clock of `performance.now()`. */
interface Pace {
  began: number;
}

/** Takes steps to their end, with a pause for other work whenever they took long enough. */
async function paced<T>(steps: Generator<void, T>, pace: Pace): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() - pace.began < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    pace.began = performance.now();
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
