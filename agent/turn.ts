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
  #asked = 0;

  /** Nothing is being done, and nothing waits. */
  get isIdle(): boolean {
    return this.#asked === 0;
  }

  /** Does this when all that was asked for before has ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    this.#asked += 1;
    const turn = this.#last.then(work).finally(() => this.#asked -= 1);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
