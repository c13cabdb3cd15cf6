/**
 * CRC-32C (Castagnoli), the checksum of frames.
 *
 * It finds damage by faults, not by attackers: it is no proof of who sent the bytes.
 *
 * @module
 */

/** Reflected polynomial (RFC 3720, section 12.1). */
const POLYNOMIAL = 0x82f63b78;

/** `TABLES[k][b]`: the checksum of byte `b` followed by `k` zero bytes, for eight bytes in one step ("slicing-by-8"). */
const TABLES: readonly Int32Array[] = makeTables();

/**
 * The checksum of `bytes` as an unsigned 32-bit number; with the checksum of bytes `before`, of both together.
 *
 * @example
 * ```ts
 * import { crc32c } from "./crc32c.ts";
 * import assert from "node:assert/strict";
 * assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
 * ```
 */
export function crc32c(bytes: Uint8Array, before: number = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as unknown as Eight;
  const length = bytes.length, whole = length - (length % 8);
  let crc = ~before, at = 0;
  for (; at < whole; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc = t7[crc & 0xff]! ^ t6[(crc >>> 8) & 0xff]! ^ t5[(crc >>> 16) & 0xff]! ^ t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^ t2[bytes[at + 5]!]! ^ t1[bytes[at + 6]!]! ^ t0[bytes[at + 7]!]!;
  }
  for (; at < length; at++) crc = t0[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

type Eight = readonly [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    first[byte] = crc;
  }
  const tables = [first];
  for (let k = 1; k < 8; k++) {
    const previous = tables[k - 1]!;
    tables.push(Int32Array.from(previous, (crc) => (crc >>> 8) ^ first[crc & 0xff]!));
  }
  return tables;
}
