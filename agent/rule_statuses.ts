/**
 * What is said of every rule that was found, whether it judges or not: for the database and for the status.
 *
 * @module
 */
import { completenessOf } from "../proto/completeness.ts";
import type { RuleCost } from "../proto/rules/rule_cost.ts";
import { laneOf, type ValidatedRule } from "../proto/rules/rule.ts";
import type { RuleStatus } from "../proto/status.ts";
import type { RuleLanes } from "./rule_lanes.ts";
import type { RuleStandings } from "./rule_standings.ts";
import { type LoadedRules, type Remark, ruleRow } from "./loaded_rules.ts";
import type { Sight } from "./sight.ts";
import type { RuleRow } from "./store/rule_table.ts";
import type { Suppressions } from "./suppressions.ts";

/** Reasons that the status gives for each rule. */
const MAX_SHOWN_REASONS = 3;
/** How old may be what {@linkcode RuleStatuses.recent} says of what rules cost. */
const RECENT_MS = 5_000;

export interface RuleStatusesOptions {
  /** The rules that judge now. */
  readonly loaded: () => LoadedRules;
  readonly standings: RuleStandings;
  readonly lanes: RuleLanes;
  readonly suppressions: Suppressions;
  readonly sight: Sight;
  readonly costOf: (rule: ValidatedRule) => RuleCost;
  /** What of what a rule reads no registered collector gives. */
  readonly lacksOf: (rule: ValidatedRule) => readonly string[];
  /** A clock that does not jump, in milliseconds. */
  readonly clock: () => number;
}

export class RuleStatuses {
  readonly #options: RuleStatusesOptions;
  /** What was said last; `null` when more than counts has changed since. */
  #recent: { readonly until: number; readonly statuses: readonly RuleStatus[] } | null = null;

  constructor(options: RuleStatusesOptions) {
    this.#options = options;
  }

  rows(): RuleRow[] {
    const { loaded, standings, lanes, suppressions, costOf } = this.#options, { active, others } = loaded();
    lanes.tally();
    const running = active.map((rule) => {
      const { hits, paused } = standings.of(rule.id), cost = costOf(rule);
      const row = ruleRow(rule, paused === null ? rule.status : "rejected", paused, hits);
      const suppressed = suppressions.of(rule.id);
      return { ...row, ...cost, suppressed, degraded: this.#degraded(rule, paused), ...this.#remarkOf(rule, paused) };
    });
    return [...running, ...others];
  }

  statuses(): RuleStatus[] {
    const { loaded, standings, lanes, suppressions, costOf } = this.#options, { active, others } = loaded();
    lanes.tally();
    const running = active.map((rule): RuleStatus => {
      const { id, title, severity, file, hash } = rule, { hits, paused } = standings.of(id);
      const { evaluations, matches, cpuMs, rows } = costOf(rule), remark = this.#remarkOf(rule, paused);
      const { line, column, reason } = remark ?? { line: null, column: null, reason: paused };
      const state = paused === null ? rule.status : "rejected", degraded = this.#degraded(rule, paused);
      const lane = laneOf(rule);
      return {
        ...{ id, title, severity, file, hash, state, line, column, reason, hits, lane },
        ...{ evaluations, matches, cpuMs, rows, degraded, suppressed: suppressions.of(id) },
      };
    });
    return [...running, ...others.map(({ description: _, tags: __, sql: ___, ...status }) => status)];
  }

  /**
   * The same as it was {@linkcode RECENT_MS} ago at most, and not before the last {@linkcode changed}: to look at every
   * rule once a second costs a quiet host more than to judge its events.
   */
  get recent(): readonly RuleStatus[] {
    const now = this.#options.clock();
    if (this.#recent === null || now >= this.#recent.until) {
      this.#recent = { until: now + RECENT_MS, statuses: this.statuses() };
    }
    return this.#recent.statuses;
  }

  /** More than counts has changed. */
  changed(): void {
    this.#recent = null;
  }

  /** What there is to say of a rule that runs; of one that is taken out, that is what matters. */
  #remarkOf({ id }: ValidatedRule, paused: string | null): Remark | undefined {
    return paused === null ? this.#options.loaded().remarks.get(id) : undefined;
  }

  /** Why "no match" of a rule may be wrong now. */
  #degraded(rule: ValidatedRule, paused: string | null): readonly string[] {
    if (paused !== null) return [paused];
    const { lacksOf, sight, lanes: { window, collected } } = this.#options, unsupplied = lacksOf(rule);
    if (rule.collected !== undefined) {
      return [...unsupplied, ...collected?.reasons(rule) ?? []].slice(0, MAX_SHOWN_REASONS);
    }
    if (rule.windowMs === null || window === null) {
      const reasons = [...unsupplied, ...sight.attributeLacks(rule, Infinity, null)];
      return completenessOf(reasons).reasons.slice(0, MAX_SHOWN_REASONS);
    }
    const { newest } = window, from = newest - rule.windowMs;
    const lacks = sight.attributeLacks(rule, from, null);
    const reasons = [...unsupplied, ...lacks, ...window.reasons(rule), ...sight.lacks(from, newest)];
    return completenessOf(reasons).reasons.slice(0, MAX_SHOWN_REASONS);
  }
}
