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
import { allSteps } from "../steps.ts";
import type { Evaluation, Fault, Hit } from "./evaluation.ts";
import { hitForm, type ValidatedRule } from "./rule.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import { SqlLane } from "./sql_lane.ts";
import { StreamLane } from "./stream_lane.ts";
import { filtersOf, type Suppressed, SuppressorJudge, type SuppressorsOf } from "./suppressor.ts";

/** Time that one rule may spend on one batch. */
export const DEFAULT_DEADLINE_MS = 100;

export interface RuleEngineOptions {
  /** Milliseconds that one rule may spend on one batch. */
  readonly deadlineMs?: number;
  /** Where what a rule costs is added up; whoever reads it calls {@linkcode RuleEngine.tally} first. */
  readonly costOf?: (rule: ValidatedRule) => RuleCost;
  /** What keeps hits from being hits: by default the filters of Sigma rules alone. */
  readonly suppressorsOf?: SuppressorsOf;
}

/** Hits between two steps in which it is asked what suppresses them. */
const HITS_A_STEP = 64;

interface Lanes {
  readonly stream: StreamLane;
  readonly sql: SqlLane;
  readonly suppressors: SuppressorJudge;
}

/** Rules that only SQLite can judge. */
function sqlRulesOf(rules: readonly ValidatedRule[]): readonly ValidatedRule[] {
  return rules.filter((rule) => hitForm(rule) === null);
}

function* lanesOf(
  rules: readonly ValidatedRule[],
  { costOf = newRuleCost, suppressorsOf = filtersOf }: RuleEngineOptions,
): Generator<void, Lanes> {
  const streamed = rules.filter((rule) => hitForm(rule) !== null);
  const others = sqlRulesOf(rules);
  yield;
  const suppressors = yield* SuppressorJudge.building(rules, suppressorsOf);
  yield;
  const stream = yield* StreamLane.building(streamed, costOf);
  yield;
  let sql: SqlLane | null = null, isWhole = false;
  try {
    sql = new SqlLane(others, costOf);
    yield* sql.preparing(others);
    isWhole = true;
    return { stream, sql, suppressors };
  } finally {
    // Who gives up between two steps, and a rule that SQLite does not take, leave no database open
    if (!isWhole) [stream, sql].forEach((lane) => lane?.[Symbol.dispose]());
  }
}

/**
 * Rules over batches.
 *
 * @example
 * ```ts
 * import { RuleEngine } from "./engine.ts";
 * import { validateRule } from "./rule.ts";
 * import { parseRule } from "./rule_yaml.ts";
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
  /** Of the SQL lane, those that are asked. */
  #sqlRules: readonly ValidatedRule[];
  readonly #suppressors: SuppressorJudge;
  readonly #costOf: (rule: ValidatedRule) => RuleCost;

  /** Makes an engine at once; {@linkcode RuleEngine.building} does so in steps. */
  constructor(
    rules: readonly ValidatedRule[],
    options: RuleEngineOptions = {},
    { stream, sql, suppressors }: Lanes = allSteps(lanesOf(rules, options)),
  ) {
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#costOf = options.costOf ?? newRuleCost;
    this.#suppressors = suppressors;
    this.#places = new Map(rules.map((rule, place) => [rule, place]));
    this.#stream = stream;
    this.#sql = sql;
    this.#sqlRules = sqlRulesOf(rules);
  }

  /** Makes an engine in steps of a millisecond or two, so that whoever waits for events can take some between them. */
  static *building(rules: readonly ValidatedRule[], options: RuleEngineOptions = {}): Generator<void, RuleEngine> {
    return new RuleEngine(rules, options, yield* lanesOf(rules, options));
  }

  /** From now on judges by all rules but these, between two batches. */
  pause(rules: ReadonlySet<ValidatedRule>): void {
    this.#stream.pause(rules);
    this.#sqlRules = sqlRulesOf([...this.#places.keys()]).filter((rule) => !rules.has(rule));
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
    return allSteps(this.steps(rows));
  }

  /** The same, with room for other work between the steps. One batch is judged at a time. */
  *steps(rows: readonly (readonly SqlValue[])[]): Generator<void, Evaluation> {
    let hits: Hit[] = [];
    const faults: Fault[] = [], suppressed: Suppressed[] = [];
    if (rows.length === 0) return { hits, faults, suppressed };
    yield* this.#stream.steps(rows, this.#deadlineMs, hits, faults);
    yield* this.#sql.steps(this.#sqlRules, rows, this.#deadlineMs, hits, faults);
    hits = yield* this.#unsuppressed(hits, rows, suppressed);
    const place = (rule: ValidatedRule): number => this.#places.get(rule)!;
    hits.sort((a, b) => place(a.rule) - place(b.rule) || a.row - b.row);
    faults.sort((a, b) => place(a.rule) - place(b.rule));
    return { hits, faults, suppressed };
  }

  *#unsuppressed(
    hits: readonly Hit[],
    rows: readonly (readonly SqlValue[])[],
    suppressed: Suppressed[],
  ): Generator<void, Hit[]> {
    const kept: Hit[] = [];
    let asked = 0;
    for (const hit of hits) {
      const by = this.#suppressors.find(hit.rule, rows[hit.row]!);
      if (by === null) kept.push(hit);
      else {
        suppressed.push(by);
        this.#costOf(hit.rule).matches -= 1;
      }
      if (this.#suppressors.has(hit.rule) && ++asked % HITS_A_STEP === 0) yield;
    }
    return kept;
  }

  /** Brings what rules cost up to date: until then rows that they were asked about may be missing from it. */
  tally(): void {
    this.#stream.tally();
  }

  /** Ends the databases of the engine; nothing may be asked of it afterwards. */
  close(): void {
    this.#stream[Symbol.dispose]();
    this.#sql[Symbol.dispose]();
  }

  /** The same as {@linkcode RuleEngine.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
