/**
 * Runs the test rows of a rule through the engine that runs it in earnest.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import { CollectedLane } from "./collected_lane.ts";
import { RuleEngine } from "./engine.ts";
import type { Position, TestRow, ValidatedRule } from "./rule.ts";
import { newWindowEvaluation } from "./window_evaluation.ts";
import { WindowLane } from "./window_lane.ts";

const TIME = columnPlaces("process_events").get("time")!;

/** A host with other work to do must not make a test of a few rows fail: longer than the agent waits. */
const TEST_DEADLINE_MS = 5_000;

/** How one test row fared. */
export interface RuleTestResult {
  /** Where the test stands in the rule's file. */
  readonly position: Position;
  /** Whether the rule must match the row. */
  readonly expected: boolean;
  /** Whether it did; `null` when it failed on the row. */
  readonly got: boolean | null;
  /** Why it failed on the row. */
  readonly fault: string | null;
  /** Whether the rule did what the test says. */
  readonly passed: boolean;
}

/** Results in the order of the file: the rows of `match`, then those of `no_match`. */
export function runRuleTests(rule: ValidatedRule): readonly RuleTestResult[] {
  const { match, noMatch } = rule.tests;
  if (rule.collected !== undefined) {
    const judge = (expected: boolean) => (test: TestRow): RuleTestResult => judgeRows(rule, test, expected);
    return [...match.map(judge(true)), ...noMatch.map(judge(false))];
  }
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

/** Rows of a collector's table: each comes as a batch of its own. */
function judgeRows(rule: ValidatedRule, { position, rows }: TestRow, expected: boolean): RuleTestResult {
  using lane = new CollectedLane([rule], { deadlineMs: TEST_DEADLINE_MS });
  const { table } = rule.collected!, time = table.columns.findIndex(({ name }) => name === "time");
  const out = newWindowEvaluation(), id = table.columns.findIndex(({ name }) => name === table.key[0]);
  for (const [at, given] of rows.entries()) {
    const row = given.map((value, i) => value ?? (i === time ? 0 : i === id ? at + 1 : null));
    for (const _ of lane.judge([{ table: table.name, rows: [row] }], row[time] as number, out));
    lane.commit();
  }
  const got = out.faults.length > 0 ? null : out.findings.length > 0;
  return { position, expected, got, fault: out.faults[0]?.reason ?? null, passed: got === expected };
}

/** Each row comes as a batch of its own, to an empty window. */
function judgeWindow(rule: ValidatedRule, { position, rows }: TestRow, expected: boolean): RuleTestResult {
  using lane = new WindowLane([rule], { deadlineMs: TEST_DEADLINE_MS });
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
