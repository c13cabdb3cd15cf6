/**
 * Whether SQLite's own gate lets rules pass that the guard let through.
 *
 * @module
 */
import { DEFAULT_DEADLINE_MS, RuleEngine } from "./engine.ts";
import type { ValidatedRule } from "./rule.ts";
import { WindowLane } from "./window_lane.ts";

/** Throws what SQLite, or the engine, says against one of the rules. */
export function checkSecondGate(rules: readonly ValidatedRule[]): void {
  using engine = new RuleEngine(rules.filter((rule) => rule.windowMs === null));
  engine.check();
  const overWindows = rules.filter((rule) => rule.windowMs !== null);
  if (overWindows.length > 0) new WindowLane(overWindows, { deadlineMs: DEFAULT_DEADLINE_MS })[Symbol.dispose]();
}
