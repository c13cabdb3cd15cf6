/**
 * What each commit of a life raises, by its number alone.
 *
 * @module
 */
import type { Severity } from "../../proto/process_event.ts";

export const FLAKY = "flaky.txt";
/** A rule whose hits are silenced, one of which each hit is an alert, and one whose hits are few alerts again and again. */
export const QUIET_RULE = "quiet", EACH_RULE = "each", SAME_RULE = "same";
/** How many different hits the last one has. */
export const SAME_KEYS = 5;
const QUIET_EVERY = 7;
const SEVERITIES: readonly Severity[] = ["info", "low", "medium", "high", "critical"];

export interface Hit {
  readonly id: string;
  readonly ruleId: string;
  readonly ruleHash: string;
  readonly dedupKey: string;
  readonly severity: Severity;
}

/** The hits of commit `number`, from 1. */
export function hitsOf(number: number): Hit[] {
  const hit = (ruleId: string, dedupKey: string, severity: Severity): Hit => ({
    ...{ id: `${ruleId}@col:e:${number}`, ruleId, ruleHash: "ab".repeat(32), dedupKey, severity },
  });
  return [
    hit(EACH_RULE, `p${number}`, SEVERITIES[number % SEVERITIES.length]!),
    hit(SAME_RULE, `k${number % SAME_KEYS}`, "high"),
    ...number % QUIET_EVERY === 0 ? [hit(QUIET_RULE, `q${number}`, "high")] : [],
  ];
}

/** Ids of the alerts that must be there after so many commits: those that are sent, and those that are muted. */
export function expectedAfter(commits: number): { sent: string[]; muted: string[] } {
  const sent: string[] = [], muted: string[] = [];
  for (let number = 1; number <= commits; number++) {
    for (const { id, ruleId } of hitsOf(number)) {
      if (ruleId === QUIET_RULE) muted.push(id);
      else if (ruleId === EACH_RULE || number <= SAME_KEYS) sent.push(id);
    }
  }
  return { sent: sent.sort(), muted: muted.sort() };
}
