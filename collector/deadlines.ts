/**
 * Work that is waited for only so long, with one timer for all of it.
 *
 * @module
 */

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
    this.#timer ??= setTimeout(this.#look, this.#ms);
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
    const now = performance.now();
    let next = Infinity;
    for (const job of this.#running) {
      if (job.due > now) {
        next = Math.min(next, job.due);
        continue;
      }
      this.#running.delete(job);
      this.#late(job);
    }
    if (next < Infinity) this.#timer = setTimeout(this.#look, Math.max(1, next - now));
    this.#looked();
  };
}
