/**
 * Work that is waited for only so long, with one timer for all of it.
 *
 * Time in which this thread stands still counts for nobody: what ends meanwhile is told only after the timers, and on a
 * host that has no time for this thread the work, on other threads, has none either. So it is looked several times
 * within a deadline, and by as much as a look is late everything has longer.
 *
 * @module
 */

/** Looks within a deadline, and how late one is at least that was held up. */
const LOOKS = 8, HELD_UP_MS = 4;

/** Something that is under way. */
export interface Timed {
  /** When it is late, on the clock of `performance.now()`. */
  due: number;
}

export class Deadlines<Job extends Timed> {
  readonly #running = new Set<Job>();
  readonly #ms: number;
  readonly #late: (job: Job) => void;
  readonly #looked: () => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** When the timer is due. */
  #next = 0;

  /** `late` is called for each that takes longer than `ms`, which is not waited for any more; `looked` after all of them. */
  constructor(ms: number, late: (job: Job) => void, looked: () => void) {
    this.#ms = ms;
    this.#late = late;
    this.#looked = looked;
  }

  /** Those that are waited for. */
  get running(): ReadonlySet<Job> {
    return this.#running;
  }

  begun(job: Job): void {
    job.due = performance.now() + this.#ms;
    this.#running.add(job);
    if (this.#timer === null) this.#lookAt(job.due);
  }

  /** Also for one that was late. */
  ended(job: Job): void {
    this.#running.delete(job);
  }

  /** Waits for nothing until something is begun. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  readonly #look = (): void => {
    this.#timer = null;
    const now = performance.now(), heldUp = now - this.#next;
    let next = Infinity;
    for (const job of this.#running) {
      if (heldUp > HELD_UP_MS) job.due += heldUp;
      if (job.due > now) {
        next = Math.min(next, job.due);
        continue;
      }
      this.#running.delete(job);
      this.#late(job);
    }
    if (next < Infinity) this.#lookAt(next);
    this.#looked();
  };

  #lookAt(time: number): void {
    const ms = Math.max(1, Math.min(this.#ms / LOOKS, time - performance.now()));
    this.#next = performance.now() + ms;
    this.#timer = setTimeout(this.#look, ms);
  }
}
