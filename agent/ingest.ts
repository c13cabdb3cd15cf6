/**
 * Takes over what a collector sends, in the order in which it moves: watermark, rows, rules, alerts, one transaction,
 * acknowledgement, delivery.
 *
 * Every batch is judged at once; those that raised no alert may wait for each other to be stored (`batch_group.ts`).
 * What is acknowledged is durable. What comes twice is known by its number and dropped; a number that is skipped is a
 * loss and becomes a gap. A batch that the store does not take throws, and nothing is counted of it or told of its
 * alerts: its connection ends, and the collector sends it again on the next one, where its alerts are raised again.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import type { Column } from "../proto/tables/table.ts";
import { isTimely } from "../proto/delay_meter.ts";
import { eventRow, type SqlValue } from "../proto/event_row.ts";
import type { Gap } from "../proto/process_event.ts";
import type { SeenChanges } from "../proto/rules/seen_table.ts";
import type { SourceStatus } from "../proto/status.ts";
import { rowFault } from "../proto/table_descriptor.ts";
import type { Events, GapMessage, Rows, Snapshot, Sources } from "../proto/messages.ts";
import { BatchGroup, type Committed } from "./batch_group.ts";
import type { PlacedEvent, Publications } from "./bus/publications.ts";
import type { Counters } from "./counters.ts";
import { AgentDelays } from "./delays.ts";
import type { NewNote } from "./ledger_notes.ts";
import type { CollectedRow, CollectedRows } from "./store/collected_tables.ts";
import type { SnapshotPart } from "./store/process_table.ts";
import type { AlertTaker, Batch } from "./store/batch.ts";
import type { Store } from "./store/store.ts";
import type { Stream } from "./store/streams.ts";
import { SEQUENCES_PER_STREAM } from "../proto/store_layout.ts";
import { Turn } from "./turn.ts";

/** The messages that consume sequence numbers. */
export type StreamMessage = Events | Rows | GapMessage | Snapshot | Sources;

/** How far a stream has come, for the status. */
export interface Progress {
  lastEventTime: number;
}

/** What came with events and says what they lack. */
export interface Around {
  readonly gaps: readonly Gap[];
  /** All sources of the collector, `null` when nothing was said of them. */
  readonly sources: readonly SourceStatus[] | null;
  /** Rows of collectors' tables. */
  readonly rows?: readonly CollectedRows[];
}

/**
 * Finds what rules say of rows of `process_events`. Does not throw: a rule that fails costs no event. One batch is judged
 * at a time; what was judged and is not {@linkcode Judge.stored} before the next is as if it never came.
 */
export interface Judge {
  judge(rows: readonly SqlValue[][], stream: Stream, now: number, around?: Around): Alert[] | Promise<Alert[]>;
  /**
   * The batch that was judged is stored, and these alerts with it: each is raised for good, and counts. Or it raised none
   * and waits to be stored; if it is not, everything that rules remember is read back from the store.
   */
  stored(alerts: readonly Alert[]): void;
  /** What rules remember anew from the batch that was judged, to be stored with it; asked before it is `stored`. */
  readonly seen?: readonly SeenChanges[];
}

export interface IngestOptions {
  readonly store: Store;
  readonly detection: Judge;
  /** In which a batch is judged and stored; one of its own by default. */
  readonly turn?: Turn;
  /** Decides what becomes of alerts; without one each is stored and owed. */
  readonly manager?: AlertTaker;
  readonly counters: Counters;
  /** Where it is noted how long this takes. */
  readonly delays?: AgentDelays;
  /** What is to be entered into the ledger of alerts. */
  readonly notesOf?: (alerts: readonly Alert[]) => readonly NewNote[];
  /** How long batches that raised no alert may wait for each other, in milliseconds; by default they do not. */
  readonly groupMs?: number;
  /** Called after a commit that raised alerts. */
  readonly alerted: (alerts: readonly Alert[]) => void;
  /** Where what is stored is published; without it, it is not. */
  readonly publications?: Publications;
  /** Finds what events set going beside alerts; what it gives is called once they are stored. Neither throws. */
  readonly triggers?: (rows: readonly SqlValue[][]) => Promise<() => void> | null;
  /** The store did not take a batch. */
  readonly failed: (store: Store, error: unknown) => void;
}

export class Ingest {
  readonly #options: IngestOptions;
  readonly #turn: Turn;
  readonly #delays: AgentDelays;
  readonly #group: BatchGroup;

  constructor(options: IngestOptions) {
    this.#options = options;
    const { store, groupMs: waitMs = 0 } = options;
    this.#group = new BatchGroup({ store, waitMs, failed: (store, error) => this.#failed(store, error) });
    this.#turn = options.turn ?? new Turn();
    this.#delays = options.delays ?? new AgentDelays();
  }

