/**
 * Events that others may not follow, each until its time has passed.
 *
 * What was taken since the last {@linkcode AbsenceQueue.keep} comes back when the batch is undone that had it taken.
 *
 * @module
 */
import { SETTLE_MS } from "./correlation_plan.ts";

interface Waiting {
  readonly time: number;
  readonly key: string;
}

export class AbsenceQueue {
  readonly #windowMs: number;
  /** In the order of time. */
  #waiting: Waiting[] = [];
  /** Taken since the last {@linkcode keep}. */
  #taken: Waiting[] = [];
  /** Absences whose time had passed by then were told before the restart. */
  #restoredTo = -Infinity;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** When the next one's time has passed; `Infinity` for none. */
  get due(): number {
    const [next] = this.#waiting;
    return next === undefined ? Infinity : this.#dueOf(next.time);
  }

  #dueOf(time: number): number {
    return time + this.#windowMs + SETTLE_MS;
  }

  /** Has an event of the group `key` wait. One of before a restart does not where its time had passed by then. */
  put(key: string, time: number, isRestored: boolean): void {
    if (isRestored && this.#dueOf(time) <= this.#restoredTo) return;
    this.#insert({ time, key });
  }

  #insert(waiting: Waiting): void {
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1]!.time > waiting.time) at--;
    this.#waiting.splice(at, 0, waiting);
  }

  /** Takes out those whose time has passed: their times, by group. */
  take(asOf: number): Map<string, number[]> {
    const due = new Map<string, number[]>();
    while (this.due <= asOf) {
      const waiting = this.#waiting.shift()!, { key, time } = waiting, times = due.get(key);
      this.#taken.push(waiting);
      if (times === undefined) due.set(key, [time]);
      else times.push(time);
    }
    return due;
  }

  /** Takes back what {@linkcode put} did. */
  remove(key: string, time: number): void {
    const at = this.#waiting.findIndex((each) => each.time === time && each.key === key);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Forgets those up to a time. */
  evict(until: number): void {
    const [first] = this.#waiting;
    if (first !== undefined && first.time <= until) this.#waiting = this.#waiting.filter(({ time }) => time > until);
  }

  /** Forgets those later than a time. */
  evictAfter(from: number): void {
    this.#waiting = this.#waiting.filter(({ time }) => time <= from);
  }

  /** What was taken does not come back. */
  keep(): void {
    this.#taken = [];
  }

  undo(): void {
    for (const waiting of this.#taken) this.#insert(waiting);
    this.#taken = [];
  }

  /** Forgets all, to be given again what is up to this time. */
  clear(newest: number): void {
    this.#restoredTo = newest;
    this.#waiting = [];
    this.#taken = [];
  }
}
