/**
 * Long work in steps: a generator that yields where other work may find room.
 *
 * A step is bounded by what it does, not by the clock, so that it is as short on every run; whoever drives it decides
 * after which step there is a pause.
 *
 * @module
 */

/** Does all steps at once, and gives what the work gives. */
export function allSteps<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
