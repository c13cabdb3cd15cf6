/**
 * The write-ahead log: what the collector has seen is on disk before it is offered, and stays until it is acknowledged.
 *
 * Records go into memory with {@linkcode WriteAheadLog.append}; one {@linkcode WriteAheadLog.flush} writes and syncs all
 * of them at once. A number up to {@linkcode WriteAheadLog.durable} survives a crash. A sync that failed is never tried
 * again on the same file: what it may have lost is written into a new segment from memory. A full disk stops nothing but
 * the writing: items wait in memory, then are refused by their value, and each refusal is counted in a file whose blocks
 * are there already. Faults of the disk never throw; they are told, and the log goes on by itself when the disk does.
 *
 * The directory is trusted: who can write it can replace what the collector has seen.
 *
 * @module
 */
import { crc32c } from "../../proto/crc32c.ts";
import { Batch } from "./batch.ts";
import { DiskFault } from "./disk_fault.ts";
import {
  MAX_COUNT,
  MAX_PAYLOAD_BYTES,
  recordBytes,
  type RecordHeader,
  SECRET_BYTES,
  SEGMENT_HEADER_BYTES,
  type WalIdentity,
} from "./format.ts";
import type { NewRecord, WalOptions, WalStatus } from "./log_options.ts";
import { type LogItem, LogReader } from "./log_reader.ts";
import { type LogRecord, type Segment, survey } from "./recovery.ts";
import { Segments } from "./segments.ts";
import { ITEM_CLASSES, type ItemClass, Shedding, type Tally } from "./shedding.ts";
import type { WalState } from "./state_file.ts";
import { StateKeeper } from "./state_keeper.ts";
import { StorageError } from "./storage.ts";

/** Waiting bytes at which {@linkcode WriteAheadLog.append} flushes by itself, and at half of what may wait. */
const FLUSH_BYTES = 4_194_304;
/** Used share of the space above which acknowledged segments go before their time; below what is refused first. */
const HASTE = 0.6;

export class WriteAheadLog {
  /** What was found wrong when the log was opened. */
  readonly findings: readonly string[];
  readonly identity: WalIdentity;
  /** The last record that was found when the log was opened, and its Unix milliseconds: 0 when there was none. */
  readonly foundLast: number;
  readonly foundTime: number;
  readonly #options: WalOptions;
  readonly #secret: Uint8Array;
  readonly #segments: Segments;
  readonly #shedding: Shedding;
  readonly #reader: LogReader;
  readonly #batch = new Batch();
  readonly #state: StateKeeper;
  readonly #fault: DiskFault;
  /** What holds the end that nothing proves, until that is written again: not to be deleted, whatever is acknowledged. */
  #unproven: Segment | null;
  #last: number;
  #durable: number;
  #acknowledged: number;
  #faults = 0;
  #hastened = 0;

  /**
   * Opens the log in a directory, or makes one.
   *
   * @throws {WalRefusedError} when a log of another host, collector, epoch or version is there; nothing was changed.
   * @throws {StorageError} when the directory cannot be read.
   */
  constructor(options: WalOptions) {
    this.#options = options;
    const { storage, host, collectorId, notice } = options;
    const random = options.random ?? ((length) => crypto.getRandomValues(new Uint8Array(length)));
    const found = survey(storage, { host, collectorId });
    this.findings = found.findings;
    this.foundLast = found.last;
    this.foundTime = found.lastTime;
    this.identity = found.identity ?? { host, collectorId, epoch: uuid(random(16)) };
    this.#secret = found.secret ?? random(SECRET_BYTES);
    const { identity } = this, { segmentBytes } = options;
    this.#segments = new Segments(
      { storage, identity, secret: this.#secret, segmentBytes },
      found.segments,
      found.highestIndex,
    );
    this.#durable = found.durable;
    this.#acknowledged = Math.min(found.state?.acknowledged ?? 0, found.durable);
    this.#last = found.durable;
    const { tallies = [], tallyGeneration = 0 } = found.state ?? {};
    this.#shedding = new Shedding(tallies, found.settled, found.onTheWay, tallyGeneration);
    this.#reader = new LogReader(notice);
    this.#fault = new DiskFault(notice);
    this.#state = new StateKeeper(storage, options.clock, () => this.#describe());
    this.#state.open(found.state?.generations ?? null);
    this.#unproven = found.unproven.length === 0 ? null : found.unprovenFrom;
    // The end that nothing proves is written again by the first flush, in a segment that takes over from here.
    for (const { payload, ...header } of found.unproven) {
      this.#batch.add({ ...header, length: payload.length }, payload, crc32c(payload));
    }
    this.#last = found.last;
    this.#segments.markAcknowledged(this.#acknowledged, this.#durable, this.#options.clock());
    for (const finding of found.findings) notice(`write-ahead log: ${finding}`);
  }

