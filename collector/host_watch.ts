/**
 * What happens to the host's time: it sleeps, and its clock is set.
 *
 * Both are gaps without loss. In a sleep nothing ran, and a rule that expected something in it must know. After a step
 * of the clock the times of events before it and after it do not compare: the gap stands in the new clock, its reason
 * says what the old one showed.
 *
 * This process may be held up between the readings of two clocks, which looks like a step of either: of sleep the largest
 * reading counts, which is never too large, and a step must show in a second reading.
 *
 * @module
 */

import type { Gap } from "../proto/process_event.ts";
import type { Clock } from "./kernel/clock.ts";

/** Sleeps and steps that are shorter are not told: a clock is slewed, a kernel rounds. */
const LEAST_MS = 1_000;

export class HostWatch {
  readonly #clock: Clock;
  #offsetMs: number;
  #sleptNs: number;
  /** Nanoseconds since boot of the last look. */
  #looked: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offsetMs = clock.bootOffsetMs();
    this.#sleptNs = clock.sleptNs();
    this.#looked = clock.bootTimeNs();
  }

  /** Unix milliseconds of the moment of boot, as of the last look. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Nanoseconds since boot of the last look. */
  get looked(): number {
    return this.#looked;
  }

  /** Reads the clocks, and returns what happened to them since the last look. */
  look(): Gap[] {
    const from = this.#looked, now = this.#clock.bootTimeNs();
    this.#looked = now;
    const gaps: Gap[] = [];
    const before = this.#offsetMs;
    this.#offsetMs = this.#readOffset();
    const step = this.#offsetMs - before;
    if (Math.abs(step) > LEAST_MS) {
      const said = new Date(Math.floor(before + now / 1e6)), says = new Date(Math.floor(this.#offsetMs + now / 1e6));
      const by = `${step > 0 ? "+" : ""}${(step / 1e3).toFixed(1)} s`;
      const reason = `the clock was set by ${by}, from ${iso(said)} to ${iso(says)}; earlier events have the old time`;
      gaps.push(this.#gap(from, now, reason));
    }
    const slept = this.#clock.sleptNs();
    if (slept - this.#sleptNs > LEAST_MS * 1e6) {
      const seconds = ((slept - this.#sleptNs) / 1e9).toFixed(1);
      gaps.push(this.#gap(from, now, `the host slept ${seconds} s; nothing ran`));
    }
    this.#sleptNs = Math.max(slept, this.#sleptNs);
    return gaps;
  }

  #readOffset(): number {
    const first = this.#clock.bootOffsetMs();
    if (Math.abs(first - this.#offsetMs) <= LEAST_MS) return first;
    const second = this.#clock.bootOffsetMs();
    return Math.abs(second - this.#offsetMs) < Math.abs(first - this.#offsetMs) ? second : first;
  }

  #gap(from: number, to: number, reason: string): Gap {
    const ms = (time: number): number => Math.floor(this.#offsetMs + time / 1e6);
    return {
      source: "host",
      recordKind: "all",
      from: Math.max(0, ms(from)),
      to: Math.max(0, ms(to)),
      count: 0,
      reason,
    };
  }
}

/** `toISOString()` throws outside of its range; a clock can be set anywhere. */
function iso(date: Date): string {
  return Number.isNaN(date.getTime()) ? "an impossible time" : date.toISOString();
}
