/**
 * The segments of a log: which there are, and the one that is written.
 *
 * A write goes to the open segment, or to a new one when that is full or has failed. Whatever a failed file holds behind
 * what was on disk does not count: the next segment begins there and takes over.
 *
 * @module
 */
import type { Batch } from "./batch.ts";
import { encodeSegmentHeader, recordSeed, SEGMENT_HEADER_BYTES, segmentName, type WalIdentity } from "./format.ts";
import type { Segment } from "./recovery.ts";
import { type Storage, StorageError, type StorageFile, writeAll } from "./storage.ts";

/** Names that are tried for a new segment: what took one was planted, or could not be moved away. */
const MAX_NAMES = 8;

interface Active {
  readonly segment: Segment;
  readonly file: StorageFile;
  /** Nothing in it is on disk yet, nor its name. */
  fresh: boolean;
}

/** A write whose sync is under way. */
export interface Flight {
  readonly active: Active;
  readonly bytes: number;
  /** What went wrong with the sync, or `null`. */
  readonly landed: Promise<StorageError | null>;
}

export interface SegmentsOptions {
  readonly storage: Storage;
  readonly identity: WalIdentity;
  readonly secret: Uint8Array;
  /** A segment that would be longer is followed by a new one. */
  readonly segmentBytes: number;
}

export class Segments {
  /** In the order in which they were written. */
  readonly list: Segment[];
  /** Bytes of all of them. */
  bytes: number;
  #active: Active | null = null;
  #flight: Flight | null = null;
  #index: number;

  /** Goes on after the segments that were found, of which none is written any more. */
  constructor(private readonly options: SegmentsOptions, found: readonly Segment[], highestIndex: number) {
    this.list = [...found];
    this.bytes = found.reduce((sum, { size }) => sum + size, 0);
    this.#index = highestIndex;
  }

  /** The segment that is written, once something in it is on disk. */
  get active(): { readonly segment: Segment; readonly file: StorageFile } | null {
    return this.#active?.fresh === false ? this.#active : null;
  }

  /** Bytes of the segments that hold a number above `acknowledged`. */
  bytesAbove(acknowledged: number, durable: number): number {
    let bytes = 0, last = durable;
    for (let at = this.list.length - 1; at >= 0 && last > acknowledged; at--) {
      bytes += this.list[at]!.size;
      last = this.list[at]!.first - 1;
    }
    return bytes;
  }

  isOpen(segment: Segment): boolean {
    return segment === this.#active?.segment;
  }

  /**
   * Puts a batch on disk, which begins after number `durable`. Gives what went wrong, or `null`; after a failure nothing
   * of the batch counts, and the file is used again only if what is in it is certain.
   *
   * What a {@linkcode launch} wrote is the batch's beginning: it is written once more, in its place or in a new segment,
   * and the flight counts no more.
   */
  write(batch: Batch, durable: number, settled: readonly number[]): StorageError | null {
    let syncing = false, active: Active | null = null;
    try {
      active = this.#forBatch(batch.length, durable, settled);
      this.#flight = null;
      batch.seal(active.segment.seed);
      const bytes = batch.bytes(), at = active.segment.size;
      writeAll(active.file, at, bytes);
      syncing = true;
      active.file.syncData();
      if (active.fresh) this.options.storage.syncDirectory();
      active.fresh = false;
      active.segment.size = at + bytes.length;
      this.bytes += bytes.length;
      return null;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (active !== null) this.#leave(active, !syncing && error.fault === "no-space", batch.length);
      return error;
    }
  }

