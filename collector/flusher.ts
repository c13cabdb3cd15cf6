/**
 * Has what drains bring put on disk, one flush at a time.
 *
 * While the disk is quick, this thread waits for it: on a busy host every change to another thread and back waits for the
 * processor, which takes longer than the disk does. One that took long is waited for beside other work until it is quick
 * again: the ring is read meanwhile, and whatever is added goes with the next flush. Between two flushes the disk is left
 * to others for as long as the quicker of the last two took: one that stalled by itself holds up nothing after it, a slow
 * disk shows twice.
 *
 * Faults of the disk are the log's, which goes on by itself; anything else that a flush throws beside other work is thrown
 * by the next call.
 *
 * @module
 */

const MAX_PAUSE_MS = 1_000;
/** A flush that took longer is followed by one beside other work: no drain waits longer for the disk than for records. */
export const QUICK_MS = 16;

type Timer = ReturnType<typeof setTimeout>;

export interface FlusherOptions {
  readonly flush: () => boolean;
  readonly flushBeside: () => Promise<boolean>;
  /** Something may be on disk that was not. */
  readonly flushed: () => void;
  /** Milliseconds that never go back. */
  readonly clock?: () => number;
  readonly setTimer?: (act: () => void, ms: number) => Timer;
  readonly clearTimer?: (timer: Timer) => void;
}

export class Flusher {
  readonly #options: FlusherOptions;
  readonly #clock: () => number;
  readonly #setTimer: (act: () => void, ms: number) => Timer;
  #isFlying = false;
  #again = false;
  #timer: Timer | null = null;
  #due = 0;
  #lastMs = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(options: FlusherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#setTimer = options.setTimer ?? setTimeout;
  }

  /** Has everything that was added put on disk: at once unless a flush is under way, or the last one took long. */
  soon(): void {
    if (this.#failure !== null) throw this.#failure.error;
    if (this.#isFlying) this.#again = true;
    else if (this.#timer === null) {
      const wait = this.#due - this.#clock();
      if (wait <= 0) return this.#begin();
      this.#timer = this.#setTimer(() => {
        this.#timer = null;
        this.#begin();
      }, wait);
    }
  }

  /** Puts everything on disk before it returns, as far as the disk takes it. */
  now(): void {
    const began = this.#clock();
    this.#options.flush();
    this.#ended(began);
  }

  /** Begins no flush any more. */
  stop(): void {
    if (this.#timer !== null) (this.#options.clearTimer ?? clearTimeout)(this.#timer);
    this.#timer = null;
    this.#again = false;
  }

  #begin(): void {
    if (this.#lastMs <= QUICK_MS) return this.now();
    const began = this.#clock();
    this.#isFlying = true;
    this.#again = false;
    this.#options.flushBeside().then(() => {
      this.#isFlying = false;
      this.#ended(began);
      if (this.#again) this.soon();
    }).catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  #ended(began: number): void {
    const now = this.#clock(), took = now - began;
    this.#due = now + Math.min(took, this.#lastMs, MAX_PAUSE_MS);
    this.#lastMs = took;
    this.#options.flushed();
  }
}
