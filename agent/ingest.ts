/**
 * Takes over what a collector sends, in the order in which it moves: watermark, rows, rules, alerts, one transaction,
 * acknowledgement, delivery.
 *
 * What is acknowledged is durable. What comes twice is known by its number and dropped; a number that is skipped is a
 * loss and becomes a gap. A batch that the store does not take throws, and nothing is counted of it or told of its
 * alerts: its connection ends, and the collector sends it again on the next one, where its alerts are raised again.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import { eventRow, type SqlValue } from "../proto/event_row.ts";
import type { Gap } from "../proto/process_event.ts";
import type { SeenChanges } from "../proto/rules/seen_table.ts";
import type { SourceStatus } from "../proto/status.ts";
import type { Events, GapMessage, Snapshot, Sources } from "../proto/wire.ts";
import type { Counters } from "./counters.ts";
import type { NewNote } from "./ledger_notes.ts";
import type { SnapshotPart } from "./store/process_table.ts";
import { type Batch, SEQUENCES_PER_STREAM, type Store, type Stream } from "./store/store.ts";
import { Turn } from "./turn.ts";

/** Events of one transaction; more are taken over in several, with room for other connections between them. */
export const MAX_SLICE_EVENTS = 1_000;

/** The messages that consume sequence numbers. */
export type StreamMessage = Events | GapMessage | Snapshot | Sources;

/** How far a stream has come, for the status. */
export interface Progress {
  lastEventTime: number;
}

/** What came with events and says what they lack. */
export interface Around {
  readonly gaps: readonly Gap[];
  /** All sources of the collector, `null` when nothing was said of them. */
  readonly sources: readonly SourceStatus[] | null;
}

/**
 * Finds what rules say of rows of `process_events`. Does not throw: a rule that fails costs no event. One batch is judged
 * at a time; what was judged and is not {@linkcode Judge.stored} before the next is as if it never came.
 */
export interface Judge {
  judge(rows: readonly SqlValue[][], stream: Stream, now: number, around?: Around): Alert[] | Promise<Alert[]>;
  /** These alerts are stored: each is raised for good, and counts. */
  stored(alerts: readonly Alert[]): void;
  /** What rules remember anew from the batch that was judged, to be stored with it. */
  readonly seen?: readonly SeenChanges[];
}

export interface IngestOptions {
  readonly store: Store;
  readonly detection: Judge;
  /** In which a batch is judged and stored; one of its own by default. */
  readonly turn?: Turn;
  readonly counters: Counters;
  /** What is to be entered into the ledger of alerts. */
  readonly notesOf?: (alerts: readonly Alert[]) => readonly NewNote[];
  /** Called after a commit that raised alerts. */
  readonly alerted: () => void;
  /** The store did not take a batch. */
  readonly failed: (store: Store, error: unknown) => void;
}

