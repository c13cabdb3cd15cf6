/**
 * Whether SQLite's own gate lets rules pass that the guard let through, and whether the engine can make something of them.
 *
 * @module
 */
import { tableNamed } from "../catalog.ts";
import { CollectedLane } from "./collected_lane.ts";
import { DEFAULT_DEADLINE_MS } from "./engine.ts";
import { programOf } from "./program.ts";
import { rowQuery, type ValidatedRule } from "./rule.ts";
import { newRuleCost } from "./rule_cost.ts";
import { SqlLane } from "./sql_lane.ts";
import { WindowLane } from "./window_lane.ts";

/** The gate for any number of rules, one after the other. */
export class SecondGate implements Disposable {
  readonly #rows = new SqlLane([], newRuleCost, new Set(tableNamed("process_events").columns.map(({ name }) => name)));

  /** Throws what SQLite, or the engine, says against a rule. */
  check(rule: ValidatedRule): void {
    if (rule.collected !== undefined) {
      return new CollectedLane([rule], { deadlineMs: DEFAULT_DEADLINE_MS })[Symbol.dispose]();
    }
    if (rule.windowMs !== null) return new WindowLane([rule], { deadlineMs: DEFAULT_DEADLINE_MS })[Symbol.dispose]();
    const { form } = rowQuery(rule).translation;
    if (form !== null) programOf(form);
    this.#rows.check([rule]);
  }

  [Symbol.dispose](): void {
    this.#rows[Symbol.dispose]();
  }
}

/** Throws what SQLite, or the engine, says against one of the rules. */
export function checkSecondGate(rules: readonly ValidatedRule[]): void {
  using gate = new SecondGate();
  for (const rule of rules) gate.check(rule);
}
