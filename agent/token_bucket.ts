/**
 * A limit on how often: a bucket of tokens that fills evenly.
 *
 * @module
 */

export interface TokenRate {
  /** Most at once. */
  readonly burst: number;
  readonly perSecond: number;
}

export class TokenBucket {
  #tokens: number;
  #at: number;

  /** `now` in milliseconds, of a clock that does not jump; it is full where nothing else is said. */
  constructor(private readonly rate: TokenRate, now: number, tokens: number = rate.burst) {
    this.#tokens = Math.max(0, Math.min(tokens, rate.burst));
    this.#at = now;
  }

  tokens(now: number): number {
    return Math.min(this.rate.burst, this.#tokens + Math.max(0, now - this.#at) * this.rate.perSecond / 1_000);
  }

  has(now: number): boolean {
    return this.tokens(now) >= 1;
  }

  /** Takes one, unless there is none. */
  take(now: number): boolean {
    const tokens = this.tokens(now);
    if (tokens < 1) return false;
    this.#tokens = tokens - 1;
    this.#at = Math.max(this.#at, now);
    return true;
  }

  /** Sets it back to what it is now. */
  get mark(): () => void {
    const tokens = this.#tokens, at = this.#at;
    return () => {
      this.#tokens = tokens;
      this.#at = at;
    };
  }
}