  /**
   * Takes over messages of one stream. `committed` runs after each transaction that stored something of it, also of those
   * that come later than the return of this; when it gives `false`, the rest is left for another connection. So is a batch
   * that was judged when `current` says no.
   *
   * @throws StoreError
   */
  async take(
    stream: Stream,
    messages: readonly StreamMessage[],
    progress: Progress,
    committed: Committed,
    current: () => boolean = () => true,
  ): Promise<void> {
    const wall = Date.now(), receivedAt = performance.now();
    let at = 0, within = 0;
    while (at < messages.length) {
      // Judging gives way to other work, but not to another batch: none of the same stream can come between.
      const taken = await this.#turn.run(async () => {
        if (!current()) return "dropped";
        const keepsEvents = this.#options.publications?.wantsEvents === true, most = this.#group.room;
        const slice = new Slice(stream, progress, this.#group.lastSequence(stream), keepsEvents);
        while (at < messages.length && slice.items < most) {
          const message = messages[at]!;
          within += slice.add(message, within, most - slice.items);
          if (message.kind === "events" && within < message.events.length) break;
          if (message.kind === "rows" && within < message.rows.length) break;
          at += 1;
          within = 0;
        }
        for (const time of slice.times) this.#delays.received.add(wall - time);
        return await this.#judge(slice, receivedAt, committed, current);
      });
      if (taken === "dropped" || (taken === "stored" && !await committed())) return;
      if (at < messages.length) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Stores what waits to be stored. @throws StoreError */
  settle(): void {
    this.#group.store();
  }

  /** Forgets what waits: the store is about to be closed, and what was not acknowledged comes again. */
  drop(): void {
    this.#group.drop();
  }

  /** A batch is dropped when the connection ended while it was judged: a newer one has the stream. */
  async #judge(
    slice: Slice,
    receivedAt: number,
    committed: Committed,
    current: () => boolean,
  ): Promise<"stored" | "waits" | "dropped"> {
    const { detection, manager, counters, alerted, notesOf, publications, triggers } = this.#options,
      group = this.#group;
    const now = Date.now();
    if (!slice.isNew) { // all of it was there already
      counters.duplicates += slice.duplicates;
      return "stored";
    }
    const rows = slice.collected;
    slice.tellRefused(now);
    const around = { gaps: slice.gaps.map(({ gap }) => gap), sources: slice.sources, rows };
    const alerts = await detection.judge(slice.events, slice.stream, now, around);
    const triggered = await triggers?.(slice.events);
    if (!current()) return "dropped";
    const judgedAt = performance.now(), seen = detection.seen ?? [];
    this.#delays.judged.add(judgedAt - receivedAt, slice.events.length);
    const more = { ...notesOf === undefined ? {} : { notesOf }, ...manager === undefined ? {} : { taker: manager } };
    const judged = {
      batch: { ...slice.batch(), alerts, seen, ...more },
      bytes: slice.bytes,
      stored: () => {
        this.#delays.committed.add(performance.now() - judgedAt, slice.events.length);
        counters.duplicates += slice.duplicates;
        counters.events += slice.events.length;
        counters.rows += slice.items - slice.events.length;
        counters.rows_refused += slice.refusedRows;
        counters.gaps += slice.gaps.length;
        counters.snapshots += slice.snapshots.filter((part) => part.last).length;
        publications?.events(slice.stream, slice.kept);
        publications?.gaps(slice.stream, slice.gaps);
        triggered?.();
      },
      committed,
    };
    if (alerts.length === 0 && group.mayWait(judged.batch, judged.bytes)) {
      detection.stored(alerts);
      group.add(judged);
      return "waits";
    }
    const added = group.store(judged);
    detection.stored(alerts);
    counters.alerts += added.length;
    if (added.length > 0) alerted(added);
    return "stored";
  }

  #failed(store: Store, error: unknown): void {
    this.#options.counters.store_faults += 1;
    this.#options.failed(store, error);
  }
}

/** Rows that were refused of one table. */
interface Refused {
  /** Of the first. */
  readonly sequence: number;
  readonly fault: string;
  count: number;
  from: number;
  to: number;
}

/** What one transaction will take over, gathered message by message. */
class Slice {
  readonly events: SqlValue[][] = [];
  /** The events themselves, where they are to be published. */
  readonly kept: PlacedEvent[] = [];
  /** Unix milliseconds of those that were told at once. */
  readonly times: number[] = [];
  readonly snapshots: SnapshotPart[] = [];
  readonly gaps: { sequence: number; gap: Gap }[] = [];
  sources: readonly SourceStatus[] | null = null;
  duplicates = 0;
  /** Rows of collectors' tables, by table. */
  readonly #rows = new Map<string, { columns: readonly Column[]; rows: CollectedRow[] }>();
  readonly #refused = new Map<string, Refused>();
  #rowCount = 0;
  refusedRows = 0;
  /** Bytes of the events' arguments. */
  bytes = 0;
  lastSequence: number;

