/**
 * The ledger in the directory cannot be gone on with.
 *
 * @module
 */

/** Nothing in the directory was changed; the message says what a person can do. */
export class LedgerBrokenError extends Error {
  override name = "LedgerBrokenError";
}
