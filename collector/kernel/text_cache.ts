/**
 * Bytes to text, for the same few names over and over.
 *
 * A decoder call costs more than parsing the rest of a record; paths and command names repeat. What is cached is
 * bounded in number and length, and the bytes are compared, so a hash that an attacker matches costs time only.
 *
 * @module
 */

const SLOTS = 1024;
const MAX_CACHED_BYTES = 256;

interface Slot {
  readonly bytes: Uint8Array;
  readonly text: string;
}

export class TextCache {
  readonly #slots: (Slot | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #decode: (bytes: Uint8Array) => string;

  /** `decode` makes the text when it is not known yet. */
  constructor(decode: (bytes: Uint8Array) => string) {
    this.#decode = decode;
  }

  /** The text of the bytes from `start` to `end`. */
  text(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start;
    if (length > MAX_CACHED_BYTES) return this.#decode(bytes.subarray(start, end));
    let hash = 0x811c9dc5; // FNV-1a
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    const index = (hash ^ hash >>> 15) & (SLOTS - 1);
    const slot = this.#slots[index];
    if (slot !== undefined && slot.bytes.length === length && equal(slot.bytes, bytes, start)) return slot.text;
    const copy = bytes.slice(start, end);
    const text = this.#decode(copy);
    this.#slots[index] = { bytes: copy, text };
    return text;
  }
}

function equal(left: Uint8Array, right: Uint8Array, start: number): boolean {
  for (let index = 0; index < left.length; index++) if (left[index] !== right[start + index]) return false;
  return true;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text of a name that the kernel gave: always well-formed, bytes that are not UTF-8 become U+FFFD. */
export function decodeName(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
