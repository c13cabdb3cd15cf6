/**
 * A quick hash of bytes, to choose a place by: FNV-1a over 32 bits, the length first. It withstands nobody.
 *
 * @module
 */
const PRIME = 16_777_619;

/** Of the bytes from `from` up to `end`, folded so that its low bits depend on all of it. */
export function byteHash(bytes: Uint8Array, from: number, end: number): number {
  let hash = end - from;
  for (let at = from; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, PRIME);
  return hash ^ hash >>> 15;
}
