/**
 * The collector's stream: what waits for the agent, numbered, encoded once, in order.
 *
 * Every event, gap and snapshot part takes the next sequence number and stays here, as the frame's bytes, until the
 * agent acknowledges that it has stored it. The store of waiting frames is bounded by events and bytes. When it is full,
 * new items are refused whole, counted, and reported as one gap as soon as there is room: nothing that has a number is
 * ever thrown away, so the numbers that the agent sees have no holes.
 *
 * @module
 */
import { eventBatches, snapshotParts, textsToCut } from "../proto/batches.ts";
import { encodeFrame } from "../proto/frame.ts";
import type { Gap, ProcessEvent, ProcessState } from "../proto/process_event.ts";
import type { SourceStatus } from "../proto/status.ts";
import { encodeMessage } from "../proto/wire.ts";

/** Bytes of waiting frames, whatever the number of events. */
export const MAX_WAITING_BYTES = 67_108_864;

/** A frame that waits; `first` and `last` are the sequence numbers it carries. */
export interface WaitingFrame {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Unix milliseconds of its oldest item. */
  readonly time: number;
}

export class Outbox {
  /** From `#head` on those that wait; before it places that are empty until there are enough of them to be cut off. */
  #frames: (WaitingFrame | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  #nextSequence = 1;
  #acknowledged = 0;
  #refused = { count: 0, from: 0, to: 0 };
  #refusedTotal = 0;
  #cutTexts = 0;
  readonly #long = { long: (item: ProcessEvent | ProcessState): void => void (this.#cutTexts += textsToCut(item)) };

  constructor(private readonly maxEvents: number) {}

  /** The last number given out; 0 before the first. */
  get lastSequence(): number {
    return this.#nextSequence - 1;
  }
  /** Everything up to here is stored by the agent. */
  get acknowledged(): number {
    return this.#acknowledged;
  }
  /** Numbers given out and not acknowledged. */
  get waiting(): number {
    return this.lastSequence - this.#acknowledged;
  }
  get waitingBytes(): number {
    return this.#bytes;
  }
  /** Events that found no room, since start. */
  get refused(): number {
    return this.#refusedTotal;
  }
  /** Texts of events and processes that were too long to send whole, since start. */
  get cutTexts(): number {
    return this.#cutTexts;
  }
  /** Unix milliseconds of the oldest item that is not acknowledged, `null` when nothing waits. */
  get oldestTime(): number | null {
    return this.#frames[this.#head]?.time ?? (this.#refused.count > 0 ? this.#refused.from : null);
  }

  /** Adds events in their order. Those without room become part of the next gap. */
  addEvents(events: readonly ProcessEvent[]): void {
    let added = 0;
    for (const batch of eventBatches(events, this.#long)) {
      if (!this.#hasRoom()) return this.#refuse(events, added);
      this.#reportRefused();
      const first = this.#take(batch.length);
      this.#push(first, encodeMessage({ kind: "events", firstSequence: first, events: batch }), batch[0]!.time);
      added += batch.length;
    }
  }

  /** Adds a gap; gaps are few and small, so they are never refused. */
  addGap(gap: Gap): void {
    const sequence = this.#take(1);
    this.#push(sequence, encodeMessage({ kind: "gap", sequence, gap }), gap.from);
  }

  /** Adds a whole process table. Returns false when there is no room: a later one will do. */
  addSnapshot(processes: readonly ProcessState[], time: number): boolean {
    if (!this.#hasRoom()) return false;
    this.#reportRefused();
    const parts = [...snapshotParts(processes, this.#long)];
    for (const [part, slice] of parts.entries()) {
      const sequence = this.#take(1);
      const last = part === parts.length - 1;
      this.#push(sequence, encodeMessage({ kind: "snapshot", sequence, time, part, last, processes: slice }), time);
    }
    return true;
  }

  addSources(sources: readonly SourceStatus[], time: number): void {
    const sequence = this.#take(1);
    this.#push(sequence, encodeMessage({ kind: "sources", sequence, sources: [...sources] }), time);
  }

  /**
   * Forgets everything up to `sequence`.
   *
   * @throws RangeError when it was never given out: such a peer does not tell the truth.
   */
  acknowledge(sequence: number): void {
    if (sequence > this.lastSequence) {
      throw new RangeError(`The agent acknowledges ${sequence}, but the last number given out is ${this.lastSequence}`);
    }
    if (sequence <= this.#acknowledged) return;
    this.#acknowledged = sequence;
    while (this.#head < this.#frames.length && this.#frames[this.#head]!.last <= sequence) {
      this.#bytes -= this.#frames[this.#head]!.bytes.length;
      this.#frames[this.#head++] = undefined;
    }
    if (this.#head > 1024 || this.#head === this.#frames.length) {
      this.#frames.splice(0, this.#head);
      this.#head = 0;
    }
    if (this.#hasRoom()) this.#reportRefused();
  }

  /** The first waiting frame that carries a number above `sequence`. */
  frameAfter(sequence: number): WaitingFrame | null {
    // Binary search: frames are in order.
    let low = this.#head, high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#frames[middle]!.last > sequence) high = middle;
      else low = middle + 1;
    }
    return this.#frames[low] ?? null;
  }

  #hasRoom(): boolean {
    return this.waiting < this.maxEvents && this.#bytes < MAX_WAITING_BYTES;
  }

  #take(count: number): number {
    const first = this.#nextSequence;
    this.#nextSequence += count;
    return first;
  }

  #push(first: number, payload: Uint8Array, time: number): void {
    const bytes = encodeFrame(payload);
    this.#frames.push({ first, last: this.lastSequence, bytes, time });
    this.#bytes += bytes.length;
  }

  #refuse(events: readonly ProcessEvent[], begin: number): void {
    if (this.#refused.count === 0) this.#refused.from = events[begin]!.time;
    this.#refused.count += events.length - begin;
    this.#refused.to = events.at(-1)!.time;
    this.#refusedTotal += events.length - begin;
  }

  #reportRefused(): void {
    const { count, from, to } = this.#refused;
    if (count === 0) return;
    this.#refused = { count: 0, from: 0, to: 0 };
    this.addGap({
      source: "collector",
      recordKind: "all",
      from,
      to,
      count,
      reason: "the queue was full: the agent did not take events",
    });
  }
}
