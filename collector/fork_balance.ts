/**
 * The kernel's own count of tasks that came to be, against those that the second source told of.
 *
 * Whoever hides from both sources is still counted by the kernel. The count cannot be read at the same moment as the
 * source, so it is compared only when nothing happened meanwhile, and a difference must show twice.
 *
 * @module
 */

export class ForkBalance {
  /** What the kernel's count is above the source's when nothing is missed. */
  #base: number | null = null;
  #suspected = 0;

  /** Begins anew: the source has lost some. */
  reset(): void {
    this.#base = null;
    this.#suspected = 0;
  }

  /**
   * Compares, and returns how many tasks the source was not told of since the last time. `before` and `after` are the
   * source's count before and after the kernel's was read.
   */
  compare(before: number, kernel: number | null, after: number): number {
    if (kernel === null || before !== after) return 0;
    const above = kernel - before;
    // A task that was counted and not yet told of makes the first difference too large, for a moment.
    if (this.#base === null || above < this.#base) this.#base = above;
    const unseen = Math.min(above - this.#base, this.#suspected);
    this.#suspected = above - this.#base;
    if (unseen === 0) return 0;
    this.#base += unseen;
    this.#suspected -= unseen;
    return unseen;
  }
}
