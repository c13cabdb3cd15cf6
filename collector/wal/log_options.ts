/**
 * What the write-ahead log is told when it is opened, what it takes, and what it says of itself.
 *
 * @module
 */
import type { ItemClass, Tally } from "./shedding.ts";
import type { Storage } from "./storage.ts";

export interface WalOptions {
  readonly storage: Storage;
  readonly host: string;
  readonly collectorId: string;
  /** A segment that is longer is followed by a new one. */
  readonly segmentBytes: number;
  /** Everything together, on disk and in memory. */
  readonly totalBytes: number;
  /** What waits in memory while the disk takes nothing. */
  readonly maxPendingBytes: number;
  /** An acknowledged segment stays at least this long, unless its room is needed. */
  readonly keepMs: number;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** The record that tells of refused items, to be given the number `sequence`. */
  readonly gapRecord: (sequence: number, tally: Tally) => { readonly kind: number; readonly payload: Uint8Array };
  /** Told of every record that is given a number, in their order: the epoch, the record's first number, how many. */
  readonly taken?: TakenRecord;
  /** Called with what an operator should know. */
  readonly notice: (text: string) => void;
  /** Random bytes, of the runtime unless a test brings its own. */
  readonly random?: (length: number) => Uint8Array;
}

export type TakenRecord = (epoch: string, first: number, count: number, payload: Uint8Array) => void;

export interface NewRecord {
  readonly kind: number;
  readonly itemClass: ItemClass;
  /** Numbers that it carries, from {@linkcode WriteAheadLog.nextSequence} on. */
  readonly count: number;
  /** Unix milliseconds of its oldest item, and of its newest. */
  readonly time: number;
  readonly lastTime: number;
  readonly payload: Uint8Array;
  /** `crc32c(payload)`, when it is known. */
  readonly checksum?: number;
}

export interface WalStatus {
  readonly bytes: number;
  readonly pendingBytes: number;
  readonly segments: number;
  /** Items that found no room, since start. */
  readonly refused: number;
  /** Numbers and places of damage that reading has found, since start. */
  readonly missing: number;
  readonly damaged: number;
  readonly faults: number;
  /** Segments that were deleted before their time, because their room was needed. */
  readonly hastened: number;
  /** Why nothing is written now, or empty. */
  readonly fault: string;
}
