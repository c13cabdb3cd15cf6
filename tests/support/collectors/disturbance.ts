/**
 * How much longer something takes for others while one is killed and comes back: each kill is held against the time just
 * before it, and of all kills the median counts. A host that others use is not the same a minute later, and what 99 of 100
 * are below says little of one kill alone.
 *
 * @module
 */
import type { Time } from "./clock_times.ts";

/** When a collector was killed, and when the next one was there, in Unix milliseconds. */
export interface Kill {
  readonly id: string;
  readonly from: number;
  readonly to: number;
}

/** What took how long for whom; those that have nothing to do with any kill are called "". */
export interface Timed {
  readonly id: string;
  readonly times: readonly Time[];
}

/** After the other one is back its start still weighs on the host. */
const AFTER_MS = 500;
/** The time before a kill that it is held against: at most so long, and with less than that it is left out. */
const BEFORE_MS = 2_000, LEAST_BEFORE_MS = 750;
const SHARE = 0.99;
/** From when one is back to the next kill, so that there is such a time. */
export const LEAST_BETWEEN_MS = AFTER_MS + LEAST_BEFORE_MS;

export class Disturbance {
  readonly #before: number[][] = [];
  readonly #beside: number[][] = [];

  constructor(of: readonly Timed[], kills: readonly Kill[]) {
    for (const [i, { id, from, to }] of kills.entries()) {
      const quiet = Math.max(from - BEFORE_MS, i === 0 ? 0 : kills[i - 1]!.to + AFTER_MS);
      if (from - quiet < LEAST_BEFORE_MS) continue;
      const untouched = of.filter((each) => each.id !== id);
      const within = (begin: number, end: number): number[] =>
        untouched.flatMap(({ times }) => times).filter(({ at }) => at >= begin && at < end).map(({ ms }) => ms);
      this.#before.push(within(quiet, from));
      this.#beside.push(within(from, to + AFTER_MS));
    }
  }

  /** The median over the kills of p99 beside one by that just before it. */
  get ratio(): number {
    return percentile(this.#ratios(), 0.5);
  }

  words(): string {
    const of = (times: readonly number[][]): string => {
      const all = times.flat();
      return `${[0.5, 0.9, SHARE].map((share) => percentile(all, share).toFixed(1)).join(", ")} ms of ${all.length}`;
    };
    const ratios = this.#ratios(),
      spread = [0.25, 0.75].map((share) => percentile(ratios, share).toFixed(2)).join(" to ");
    return `p50, p90, p99: ${of(this.#before)} before a kill, ${
      of(this.#beside)
    } beside it; p99 of ${ratios.length} kills: ` +
      `median ${this.ratio.toFixed(2)} times, half of them ${spread}`;
  }

  #ratios(): number[] {
    return this.#beside.map((times, i) => percentile(times, SHARE) / percentile(this.#before[i]!, SHARE));
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * share) - 1] ?? NaN;
}
