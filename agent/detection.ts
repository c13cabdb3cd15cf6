/**
 * Runs the rules over new events and keeps each rule's standing.
 *
 * A rule that fails costs its own verdict on some rows, which is counted and noticed, never the events. One that runs
 * past its deadline several batches in a row is taken out for a while, says so in `health` and `rules list`, and is then
 * tried again: who can make a rule slow, by a flood of long arguments, must not be able to turn it off for good. One
 * that only fails on odd rows costs the others nothing, and stays.
 *
 * Other rules take the place of these between two batches, never within one: each event is judged once, by the rules
 * before or by those after. What a rule has counted stays with its id. A draft is judged and counted, and alerts nobody.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import type { Evaluation, Fault } from "../proto/rules/evaluation.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
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
  /** The version of the rule that it is of. */
  hash: string;
  hits: number;
  evaluations: number;
  rows: number;
  matches: number;
  cpuMs: number;
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
  /** A clock that does not jump, in milliseconds. */
  readonly clock?: () => number;
}

/** Rules that are ready to take the place of others. */
export interface PreparedRules {
  readonly loaded: LoadedRules;
  /** Those that are not taken out. */
  readonly running: readonly ValidatedRule[];
  readonly engine: RuleEngine;
}

const NOTHING_COUNTED: Standing = {
  hash: "",
  hits: 0,
  evaluations: 0,
  rows: 0,
  matches: 0,
  cpuMs: 0,
  faults: 0,
  pauseMs: FIRST_PAUSE_MS,
  paused: null,
  until: 0,
};

export class Detection implements Judge {
  #loaded: LoadedRules;
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
    this.#renewStanding();
    this.#engine = this.#build();
  }

  /** Makes other rules ready, in steps with room for batches between them; nothing changes before {@linkcode swap}. */
  *prepare(loaded: LoadedRules): Generator<void, PreparedRules> {
    const running = loaded.active.filter((rule) => this.#pausedVersion(rule) === null);
    const options = { deadlineMs: this.#options.deadlineMs };
    return { loaded, running, engine: yield* RuleEngine.building(running, options) };
  }

  /** From now on these rules judge. One that was taken out stays out if it is the same version. */
  swap({ loaded, running, engine }: PreparedRules): void {
    this.#engine.close();
    this.#loaded = loaded;
    this.#renewStanding();
    this.#engine = engine;
    const known = new Set(running);
    // One may have been taken out, or put back, while the others were made ready
    const isSame = loaded.active.every((rule) => (this.#standing.get(rule.id)!.paused === null) === known.has(rule));
    if (!isSame) {
      engine.close();
      this.#engine = this.#build();
    }
    this.#told();
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
    const alerts = new Map<string, Alert>();
    for (const standing of this.#standing.values()) {
      if (standing.paused !== null) continue;
      standing.evaluations += rows.length;
      standing.rows += rows.length;
    }
    for (const { rule, row, evidence } of evaluation.hits) {
      this.#standing.get(rule.id)!.matches += 1;
      if (rule.status === "draft") continue;
      const alert = alertOf(rule, rows[row]!, evidence, stream, now);
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

  /** The rules that judge now. */
  get loaded(): LoadedRules {
    return this.#loaded;
  }

  /** Every rule that was found, whether it runs or not. */
  rows(): RuleRow[] {
    const running = this.#loaded.active.map((rule) => {
      const standing = this.#standing.get(rule.id)!, { paused } = standing;
      const remark = this.#loaded.remarks.get(rule.id);
      return { ...ruleRow(rule, paused === null ? rule.status : "rejected", paused, standing), ...remark };
    });
    return [...running, ...this.#loaded.others];
  }

  /** The same, as the status shows it. */
  statuses(): RuleStatus[] {
    return this.rows().map(({ description: _, tags: __, sql: ___, ...status }) => status);
  }

  /** How many rules run now. */
  get active(): number {
    return this.#loaded.active.filter(({ id, status }) =>
      status === "active" && this.#standing.get(id)!.paused === null
    ).length;
  }

  close(): void {
    this.#engine.close();
  }

  #build(): RuleEngine {
    const running = this.#loaded.active.filter(({ id }) => this.#standing.get(id)!.paused === null);
    return new RuleEngine(running, { deadlineMs: this.#options.deadlineMs });
  }

  /** A standing for each rule: that of its id before, but what a version is blamed for is not the next one's. */
  #renewStanding(): void {
    const before = new Map(this.#standing);
    this.#standing.clear();
    for (const rule of this.#loaded.active) {
      const counted = before.get(rule.id) ?? NOTHING_COUNTED;
      const blame = counted.hash === rule.hash ? {} : { faults: 0, pauseMs: FIRST_PAUSE_MS, paused: null, until: 0 };
      this.#standing.set(rule.id, { ...counted, ...blame, hash: rule.hash });
    }
  }

  /** Why this version of a rule is taken out; `null` when it is not. */
  #pausedVersion({ id, hash }: ValidatedRule): string | null {
    const standing = this.#standing.get(id);
    return standing?.hash === hash ? standing.paused : null;
  }

  #rebuild(): void {
    this.#engine.close();
    this.#engine = this.#build();
    this.#told();
  }

  #told(): void {
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
