/**
 * Gives the records of a log in their order, from any number on, and says which numbers are missing.
 *
 * What is missing is told by the numbers alone: damage where nothing is missing, such as behind the place where a later
 * segment took over, is no loss. Nothing is removed or changed here.
 *
 * @module
 */
import type { LogRecord, Segment } from "./recovery.ts";
import { SegmentReader } from "./segment_reader.ts";
import { type Storage, StorageError, type StorageFile } from "./storage.ts";

/** Numbers whose records are lost, with the times of the records around them. */
export interface MissingRange {
  readonly kind: "missing";
  readonly first: number;
  readonly last: number;
  /** Unix milliseconds; `null` where nothing stands before or after. */
  readonly from: number | null;
  readonly to: number | null;
}

export type LogItem = { readonly kind: "record"; readonly record: LogRecord } | MissingRange;

/** What is there to be read. */
export interface ReadableLog {
  readonly storage: Storage;
  /** In the order in which they were written. */
  readonly segments: readonly Segment[];
  /** The segment that is written, with as many bytes as are on disk; `null` when none is open. */
  readonly active: { readonly segment: Segment; readonly file: StorageFile } | null;
  readonly durable: number;
  /** What is missing up to here was given away and deleted, which is no damage. */
  readonly acknowledged: number;
}

/** After so many failed tries, a segment that cannot be read counts as lost from there on. */
const MAX_TRIES = 5;
/** Places of damage that are remembered, so that each is counted once. */
const MAX_PLACES = 4_096;

export class LogReader {
  missing = 0;
  damaged = 0;
  readonly #counted = new Set<string>();
  /** Where the record after the last one that was given begins: reading on needs no search. */
  #cursor = { index: 0, expected: 0, at: 0, time: null as number | null };
  #trouble = { index: 0, tries: 0 };

  constructor(private readonly notice: (text: string) => void) {}

  /**
   * Records with numbers above `after`, at least one if there is any, until they take `maxBytes`. The first may begin at
   * or before `after`, when it carries more than one number.
   *
   * @throws StorageError when a file cannot be read; it may be tried again.
   */
  read(log: ReadableLog, after: number, maxBytes: number): LogItem[] {
    const items: LogItem[] = [];
    const reading = new Reading(after + 1, maxBytes, this.#cursor.expected === after + 1 ? this.#cursor.time : null);
    while (reading.expected <= log.durable && reading.room > 0) {
      const at = log.segments.findLastIndex((segment) => segment.first <= reading.expected);
      const limit = Math.min(log.durable, (log.segments[at + 1]?.first ?? Infinity) - 1);
      if (at >= 0) this.#readSegment(log, log.segments[at]!, limit, reading, items);
      else if (limit <= log.acknowledged) this.#skip(limit, reading, items);
      else this.#miss(limit, "no file holds them", null, reading, items);
    }
    return items;
  }

  #readSegment(log: ReadableLog, segment: Segment, limit: number, reading: Reading, items: LogItem[]): void {
    const own = log.active?.segment === segment;
    if (this.#trouble.index === segment.index && this.#trouble.tries >= MAX_TRIES) {
      return this.#miss(limit, `${segment.name} cannot be read`, null, reading, items);
    }
    let file: StorageFile | null = null;
    try {
      file = own ? log.active!.file : log.storage.open(segment.name);
      this.#readRecords(file, segment, limit, reading, items, own ? segment.size : file.size());
      if (this.#trouble.index === segment.index) this.#trouble.tries = 0;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (error.fault === "missing") return this.#miss(limit, `${segment.name} is gone`, null, reading, items);
      this.#trouble = {
        index: segment.index,
        tries: this.#trouble.index === segment.index ? this.#trouble.tries + 1 : 1,
      };
      if (items.length === 0) throw error;
      reading.room = 0; // what was read is given; the next call meets the fault
    } finally {
      if (!own) file?.close();
    }
  }

  #readRecords(
    file: StorageFile,
    segment: Segment,
    limit: number,
    reading: Reading,
    items: LogItem[],
    size: number,
  ): void {
    const cursor = this.#cursor;
    const follows = cursor.index === segment.index && cursor.expected === reading.expected;
    const reader = new SegmentReader(file, segment.seed, segment.first, follows ? cursor.at : undefined, size);
    while (reading.room > 0 && reading.expected <= limit) {
      const item = reader.next();
      if (item === null) break;
      if (item.kind === "damage") {
        this.#count(segment, item.at);
        continue;
      }
      const { first, count, time, kind } = item.header, last = first + count - 1;
      if (last < reading.expected) continue;
      if (last > limit) break; // a later segment took over from here on
      if (first > reading.expected) this.#miss(first - 1, `${segment.name} is damaged`, time, reading, items);
      const payload = reader.payload(item).slice();
      items.push({ kind: "record", record: { kind, first, count, time, payload } });
      reading.took(last, time, payload.length);
      this.#cursor = { index: segment.index, expected: last + 1, at: item.end, time };
    }
    if (reading.room > 0 && reading.expected <= limit) {
      this.#miss(limit, `${segment.name} ends too early`, null, reading, items);
    }
  }

  #skip(last: number, reading: Reading, items: LogItem[]): void {
    items.push({ kind: "missing", first: reading.expected, last, from: null, to: null });
    this.notice(
      `write-ahead log: numbers ${reading.expected} to ${last} are asked for, but were acknowledged and are not kept`,
    );
    reading.took(last, null, 0);
  }

  #miss(last: number, why: string, to: number | null, reading: Reading, items: LogItem[]): void {
    const first = reading.expected;
    items.push({ kind: "missing", first, last, from: reading.time, to });
    reading.took(last, reading.time, 0);
    if (!this.#isNew(`missing ${first}`)) return;
    this.missing += last - first + 1;
    this.notice(`write-ahead log: numbers ${first} to ${last} are lost: ${why}`);
  }

  #count(segment: Segment, at: number): void {
    if (this.#isNew(`${segment.index} ${at}`)) this.damaged += 1;
  }

  #isNew(place: string): boolean {
    if (this.#counted.has(place) || this.#counted.size >= MAX_PLACES) return false;
    this.#counted.add(place);
    return true;
  }
}

/** How far one call has come. */
class Reading {
  constructor(public expected: number, public room: number, public time: number | null) {}

  took(last: number, time: number | null, bytes: number): void {
    this.expected = last + 1;
    this.time = time;
    this.room -= Math.max(bytes, 1);
  }
}
