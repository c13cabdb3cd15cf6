/**
 * Random numbers that come again when they are asked for again: xorshift128 (G. Marsaglia, "Xorshift RNGs", 2003).
 *
 * @module
 */

export class Random {
  #x = 0;
  #y = 0;
  #z = 0;
  #w = 0;

  constructor(seed: number, index = 0) {
    this.reseed(seed, index);
  }

  /** Begins the numbers of one input of a run anew: each input can be made without those before it. */
  reseed(seed: number, index: number): void {
    this.#x = mixed(seed);
    this.#y = mixed(seed ^ 0x9e37_79b9);
    this.#z = mixed(index ^ this.#x);
    this.#w = mixed(index + 0x7f4a_7c15) | 1; // never all zero
    for (let round = 0; round < 4; round++) this.u32();
  }

  u32(): number {
    const t = this.#x ^ this.#x << 11;
    this.#x = this.#y;
    this.#y = this.#z;
    this.#z = this.#w;
    this.#w = this.#w ^ this.#w >>> 19 ^ t ^ t >>> 8;
    return this.#w >>> 0;
  }

  /** From 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor(this.u32() / 0x1_0000_0000 * bound);
  }

  /** Whether a thing happens that happens once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Whether a thing happens that happens with this probability. */
  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** Mostly small, seldom as large as it may be. */
  length(max: number): number {
    return this.below(this.below(this.below(max + 1) + 1) + 1);
  }

  /** A number of 32 bits at which code goes wrong: near 0, a power of two, or the end; or any. */
  edge(): number {
    switch (this.below(4)) {
      case 0:
        return this.below(64);
      case 1:
        return (2 ** this.below(33) + this.below(9) - 4) >>> 0;
      case 2:
        return (0x1_0000_0000 - this.below(64)) >>> 0;
      default:
        return this.u32();
    }
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = this.u32();
    return bytes;
  }
}

/** The finalizer of MurmurHash3: neighbours become strangers. */
function mixed(value: number): number {
  value = Math.imul(value ^ value >>> 16, 0x85eb_ca6b);
  value = Math.imul(value ^ value >>> 13, 0xc2b2_ae35);
  return value ^ value >>> 16;
}
