/**
 * Evaluates rules over batches of rows of `process_events`, one row at a time, each in the lane that its condition
 * allows. Rules over several rows are `window_lane.ts`'s.
 *
 * In the stream lane a rule is a predicate, and thousands of them cost little more than one (`stream_lane.ts`). What only
 * SQLite can compute runs in the SQL lane, where each rule costs its own pass over the batch (`sql_lane.ts`). Both give
 * the same answer to what both can compute: the one of SQL over the stored rows.
 *
 * Rules come from the guard, rows from outside. A rule that fails on a row (JSON that is none, a value too long) misses
 * that row alone; one that runs past its deadline misses the rest of the batch. Both are told as faults, never hidden.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { Evaluation, Fault, Hit } from "./evaluation.ts";
import { rowQuery, type ValidatedRule } from "./rule.ts";
import { preparePrograms } from "./program.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import { SqlLane } from "./sql_lane.ts";
import { StreamLane } from "./stream_lane.ts";

/** Time that one rule may spend on one batch. */
export const DEFAULT_DEADLINE_MS = 100;

export interface RuleEngineOptions {
  /** Milliseconds that one rule may spend on one batch. */
  readonly deadlineMs?: number;
  /** Where what a rule costs is added up. */
  readonly costOf?: (rule: ValidatedRule) => RuleCost;
}

/**
 * Rules over batches.
 *
 * @example
 * ```ts
 * import { RuleEngine } from "./engine.ts";
 * import { parseRule, validateRule } from "./rule.ts";
 * import { blankProcessEvent } from "../process_event.ts";
 * import { eventRow } from "../event_row.ts";
 * import assert from "node:assert/strict";
 * const rule = validateRule(parseRule(`
 * id: netcat
 * title: Netcat
 * description: Someone runs netcat
 * severity: low
 * sql: SELECT pid FROM process_events WHERE name = 'nc'
 * `, "netcat.yml"));
 * using engine = new RuleEngine([rule]);
 * const event = { ...blankProcessEvent("start", 0, "x-7-1", 7), name: "nc" };
 * const { hits } = engine.evaluate([eventRow(event, 1, "host")]);
 * assert.deepEqual(hits.map(({ row, evidence }) => [row, evidence]), [[0, { pid: 7 }]]);
 * ```
 */
export class RuleEngine implements Disposable {
  readonly #deadlineMs: number;
  /** Places of the rules in the order given. */
  readonly #places: ReadonlyMap<ValidatedRule, number>;
  readonly #stream: StreamLane;
  readonly #sql: SqlLane;
  readonly #sqlRules: readonly ValidatedRule[];

  /** Makes an engine in steps of a few milliseconds, so that whoever waits for events can take some between them. */
  static *building(rules: readonly ValidatedRule[], options: RuleEngineOptions = {}): Generator<void, RuleEngine> {
    const forms = rules.flatMap((rule) => rowQuery(rule).translation.form ?? []);
    yield* preparePrograms(forms);
    return new RuleEngine(rules, options);
  }

  constructor(rules: readonly ValidatedRule[], options: RuleEngineOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#places = new Map(rules.map((rule, place) => [rule, place]));
    const streamed = rules.filter((rule) => rowQuery(rule).translation.form !== null);
    this.#sqlRules = rules.filter((rule) => rowQuery(rule).translation.form === null);
    const { costOf = newRuleCost } = options;
    this.#stream = new StreamLane(streamed, costOf);
    this.#sql = new SqlLane(this.#sqlRules, costOf);
    this.#sql.prepare(this.#sqlRules);
  }

  /** Bytes of the automata of the stream lane. */
  get automatonBytes(): number {
    return this.#stream.automatonBytes;
  }

  /** Whether SQLite's own gate lets every rule pass, also those that it does not run. Throws what it says against one. */
  check(): void {
    this.#stream.check();
  }

  /** Matches of all rules in these rows, in the order of the rules, then of the rows. */
  evaluate(rows: readonly (readonly SqlValue[])[]): Evaluation {
    const steps = this.steps(rows);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  /** The same, with room for other work between the steps. One batch is judged at a time. */
  *steps(rows: readonly (readonly SqlValue[])[]): Generator<void, Evaluation> {
    const hits: Hit[] = [], faults: Fault[] = [];
    if (rows.length === 0) return { hits, faults };
    yield* this.#stream.steps(rows, this.#deadlineMs, hits, faults);
    yield* this.#sql.steps(this.#sqlRules, rows, this.#deadlineMs, hits, faults);
    const place = (rule: ValidatedRule): number => this.#places.get(rule)!;
    hits.sort((a, b) => place(a.rule) - place(b.rule) || a.row - b.row);
    faults.sort((a, b) => place(a.rule) - place(b.rule));
    return { hits, faults };
  }

  close(): void {
    this.#stream[Symbol.dispose]();
    this.#sql[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
