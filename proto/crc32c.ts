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
const TABLES = makeTables() as unknown as Eight;
// By name each, so that a short checksum does not begin with looking for them.
const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES;

/**
 * The checksum of `bytes` as an unsigned 32-bit number; with the checksum of bytes `before`, of both together; of those in
 * a range where one is given.
 *
 * @example
 * ```ts
 * import { crc32c } from "./crc32c.ts";
 * import assert from "node:assert/strict";
 * assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
 * ```
 */
export function crc32c(bytes: Uint8Array, before: number = 0, from: number = 0, to: number = bytes.length): number {
  const whole = to - ((to - from) % 8);
  let crc = ~before, at = from;
  for (; at < whole; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc = t7[crc & 0xff]! ^ t6[(crc >>> 8) & 0xff]! ^ t5[(crc >>> 16) & 0xff]! ^ t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^ t2[bytes[at + 5]!]! ^ t1[bytes[at + 6]!]! ^ t0[bytes[at + 7]!]!;
  }
  for (; at < to; at++) crc = t0[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** From here on the checksum of bytes behind others is cheaper out of the one that is known than out of the bytes. */
const WORTH_JOINING = 1_024;

/**
 * What `crc32c(bytes, before)` is, where `crc32c(bytes)` is known to be `own`: the checksum is linear, so what stands
 * before some bytes adds to it a term that only their number decides.
 *
 * The method is that of `crc32_combine()` of zlib.
 */
export function crc32cBehind(before: number, bytes: Uint8Array, own: number): number {
  if (bytes.length < WORTH_JOINING) return crc32c(bytes, before);
  return crc32cShifted(before, own, crc32cShift(bytes.length));
}

/** For {@linkcode crc32cShifted}: what only the number of the bytes behind decides. */
export function crc32cShift(bytes: number): number {
  let shift = 1 << 31;
  for (let power = 3, rest = bytes; rest > 0; power++, rest >>>= 1) {
    if ((rest & 1) === 1) shift = product(POWERS[power]!, shift);
  }
  return shift;
}

/** {@linkcode crc32cBehind} of the same bytes behind one `before` after another. */
export function crc32cShifted(before: number, own: number, shift: number): number {
  return (own ^ product(shift, before | 0)) >>> 0;
}

/** `POWERS[k]`: x to the power of 2 to the power of k, modulo the polynomial; bit 31 is the constant term. */
const POWERS: readonly number[] = makePowers();

function makePowers(): number[] {
  const powers = [1 << 30];
  while (powers.length < 32) powers.push(product(powers.at(-1)!, powers.at(-1)!));
  return powers;
}

/** Of two polynomials over GF(2), modulo that of the checksum. */
function product(a: number, b: number): number {
  let sum = 0;
  for (let rest = a; rest !== 0; rest <<= 1) {
    if (rest < 0) sum ^= b;
    b = (b & 1) === 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return sum;
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
