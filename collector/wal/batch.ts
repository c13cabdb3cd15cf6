/**
 * Records that wait for the next flush, as the bytes that will be written.
 *
 * They stay here until a sync has returned, so that a log whose file failed can write them again into another.
 *
 * @module
 */
import {
  decodeRecordHeader,
  encodeRecord,
  RECORD_HEADER_BYTES,
  recordBytes,
  type RecordHeader,
  resealRecord,
} from "./format.ts";

/** Kept when empty; a larger one served a burst and is given back. */
const KEPT_BYTES = 1_048_576;

export class Batch {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(65_536);
  #view: DataView = new DataView(this.#bytes.buffer);
  #used = 0;
  #seed = 0;
  /** The last number in it; 0 while it is empty. */
  last = 0;

  /** How many bytes wait. */
  get length(): number {
    return this.#used;
  }

  /** `checksum` is `crc32c(payload)`. */
  add(header: RecordHeader, payload: Uint8Array, checksum: number): void {
    const end = this.#used + recordBytes(payload.length);
    if (end > this.#bytes.length) this.#grow(end);
    this.#used = encodeRecord(this.#bytes, this.#view, this.#used, this.#seed, header, payload, checksum);
    this.last = header.first + header.count - 1;
  }

  /** Makes all records ones of the segment with this seed, now and from here on. */
  seal(seed: number): void {
    if (seed === this.#seed) return;
    this.#seed = seed;
    for (let at = 0; at < this.#used;) at = resealRecord(this.#bytes, this.#view, at, seed);
  }

  /** The records that wait, one after the other; a payload is valid until the next call of anything else. */
  *records(): Generator<{ readonly header: RecordHeader; readonly payload: Uint8Array }> {
    for (let at = 0; at < this.#used;) {
      const header = decodeRecordHeader(this.#bytes, this.#view, at, this.#seed)!;
      const begin = at + RECORD_HEADER_BYTES;
      yield { header, payload: this.#bytes.subarray(begin, begin + header.length) };
      at += recordBytes(header.length);
    }
  }

  /** What to write; valid until the next call. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#used);
  }

  /** Takes off the first `length` bytes, which are whole records. */
  drop(length: number): void {
    if (length === this.#used) return this.clear();
    this.#bytes.copyWithin(0, length, this.#used);
    this.#used -= length;
  }

  clear(): void {
    this.#used = 0;
    this.last = 0;
    if (this.#bytes.length <= KEPT_BYTES) return;
    this.#bytes = new Uint8Array(KEPT_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(least, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
