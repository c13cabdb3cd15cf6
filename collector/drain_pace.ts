/**
 * How long records may gather before the next drain.
 *
 * A drain costs the same whether it brings one record or a hundred: a wake-up, a write, a sync, a frame, a commit of the
 * agent. So the pause grows with the rate at which records come, measured over some drains; one burst after a quiet time,
 * such as a shell that starts a pipeline, is no storm and is told as soon as ever.
 *
 * @module
 */

/** While few records come: an event waits so long at most, and a program has its fork and its exec in one drain. */
export const LEAST_PAUSE_MS = 4;
/** In a storm: a drain brings thousands, and the ring has room for many times that. */
export const MOST_PAUSE_MS = 40;
/** By so much a record a millisecond lengthens the pause: some 10 a drain at 1.5 a millisecond, some 100 at 7. */
const PAUSE_PER_RATE = 1.5;
/** The time over which the rate is taken. */
const SPAN_MS = 60;

export class DrainPace {
  /** Records a millisecond. */
  #rate = 0;
  #last: number;

  /** `clock`: milliseconds that never go back. */
  constructor(private readonly clock: () => number = () => performance.now()) {
    this.#last = clock();
  }

  /** Takes what a drain brought; gives the pause before the next, in milliseconds. */
  next(records: number): number {
    const now = this.clock(), elapsed = Math.max(now - this.#last, 1);
    this.#last = now;
    // What is older than the span counts less and less, however often it is drained.
    const kept = Math.exp(-elapsed / SPAN_MS);
    this.#rate = this.#rate * kept + records / elapsed * (1 - kept);
    return Math.min(Math.round(LEAST_PAUSE_MS + this.#rate * PAUSE_PER_RATE), MOST_PAUSE_MS);
  }
}
