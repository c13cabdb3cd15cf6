/**
 * The event store: the one writer of the agent's database.
 *
 * A batch is one transaction: events, process table, alerts with their deliveries, gaps, and the stream's watermark. So
 * after a crash either all of it is there or nothing, and redelivery from the watermark on makes up for the latter.
 * What a batch holds is trusted in shape (the wire checked it), not in content: every value is bound, none is SQL.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { Alert } from "../../proto/alert.ts";
import type { Gap } from "../../proto/process_event.ts";
import { allSteps } from "../../proto/steps.ts";
import type { TableDescriptor, TableSet } from "../../proto/table_descriptor.ts";
import type { LedgerNote } from "../../proto/messages.ts";
import { type NewNote, NoteTable } from "../ledger_notes.ts";
import { AlertTables } from "./alert_tables.ts";
import type { AlertTaker, Batch } from "./batch.ts";
import { type BatchTables, BatchWriter } from "./batch_writer.ts";
import { type AnalysisRider, AnalysisTables } from "./analysis_tables.ts";
import { Checkpointer, type CheckpointOutcome } from "./checkpoint.ts";
import { CollectedTables } from "./collected_tables.ts";
import { closeDatabase, lockStore, openDatabase } from "./database.ts";
import { HostTables } from "./host_tables.ts";
import { DEFAULT_OUTBOX, Outbox, type OutboxLimits, type PendingDelivery, type SinkTerms } from "./outbox.ts";
import { Partitions } from "./partitions.ts";
import { ProcessTable } from "./process_table.ts";
import { Recollection } from "./recollection.ts";
import { DEFAULT_LIMITS, logLimit, type Removed, Retention, type StoreLimits } from "./retention.ts";
import { type RuleRow, RuleTable } from "./rule_table.ts";
import { SeenValues } from "./seen_values.ts";
import { StoreError, storeError } from "./store_error.ts";
import { MAX_STREAM, type Stream, type StreamIdentity, Streams, StreamsUsedUpError } from "./streams.ts";
import { Transactions } from "./transactions.ts";

/** What a step of retention puts into the log, in rows of events and roughly. */
const ROWS_A_STEP = 1_000;

export class Store {
  readonly #lock: Deno.FsFile;
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #transactions: Transactions;
  readonly #partitions: Partitions;
  readonly #collected: CollectedTables;
  readonly #retention: Retention;
  readonly #checkpointer: Checkpointer;
  readonly #host: HostTables;
  readonly #notes: NoteTable;
  readonly #seen: SeenValues;
  readonly #outbox: Outbox;
  readonly #alerts: AlertTables;
  readonly #analyses: AnalysisTables;
  readonly #streams: Streams;
  readonly #writer: BatchWriter;
  readonly #rules: RuleTable;
  #lastCommitTime = 0;
  /** What was stored of late, for who begins anew. */
  readonly recent: Recollection;
  /** The schema version that the store had before this start; `null` when it was up to date. */
  readonly upgradedFrom: number | null;

