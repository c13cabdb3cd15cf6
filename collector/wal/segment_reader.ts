/**
 * Reads a segment from front to back, over whatever damage there is, in constant memory.
 *
 * Nothing in the file is trusted: a length counts only under a checksum that holds, and a number only when it goes on
 * from what came before. Where no record begins, the reader goes on at the next place where one does, and says how many
 * bytes it left out.
 *
 * @module
 */
import {
  decodeRecordHeader,
  isMarker,
  MAX_RECORD_BYTES,
  payloadHolds,
  RECORD_HEADER_BYTES,
  recordBytes,
  type RecordHeader,
  SEGMENT_HEADER_BYTES,
} from "./format.ts";
import { readFully, type StorageFile } from "./storage.ts";

/** Longest segment that is read: more than any setting makes. What is behind counts as damage. */
const MAX_SEGMENT_BYTES = 134_217_728;
/** Bytes of one read, beyond what a record needs. */
const CHUNK_BYTES = 262_144;

export type ReaderItem =
  | { readonly kind: "record"; readonly at: number; readonly end: number; readonly header: RecordHeader }
  | { readonly kind: "damage"; readonly at: number; readonly end: number };

export class SegmentReader {
  readonly size: number;
  readonly #end: number;
  #buffer: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** Place in the file of the buffer's first byte, and how many of its bytes are the file's. */
  #base = 0;
  #filled = 0;

  /**
   * Reads records with numbers from `least` on, from `at` on, up to `size` or the end of the file.
   *
   * @throws StorageError
   */
  constructor(
    private readonly file: StorageFile,
    private readonly seed: number,
    private least: number,
    private at: number = SEGMENT_HEADER_BYTES,
    size: number = file.size(),
  ) {
    this.size = size;
    this.#end = Math.min(size, MAX_SEGMENT_BYTES);
    this.#buffer = new Uint8Array(Math.min(CHUNK_BYTES, this.#end));
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** The next record or damaged stretch; `null` at the end. @throws StorageError */
  next(): ReaderItem | null {
    const begin = this.at;
    if (begin >= this.#end) {
      if (begin >= this.size) return null;
      this.at = this.size;
      return { kind: "damage", at: begin, end: this.size };
    }
    for (let at = begin; at + RECORD_HEADER_BYTES <= this.#end; at += 8) {
      const header = this.#recordAt(at);
      if (header === null) continue;
      if (at > begin) { // the record is found again by the next call
        this.at = at;
        return { kind: "damage", at: begin, end: at };
      }
      this.at = at + recordBytes(header.length);
      this.least = header.first + header.count;
      return { kind: "record", at, end: this.at, header };
    }
    this.at = this.size;
    return { kind: "damage", at: begin, end: this.size };
  }

  /** The payload of the record that {@linkcode next} gave last: valid until its next call. */
  payload(record: { readonly at: number; readonly header: RecordHeader }): Uint8Array<ArrayBuffer> {
    const begin = record.at - this.#base + RECORD_HEADER_BYTES;
    return this.#buffer.subarray(begin, begin + record.header.length);
  }

  #recordAt(at: number): RecordHeader | null {
    this.#need(at, RECORD_HEADER_BYTES);
    const place = at - this.#base;
    if (!isMarker(this.#view, place)) return null;
    const header = decodeRecordHeader(this.#buffer, this.#view, place, this.seed);
    if (header === null || header.first < this.least) return null;
    const length = recordBytes(header.length);
    if (at + length > this.#end) return null;
    this.#need(at, length);
    return payloadHolds(this.#buffer, this.#view, at - this.#base, header.length) ? header : null;
  }

  /** Has `length` bytes of the file from `at` on in the buffer; they are known to be within the file's size. */
  #need(at: number, length: number): void {
    if (at >= this.#base && at + length <= this.#base + this.#filled) return;
    if (length > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.min(MAX_RECORD_BYTES + CHUNK_BYTES, this.#end));
      this.#view = new DataView(this.#buffer.buffer);
    }
    // Read anew from `at`: records are mostly shorter than the chunk, so little is read twice.
    const wanted = Math.min(this.#end - at, this.#buffer.length);
    const got = readFully(this.file, at, this.#buffer.subarray(0, wanted));
    this.#buffer.fill(0, got, Math.max(got, length)); // a file that shrank under us: zeros are no record
    this.#base = at;
    this.#filled = Math.max(got, length);
  }
}
