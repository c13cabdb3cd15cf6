/**
 * Standard input, read whole and bounded.
 *
 * @module
 */

/** @throws RangeError when there are more than `limit` bytes */
export function readAllSync(from: { readSync(into: Uint8Array): number | null }, limit: number): Uint8Array {
  const kept = new Uint8Array(limit + 1);
  for (let length = 0; length <= limit;) {
    const count = from.readSync(kept.subarray(length));
    if (count === null) return kept.slice(0, length);
    length += count;
  }
  throw new RangeError(`Standard input holds more than ${limit} bytes`);
}
