/**
 * How long to wait before a process that ended is started again, and how often that is done.
 *
 * @module
 */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
/** Running this long counts as health: the next end is waited for as if it were the first. */
const HEALTHY_MS = 60_000;
/** The time over which restarts are counted. */
export const BUDGET_WINDOW_MS = 600_000;

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

  /** Whoever asked for the next start knows what was before. */
  forget(): void {
    this.#next = FIRST_MS;
  }
}

/**
 * So many restarts within {@linkcode BUDGET_WINDOW_MS}. A process that uses them up rests until the first of them is that
 * long ago: what watches a host is never given up for good, and what crashes at each start does not do so all day.
 */
export class RestartBudget {
  #spent: number[] = [];

  constructor(readonly limit: number) {}

  /** How many are left at this moment of a clock that does not jump. */
  left(now: number): number {
    this.#spent = this.#spent.filter((time) => now - time < BUDGET_WINDOW_MS);
    return Math.max(0, this.limit - this.#spent.length);
  }

  /** Takes one, and returns 0; or takes none, and returns the milliseconds until there is one. */
  spend(now: number): number {
    if (this.left(now) > 0) {
      this.#spent.push(now);
      return 0;
    }
    // A budget of none has nothing to wait for but its window.
    return this.#spent.length === 0 ? BUDGET_WINDOW_MS : this.#spent[0]! + BUDGET_WINDOW_MS - now;
  }

  forget(): void {
    this.#spent = [];
  }
}
