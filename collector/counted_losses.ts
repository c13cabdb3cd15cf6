/**
 * What the first source itself counted as lost, and which of its misses that explains.
 *
 * A loss is a number of records of one kind, lost between two times. A record that the second source saw alone is
 * explained when one of its kind was lost about when it was made, and each lost record explains one: as many misses are
 * explained as losses were counted at that time, and the next one accuses.
 *
 * @module
 */

/**
 * How much sooner than the first source the second one may tell, and how much later: the parent of a new process can be
 * kept from the processor between the two; a program that a tracer holds as it begins, and a large process that gives
 * its memory back, are told to the second one when that is over.
 */
const EARLY_NS = 1e9, LATE_NS = 5e9;
/** Losses of less time than this are taken together, as a full ring gives dozens a second. */
const TOGETHER_NS = 250e6;
/** Rounds for which a loss explains: a record is judged at the end of the round after its own, or of the one after that. */
const ROUNDS = 4;

interface Losses {
  readonly kind: number;
  readonly from: number;
  to: number;
  left: number;
  round: number;
}

export class CountedLosses {
  /** The oldest first, as they were reported. */
  #losses: Losses[] = [];
  #round = 0;

  /** Takes `count` lost records of one kind. Times are nanoseconds since boot. */
  add(kind: number, from: number, to: number, count: number): void {
    const last = this.#losses.findLast((losses) => losses.kind === kind);
    if (last !== undefined && from >= last.from && to - last.from <= TOGETHER_NS) {
      last.to = Math.max(last.to, to);
      last.left += count;
      last.round = this.#round;
    } else this.#losses.push({ kind, from, to, left: count, round: this.#round });
  }

  /** Whether one of the lost records can be this one; then that one is used up. To be asked for the oldest first. */
  explain(kind: number, time: number): boolean {
    const losses = this.#losses.find((losses) =>
      losses.kind === kind && losses.left > 0 && time >= losses.from - EARLY_NS && time <= losses.to + LATE_NS
    );
    if (losses === undefined) return false;
    losses.left--;
    return true;
  }

  /** Ends a round: forgets what explains nothing any more. */
  endRound(): void {
    this.#round++;
    this.#losses = this.#losses.filter(({ left, round }) => left > 0 && this.#round - round < ROUNDS);
  }
}
