/**
 * What is said again and again of one program, and how often it is.
 *
 * A build in a temporary directory, or whoever wants to hide one event among many, begins the same program thousands of
 * times a second. Each start has its own event in any case; that it is suspicious is told so many times a minute, and
 * then how often it was not. What is of high severity is always told.
 *
 * @module
 */

import type { Judgement } from "./executions.ts";

/** How often a minute one program is told of for one reason. */
export const MOST_A_MINUTE = 10;
const MINUTE_NS = 60e9;
/** Programs that are remembered; with more, some may be told of more often. */
const MAX_PROGRAMS = 4_096;

interface Told {
  since: number;
  count: number;
  omitted: number;
}

export class Repetitions {
  readonly #told = new Map<string, Told>();
  #omitted = 0;

  /** What was not told, since the start. */
  get omitted(): number {
    return this.#omitted;
  }

  /** The reason to tell at `time` (nanoseconds since boot), or `null` when it is only counted. */
  judge({ severity, reason }: Judgement, program: string, time: number): string | null {
    if (severity === "high" || severity === "critical") return reason;
    const key = `${severity} ${program}`;
    let told = this.#told.get(key);
    if (told === undefined) {
      if (this.#told.size >= MAX_PROGRAMS) this.#told.clear();
      this.#told.set(key, told = { since: time, count: 0, omitted: 0 });
    }
    const { omitted } = told, isNew = time - told.since >= MINUTE_NS;
    if (isNew) Object.assign(told, { since: time, count: 0, omitted: 0 });
    if (told.count >= MOST_A_MINUTE) {
      told.omitted++;
      this.#omitted++;
      return null;
    }
    told.count++;
    return isNew && omitted > 0 ? `${reason}; ${omitted} more times in the minutes before` : reason;
  }
}
