/**
 * Random numbers that a seed repeats: for simulations and fuzzing.
 *
 * @module
 */

/** The generator sfc32 (public domain, PractRand), begun from one number. */
export class Random {
  #a = 0;
  #b: number;
  #c = 1;
  #d: number;

  constructor(seed: number) {
    this.#b = seed | 0;
    this.#d = Math.floor(seed / 2 ** 32) | 1;
    for (let i = 0; i < 15; i++) this.u32();
  }

  u32(): number {
    const sum = ((this.#a + this.#b) | 0) + this.#d | 0;
    this.#d = this.#d + 1 | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = this.#c + (this.#c << 3) | 0;
    this.#c = (this.#c << 21 | this.#c >>> 11) + sum | 0;
    return sum >>> 0;
  }

  /** A whole number from 0 on, below `end`. */
  below(end: number): number {
    return Math.floor(this.u32() / 2 ** 32 * end);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.u32());
  }
}
