/**
 * Why a rung of the source ladder cannot be used here.
 *
 * @module
 */

/** A source cannot be opened. `reason` is a sentence for a person, and says what would mend it where something would. */
export class SourceUnavailableError extends Error {
  override name = "SourceUnavailableError";
  /** `source` is the rung: `ebpf`, `netlink` or `proc`. */
  constructor(readonly source: string, readonly reason: string, options?: ErrorOptions) {
    super(`Source ${source} is unavailable: ${reason}`, options);
  }
}
