/**
 * Reads the records of a ledger's files in order, through one buffer.
 *
 * @module
 */
import { type SegmentKind, segmentName } from "./layout.ts";

/** Where a ledger's files are: a directory, an upload, an archive. */
export interface LedgerSource {
  /** Names of all files. */
  names(): readonly string[];
  /** Bytes of a file; `null` when there is none. */
  size(name: string): number | null;
  /** Reads at `position` as much of `into` as the file has; returns how much that is. */
  read(name: string, position: number, into: Uint8Array): number;
  /** Whether a writer may be at work on it, so that its end may be unfinished. */
  readonly live?: boolean;
}

const BUFFER_BYTES = 262_144, TILE_BUFFER_BYTES = 8_192;

export class SegmentStream {
  /** The file that is read. */
  name = "";
  #buffer: Uint8Array = new Uint8Array(0);
  #from = 0;
  #to = 0;
  #position = 0;
  #size = 0;

  constructor(
    private readonly source: LedgerSource,
    private readonly kind: SegmentKind,
    private readonly longest: number,
  ) {
  }

  /** Goes to a place in a file, its beginning if nothing else is said. Returns whether there is such a file. */
  open(index: number, position = 0): boolean {
    this.name = segmentName(this.kind, index);
    const size = this.source.size(this.name);
    this.#from = this.#to = 0;
    this.#position = position;
    this.#size = size ?? 0;
    // As large as the file asks for, and no larger than what holds two of the longest records.
    const most = Math.max(this.kind.startsWith("tiles") ? TILE_BUFFER_BYTES : BUFFER_BYTES, 2 * this.longest);
    const wanted = Math.min(most, this.#size);
    if (wanted > this.#buffer.length) this.#buffer = new Uint8Array(wanted);
    return size !== null;
  }

  /** Bytes that were not taken. */
  rest(): number {
    return Math.max(0, this.#to - this.#from + this.#size - this.#position);
  }

  /** The next `length` bytes, valid until the next call; `null` when there are fewer. */
  take(length: number): Uint8Array | null {
    if (this.#to - this.#from < length && !this.#fill(length)) return null;
    this.#from += length;
    return this.#buffer.subarray(this.#from - length, this.#from);
  }

  /** The next record behind its u16 length; `null` when there is no whole one, of at least `least` bytes, any more. */
  next(least: number): Uint8Array | null {
    if (this.#to - this.#from < 2 && !this.#fill(2)) return null;
    const length = this.#buffer[this.#from]! * 256 + this.#buffer[this.#from + 1]!;
    if (length < least || length > this.longest) return null;
    if (this.#to - this.#from < 2 + length && !this.#fill(2 + length)) return null;
    this.#from += 2 + length;
    return this.#buffer.subarray(this.#from - length, this.#from);
  }

  #fill(wanted: number): boolean {
    this.#buffer.copyWithin(0, this.#from, this.#to);
    this.#to -= this.#from;
    this.#from = 0;
    if (wanted > this.#buffer.length) return false;
    while (this.#to < wanted) {
      const most = Math.min(this.#buffer.length - this.#to, this.#size - this.#position);
      const count = most <= 0
        ? 0
        : this.source.read(this.name, this.#position, this.#buffer.subarray(this.#to, this.#to + most));
      if (count === 0) return false;
      this.#to += count;
      this.#position += count;
    }
    return true;
  }
}
