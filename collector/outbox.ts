/**
 * The collector's stream: what it has to say, numbered, encoded once, on disk before it is offered.
 *
 * Every event, gap, process table and report of sources becomes one record of the write-ahead log; its bytes are those of
 * the frame that the agent gets, header apart. What was taken since is put on disk by {@linkcode Outbox.flush}, once a
 * drain, and only then given out. The newest frames are kept in memory; what is asked for behind them, after a
 * reconnection or a restart, is read from the log. What the log has no room for is refused by its class, before it has a
 * number, and becomes a gap with its exact count.
 *
 * Uses no disk, clock or socket itself: all of that is the log keeper's, and whoever makes that one brings it.
 *
 * @module
 */
import { eventBatches, snapshotParts, textsToCut } from "../proto/batches.ts";
import { crc32c } from "../proto/crc32c.ts";
import { encodeFrame, frameOf } from "../proto/frame.ts";
import type { Gap, ProcessEvent, ProcessState } from "../proto/process_event.ts";
import { rowBatches } from "../proto/row_codec.ts";
import type { TableRow } from "../proto/table_descriptor.ts";
import type { SourceStatus } from "../proto/status.ts";
import { encodeMessage } from "../proto/wire.ts";
import { kindOf } from "./carry.ts";
import { type Frame, FrameCache } from "./frame_cache.ts";
import type { LogKeeper, Move } from "./log_keeper.ts";
import { TimeMarks } from "./time_marks.ts";
import type { WriteAheadLog } from "./wal/log.ts";
import type { WalStatus } from "./wal/log_options.ts";
import type { LogItem } from "./wal/log_reader.ts";
import { ITEM_CLASSES, type ItemClass, type Tally } from "./wal/shedding.ts";

/** Bytes of the newest frames that are kept in memory. */
const CACHE_BYTES = 4_194_304;
/** Bytes of one reading from the log. */
const READ_BYTES = 524_288;

/** What can be sent next: a frame, or `bytes` of `null` for numbers whose frames are lost. */
export interface NextFrame {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array<ArrayBuffer> | null;
}

export class Outbox {
  readonly #keeper: LogKeeper;
  #cache = new FrameCache(CACHE_BYTES);
  /** What was read from the log and not asked for yet; the first follows `#readAfter`. */
  #read: LogItem[] = [];
  #readAfter = -1;
  #marks: TimeMarks;
  /** Another log is to take over, once what was sent is acknowledged. */
  #wished: Move | null = null;
  #offered = 0;
  /** What the agent said that it has: after a restart that can be more than is known to be on disk here. */
  #stored = 0;
  #cutTexts = 0;
  /** Of logs that were replaced since start. */
  #before: Pick<WalStatus, "refused" | "missing" | "damaged" | "faults" | "hastened"> = NOTHING;
  /** Leaves out what is dear and can be done without: captured environments. */
  isEconomical = false;
  readonly #long = { long: (item: ProcessEvent | ProcessState): void => void (this.#cutTexts += textsToCut(item)) };

  constructor(keeper: LogKeeper) {
    this.#keeper = keeper;
    this.#marks = this.#marksOf(keeper.log);
  }