  /** The number that the next record begins with. */
  get nextSequence(): number {
    return this.#last + 1;
  }
  /** Everything up to here is on disk, or known to be lost. */
  get durable(): number {
    return this.#durable;
  }
  get acknowledged(): number {
    return this.#acknowledged;
  }
  /**
   * Share of the space that is taken by what is not acknowledged; or that of memory, while the disk takes nothing. What
   * is acknowledged and kept does not count: it goes when its room is needed.
   */
  get load(): number {
    const { totalBytes, maxPendingBytes } = this.#options, pending = this.#batch.length;
    const share = (this.#segments.bytesAbove(this.#acknowledged, this.#durable) + pending) / totalBytes;
    return this.#fault.text === "" ? share : Math.max(share, pending / maxPendingBytes);
  }
  /**
   * Whether its directory is there, and the file that is written, if one is, still has its name: one that was deleted
   * takes records, and loses them.
   */
  get isPresent(): boolean {
    const { active } = this.#segments;
    try {
      const files = this.#options.storage.list();
      return active === null || files.some(({ name }) => name === active.segment.name);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return error.fault !== "missing";
    }
  }
  /** Items that were refused and that no gap record on disk tells of. */
  get outstanding(): Tally[] {
    return this.#shedding.outstanding();
  }
  get status(): WalStatus {
    return {
      bytes: this.#segments.bytes,
      pendingBytes: this.#batch.length,
      segments: this.#segments.list.length,
      refused: this.#shedding.refused,
      missing: this.#reader.missing,
      damaged: this.#reader.damaged,
      faults: this.#faults + this.#state.faults,
      hastened: this.#hastened,
      fault: this.#fault.text,
    };
  }

  /** Whether a record of this class would be taken now: asked before it is encoded. */
  admits(itemClass: ItemClass, payloadBytes: number = 0): boolean {
    const { totalBytes, maxPendingBytes } = this.#options, more = recordBytes(payloadBytes);
    if (this.#segments.bytes + this.#batch.length + SEGMENT_HEADER_BYTES + more > totalBytes) return false;
    if (this.#batch.length + more > maxPendingBytes) return false;
    return this.#shedding.admits(itemClass, this.#share());
  }

  /** Counts items that are not taken. They become a gap record as soon as there is room for their class again. */
  refuse(itemClass: ItemClass, count: number, from: number, to: number): void {
    this.#shedding.refuse(itemClass, count, from, to);
    this.#state.hasNews = true;
  }

  /** Takes over items that another log refused and counted: they are told here, and not counted again. */
  inherit(itemClass: ItemClass, count: number, from: number, to: number): void {
    this.#shedding.inherit(itemClass, count, from, to);
    this.#state.hasNews = true;
  }

  /**
   * Takes a record whose payload was made for {@linkcode nextSequence}; it is on disk after the next flush that returns
   * `true`. Returns whether there was room; if not, its items are counted as refused and no number is used.
   *
   * @throws RangeError for a record that the format cannot hold.
   */
  append(record: NewRecord): boolean {
    const { kind, itemClass, count, time, lastTime, payload, checksum = crc32c(payload) } = record;
    if (payload.length === 0 || payload.length > MAX_PAYLOAD_BYTES || count < 1 || count > MAX_COUNT) {
      throw new RangeError(`A record holds 1 to ${MAX_PAYLOAD_BYTES} bytes and 1 to ${MAX_COUNT} items`);
    }
    if (this.#share() > HASTE) this.#expire(true);
    if (!this.admits(itemClass, payload.length)) {
      this.refuse(itemClass, count, time, lastTime);
      return false;
    }
    this.#put({ kind, count, time, settles: 0 }, payload, checksum);
    const enough = Math.min(FLUSH_BYTES, this.#options.maxPendingBytes / 2);
    if (this.#batch.length >= enough && this.#fault.text === "") this.flush();
    return true;
  }

  /** Puts everything on disk that was taken. Returns whether all of it is there now, refusals included. */
  flush(): boolean {
    this.#makeReady();
    const now = this.#options.clock();
    if (this.#batch.length > 0 && this.#fault.isDue(now)) this.#ended(this.#write(), now);
    return this.#lookAfter(now);
  }

  /**
   * The same, with the wait for the disk beside other work: what is taken meanwhile goes with the next one. Whatever needs
   * an answer at once may {@linkcode flush} meanwhile, or close the log. Where it is no matter of one write and one sync (a
   * new segment, a disk that failed), it is done at once.
   */
  async flushBeside(): Promise<boolean> {
    this.#makeReady();
    const last = this.#batch.last, length = this.#batch.length;
    const flight = length > 0 && this.#fault.text === "" ? this.#segments.launch(this.#batch) : null;
    if (flight === null) return this.flush();
    const isLaunched = !(flight instanceof StorageError);
    const fault = isLaunched ? await flight.landed : flight;
    // Overtaken: whoever did that has looked after everything, or has closed the log.
    if (isLaunched && !this.#segments.land(flight, fault)) return this.#isFlushed;
    const now = this.#options.clock();
    if (fault === null) this.#written(last, length);
    else this.#ended(this.#writeAgain(fault), now);
    return this.#lookAfter(now);
  }

  get #isFlushed(): boolean {
    return this.#batch.length === 0 && !this.#state.hasNews;
  }

  #makeReady(): void {
    // A log in which nothing is admitted any more would never append, and so never find room again.
    if (this.#share() > HASTE) this.#expire(true);
    for (const tally of this.#shedding.due(this.#share())) this.#settle(tally);
  }

  /** The whole batch was written, or not. */
  #ended(fault: StorageError | null, now: number): void {
    if (fault === null) return this.#written(this.#batch.last, this.#batch.length);
    this.#faults += 1;
    this.#fault.began(fault, now);
  }

  #lookAfter(now: number): boolean {
    if (this.#state.hasNews && this.#state.isDue(now)) this.#state.save();
    this.#expire(false);
    this.#state.hint(now, this.#segments.bytes, this.#durable + this.#acknowledged);
    return this.#isFlushed;
  }

  /**
   * Says that everything up to `sequence` is stored elsewhere.
   *
   * @throws RangeError when it was never on disk here, so never offered.
   */
  acknowledge(sequence: number): void {
    if (sequence > this.#durable) {
      throw new RangeError(`Number ${sequence} is acknowledged, but the last one on disk is ${this.#durable}`);
    }
    if (sequence <= this.#acknowledged) return;
    this.#acknowledged = sequence;
    this.#segments.markAcknowledged(this.#acknowledged, this.#durable, this.#options.clock());
  }

  /**
   * What is on disk after number `after`, acknowledged or not, as far as it is kept: at least one item if there is any,
   * until the payloads take `maxBytes`.
   *
   * @throws StorageError when a file cannot be read; the next call tries again.
   */
  read(after: number, maxBytes: number = MAX_PAYLOAD_BYTES): LogItem[] {
    return this.#readBy(this.#reader, after, maxBytes);
  }

  /**
   * {@linkcode read} for somebody else than who sends: its failed tries count for itself, so none makes a file count as
   * lost for the other, and what it misses is not told twice.
   */
  apart(): (after: number, maxBytes: number) => LogItem[] {
    const reader = new LogReader(() => {});
    return (after, maxBytes) => this.#readBy(reader, after, maxBytes);
  }

  #readBy(reader: LogReader, after: number, maxBytes: number): LogItem[] {
    const { list: segments, active } = this.#segments, { storage } = this.#options;
    const acknowledged = this.#acknowledged, durable = this.#durable;
    return reader.read({ storage, segments, active, durable, acknowledged }, after, maxBytes);
  }

  /** What was taken and is not on disk, without the gap records that {@linkcode outstanding} stands for. */
  unflushed(): LogRecord[] {
    return [...this.#batch.records()].filter(({ header }) => header.settles === 0)
      .map(({ header: { kind, first, count, time }, payload }) => ({
        kind,
        first,
        count,
        time,
        payload: payload.slice(),
      }));
  }

  /** Puts on disk what {@linkcode outstanding} says, for a log that will not be written any more. */
  keepTallies(): boolean {
    return this.#state.save();
  }

  /** Flushes, remembers where the log ends, and closes every file. Returns what the flush returned. */
  close(): boolean {
    const flushed = this.flush();
    this.#state.save();
    this.#segments.close();
    this.#state.close();
    return flushed;
  }

  /** Closes every file and writes nothing more: for a log that another one has taken over. */
  abandon(): void {
    this.#segments.close();
    this.#state.close();
  }

  #put(record: Omit<RecordHeader, "length" | "first">, payload: Uint8Array, checksum: number): void {
    const first = this.#last + 1;
    this.#batch.add({ ...record, length: payload.length, first }, payload, checksum);
    this.#last += record.count;
    this.#options.taken?.(this.identity.epoch, first, record.count, payload);
  }

  #settle(tally: Tally): void {
    const { kind, payload } = this.#options.gapRecord(this.nextSequence, tally);
    if (!this.admits(tally.itemClass, payload.length)) return;
    this.#shedding.settling(tally);
    const settles = tally.generation * 8 + ITEM_CLASSES.indexOf(tally.itemClass);
    this.#put({ kind, count: 1, time: tally.from, settles }, payload, crc32c(payload));
  }

  /** Used share of the space: of the disk's, and of memory while the disk takes nothing. */
  #share(): number {
    const { totalBytes, maxPendingBytes } = this.#options, pending = this.#batch.length;
    const share = (this.#segments.bytes + pending) / totalBytes;
    return this.#fault.text === "" ? share : Math.max(share, pending / maxPendingBytes);
  }

  /** Writes and syncs what waits; after a failure that leaves a file in doubt, once more into a new one. */
  #write(): StorageError | null {
    const fault = this.#writeOnce();
    return fault === null ? null : this.#writeAgain(fault);
  }

  #writeOnce(): StorageError | null {
    return this.#segments.write(this.#batch, this.#durable, this.#shedding.settled);
  }

  #writeAgain(fault: StorageError): StorageError | null {
    if (fault.fault === "no-space") return fault;
    this.#faults += 1;
    this.#options.notice(`write-ahead log: ${fault.message}; what may be lost is written into a new segment`);
    return this.#writeOnce();
  }

  /** The first `length` bytes of the batch, up to number `last`, are on disk. */
  #written(last: number, length: number): void {
    this.#durable = last;
    this.#unproven = null;
    this.#batch.drop(length);
    if (this.#shedding.flushed()) this.#state.hasNews = true;
    this.#fault.over();
  }

  /** Deletes segments, oldest first, that were acknowledged long enough ago, or in `haste` all that were. */
  #expire(haste: boolean): void {
    const { list } = this.#segments, now = this.#options.clock();
    // What waited in memory is written as one piece, and may fill the log alone: then nothing would be admitted any more,
    // so nothing written that ends this segment.
    if (haste && this.#acknowledged === this.#durable) this.#segments.end(now);
    const over = (segment: Segment | undefined): segment is Segment =>
      segment !== undefined && segment !== this.#unproven && !this.#segments.isOpen(segment) &&
      segment.acknowledgedAt !== null &&
      (haste || now - segment.acknowledgedAt >= this.#options.keepMs);
    if (!over(list[0]) || !this.#state.isDue(now)) return;
    // A crash may undo a removal and keep a later one: then the numbers between look lost, unless this is on disk.
    if (!this.#state.save()) return;
    try {
      for (let segment = list[0]; over(segment); segment = list[0]) {
        this.#segments.remove(segment);
        if (now - segment.acknowledgedAt! < this.#options.keepMs) this.#hastened += 1;
      }
      this.#options.storage.syncDirectory();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#faults += 1; // what is still there, or comes back, is deleted the next time
    }
  }

  #describe(): WalState {
    return {
      ...this.identity,
      secret: this.#secret,
      durable: this.#durable,
      acknowledged: this.#acknowledged,
      tallies: this.#shedding.outstanding(),
      tallyGeneration: this.#shedding.generation,
    };
  }
}

/** A random (version 4) UUID of 16 bytes. */
function uuid(bytes: Uint8Array): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
