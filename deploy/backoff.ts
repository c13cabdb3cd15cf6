/**
 * How long to wait before a process that ended is started again.
 *
 * @module
 */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
/** Running this long counts as health: the next end is waited for as if it were the first. */
const HEALTHY_MS = 60_000;

/** Half a second, doubled with every end that follows soon, up to half a minute. */
export class Backoff {
  #next = FIRST_MS;

  /** The wait after an end, given how long the process had run. Milliseconds. */
  after(ranMs: number): number {
    if (ranMs >= HEALTHY_MS) this.#next = FIRST_MS;
    const wait = this.#next;
    this.#next = Math.min(wait * 2, LONGEST_MS);
    return wait;
  }
}
