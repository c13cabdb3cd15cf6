/**
 * How much each user may ask for: so many at once, then so many a second.
 *
 * @module
 */
import { TokenBucket } from "../token_bucket.ts";

/** Users that are remembered; the one who asked longest ago is forgotten first, and starts anew. */
const MAX_USERS = 1_024;

export class Rate {
  readonly #users = new Map<number, TokenBucket>();

  /** @param burst at once, @param perSecond after that, @param clock milliseconds that do not jump */
  constructor(
    private readonly burst: number,
    private readonly perSecond: number,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Whether this user may ask for one more. */
  take(userId: number): boolean {
    const now = this.clock(), { burst, perSecond } = this;
    const bucket = this.#users.get(userId) ?? new TokenBucket({ burst, perSecond }, now);
    this.#users.delete(userId);
    if (this.#users.size >= MAX_USERS) this.#users.delete(this.#users.keys().next().value!);
    this.#users.set(userId, bucket);
    return bucket.take(now);
  }
}