  /**
   * Opens the store, and makes it when there is none. `sinks` are what every alert is owed to, each within
   * `backlog`; `limits` what {@linkcode Store.maintain} keeps it within.
   *
   * @throws StoreError
   */
  constructor(
    path: string,
    sinks: readonly (string | SinkTerms)[] = [],
    limits: StoreLimits = DEFAULT_LIMITS,
    backlog: OutboxLimits = DEFAULT_OUTBOX,
  ) {
    this.#lock = lockStore(path);
    let upgradedFrom: number | null = null;
    try {
      this.#db = openDatabase(path, (version) => upgradedFrom = version);
    } catch (error) {
      this.#lock.close();
      throw error;
    }
    this.#path = path;
    this.upgradedFrom = upgradedFrom;
    this.#partitions = new Partitions(this.#db);
    this.#collected = new CollectedTables(this.#db, limits.maxBytes);
    const now = Date.now(), clock = performance.now();
    this.#retention = new Retention(this.#db, this.#partitions, limits, now, clock, this.#collected);
    this.#checkpointer = new Checkpointer(this.#db, logLimit(limits));
    this.#host = new HostTables(this.#db);
    this.#streams = new Streams(this.#db);
    this.#rules = new RuleTable(this.#db);
    this.#notes = new NoteTable(this.#db);
    this.#seen = new SeenValues(this.#db);
    this.#outbox = new Outbox(this.#db, sinks, backlog);
    this.#alerts = new AlertTables(this.#db, this.#outbox);
    this.#analyses = new AnalysisTables(this.#db);
    this.#transactions = new Transactions(this.#db, path, {
      committed: () => this.#committed(),
      undone: () => this.#undone(),
    });
    const tables: BatchTables = {
      partitions: this.#partitions,
      processes: new ProcessTable(this.#db),
      collected: this.#collected,
      host: this.#host,
      alerts: this.#alerts,
      analyses: this.#analyses,
      notes: this.#notes,
      seen: this.#seen,
      streams: this.#streams,
    };
    this.#writer = new BatchWriter(this.#db, tables);
    this.recent = new Recollection(this.#db, tables, this.#transactions);
  }

  /** Unix milliseconds of the last commit of a batch, 0 before the first. */
  get lastCommitTime(): number {
    return this.#lastCommitTime;
  }

  /** How many deliveries are owed now, to all sinks together. */
  get owedDeliveries(): number {
    return this.#outbox.owed;
  }

  /** Bytes of database and log. */
  get bytes(): number {
    return Deno.statSync(this.#path).size + Deno.statSync(this.#path + "-wal").size;
  }

  /** What there is of events, and what retention took since the start, by the names of the status. */
  get counters(): Readonly<Record<string, number>> {
    const { age, size } = this.#retention.removedEvents;
    return {
      store_partitions: this.#partitions.visible.length,
      events_removed_age: age,
      events_removed_size: size,
      alerts_dead: this.#outbox.dead,
      alerts_dropped: this.#outbox.dropped,
      ledger_notes_waiting: this.#notes.waiting,
      ledger_notes_refused: this.#notes.refusals,
    };
  }

  /** Length of the log, as last seen. */
  get logBytes(): number {
    return this.#checkpointer.logBytes;
  }

  /**
   * The stream of that identity, with its watermark; a new one gets a number. The caller first ends older connections of
   * the same collector: the numbers of its streams that never stored anything are free again.
   *
   * @throws StoreError also when all numbers are used.
   */
  openStream(identity: StreamIdentity, now: number): Stream {
    const { bootId, version, source } = identity, what = "The store did not take a stream";
    const open = this.#streams.open(identity);
    if (open !== null) {
      if (open.bootId === bootId && open.version === version && open.source === source) return open;
      this.#transactions.run(what, () => this.#streams.renew(open, identity));
      return Object.assign(open, { bootId, version, source });
    }
    const stream = this.#transactions.run(what, () => this.#added(identity, now));
    this.#streams.opened(stream);
    return stream;
  }

  #added(identity: StreamIdentity, now: number): Stream {
    try {
      return this.#streams.add(identity, now);
    } catch (error) {
      if (!(error instanceof StreamsUsedUpError)) throw error;
      const had = `The store ${this.#path} has had ${MAX_STREAM} streams and cannot number another`;
      throw new StoreError(`${had}; stop the agent and move it away`);
    }
  }

  /**
   * Stores a batch, or several in their order, durable when this returns; gives what became an alert.
   *
   * @throws StoreError, and then nothing is stored
   */
  commit(given: Batch | readonly Batch[], now: number): readonly Alert[] {
    const batches = "stream" in given ? [given] : given;
    if (this.#retention.isRotationDue(performance.now())) {
      this.#transactions.run(
        "The store did not begin a partition",
        () => this.#retention.rotate(now, performance.now()),
      );
    }
    return this.#transactions.run("The store did not take a batch", () => this.#writer.write(batches, now), () => {
      let rows = 0;
      for (const { stream, lastSequence, events, snapshots, rows: own = [] } of batches) {
        stream.lastSequence = lastSequence;
        rows += events.length;
        for (const { rows: { length } } of own) rows += length;
        for (const { processes } of snapshots) rows += processes.length;
      }
      this.#lastCommitTime = now;
      this.#checkpointer.committed(performance.now(), rows);
    });
  }

  /**
   * Stores alerts that no batch raised, such as of what did not happen; gives those that became one.
   *
   * @throws StoreError, and none is stored
   */
  addAlerts(alerts: readonly Alert[], notesOf: Batch["notesOf"], now: number, taker?: AlertTaker): readonly Alert[] {
    const take = (): readonly Alert[] => {
      return this.#writer.take(alerts, taker, notesOf, alerts[0]?.collectorId ?? "", now);
    };
    return this.#transactions.run("The store did not take alerts", take, this.#noteCommit);
  }

  /** Reads or changes what there is of alerts, in one transaction. @throws StoreError, and then nothing is changed */
  alerting<T>(what: string, body: (tables: AlertTables) => T, now: number): T {
    return this.#transactions.run(what, () => {
      const result = body(this.#alerts);
      this.#writer.noteDropped(now);
      return result;
    }, this.#noteCommit);
  }

  /** Reads or changes what there is of analyses, in one transaction. @throws StoreError, and then nothing is changed */
  analysing<T>(what: string, body: (tables: AnalysisTables) => T): T {
    return this.#transactions.run(what, () => body(this.#analyses), this.#noteCommit);
  }

  /** From here on each batch takes along what this has of analyses. */
  carry(rider: AnalysisRider): void {
    this.#writer.carry(rider);
  }

  /** Forgets what a rule that is gone remembers. @throws StoreError */
  forgetSeen(ruleId: string): void {
    this.#transactions.run("The store did not forget what a rule remembers", () => this.#seen.forget(ruleId));
  }

  /** Deliveries that are owed to a sink, the most severe first, of those the oldest. @throws StoreError */
  pendingDeliveries(sink: string, limit: number): PendingDelivery[] {
    return this.#transactions.reading(() => this.#outbox.pending(sink, limit));
  }

  /** Ids of the oldest owed of each severity. @throws StoreError */
  owedHeads(sink: string, limit: number): { readonly deliveryId: number; readonly alertId: string }[] {
    return this.#transactions.reading(() => this.#outbox.heads(sink, limit));
  }

  /**
   * From here on alerts are owed to these sinks and no others: `before` is what there was until now. Gives what became
   * dead letters.
   *
   * @throws StoreError, and then nothing is changed
   */
  useSinks(
    sinks: readonly SinkTerms[],
    before: readonly SinkTerms[],
  ): { readonly sink: string; readonly count: number }[] {
    this.#outbox.use(sinks);
    try {
      return this.delivering("The store did not take its sinks", (outbox) => outbox.present());
    } catch (error) {
      this.#outbox.use(before);
      throw error;
    }
  }

  /** What a sink's backlog is: rows and bytes. */
  backlog(sink: string): { readonly rows: number; readonly bytes: number } {
    return this.#outbox.backlog(sink);
  }

  /** Reads or changes what there is of deliveries, in one transaction. @throws StoreError, and then nothing is changed */
  delivering<T>(what: string, body: (outbox: Outbox) => T): T {
    return this.#transactions.run(what, () => body(this.#outbox), this.#noteCommit);
  }

  /** The tables that collectors brought; another object when they change. */
  get tables(): TableSet {
    return this.#collected.set;
  }

  /**
   * Takes over tables that a collector brings, all or none; returns why not, `null` when it did.
   *
   * @throws StoreError
   */
  defineTables(descriptors: readonly TableDescriptor[], collectorId: string, now: number): string | null {
    const fault = this.#transactions.reading(() => this.#collected.fault(descriptors));
    if (fault !== null) return fault;
    this.#transactions.run(
      "The store did not take a table",
      () => this.#collected.define(descriptors, collectorId, now),
    );
    return null;
  }

  /** From here on is kept within other limits. */
  limit(limits: StoreLimits): void {
    this.#retention.limit(limits);
    this.#collected.limit(limits.maxBytes);
    this.#checkpointer.limit(logLimit(limits));
  }

  /**
   * Stores a gap that the agent found itself, or when `id` is given, in its place; returns its id. @throws StoreError
   */
  putGap(gap: Gap, collectorId: string, id: number | null): number {
    return this.#transactions.run("The store did not take a gap", () => this.#host.putOwnGap(gap, collectorId, id));
  }

  /** Keeps a note for the audit ledger, or counts it where too many wait. Whether it is kept. @throws StoreError */
  note(note: NewNote, now: number): boolean {
    return this.#transactions.run("The store did not take a note", () => this.#notes.add(note, "", now) > 0);
  }

  /** The oldest notes that are to be entered by a collector. @throws StoreError */
  notesFor(collectorId: string): LedgerNote[] {
    return this.#notes.waiting === 0 ? [] : this.#transactions.reading(() => this.#notes.oldest(collectorId));
  }

  /** Notes up to this number are entered. @throws StoreError */
  forgetNotes(upTo: number, collectorId: string): void {
    this.#transactions.run("The store did not forget notes", () => this.#notes.forget(upTo, collectorId));
    this.#checkpointer.committed(performance.now(), 1);
  }

  /** A number that outlives the agent; `null` when none was set. @throws StoreError */
  number(name: string): number | null {
    return this.#transactions.reading(() => this.#host.number(name));
  }

  /** @throws StoreError */
  setNumber(name: string, value: number): void {
    this.#transactions.run("The store did not keep a number", () => this.#host.setNumber(name, value));
  }

  /** Makes `detection_rules` these. @throws StoreError */
  replaceRules(rules: readonly RuleRow[]): void {
    allSteps(this.replacingRules(rules));
  }

  /** The same, in steps: see {@linkcode RuleTable.replacing}. @throws StoreError */
  *replacingRules(rules: readonly RuleRow[]): Generator<void> {
    const what = "The store did not take the rules";
    try {
      yield* this.#rules.replacing(rules, (body) => this.#transactions.run(what, body));
    } catch (error) {
      throw error instanceof StoreError ? error : storeError("The store cannot be read", this.#path, error);
    }
  }

  /** Sets facts about the host by name. @throws StoreError */
  putSystemInfo(facts: Readonly<Record<string, string>>, now: number): void {
    this.#transactions.run("The store did not take facts about the host", () => this.#host.putFacts(facts, now));
  }

  /** Whether {@linkcode tick} is to be called a few times a second; otherwise now and then is enough. */
  get isPressed(): boolean {
    return this.#checkpointer.isPressed;
  }

  /** Moves the log into the database when that is due. @throws StoreError */
  tick(): CheckpointOutcome {
    try {
      return this.#checkpointer.tick(performance.now());
    } catch (error) {
      throw storeError("The log of the store cannot be moved", this.#path, error);
    }
  }

  /**
   * One step of retention, of some milliseconds. `more`: another should follow soon. To be called now and then also when
   * nothing arrives. @throws StoreError
   */
  maintain(now: number): { readonly more: boolean; readonly removed: Removed | null } {
    const { inUse } = this.#streams;
    const more = this.#transactions.run(
      "The store was not kept within its limits",
      () => this.#retention.step(now, performance.now(), inUse),
    );
    if (more) this.#checkpointer.committed(performance.now(), ROWS_A_STEP);
    return { more, removed: this.#retention.takeRemoved() };
  }

  /** Leaves the files as readers need them: see {@linkcode closeDatabase}. */
  close(): void {
    closeDatabase(this.#db);
    this.#lock.close();
  }

  readonly #noteCommit = (): void => this.#checkpointer.committed(performance.now(), 1);

  #committed(): void {
    this.#partitions.committed();
    this.#notes.committed();
    this.#writer.committed();
  }

  /** What is remembered must not be of a transaction that was undone. */
  #undone(): void {
    this.#writer.undone();
    this.#alerts.takeDropped();
    try {
      this.#partitions.rolledBack();
      this.#collected.reload();
      this.#notes.rolledBack(this.#db);
      this.#outbox.recount();
    } catch {
      // It cannot even be read: the fault that led here says so, and the next transaction comes here again.
    }
  }
}
