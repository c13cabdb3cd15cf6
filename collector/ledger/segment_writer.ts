/**
 * The growing end of one kind of a ledger's files.
 *
 * What is put waits in memory until {@linkcode SegmentWriter.flush} has it on disk. A flush that failed is repeated from
 * where the last good one ended: all of it is written again, since after a sync that failed nobody knows what is there.
 *
 * @module
 */
import { type SegmentKind, segmentName } from "../../proto/ledger/layout.ts";
import { type Storage, StorageError, type StorageFile, writeAll } from "../wal/storage.ts";

interface Waiting {
  readonly index: number;
  bytes: Uint8Array;
  length: number;
}

const FIRST_BYTES = 4_096;

export class SegmentWriter {
  #file: StorageFile | null = null;
  #waiting: Waiting[] = [];
  #spare: Uint8Array = new Uint8Array(FIRST_BYTES);
  /** Bytes that wait. */
  pending = 0;

  /** Goes on in file `index` behind `end` bytes, whatever is there. */
  constructor(
    private readonly storage: Storage,
    private readonly kind: SegmentKind,
    private index: number,
    private end: number,
  ) {}

  /** Bytes of file `index` when all of this is on disk. */
  endOf(index: number): number {
    const waiting = this.#waiting.find((each) => each.index === index)?.length ?? 0;
    return (index === this.index ? this.end : 0) + waiting;
  }

  /** Takes bytes for a file, which is the last one or one behind it. */
  put(index: number, bytes: Uint8Array): void {
    let last = this.#waiting.at(-1);
    if (last === undefined || last.index !== index) {
      last = { index, bytes: this.#waiting.length === 0 ? this.#spare : new Uint8Array(FIRST_BYTES), length: 0 };
      this.#waiting.push(last);
    }
    const needed = last.length + bytes.length;
    if (needed > last.bytes.length) {
      const more = new Uint8Array(Math.max(needed, 2 * last.bytes.length));
      more.set(last.bytes.subarray(0, last.length));
      last.bytes = more;
    }
    last.bytes.set(bytes, last.length);
    last.length = needed;
    this.pending += bytes.length;
  }

  /** Puts on disk what waits. @throws StorageError; then it waits still. */
  flush(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (first.index !== this.index) this.#leave(first.index);
      const file = this.#opened();
      writeAll(file, this.end, first.bytes.subarray(0, first.length));
      file.syncData();
      this.end += first.length;
      this.pending -= first.length;
      if (first.bytes.length > this.#spare.length) this.#spare = first.bytes;
      this.#waiting.shift();
    }
  }

  /** Cuts off what a crash left behind the end, here and in files behind. @throws StorageError */
  cut(names: readonly { readonly name: string; readonly index: number }[]): number {
    let cut = 0;
    for (const { name, index } of names) {
      if (index < this.index) continue;
      const file = this.storage.open(name);
      try {
        const keep = index === this.index ? this.end : 0, more = file.size() - keep;
        if (more <= 0) continue;
        cut += more;
        file.truncate(keep);
        file.syncData();
      } finally {
        file.close();
      }
    }
    return cut;
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #leave(index: number): void {
    this.close();
    this.index = index;
    this.end = 0;
  }

  #opened(): StorageFile {
    if (this.#file !== null) return this.#file;
    const name = segmentName(this.kind, this.index);
    let file: StorageFile;
    try {
      file = this.storage.open(name);
    } catch (error) {
      if (!(error instanceof StorageError) || error.fault !== "missing") throw error;
      file = this.storage.create(name);
    }
    try {
      // Also for one that was there: an earlier attempt may have made it and failed before this.
      this.storage.syncDirectory();
    } catch (error) {
      file.close();
      throw error;
    }
    return this.#file = file;
  }
}
