/**
 * When a sink is tried again after it failed: exponential backoff with full jitter, and a circuit breaker.
 *
 * A sink that failed some times in a row is not tried at all for a while that doubles up to a bound; then one alert goes
 * first. What is counted and how long is left are kept in the store, so a restart does not storm a receiver that is
 * down. Time is measured on a clock that does not jump; over a restart the wall clock is believed only as far as it
 * shortens the wait, and a wait is never longer than it was.
 *
 * @module
 */
import type { SinkStanding } from "../store/outbox.ts";

export const FIRST_DELAY_MS = 1_000;
export const LAST_DELAY_MS = 60_000;
/** Failures in a row from which on the breaker is open. */
const OPEN_AFTER = 5;
/** A receiver may ask for more than our own bound, but not for ever. */
const MAX_ASKED_MS = 3_600_000;

export interface BreakerClock {
  /** Milliseconds, on a clock that does not jump. */
  readonly monotonic: () => number;
  /** Unix milliseconds. */
  readonly wall: () => number;
  /** 0 up to 1. */
  readonly random: () => number;
}

export class Breaker {
  readonly #clock: BreakerClock;
  readonly #firstMs: number;
  #failures = 0;
  /** When the next attempt may be, on the clock that does not jump. */
  #until = -Infinity;
  #isDisabled = false;
  #lastError: string | null = null;
  #lastErrorTime: number | null = null;

  constructor(clock: BreakerClock, firstMs: number = FIRST_DELAY_MS) {
    this.#clock = clock;
    this.#firstMs = firstMs;
  }

  /** What was known when the last run ended. A sink that was disabled is tried again: it was to be mended by a start. */
  restore(standing: SinkStanding | null): void {
    if (standing === null) return;
    const { monotonic, wall } = this.#clock;
    this.#failures = Math.max(0, standing.failures);
    this.#lastError = standing.lastError;
    this.#lastErrorTime = standing.lastErrorTime;
    if (standing.state !== "open" && standing.state !== "retrying") return;
    const passed = Math.max(0, wall() - standing.notedTime);
    const left = Math.min(Math.max(0, standing.leftMs - passed), MAX_ASKED_MS);
    this.#until = monotonic() + left;
  }

  /** Whether the next attempt is a probe, of one alert. */
  get isProbing(): boolean {
    return this.#failures >= OPEN_AFTER;
  }

  /** Milliseconds until the next attempt may be; 0 where it may be at once. */
  get waitMs(): number {
    return Math.max(0, this.#until - this.#clock.monotonic());
  }

  succeeded(): void {
    this.#failures = 0;
    this.#until = -Infinity;
  }

  /** `askedMs`: how long the receiver asked for. */
  failed(error: string, askedMs = 0): void {
    this.#failures += 1;
    this.#say(error);
    const { monotonic, random } = this.#clock;
    const bound = Math.min(LAST_DELAY_MS, this.#firstMs * 2 ** Math.min(this.#failures - 1, 30));
    // Open, it waits at least half of the bound: a receiver that is down is not asked twice in a row by chance
    const own = this.isProbing ? bound * (0.5 + random() / 2) : bound * random();
    this.#until = monotonic() + Math.max(own, Math.min(askedMs, MAX_ASKED_MS));
  }

  /** Nothing is tried any more in this run. */
  disable(error: string): void {
    this.#isDisabled = true;
    this.#say(error);
  }

  /** An operator wants it to be tried at once. */
  hasten(): void {
    this.#until = -Infinity;
  }

  get standing(): SinkStanding {
    const notedTime = this.#clock.wall();
    const [failures, lastError, lastErrorTime] = [this.#failures, this.#lastError, this.#lastErrorTime];
    const state = this.#isDisabled ? "disabled" : failures === 0 ? "ready" : this.isProbing ? "open" : "retrying";
    return { state, failures, leftMs: this.waitMs, notedTime, lastError, lastErrorTime };
  }

  #say(error: string): void {
    this.#lastError = error.slice(0, 1_024).toWellFormed();
    this.#lastErrorTime = this.#clock.wall();
  }
}
