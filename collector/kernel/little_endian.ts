/**
 * Numbers of the kernel's records. Little-endian, as both processors are that this runs on.
 *
 * @module
 */

/** A 64-bit number as a double: exact below 2^53, which nanoseconds since boot pass after 104 days by single units. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}