  /**
   * Writes a batch and begins to sync it, for {@linkcode land}. Gives what went wrong with the write, as {@linkcode write}
   * does, or `null` when the batch is to be written by that: it needs a segment that is not there yet.
   */
  launch(batch: Batch): Flight | StorageError | null {
    const active = this.#active;
    if (active === null || active.fresh || this.#flight !== null || !this.#hasRoom(active, batch.length)) return null;
    const bytes = batch.length;
    try {
      batch.seal(active.segment.seed);
      writeAll(active.file, active.segment.size, batch.bytes());
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#leave(active, error.fault === "no-space", bytes);
      return error;
    }
    const landed = active.file.syncDataBeside().then(() => null, (error: unknown) => {
      if (!(error instanceof StorageError)) throw error;
      return error;
    });
    return this.#flight = { active, bytes, landed };
  }

  /** Takes the end of a sync. Says no when another write has taken over what it was of: then it says nothing. */
  land(flight: Flight, fault: StorageError | null): boolean {
    if (this.#flight !== flight) return false;
    this.#flight = null;
    const { active, bytes } = flight;
    if (fault !== null) this.#leave(active, false, bytes);
    else {
      active.segment.size += bytes;
      this.bytes += bytes;
    }
    return true;
  }

  /** Deletes a segment. @throws StorageError */
  remove(segment: Segment): void {
    try {
      this.options.storage.remove(segment.name);
    } catch (error) {
      if (!(error instanceof StorageError) || error.fault !== "missing") throw error;
    }
    this.list.splice(this.list.indexOf(segment), 1);
    this.bytes -= segment.size;
  }

  /** Notes of segments that are not written any more when they became acknowledged as a whole. */
  markAcknowledged(acknowledged: number, durable: number, now: number): void {
    for (const [at, segment] of this.list.entries()) {
      const last = (this.list[at + 1]?.first ?? durable + 1) - 1;
      if (last > acknowledged) return;
      if (!this.isOpen(segment)) segment.acknowledgedAt ??= now;
    }
  }

  /** Ends the segment that is written, in which everything is acknowledged: the next batch begins another one. */
  end(now: number): void {
    if (this.#active === null || this.#active.fresh) return;
    this.#active.segment.acknowledgedAt = now;
    this.close();
  }

  close(): void {
    const flight = this.#flight;
    if (flight !== null) {
      // Its bytes are in the file, and count for nothing there.
      flight.active.segment.size += flight.bytes;
      this.bytes += flight.bytes;
      this.#flight = null;
    }
    this.#active?.file.close();
    this.#active = null;
  }

  #hasRoom({ segment: { size } }: Active, length: number): boolean {
    return size <= SEGMENT_HEADER_BYTES || size + length <= this.options.segmentBytes;
  }

  /** The open segment while there is room in it, else a new one with its header. */
  #forBatch(length: number, durable: number, settled: readonly number[]): Active {
    const open = this.#active;
    if (open !== null) {
      if (this.#hasRoom(open, length)) return open;
      this.close();
    }
    const { identity, secret } = this.options, first = durable + 1;
    const file = this.#create(first), index = this.#index, seed = recordSeed(secret, index);
    const name = segmentName(index, first);
    const segment: Segment = { name, index, first, seed, settled, size: SEGMENT_HEADER_BYTES, acknowledgedAt: null };
    const active: Active = { segment, file, fresh: true };
    this.#active = active;
    this.list.push(segment);
    this.bytes += segment.size;
    try {
      writeAll(file, 0, encodeSegmentHeader({ ...identity, secret, index, first, settled }));
    } catch (error) {
      if (error instanceof StorageError) this.#leave(active, false, 0);
      throw error;
    }
    return active;
  }

  #create(first: number): StorageFile {
    for (let tries = 1;; tries++) {
      try {
        return this.options.storage.create(segmentName(++this.#index, first));
      } catch (error) {
        if (!(error instanceof StorageError) || error.fault !== "exists" || tries === MAX_NAMES) throw error;
      }
    }
  }

  /** After a failed write: back to what is on disk when that is `certain`, else away from the file for good. */
  #leave(active: Active, certain: boolean, written: number): void {
    if (certain && !active.fresh) {
      try {
        return active.file.truncate(active.segment.size);
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
      }
    }
    this.close();
    active.segment.size += written;
    this.bytes += written;
    if (!active.fresh) return;
    try {
      this.remove(active.segment);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error; // it stays on the list, and goes with the others
    }
  }
}
