/**
 * Roughly when the item of a number happened: a mark a second, and fewer of them the longer ago.
 *
 * @module
 */

/** Marks that are kept; with more, every second one goes. */
const MAX_MARKS = 1_024;
const LEAST_MS = 1_000;

export class TimeMarks {
  #marks: { sequence: number; time: number }[] = [];

  add(sequence: number, time: number): void {
    const last = this.#marks.at(-1);
    if (last !== undefined && time >= last.time && time - last.time < LEAST_MS) return;
    this.#marks.push({ sequence, time });
    // The first stays: nothing must seem to be younger than it is.
    if (this.#marks.length > MAX_MARKS) this.#marks = this.#marks.filter((_, at) => at % 2 === 0);
  }

  /** The time of the last mark at or before `sequence`, so never later than that of the item; `null` without one. */
  timeOf(sequence: number): number | null {
    return this.#marks.findLast((mark) => mark.sequence <= sequence)?.time ?? this.#marks[0]?.time ?? null;
  }

  /** Forgets what only numbers below `sequence` need. */
  forgetBelow(sequence: number): void {
    let keep = 0;
    while (keep + 1 < this.#marks.length && this.#marks[keep + 1]!.sequence <= sequence) keep += 1;
    if (keep > 0) this.#marks.splice(0, keep);
  }
}
