/**
 * Long work in steps, with room for other work.
 *
 * @module
 */

/** Work that is done in one go; a step that is under way is finished. */
const SLICE_MS = 20;
const SHORT_SLICE_MS = 5;

/** When the last pause ended, on the clock of `performance.now()`. */
export interface Pace {
  began: number;
}

/** Takes steps to their end, with a pause for other work whenever they took long enough. */
export async function paced<T>(steps: Generator<void, T>, pace: Pace): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() - pace.began < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    pace.began = performance.now();
  }
}

/** The same for work that nobody waits for, in shorter slices: gives it up, and says no, when it is not wanted any more. */
export async function pacedWhile(steps: Generator<void, unknown>, isWanted: () => boolean): Promise<boolean> {
  for (;;) {
    const began = performance.now();
    do {
      if (!isWanted()) {
        steps.return(undefined);
        return false;
      }
      if (steps.next().done) return true;
    } while (performance.now() - began < SHORT_SLICE_MS);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}