export class Ingest {
  readonly #options: IngestOptions;
  readonly #turn: Turn;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#turn = options.turn ?? new Turn();
  }

  /**
   * Takes over messages of one stream. `committed` runs after each transaction; when it gives `false`, the rest is left
   * for another connection. So is a batch that was judged when `current` says no.
   *
   * @throws StoreError
   */
  async take(
    stream: Stream,
    messages: readonly StreamMessage[],
    progress: Progress,
    committed: () => Promise<boolean>,
    current: () => boolean = () => true,
  ): Promise<void> {
    let at = 0, within = 0;
    while (at < messages.length) {
      // Judging gives way to other work, but not to another batch: none of the same stream can come between.
      const taken = await this.#turn.run(async () => {
        if (!current()) return false;
        const slice = new Slice(stream, progress);
        while (at < messages.length && slice.events.length < MAX_SLICE_EVENTS) {
          const message = messages[at]!;
          within += slice.add(message, within, MAX_SLICE_EVENTS - slice.events.length);
          if (message.kind === "events" && within < message.events.length) break;
          at += 1;
          within = 0;
        }
        return await this.#commit(slice, current);
      });
      if (!taken || !await committed()) return;
      if (at < messages.length) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Says no when the connection ended while its batch was judged: a newer one has the stream. */
  async #commit(slice: Slice, current: () => boolean): Promise<boolean> {
    const { store, detection, counters, alerted, failed, notesOf } = this.#options, now = Date.now();
    if (slice.lastSequence === slice.stream.lastSequence) { // all of it was there already
      counters.duplicates += slice.duplicates;
      return true;
    }
    const around = { gaps: slice.gaps.map(({ gap }) => gap), sources: slice.sources };
    const alerts = await detection.judge(slice.events, slice.stream, now, around);
    if (!current()) return false;
    try {
      const seen = detection.seen ?? [];
      store.commit({ ...slice.batch(), alerts, seen, ...notesOf === undefined ? {} : { notesOf } }, now);
    } catch (error) {
      counters.store_faults += 1;
      failed(store, error);
      throw error;
    }
    counters.duplicates += slice.duplicates;
    detection.stored(alerts);
    counters.events += slice.events.length;
    counters.gaps += slice.gaps.length;
    counters.snapshots += slice.snapshots.filter((part) => part.last).length;
    counters.alerts += alerts.length;
    if (alerts.length > 0) alerted();
    return true;
  }
}

/** What one transaction will take over, gathered message by message. */
class Slice {
  readonly events: SqlValue[][] = [];
  readonly snapshots: SnapshotPart[] = [];
  readonly gaps: { sequence: number; gap: Gap }[] = [];
  sources: readonly SourceStatus[] | null = null;
  duplicates = 0;
  lastSequence: number;

  constructor(readonly stream: Stream, private readonly progress: Progress) {
    this.lastSequence = stream.lastSequence;
  }

  /** Adds a message, of events those from `from` on and at most `room`; returns how many events it looked at. */
  add(message: StreamMessage, from: number, room: number): number {
    switch (message.kind) {
      case "events": {
        const to = Math.min(message.events.length, from + room);
        for (let i = from; i < to; i++) {
          const sequence = message.firstSequence + i, event = message.events[i]!;
          if (!this.#isNew(sequence)) continue;
          this.events.push(eventRow(event, this.#id(sequence), this.stream.collectorId));
          this.progress.lastEventTime = event.time;
        }
        return to - from;
      }
      case "gap":
        if (this.#isNew(message.sequence)) this.gaps.push({ sequence: message.sequence, gap: message.gap });
        return 0;
      case "snapshot":
        if (this.#isNew(message.sequence)) this.snapshots.push(message);
        return 0;
      case "sources":
        if (this.#isNew(message.sequence)) this.sources = message.sources;
        return 0;
    }
  }

  batch(): Omit<Batch, "alerts"> {
    const { stream, lastSequence, events, snapshots, gaps, sources } = this;
    return { stream, lastSequence, events, snapshots, gaps, sources };
  }

  #id(sequence: number): number {
    return this.stream.number * SEQUENCES_PER_STREAM + sequence;
  }

  /** Moves the watermark to `sequence`; `false` for one that is stored. What was skipped is a gap from here on. */
  #isNew(sequence: number): boolean {
    if (sequence <= this.lastSequence) {
      this.duplicates += 1;
      return false;
    }
    const missing = sequence - this.lastSequence - 1;
    if (missing > 0) {
      const now = Date.now();
      this.gaps.push({
        sequence: this.lastSequence + 1,
        gap: {
          source: "transport",
          recordKind: "all",
          from: this.progress.lastEventTime > 0 ? Math.min(this.progress.lastEventTime, now) : now,
          to: now,
          count: missing,
          reason: `sequence ${this.lastSequence + 1} to ${sequence - 1} never came`,
        },
      });
    }
    this.lastSequence = sequence;
    return true;
  }
}