  /** Names the numbers: another log, another epoch. */
  get epoch(): string {
    return this.#log.identity.epoch;
  }
  /** The last number given out; 0 before the first. */
  get lastSequence(): number {
    return this.#log.nextSequence - 1;
  }
  /** Everything up to here is stored by the agent. */
  get acknowledged(): number {
    return this.#log.acknowledged;
  }
  /** Numbers given out and not acknowledged. */
  get waiting(): number {
    return this.lastSequence - this.acknowledged;
  }
  /** Everything up to here can be sent. */
  get durable(): number {
    return this.#log.durable;
  }
  /**
   * The highest number that may ever have been sent. What an earlier run left at the end of its log is not durable before
   * the first flush has written it once more.
   */
  get lastGiven(): number {
    return Math.max(this.durable, this.#log.foundLast);
  }
  /** Texts of events and processes that were too long to send whole, since start. */
  get cutTexts(): number {
    return this.#cutTexts;
  }
  /** Share of the log's room, or of the memory's while the disk takes nothing, that what waits takes. */
  get load(): number {
    return this.#log.load;
  }
  /** Unix milliseconds of the oldest item that is not acknowledged, to a second or so; `null` when nothing waits. */
  get oldestTime(): number | null {
    return this.waiting === 0 ? null : this.#marks.timeOf(this.acknowledged + 1);
  }
  /** Where the log is, and what is wrong with that. */
  get place(): string {
    return this.#keeper.place;
  }
  get trouble(): string {
    return this.#keeper.trouble;
  }
  /** Of this log, with the counts of those it replaced since start. */
  get status(): WalStatus {
    return summed(this.#log.status, this.#before);
  }

  /** Unix milliseconds of the last record that an earlier run left, 0 when there is none. */
  get foundTime(): number {
    return this.#log.foundTime;
  }

  /** Unix milliseconds up to which everything that was added outlives this process; `now` when that is all of it. */
  safeTime(now: number): number {
    const safe = this.#keeper.isDurable ? this.durable : this.acknowledged;
    return safe === this.lastSequence ? now : this.#marks.timeOf(safe + 1) ?? now;
  }

  /** Adds events in their order. Those that are not taken become part of a gap. */
  addEvents(events: readonly ProcessEvent[]): void {
    const admitted = this.#admitted(events);
    const said = this.isEconomical ? admitted.map(withoutEnvironment) : admitted;
    for (const batch of eventBatches(said, this.#long)) {
      const first = this.#log.nextSequence, itemClass = mostValued(batch);
      const payload = encodeMessage({ kind: "events", firstSequence: first, events: batch });
      const times = { time: batch[0]!.time, lastTime: batch.at(-1)!.time };
      if (this.#log.admits(itemClass, payload.length)) this.#append(itemClass, batch.length, times, payload);
      else for (const each of CLASSES_OF_EVENTS) this.#refuse(batch, each);
    }
  }

  /** Adds rows of a collector's own table in their order. Returns how many were taken; the others become part of a gap. */
  addRows(table: string, rows: readonly TableRow[]): number {
    let taken = 0;
    for (const batch of rowBatches(rows)) {
      const payload = encodeMessage({ kind: "rows", firstSequence: this.#log.nextSequence, table, rows: batch });
      const time = batch[0]!.time, lastTime = batch.at(-1)!.time;
      if (this.#log.admits(ROWS, payload.length) && this.#append(ROWS, batch.length, { time, lastTime }, payload)) {
        taken += batch.length;
      } else this.#log.refuse(ROWS, batch.length, Math.min(time, lastTime), Math.max(time, lastTime));
    }
    return taken;
  }

  addGap(gap: Gap): void {
    const payload = encodeMessage({ kind: "gap", sequence: this.#log.nextSequence, gap });
    const isTaken = this.#log.admits("note", payload.length);
    // What it tells of is not told: that many are missing, not one gap.
    if (!isTaken) return this.#log.refuse("note", gap.count ?? 1, gap.from, gap.to);
    this.#append("note", 1, { time: gap.from, lastTime: gap.to }, payload);
  }

  /** Adds a whole process table. Returns false when there is no room. */
  addSnapshot(processes: readonly ProcessState[], time: number): boolean {
    if (!this.#log.admits("snapshot")) {
      this.#log.refuse("snapshot", 1, time, time);
      return false;
    }
    const said = this.isEconomical ? processes.map(withoutEnvironment) : processes;
    const parts = [...snapshotParts(said, this.#long)];
    for (const [part, slice] of parts.entries()) {
      const sequence = this.#log.nextSequence, last = part === parts.length - 1;
      const payload = encodeMessage({ kind: "snapshot", sequence, time, part, last, processes: slice });
      // The agent takes a table that lacks a part for what it is.
      if (!this.#append("snapshot", 1, { time, lastTime: time }, payload)) return false;
    }
    return true;
  }

  addSources(sources: readonly SourceStatus[], time: number): void {
    const payload = encodeMessage({ kind: "sources", sequence: this.#log.nextSequence, sources: [...sources] });
    this.#append("note", 1, { time, lastTime: time }, payload);
  }

  /** Puts on disk what was added since. Returns whether all of it is there. */
  flush(): boolean {
    const isFlushed = this.#log.flush();
    this.#believe();
    return isFlushed;
  }

  /** The same, beside other work: what is added meanwhile may be on disk when it resolves, or not. One at a time. */
  async flushBeside(): Promise<boolean> {
    const isFlushed = await this.#log.flushBeside();
    this.#believe();
    return isFlushed;
  }

  /** Looks after the log; to be called about once a second, after {@linkcode flush}. */
  tend(): void {
    // A disk that works again is gone on with.
    if (this.#wished?.to === "memory" && this.#log.status.fault === "") this.#wished = null;
    const wish = this.#wished ??= this.#keeper.wish(), stored = Math.max(this.acknowledged, this.#stored);
    // What was sent may be stored already. Its acknowledgement, or the next handshake, says so; nothing more is sent
    // until then.
    if (wish === null || this.#offered > stored) return;
    this.#wished = null;
    this.#move(() => this.#keeper.move(wish, stored));
  }

  /**
   * Forgets everything up to `sequence`.
   *
   * @throws RangeError when it was never on disk, so never given out.
   */
  acknowledge(sequence: number): void {
    this.#log.acknowledge(sequence);
    this.#cache.forgetUpTo(this.acknowledged);
    this.#marks.forgetBelow(this.acknowledged + 1);
    if (this.#wished !== null) this.tend();
  }

  /** Says what the agent of a new connection has, which is then all that was given to it. */
  noteStored(sequence: number): void {
    this.#offered = this.#stored = sequence;
    if (sequence > this.acknowledged) this.acknowledge(Math.min(sequence, this.durable));
  }

  /** Says that all up to `sequence` was given to the agent. */
  noteOffered(sequence: number): void {
    this.#offered = sequence;
  }

  /**
   * Begins another log, for an agent that has numbers of this epoch that were never given out here: this log is older
   * than what the agent knows. What waits goes into the new one. Returns false when that was done a short while ago.
   */
  renew(why: string): boolean {
    return this.#move(() => this.#keeper.renew(why));
  }

  /** The frame that carries the number after `sequence`, `null` while there is none on disk. @throws StorageError */
  frameAfter(sequence: number): NextFrame | null {
    if (sequence >= this.durable || this.#wished !== null) return null;
    // Gap records of refused items are the log's own, and not in the cache.
    return this.#cache.frameWith(sequence + 1) ?? this.#fromLog(sequence);
  }

  close(): boolean {
    return this.#log.close();
  }

  /** What the agent said that it has is acknowledged as far as it is known to be on disk here. */
  #believe(): void {
    if (this.#stored > this.acknowledged && this.durable > this.acknowledged) {
      this.acknowledge(Math.min(this.#stored, this.durable));
    }
  }

  get #log(): WriteAheadLog {
    return this.#keeper.log;
  }

  #fromLog(sequence: number): NextFrame {
    if (this.#readAfter !== sequence || this.#read.length === 0) {
      this.#read = this.#log.read(sequence, READ_BYTES).reverse();
    }
    const item = this.#read.pop()!;
    const [first, last] = item.kind === "missing"
      ? [item.first, item.last]
      : [item.record.first, item.record.first + item.record.count - 1];
    this.#readAfter = last;
    // A record's checksum begins with its segment's secret, so the frame's is made anew for what is read again.
    return { first, last, bytes: item.kind === "missing" ? null : encodeFrame(item.record.payload) };
  }

  #append(itemClass: ItemClass, count: number, times: Times, payload: Uint8Array): boolean {
    const first = this.#log.nextSequence, last = first + count - 1, checksum = crc32c(payload);
    const bytes = frameOf(payload, checksum);
    if (!this.#log.append({ kind: kindOf(itemClass), itemClass, count, ...times, payload, checksum })) return false;
    this.#cache.push({ first, last, bytes } satisfies Frame);
    this.#marks.add(first, times.time);
    return true;
  }

  /** Those of the events whose class has room. */
  #admitted(events: readonly ProcessEvent[]): readonly ProcessEvent[] {
    const closed = CLASSES_OF_EVENTS.filter((itemClass) => !this.#log.admits(itemClass));
    if (closed.length === 0) return events;
    for (const itemClass of closed) this.#refuse(events, itemClass);
    return events.filter((event) => !closed.includes(event.kind));
  }

  #refuse(events: readonly ProcessEvent[], itemClass: ItemClass): void {
    const refused = events.filter(({ kind }) => kind === itemClass);
    if (refused.length === 0) return;
    const times = refused.map(({ time }) => time);
    this.#log.refuse(itemClass, refused.length, Math.min(...times), Math.max(...times));
  }

  /** Has the keeper change the log; what was kept of the one before is worth nothing then. */
  #move(change: () => boolean): boolean {
    const before = this.status;
    if (!change()) return false;
    this.#before = before;
    this.#cache = new FrameCache(CACHE_BYTES);
    this.#read = [];
    this.#readAfter = -1;
    this.#offered = this.#stored = 0;
    this.#wished = null;
    this.#marks = this.#marksOf(this.#log);
    return true;
  }

  #marksOf(log: WriteAheadLog): TimeMarks {
    const marks = new TimeMarks();
    if (log.nextSequence - 1 > log.acknowledged) marks.add(log.acknowledged + 1, this.#firstTime(log));
    return marks;
  }

  /** Unix milliseconds of the first item that waits in a log which was just opened. */
  #firstTime(log: WriteAheadLog): number {
    try {
      const [item] = log.durable > log.acknowledged ? log.read(log.acknowledged, 1) : [];
      if (item !== undefined) return item.kind === "record" ? item.record.time : item.to ?? log.foundTime;
      return log.unflushed()[0]?.time ?? log.foundTime;
    } catch {
      return log.foundTime; // it is read again when it is sent
    }
  }
}

interface Times {
  readonly time: number;
  readonly lastTime: number;
}

const NOTHING = { refused: 0, missing: 0, damaged: 0, faults: 0, hastened: 0 };

/** Kinds of events are classes of items, from what is given up first. */
const CLASSES_OF_EVENTS = ITEM_CLASSES.filter((each) => each !== "snapshot" && each !== "note");

/** Rows of tables are as valued as the start of a program: nothing else brings them back. */
const ROWS: ItemClass = "start";

/** A record is worth as much as the most valued of its items. */
function mostValued(events: readonly ProcessEvent[]): ItemClass {
  let most = 0;
  for (const { kind } of events) most = Math.max(most, ITEM_CLASSES.indexOf(kind));
  return ITEM_CLASSES[most]!;
}

/** What says that variables are missing (`environments.ts`). */
const NOT_SAID = '{"=cut":true}';

function withoutEnvironment<T extends ProcessEvent | ProcessState>(item: T): T {
  if (item.context === null || item.context.environment === null) return item;
  return { ...item, context: { ...item.context, environment: NOT_SAID } };
}

function summed(now: WalStatus, before: typeof NOTHING): WalStatus {
  return {
    ...now,
    refused: now.refused + before.refused,
    missing: now.missing + before.missing,
    damaged: now.damaged + before.damaged,
    faults: now.faults + before.faults,
    hastened: now.hastened + before.hastened,
  };
}

const WORDS: Readonly<Record<ItemClass, string>> = {
  snapshot: "process tables",
  stop: "stops of processes",
  modify: "changes of processes",
  suspicious: "suspicious events",
  start: "starts of programs",
  note: "gaps and reports of sources",
};

/** The record that tells of items which the log had no room for; see {@linkcode WalOptions.gapRecord}. */
export function refusalRecord(sequence: number, tally: Tally): { kind: number; payload: Uint8Array } {
  const { itemClass, count, from, to } = tally;
  const gap: Gap = {
    source: "collector",
    recordKind: RECORD_KINDS[itemClass],
    from,
    to,
    count,
    reason: `the write-ahead log had no room for ${WORDS[itemClass]}: the agent did not take them, or the disk did not`,
  };
  return { kind: kindOf("note"), payload: encodeMessage({ kind: "gap", sequence, gap }) };
}

const RECORD_KINDS: Readonly<Record<ItemClass, string>> = {
  snapshot: "all",
  stop: "exit",
  modify: "all",
  suspicious: "all",
  start: "exec",
  note: "all",
};
