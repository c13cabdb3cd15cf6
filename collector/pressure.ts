/**
 * What the collector does when its log fills up: it sees less often what it sees again and again, so that there is room
 * for what it sees once.
 *
 * From 70 % of the room on, until 50 %: process tables are read at twice the interval, then at four times, up to sixteen;
 * environments are left out (the key `=cut` says so); changes of memory and CPU time are not told. Starts, ends and
 * arguments are told whole: what is refused of them in the end, by class, is the log's business (`wal/shedding.ts`).
 *
 * @module
 */

export const RAISED_AT = 0.70, RELEASED_AT = 0.50;
/** Of the interval between process tables. */
export const MAX_FACTOR = 16;

export class Pressure {
  #isRaised = false;
  #factor = 1;

  get isRaised(): boolean {
    return this.#isRaised;
  }

  /** Takes the share of the room that is used; says what that changed. */
  update(load: number): "raised" | "released" | null {
    if (this.#isRaised ? load > RELEASED_AT : load < RAISED_AT) return null;
    this.#isRaised = !this.#isRaised;
    this.#factor = this.#isRaised ? 2 : 1;
    return this.#isRaised ? "raised" : "released";
  }

  /** An interval as it is now. */
  stretched(ms: number): number {
    return ms * this.#factor;
  }

  /** A process table was read: while the pressure lasts, the next one comes after twice the time. */
  lengthen(): void {
    if (this.#isRaised) this.#factor = Math.min(this.#factor * 2, MAX_FACTOR);
  }
}