  /** `before`: the last sequence that was taken before; `keepsEvents`: they are to be published. */
  constructor(
    readonly stream: Stream,
    private readonly progress: Progress,
    private readonly before: number,
    private readonly keepsEvents: boolean,
  ) {
    this.lastSequence = before;
  }

  /** Whether there is anything in it that was not taken before. */
  get isNew(): boolean {
    return this.lastSequence !== this.before;
  }

  /** Events and rows together. */
  get items(): number {
    return this.events.length + this.#rowCount;
  }

  get collected(): CollectedRows[] {
    return [...this.#rows].map(([table, { columns, rows }]) => ({ table, columns, rows }));
  }

  /** Tells by a gap for each table of the rows that were none of it. */
  tellRefused(now: number): void {
    for (const [table, { sequence, count, from, to, fault }] of this.#refused) {
      const reason = `${count} rows are no rows of ${table}, and were refused: of the first ${fault}`;
      const gap = {
        source: "collector",
        recordKind: "all",
        from: Math.min(from, now),
        to: Math.min(to, now),
        count,
        reason,
      };
      this.gaps.push({ sequence, gap });
    }
  }

  /** Adds a message, of events those from `from` on and at most `room`; returns how many events it looked at. */
  add(message: StreamMessage, from: number, room: number): number {
    switch (message.kind) {
      case "events": {
        const to = Math.min(message.events.length, from + room);
        for (let i = from; i < to; i++) {
          const sequence = message.firstSequence + i, event = message.events[i]!;
          if (!this.#advance(sequence)) continue;
          this.bytes += event.argv?.length ?? 0;
          this.events.push(eventRow(event, this.#id(sequence), this.stream.collectorId));
          if (this.keepsEvents) this.kept.push({ sequence, event });
          if (isTimely(event)) this.times.push(event.time);
          this.progress.lastEventTime = event.time;
        }
        return to - from;
      }
      case "rows":
        return this.#addRows(message, from, room);
      case "gap":
        if (this.#advance(message.sequence)) this.gaps.push({ sequence: message.sequence, gap: message.gap });
        return 0;
      case "snapshot":
        if (this.#advance(message.sequence)) this.snapshots.push(message);
        return 0;
      case "sources":
        if (this.#advance(message.sequence)) this.sources = message.sources;
        return 0;
    }
  }

  batch(): Omit<Batch, "alerts"> {
    const { stream, lastSequence, events, snapshots, gaps, sources, collected: rows } = this;
    const refusedRows = new Map([...this.#refused].map(([table, { count }]) => [table, count]));
    return { stream, lastSequence, events, snapshots, gaps, sources, rows, refusedRows };
  }

  /** Of the rows from `from` on at most `room`; what is no row of its table is counted, and its number is used up. */
  #addRows({ firstSequence, table, rows }: Rows, from: number, room: number): number {
    const to = Math.min(rows.length, from + room),
      columns = this.stream.tables?.get(table)?.columns ?? [],
      now = Date.now();
    for (let i = from; i < to; i++) {
      const sequence = firstSequence + i, row = rows[i]!;
      if (!this.#advance(sequence)) continue;
      const fault = columns.length === 0 ? "it registered no such table" : rowFault(columns, row, now);
      if (fault !== null) {
        this.#refuse(table, sequence, row.time, fault);
        continue;
      }
      const { time, values } = row;
      for (const value of values) this.bytes += typeof value === "string" ? value.length : 0;
      let known = this.#rows.get(table);
      if (known === undefined) this.#rows.set(table, known = { columns, rows: [] });
      const whole = values.length === columns.length ? values : columns.map((_, at) => values[at] ?? null);
      known.rows.push({ rowId: this.#id(sequence), time, values: whole });
      this.#rowCount += 1;
      this.progress.lastEventTime = time;
    }
    return to - from;
  }

  #refuse(table: string, sequence: number, time: number, fault: string): void {
    this.refusedRows += 1;
    const known = this.#refused.get(table);
    if (known === undefined) this.#refused.set(table, { sequence, count: 1, from: time, to: time, fault });
    else {
      known.count += 1;
      known.from = Math.min(known.from, time);
      known.to = Math.max(known.to, time);
    }
  }

  #id(sequence: number): number {
    return this.stream.number * SEQUENCES_PER_STREAM + sequence;
  }

  /** Moves the watermark to `sequence`; `false` for one that is stored. What was skipped is a gap from here on. */
  #advance(sequence: number): boolean {
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
