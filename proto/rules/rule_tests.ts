/**
 * Runs the test rows of a rule through the engine that runs it in earnest.
 *
 * @module
 */
import { RuleEngine } from "./engine.ts";
import type { Position, ValidatedRule } from "./rule.ts";

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
  using engine = new RuleEngine([rule]);
  const judge = (expected: boolean) => (row: ValidatedRule["tests"]["match"][number]): RuleTestResult => {
    const { hits, faults } = engine.evaluate([row.values]);
    const got = faults.length > 0 ? null : hits.length > 0;
    return { position: row.position, expected, got, fault: faults[0]?.reason ?? null, passed: got === expected };
  };
  return [...rule.tests.match.map(judge(true)), ...rule.tests.noMatch.map(judge(false))];
}
