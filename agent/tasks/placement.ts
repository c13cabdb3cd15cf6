/**
 * Which of several collectors that could carry out a task gets it.
 *
 * `least-loaded` takes the one with the fewest calls under way; `round-robin` the next in turn; `weighted` gives each its
 * share by what it can see, spread evenly. Equals come in turn, so that none is worn out by its name.
 *
 * @module
 */
export const PLACEMENTS = ["least-loaded", "round-robin", "weighted"] as const;
export type Placement = typeof PLACEMENTS[number];

/** A collector that can do it. */
export interface Candidate {
  readonly collectorId: string;
  /** Calls to it that run or wait. */
  readonly load: number;
  /** 1 and more: what it sees compared with others. */
  readonly weight: number;
}

/** Weights of collectors that have gone are forgotten when there are so many. */
const MAX_CREDITS = 64;

export class Placing {
  /** Whom it took last. */
  #last = "";
  /** Of smooth weighted turns: how much each is owed. */
  readonly #owed = new Map<string, number>();

  /** One of the candidates, which must not be none. */
  choose(candidates: readonly Candidate[], placement: Placement): Candidate {
    const inTurn = this.#inTurn(candidates);
    const chosen = placement === "weighted"
      ? this.#byWeight(inTurn)
      : placement === "round-robin"
      ? inTurn[0]!
      : inTurn.reduce((best, each) => each.load < best.load ? each : best);
    this.#last = chosen.collectorId;
    return chosen;
  }

  /** By name, beginning after the last one. */
  #inTurn(candidates: readonly Candidate[]): readonly Candidate[] {
    const sorted = candidates.toSorted((a, b) => a.collectorId < b.collectorId ? -1 : 1);
    const next = sorted.findIndex(({ collectorId }) => collectorId > this.#last);
    return next <= 0 ? sorted : [...sorted.slice(next), ...sorted.slice(0, next)];
  }

  /** Everybody is owed its weight each time; who is owed most gets it and pays for all. */
  #byWeight(candidates: readonly Candidate[]): Candidate {
    if (this.#owed.size > MAX_CREDITS) this.#owed.clear();
    let total = 0, most: Candidate | null = null;
    for (const each of candidates) {
      total += each.weight;
      this.#owed.set(each.collectorId, (this.#owed.get(each.collectorId) ?? 0) + each.weight);
      if (most === null || this.#owed.get(each.collectorId)! > this.#owed.get(most.collectorId)!) most = each;
    }
    this.#owed.set(most!.collectorId, this.#owed.get(most!.collectorId)! - total);
    return most!;
  }
}
