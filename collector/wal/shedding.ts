/**
 * What is kept when not everything can be: the order in which kinds of items are refused, and the count of each refusal.
 *
 * An item is refused before it has a sequence number, so the numbers in the log never have a hole by design. The order is
 * the one in which an analyst would give things up: a process table is taken again; a stop says how a process ended that
 * is known already; a change adds to it; what looks suspicious is rare and worth more; the start of a program is the one
 * fact that nothing else can bring back. Gap records stand last: they say what is missing.
 *
 * @module
 */
import { TALLY_CLASSES } from "./format.ts";

/** From what is given up first to what is given up last; the place of a name is its number on disk. */
export const ITEM_CLASSES = ["snapshot", "stop", "modify", "suspicious", "start", "note"] as const;
export type ItemClass = (typeof ITEM_CLASSES)[number];

/** The share of the space that each class may fill. The last hundredth is for gap records alone. */
const SHARES: Readonly<Record<ItemClass, number>> = {
  snapshot: 0.70,
  stop: 0.80,
  modify: 0.85,
  suspicious: 0.95,
  start: 0.98,
  note: 0.99,
};
/** A class that was refused is taken again when this share of the space is free below its own. */
const RELEASE = 0.10;

/** Items of one class that were refused, not yet told by a gap record. */
export interface Tally {
  readonly itemClass: ItemClass;
  /** Counts all tallies of a log, from 1; a gap record names the one that it settles. */
  readonly generation: number;
  readonly count: number;
  /** Unix milliseconds of the first and the last. */
  readonly from: number;
  readonly to: number;
}

/** Decides what is taken, and keeps count of what is not. */
export class Shedding {
  readonly #open: (Tally | null)[] = new Array<Tally | null>(TALLY_CLASSES).fill(null);
  /** Gap records of these are in the log, but not yet on disk. */
  readonly #settling: (Tally | null)[] = new Array<Tally | null>(TALLY_CLASSES).fill(null);
  /** The last tally settled on disk, by class. */
  readonly settled: number[];
  refused = 0;
  /** The number of the newest tally. */
  generation: number;

  /**
   * Goes on with the tallies that an earlier run left: by class, those up to `settled` have their gap record on disk,
   * those after that up to `onTheWay` in what is to be written again. A number is never used again: `generation` is the
   * last one that is known.
   */
  constructor(
    tallies: readonly Tally[],
    settled: readonly number[],
    onTheWay: readonly number[],
    generation: number,
  ) {
    this.settled = [...settled];
    this.generation = Math.max(generation, ...settled, ...onTheWay, ...tallies.map((tally) => tally.generation));
    for (const tally of tallies) {
      const at = ITEM_CLASSES.indexOf(tally.itemClass);
      if (tally.generation <= this.settled[at]!) continue;
      const place = tally.generation <= onTheWay[at]! ? this.#settling : this.#open;
      const before = place[at] ?? null;
      place[at] = before === null ? tally : joined(before, tally);
    }
  }

  /** Whether items of this class are taken while `share` (0 to 1) of the space is used. */
  admits(itemClass: ItemClass, share: number): boolean {
    const closed = this.#open[ITEM_CLASSES.indexOf(itemClass)] !== null;
    return share < SHARES[itemClass] - (closed ? RELEASE : 0);
  }

  refuse(itemClass: ItemClass, count: number, from: number, to: number): void {
    this.inherit(itemClass, count, from, to);
    this.refused += count;
  }

  /** Of items that another log has counted as refused. */
  inherit(itemClass: ItemClass, count: number, from: number, to: number): void {
    const at = ITEM_CLASSES.indexOf(itemClass), before = this.#open[at] ?? null;
    if (before === null) this.generation += 1;
    const more: Tally = { itemClass, generation: before?.generation ?? this.generation, count, from, to };
    this.#open[at] = before === null ? more : joined(before, more);
  }

  /** Tallies that can be told now, the least valued last. One at a time of each class is on its way. */
  due(share: number): Tally[] {
    return this.#open.filter((tally, at): tally is Tally =>
      tally !== null && this.#settling[at] === null && this.admits(tally.itemClass, share)
    ).reverse();
  }

  /** The gap record of `tally` has been put into the log. */
  settling(tally: Tally): void {
    const at = ITEM_CLASSES.indexOf(tally.itemClass);
    this.#settling[at] = tally;
    this.#open[at] = null;
  }

  /** Everything put into the log is on disk. Returns whether that settled a tally. */
  flushed(): boolean {
    let any = false;
    this.#settling.forEach((tally, at) => {
      if (tally === null) return;
      this.settled[at] = tally.generation;
      this.#settling[at] = null;
      any = true;
    });
    return any;
  }

  /** Everything that no gap record on disk tells. */
  outstanding(): Tally[] {
    return [...this.#settling, ...this.#open].filter((tally) => tally !== null);
  }
}

function joined(a: Tally, b: Tally): Tally {
  return {
    itemClass: a.itemClass,
    generation: Math.max(a.generation, b.generation),
    count: a.count + b.count,
    from: Math.min(a.from, b.from),
    to: Math.max(a.to, b.to),
  };
}
