/**
 * Correlations for tests: rules from the text under `correlation:`, and what a lane says of rows.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { newWindowEvaluation, type WindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";

const PLACES = columnPlaces("process_events");

/** The text of a rule file with this under `correlation:`. */
export function correlationText(id: string, correlation: string): string {
  const lines = correlation.trim().split("\n").map((line) => `  ${line}\n`).join("");
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: high\ncorrelation:\n${lines}`;
}

export function correlationRule(id: string, correlation: string): ValidatedRule {
  return validateRule(parseRule(correlationText(id, correlation), `${id}.yml`));
}

export function open(...rules: ValidatedRule[]): WindowLane {
  return new WindowLane(rules, { deadlineMs: 60_000 });
}

/** `@time values`, of the event that completed each finding. */
export function found({ findings }: WindowEvaluation): string[] {
  return findings.map(({ cells, evidence }) => {
    const { exec_ids: _, events: __, ...values } = evidence;
    return `@${cells[PLACES.get("time")!]} ${Object.values(values).join(",")}`;
  });
}

/** Judges a batch as if the time up to `passed` were over. */
export function judge(
  lane: WindowLane,
  rows: readonly (readonly SqlValue[])[],
  passed = -Infinity,
  now = Infinity,
): WindowEvaluation {
  const out = newWindowEvaluation();
  for (const _ of lane.judge(rows, now, out, new Set(), passed));
  return out;
}
