/**
 * Runs the rules over new events and keeps each rule's standing.
 *
 * A rule that fails costs its own verdict on some rows, which is counted and noticed, never the events. One that runs
 * past its deadline several batches in a row is taken out for a while, says so in `health` and `rules list`, and is then
 * tried again: who can make a rule slow, by a flood of long arguments, must not be able to turn it off for good. One
 * that only fails on odd rows costs the others nothing, and stays.
 *
 * @module
 */
import type { Alert, AlertHead } from "../proto/alert.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import type { Evaluation, Fault } from "../proto/rules/evaluation.ts";
import type { RuleStatus } from "../proto/status.ts";
import { alertOf } from "./alerts/alert_of.ts";
import type { Counters } from "./counters.ts";
import type { Judge } from "./ingest.ts";
import type { Journal } from "./journal.ts";
import { type LoadedRules, ruleRow } from "./rules_loader.ts";
import type { RuleRow, Stream } from "./store/store.ts";

/** Batches in a row in which a rule may run past its deadline. */
export const MAX_FAULTS = 3;
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
}

export interface DetectionOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
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
  #engine: RuleEngine;
  /** When the next rule is put back. */
  #nextReturn = Infinity;

  constructor(loaded: LoadedRules, options: DetectionOptions) {
    this.#loaded = loaded;
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    for (const { id } of loaded.active) {
      this.#standing.set(id, { hits: 0, faults: 0, pauseMs: FIRST_PAUSE_MS, paused: null, until: 0 });
    }
    this.#engine = this.#build();
  }

  /** The alerts that the rules raise on rows of `process_events`, at most one for each rule and row. */
  judge(rows: readonly SqlValue[][], stream: Stream, now: number): Alert[] {
    if (rows.length === 0) return [];
    if (this.#clock() >= this.#nextReturn) this.#putBack();
    let evaluation: Evaluation;
    try {
      evaluation = this.#engine.evaluate(rows);
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      const text = error instanceof Error ? error.message : String(error);
      this.#options.journal.notice(`no rule judged a batch of ${rows.length} events: ${text}`);
      return [];
    }
    const alerts = new Map<string, Alert>(), head = this.#options.head?.(stream.collectorId) ?? null;
    for (const { rule, row, evidence } of evaluation.hits) {
      const alert = alertOf(rule, rows[row]!, evidence, stream, now, head);
      if (alerts.has(alert.alertId)) continue;
      alerts.set(alert.alertId, alert);
    }
    this.#noteFaults(evaluation.faults, rows.length);
    return [...alerts.values()];
  }

  /** Counts alerts that are stored: a batch that was not is judged again. */
  stored(alerts: readonly Alert[]): void {
    for (const { ruleId } of alerts) {
      const standing = this.#standing.get(ruleId);
      if (standing !== undefined) standing.hits += 1;
    }
  }

  /** Every rule that was found, whether it runs or not. */
  rows(): RuleRow[] {
    const running = this.#loaded.active.map((rule) => {
      const { hits, paused } = this.#standing.get(rule.id)!;
      return ruleRow(rule, paused === null ? "active" : "rejected", paused, hits);
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
  }

  #build(): RuleEngine {
    const running = this.#loaded.active.filter(({ id }) => this.#standing.get(id)!.paused === null);
    return new RuleEngine(running, { deadlineMs: this.#options.deadlineMs });
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

  #noteFaults(faults: readonly Fault[], rows: number): void {
    const { counters, journal } = this.#options;
    const late = new Set(faults.filter(({ timedOut }) => timedOut).map(({ rule }) => rule.id));
    for (const [id, standing] of this.#standing) if (!late.has(id)) standing.faults = 0;
    let takenOut = false;
    for (const { rule, reason, rows: unjudged, timedOut } of faults) {
      counters.rule_faults += 1;
      journal.notice(`rule ${rule.id} did not judge ${unjudged} of ${rows} events: ${reason}`);
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
    for (const standing of this.#standing.values()) {
      if (standing.paused === null || standing.until > now) continue;
      standing.paused = null;
      standing.faults = MAX_FAULTS - 1;
    }
    this.#rebuild();
  }
}
