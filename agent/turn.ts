/**
 * Work that must not overlap, in the order in which it is asked for.
 *
 * Judging a batch and storing it gives way to other work in the middle, and so does putting other rules in the place of
 * those that judge; neither may happen within the other. What fails is told to who asked, and the next goes on.
 *
 * @module
 */

export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  /** Does this when all that was asked for before has ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
