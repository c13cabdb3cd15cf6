/**
 * Runs the test rows of a rule through the engine that runs it in earnest.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import { DEFAULT_DEADLINE_MS, RuleEngine } from "./engine.ts";
import type { Position, TestRow, ValidatedRule } from "./rule.ts";
import { newWindowEvaluation } from "./window_evaluation.ts";
import { WindowLane } from "./window_lane.ts";

const TIME = columnPlaces("process_events").get("time")!;

/** How one test row fared. */
export interface RuleTestResult {
  readonly position: Position;
  /** Whether the rule must match the row. */
  readonly expected: boolean;
  /** Whether it did; `null` when it failed on the row. */
  readonly got: boolean | null;
  /** Why it failed on the row. */
  readonly fault: string | null;
  readonly passed: boolean;
}

/** Results in the order of the file: the rows of `match`, then those of `no_match`. */
export function runRuleTests(rule: ValidatedRule): readonly RuleTestResult[] {
  const { match, noMatch } = rule.tests;
  if (rule.windowMs !== null) {
    const judge = (expected: boolean) => (test: TestRow): RuleTestResult => judgeWindow(rule, test, expected);
    return [...match.map(judge(true)), ...noMatch.map(judge(false))];
  }
  using engine = new RuleEngine([rule]);
  const judge = (expected: boolean) => (row: TestRow): RuleTestResult => {
    const { hits, faults } = engine.evaluate([row.values]);
    const got = faults.length > 0 ? null : hits.length > 0;
    return { position: row.position, expected, got, fault: faults[0]?.reason ?? null, passed: got === expected };
  };
  return [...match.map(judge(true)), ...noMatch.map(judge(false))];
}

/** Each row comes as a batch of its own, to an empty window. */
function judgeWindow(rule: ValidatedRule, { position, rows }: TestRow, expected: boolean): RuleTestResult {
  using lane = new WindowLane([rule], { deadlineMs: DEFAULT_DEADLINE_MS });
  const out = newWindowEvaluation(), now = Math.max(...rows.map((row) => row[TIME] as number));
  for (const row of rows) {
    for (const _ of lane.judge([row], now, out));
    lane.commit();
  }
  // Nothing comes after them: what waits for an event has waited in vain
  for (const _ of lane.judge([], now, out, new Set(), Number.MAX_SAFE_INTEGER));
  lane.commit();
  const got = out.faults.length > 0 ? null : out.findings.length > 0;
  return { position, expected, got, fault: out.faults[0]?.reason ?? null, passed: got === expected };
}
