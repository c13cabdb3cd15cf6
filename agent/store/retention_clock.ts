/**
 * The clock that retention by age goes by: the wall clock, but never faster than {@linkcode MAX_SPEED}.
 *
 * A wall clock that is a year ahead for an hour must not have everything removed for its age. So this clock is kept in
 * the store, and follows a wall clock that runs away at some times the speed of the clock that does not jump. A host
 * that was off for a month catches up in two days and a half, and one that is on for two hours a day keeps its promise;
 * an hour of a wrong clock costs the oldest twelve hours. A wall clock that goes back is followed at once: that keeps
 * more.
 *
 * @module
 */

/** How many times faster than the clock that does not jump. */
export const MAX_SPEED = 12;

export class RetentionClock {
  #time: number;
  #seen: number;

  /** `kept` is what the clock showed last, `monotonic` a clock that does not jump; both in milliseconds. */
  constructor(kept: number, monotonic: number) {
    this.#time = kept;
    this.#seen = monotonic;
  }

  /** Unix milliseconds. */
  at(wall: number, monotonic: number): number {
    const passed = Math.max(0, monotonic - this.#seen);
    this.#seen = monotonic;
    this.#time = Math.min(wall, this.#time + passed * MAX_SPEED);
    return this.#time;
  }
}
