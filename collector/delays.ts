/**
 * How long the collector takes: from the kernel to its hands, and from there onto the disk.
 *
 * Measured of every record and event, so that `health` can say where time goes. What is not on disk yet is remembered by
 * drains, bounded: a disk that takes nothing for long costs figures, and nothing else.
 *
 * @module
 */
import { delayCounters, DelayMeter, isTimely } from "../proto/delay_meter.ts";
import type { ProcessEvent } from "../proto/process_event.ts";

/** Drains that may wait for the disk, and events of one that are measured one by one. */
const MAX_WAITING = 256, MAX_TIMES = 1_024;

interface Offered {
  /** The last number of the drain, and when it began. */
  readonly last: number;
  readonly drainedAt: number;
  /** Unix milliseconds of what happened at a moment that the kernel told. */
  readonly times: readonly number[];
}

export class CollectorDelays {
  /** From a record's time to the drain that brought it; from there, and from the event itself, until it was on disk. */
  readonly #drained: DelayMeter;
  readonly #flushed: DelayMeter;
  readonly #durable: DelayMeter;
  #waiting: Offered[] = [];

  /** `clock` as of {@linkcode DelayMeter}; `wall` in Unix milliseconds. */
  constructor(
    private readonly clock: () => number = () => performance.now(),
    private readonly wall: () => number = Date.now,
  ) {
    [this.#drained, this.#flushed, this.#durable] = [
      new DelayMeter(clock),
      new DelayMeter(clock),
      new DelayMeter(clock),
    ];
  }

  /** A record was drained `ms` after the kernel made it. */
  drained(ms: number): void {
    this.#drained.add(ms);
  }

  /** Events of a drain that began at `drainedAt` were taken by the log, up to number `last`. */
  offered(last: number, drainedAt: number, events: readonly ProcessEvent[]): void {
    if (this.#waiting.length >= MAX_WAITING) return;
    const times: number[] = [];
    for (const event of events) if (isTimely(event) && times.length < MAX_TIMES) times.push(event.time);
    if (times.length > 0) this.#waiting.push({ last, drainedAt, times });
  }

  /** Everything up to number `durable` is on disk. */
  flushed(durable: number): void {
    const done = this.#waiting.findIndex(({ last }) => last > durable);
    const [now, wall] = [this.clock(), this.wall()];
    for (const { drainedAt, times } of this.#waiting.splice(0, done < 0 ? this.#waiting.length : done)) {
      this.#flushed.add(now - drainedAt, times.length);
      for (const time of times) this.#durable.add(wall - time);
    }
  }

  /** Another log took over: its numbers are others. */
  forget(): void {
    this.#waiting = [];
  }

  /** For the status: see `delayCounters`. */
  counters(): Record<string, number> {
    return delayCounters({ drained: this.#drained, flushed: this.#flushed, durable: this.#durable });
  }
}
