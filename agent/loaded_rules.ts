/**
 * What the files of rules amount to: rules that are judged, and what is to be said of the others.
 *
 * @module
 */
import { type ExceptionSet, NO_EXCEPTIONS } from "../proto/rules/exception_set.ts";
import { newRuleCost } from "../proto/rules/rule_cost.ts";
import { laneOf, type ValidatedRule } from "../proto/rules/rule.ts";
import type { RuleRow } from "./store/rule_table.ts";

/** What an operator should know of a rule beside its state. */
export interface Remark {
  readonly line: number | null;
  readonly column: number | null;
  readonly reason: string;
}

export interface LoadedRules {
  /** Those that are judged, drafts among them, sorted by id. */
  readonly active: readonly ValidatedRule[];
  /** Of those, what is not as their files say, by id. */
  readonly remarks: ReadonlyMap<string, Remark>;
  /** Those that do not run, each with the reason: faulty ones, and ones that a file turns off. */
  readonly others: readonly RuleRow[];
  /** What keeps hits of these rules from being alerts. */
  readonly exceptions: ExceptionSet;
  /** What is wrong with the directories themselves, each with its mend. */
  readonly notices: readonly string[];
}

/** What is judged by before any are loaded. */
export const NO_RULES: LoadedRules = {
  active: [],
  remarks: new Map(),
  others: [],
  exceptions: NO_EXCEPTIONS,
  notices: [],
};

/** What a rule that does not run has cost. */
export const NEVER_RUN = { ...newRuleCost(), suppressed: 0, degraded: [] } as const;

/** A rule that could be read, as status and store show it; what it cost is not in it. */
export function ruleRow(rule: ValidatedRule, state: string, reason: string | null, hits = 0): RuleRow {
  const { id, title, description, severity, tags, sql, file, hash } = rule;
  const lane = laneOf(rule), place = { line: null, column: null };
  return { id, title, description, severity, tags, sql, file, hash, state, ...place, reason, hits, lane, ...NEVER_RUN };
}
