/**
 * Short texts that come again and again in messages, made once: names, paths, users, sources.
 *
 * The bytes are not trusted. A text is given only for bytes that were compared with it one by one; their hash does no
 * more than choose where to look. Memory is bounded, and who sends texts that push each other out pays what they would
 * cost without this.
 *
 * @module
 */

/** Texts that are kept, a power of two. */
const PLACES = 4_096;
/** Longest that is kept, in bytes: all together at most half a megabyte. */
export const MAX_KEPT_BYTES = 128;
/** Bytes of the end and of the beginning that the place depends on. Paths and ids differ at their end. */
const HASHED_END = 12, HASHED_BEGINNING = 4;
/** Of the hash FNV-1a. */
const PRIME = 16_777_619;

export class TextCache {
  readonly #texts: string[] = new Array(PLACES).fill("");
  /** Where the text of the bytes that were looked for last belongs; -1 when it is none to be kept. */
  #place = -1;

  /** The text of the bytes in this range, which lies within them; `null` where it is not known. */
  known(bytes: Uint8Array, from: number, to: number): string | null {
    const length = to - from;
    if (length > MAX_KEPT_BYTES) {
      this.#place = -1;
      return null;
    }
    const place = this.#place = placeOf(bytes, from, to), text = this.#texts[place]!;
    if (text.length !== length) return null;
    for (let at = 0; at < length; at++) if (text.charCodeAt(at) !== bytes[from + at]) return null;
    return text;
  }

  /** Keeps the text of the bytes that were looked for last, `length` of them, where that is worth it. */
  keep(text: string, length: number): void {
    // As many characters as bytes: all are ASCII, and one can be compared with the other
    if (this.#place >= 0 && text.length === length) this.#texts[this.#place] = text;
  }
}

function placeOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = to - from;
  for (let at = Math.max(from, to - HASHED_END); at < to; at++) hash = Math.imul(hash ^ bytes[at]!, PRIME);
  for (let at = from, end = Math.min(to, from + HASHED_BEGINNING); at < end; at++) {
    hash = Math.imul(hash ^ bytes[at]!, PRIME);
  }
  return (hash ^ hash >>> 15) & (PLACES - 1);
}
