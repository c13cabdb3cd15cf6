/**
 * Rules over windows for tests: rules from SQL, rows from a few cells, and a lane that takes batches.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { newWindowEvaluation, type WindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import type { WindowLane } from "../../../proto/rules/window_lane.ts";

const PLACES = columnPlaces("process_events");

export function windowRule(id: string, window: string, sql: string): ValidatedRule {
  const text = `id: ${id}\ntitle: T\ndescription: D\nseverity: high\nwindow: ${window}\nsql: |\n  ${
    sql.trim().replaceAll("\n", "\n  ")
  }\n`;
  return validateRule(parseRule(text, `${id}.yml`));
}

export function eventCells(eventId: number, time: number, more: Readonly<Record<string, SqlValue>> = {}): SqlValue[] {
  const cells: SqlValue[] = Array(PLACES.size).fill(null);
  for (const [name, value] of Object.entries({ event_id: eventId, time, event_type: "start", ...more })) {
    cells[PLACES.get(name)!] = value;
  }
  return cells;
}

/** Judges a batch and keeps it. */
export function take(lane: WindowLane, rows: readonly (readonly SqlValue[])[], now = Infinity): WindowEvaluation {
  const out = newWindowEvaluation();
  for (const _ of lane.judge(rows, now, out));
  lane.commit();
  return out;
}

/** `rule key time` of what was found, the key as the rule's evidence. */
export function shown({ findings }: WindowEvaluation): string[] {
  return findings.map(({ rule, evidence, time }) => `${rule.id} ${Object.values(evidence).join(",")} @${time}`);
}
