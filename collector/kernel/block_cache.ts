/**
 * What was made of bytes, for the same few blocks of them over and over.
 *
 * Bounded in number and length, and the bytes are compared, so a hash that an attacker matches costs time only.
 *
 * @module
 */

const SLOTS = 256;
/** Longer blocks are not kept. */
const MAX_KEPT_BYTES = 1024;

interface Slot<T> {
  readonly view: DataView;
  readonly value: T;
}

export class BlockCache<T> {
  readonly #slots: (Slot<T> | undefined)[] = new Array(SLOTS).fill(undefined);
  #index = 0;
  #start = 0;
  #end = 0;

  /** What was kept for the bytes from `start` to `end`, or null. */
  find(view: DataView, start: number, end: number): T | null {
    this.#start = start;
    this.#end = end;
    const length = end - start;
    if (length > MAX_KEPT_BYTES) return null;
    // Mostly the one before again; where not, that shows within the first words.
    const last = this.#slots[this.#index];
    if (last !== undefined && last.view.byteLength === length && equal(last.view, view, start)) return last.value;
    let hash = 0x811c9dc5, at = start; // FNV-1a, by words
    for (; at + 4 <= end; at += 4) hash = Math.imul(hash ^ view.getInt32(at, true), 0x01000193);
    for (; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x01000193);
    this.#index = (hash ^ hash >>> 15 ^ hash >>> 23) & (SLOTS - 1);
    const slot = this.#slots[this.#index];
    return slot !== undefined && slot.view.byteLength === length && equal(slot.view, view, start) ? slot.value : null;
  }

  /** Keeps what was made of the bytes that {@linkcode find} was last asked for, and gives it back. */
  keep(bytes: Uint8Array, value: T): T {
    if (this.#end - this.#start > MAX_KEPT_BYTES) return value;
    const copy = bytes.slice(this.#start, this.#end);
    this.#slots[this.#index] = { view: new DataView(copy.buffer), value };
    return value;
  }
}

/** Whether `view` has the bytes of `kept` from `start` on. */
function equal(kept: DataView, view: DataView, start: number): boolean {
  let at = 0;
  for (; at + 4 <= kept.byteLength; at += 4) {
    if (kept.getInt32(at, true) !== view.getInt32(start + at, true)) return false;
  }
  for (; at < kept.byteLength; at++) if (kept.getUint8(at) !== view.getUint8(start + at)) return false;
  return true;
}
