/**
 * How long something takes: the usual, the rare and the longest time of the last half minute, for the status.
 *
 * Times are counted in classes that grow by a twelfth of an octave, so a figure is at most some 6 % too high, and measuring costs
 * neither memory nor time worth a word. Two halves take turns, so that what was long ago does not speak for now.
 *
 * @module
 */
import type { ProcessEvent } from "./process_event.ts";

/** What is told is of the last {@linkcode SPAN_MS} to twice that. */
export const SPAN_MS = 15_000;
const CLASSES_PER_OCTAVE = 12;
/** From a microsecond to some four and a half hours; what takes longer is in the last class. */
const CLASSES: number = 34 * CLASSES_PER_OCTAVE;

/** Milliseconds. */
export interface Delays {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

class Half {
  readonly counts = new Uint32Array(CLASSES);
  count = 0;
  max = 0;

  clear(): void {
    this.counts.fill(0);
    this.count = this.max = 0;
  }
}

export class DelayMeter {
  readonly #clock: () => number;
  #now = new Half();
  #before = new Half();
  #turn: number;

  /** `clock`: milliseconds that never go back. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
    this.#turn = clock() + SPAN_MS;
  }

  /** Notes that it took `ms`, `count` times over. A time below zero, as of two clocks that do not agree, counts as zero. */
  add(ms: number, count: number = 1): void {
    const took = ms > 0 ? ms : 0, octaves = Math.log2(Math.max(1, took * 1_000));
    const half = this.#now;
    half.counts[Math.min(Math.floor(octaves * CLASSES_PER_OCTAVE), CLASSES - 1)]! += count;
    half.count += count;
    if (took > half.max) half.max = took;
  }

  /** `null` when nothing was measured. To be asked more often than every {@linkcode SPAN_MS}. */
  read(): Delays | null {
    this.#takeTurns();
    const count = this.#now.count + this.#before.count, max = Math.max(this.#now.max, this.#before.max);
    if (count === 0) return null;
    return { count, p50: Math.min(this.#below(count, 0.5), max), p99: Math.min(this.#below(count, 0.99), max), max };
  }

  #takeTurns(): void {
    const now = this.#clock();
    if (now < this.#turn) return;
    const isLongAgo = now >= this.#turn + SPAN_MS;
    this.#turn = now + SPAN_MS;
    [this.#now, this.#before] = [this.#before, this.#now];
    this.#now.clear();
    if (isLongAgo) this.#before.clear();
  }

  /** The end of the class in which this share of all is reached. */
  #below(count: number, share: number): number {
    const wanted = Math.max(1, Math.ceil(count * share));
    let sum = 0;
    for (let at = 0; at < CLASSES; at++) {
      sum += this.#now.counts[at]! + this.#before.counts[at]!;
      if (sum >= wanted) return 2 ** ((at + 1) / CLASSES_PER_OCTAVE) / 1_000;
    }
    return Infinity;
  }
}

/** What meters say, in milliseconds, by the names of the status: `delay_NAME_p50_ms`, `_p99_ms` and `_max_ms`. */
export function delayCounters(meters: Readonly<Record<string, DelayMeter>>): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const [name, meter] of Object.entries(meters)) {
    const delays = meter.read();
    if (delays === null) continue;
    for (const figure of FIGURES) counters[`delay_${name}_${figure}_ms`] = rounded(delays[figure]);
  }
  return counters;
}

/** What {@linkcode delayCounters} made of one meter; `null` when it measured nothing. */
export function readDelays(counters: Readonly<Record<string, number>>, name: string): Omit<Delays, "count"> | null {
  const [p50, p99, max] = FIGURES.map((figure) => counters[`delay_${name}_${figure}_ms`]);
  return p50 === undefined || p99 === undefined || max === undefined ? null : { p50, p99, max };
}

/** Whether a counter of a status is one of {@linkcode delayCounters}. */
export function isDelay(name: string): boolean {
  return name.startsWith("delay_");
}

/** Whether an event is told as soon as it happened: a fork without a program waits for one first, a change for a table. */
export function isTimely({ kind, reason }: ProcessEvent): boolean {
  return (kind === "start" || kind === "stop") && reason === null;
}

const FIGURES = ["p50", "p99", "max"] as const;

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
