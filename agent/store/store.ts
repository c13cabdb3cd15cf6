/**
 * The event store: the one writer of the agent's database.
 *
 * A batch is one transaction: events, process table, alerts with their deliveries, gaps, and the stream's watermark. So
 * after a crash either all of it is there or nothing, and redelivery from the watermark on makes up for the latter.
 * What a batch holds is trusted in shape (the wire checked it), not in content: every value is bound, none is SQL.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Alert } from "../../proto/alert.ts";
import type { Table } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import { allSteps } from "../../proto/steps.ts";
import type { TableDescriptor, TableSet } from "../../proto/table_descriptor.ts";
import type { LedgerNote } from "../../proto/wire.ts";
import { type NewNote, NoteTable } from "../ledger_notes.ts";
import { AlertTables } from "./alert_tables.ts";
import { type AlertTaker, type Batch, TAKE_ALL } from "./batch.ts";
import { insertInto } from "./insert_into.ts";
import { type RuleRow, RuleTable } from "./rule_table.ts";
import { type AnalysisRider, AnalysisTables } from "./analysis_tables.ts";
import { Checkpointer, type CheckpointOutcome } from "./checkpoint.ts";
import { CollectedTables } from "./collected_tables.ts";
import { closeDatabase, lockStore, openDatabase } from "./database.ts";
import { DEFAULT_OUTBOX, Outbox, type OutboxLimits, type PendingDelivery, type SinkTerms } from "./outbox.ts";
import { Partitions } from "./partitions.ts";
import { ProcessTable } from "./process_table.ts";
import {
  eventsBetween,
  findingsSince,
  gapsSince,
  newestTime,
  type RaisedFinding,
  sourcesKnown,
  userNameOf,
} from "./recent.ts";
import { DEFAULT_LIMITS, logLimit, type Removed, Retention, type StoreLimits } from "./retention.ts";
import { SeenValues, type StoredMemory } from "./seen_values.ts";
import { faultOf, StoreError, storeError } from "./store_error.ts";
import {
  MAX_STREAM,
  SEQUENCES_PER_STREAM,
  type Stream,
  type StreamIdentity,
  Streams,
  StreamsUsedUpError,
} from "./streams.ts";

/** What a step of retention puts into the log, in rows of events and roughly. */
const ROWS_A_STEP = 1_000;

export class Store {
  readonly #lock: Deno.FsFile;
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #partitions: Partitions;
  readonly #processes: ProcessTable;
  readonly #collected: CollectedTables;
  readonly #retention: Retention;
  readonly #checkpointer: Checkpointer;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #notes: NoteTable;
  readonly #seen: SeenValues;
  readonly #outbox: Outbox;
  readonly #alerts: AlertTables;
  readonly #analyses: AnalysisTables;
  #rider: AnalysisRider | null = null;
  /** Who decides about alerts in the open transaction. */
  #taker: AlertTaker | null = null;
  readonly #streams: Streams;
  readonly #rules: RuleTable;
  #lastCommitTime = 0;
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
    this.#processes = new ProcessTable(this.#db);
    this.#collected = new CollectedTables(this.#db, limits.maxBytes);
    const now = Date.now(), clock = performance.now();
    this.#retention = new Retention(this.#db, this.#partitions, limits, now, clock, this.#collected);
    this.#checkpointer = new Checkpointer(this.#db, logLimit(limits));
    this.#statements = prepare(this.#db);
    this.#streams = new Streams(this.#db);
    this.#rules = new RuleTable(this.#db);
    this.#notes = new NoteTable(this.#db);
    this.#seen = new SeenValues(this.#db);
    this.#outbox = new Outbox(this.#db, sinks, backlog);
    this.#alerts = new AlertTables(this.#db, this.#outbox);
    this.#analyses = new AnalysisTables(this.#db);
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
      this.#transaction(what, () => this.#streams.renew(open, identity));
      return Object.assign(open, { bootId, version, source });
    }
    const stream = this.#transaction(what, () => this.#added(identity, now));
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
      this.#transaction("The store did not begin a partition", () => this.#retention.rotate(now, performance.now()));
    }
    let hasRidden = false;
    return this.#transaction("The store did not take a batch", () => {
      const added: Alert[] = [];
      // A process that begins and ends between two snapshots of the table is written once.
      let untold: SqlValue[][] = [];
      for (const batch of batches) {
        for (const row of batch.events) {
          this.#partitions.insert(row);
          untold.push(row);
        }
        // Alerts name the ancestors of their processes
        if (batch.snapshots.length > 0 || batch.alerts.length > 0) {
          this.#processes.applyEvents(untold);
          untold = [];
        }
        added.push(...this.#put(batch, now));
      }
      this.#processes.applyEvents(untold);
      hasRidden = this.#takeAlong();
      return added;
    }, () => {
      let rows = 0;
      if (hasRidden) this.#rider!.committed();
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
    return this.#transaction("The store did not take alerts", () => {
      return this.#take(alerts, taker, notesOf, alerts[0]?.collectorId ?? "", now);
    }, this.#noteCommit);
  }

  /** Reads or changes what there is of alerts, in one transaction. @throws StoreError, and then nothing is changed */
  alerting<T>(what: string, body: (tables: AlertTables) => T, now: number): T {
    return this.#transaction(what, () => {
      const result = body(this.#alerts);
      this.#noteDropped(now);
      return result;
    }, this.#noteCommit);
  }

  /** Reads or changes what there is of analyses, in one transaction. @throws StoreError, and then nothing is changed */
  analysing<T>(what: string, body: (tables: AnalysisTables) => T): T {
    return this.#transaction(what, () => body(this.#analyses), this.#noteCommit);
  }

  /** From here on each batch takes along what this has of analyses. */
  carry(rider: AnalysisRider): void {
    this.#rider = rider;
  }

  /** What rules remember. @throws StoreError */
  seenMemories(): StoredMemory[] {
    return this.#reading(() => this.#seen.load());
  }

  /** Forgets what a rule that is gone remembers. @throws StoreError */
  forgetSeen(ruleId: string): void {
    this.#transaction("The store did not forget what a rule remembers", () => this.#seen.forget(ruleId));
  }

  /** Deliveries that are owed to a sink, the most severe first, of those the oldest. @throws StoreError */
  pendingDeliveries(sink: string, limit: number): PendingDelivery[] {
    return this.#reading(() => this.#outbox.pending(sink, limit));
  }

  /** Ids of the oldest owed of each severity. @throws StoreError */
  owedHeads(sink: string, limit: number): { readonly deliveryId: number; readonly alertId: string }[] {
    return this.#reading(() => this.#outbox.heads(sink, limit));
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
    return this.#transaction(what, () => body(this.#outbox), this.#noteCommit);
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
    const fault = this.#reading(() => this.#collected.fault(descriptors));
    if (fault !== null) return fault;
    this.#transaction("The store did not take a table", () => this.#collected.define(descriptors, collectorId, now));
    return null;
  }

  /** The newest rows of a collector's table later than `after`, oldest first. @throws StoreError */
  rowsSince(table: Table, after: number, limit: number): (readonly SqlValue[])[] {
    return this.#reading(() => this.#collected.since(table, after, limit));
  }

  /** Time of the newest row of a collector's table that is not later than `most`. @throws StoreError */
  newestRowTime(table: string, most: number): number | null {
    return this.#reading(() => this.#collected.newest(table, most));
  }

  /** Time of the newest event that is not later than `most`. @throws StoreError */
  newestEventTime(most: number): number | null {
    return this.#reading(() => newestTime(this.#db, this.#partitions.visible, most));
  }

  /** Columns of events later than `after` and not later than `until`, newest first. @throws StoreError */
  *eventsBetween(columns: readonly string[], after: number, until: number): Generator<readonly SqlValue[]> {
    try {
      yield* eventsBetween(this.#db, columns, after, until);
    } catch (error) {
      throw storeError("The store cannot be read", this.#path, error);
    }
  }

  /** What rules over windows raised for events later than `after`, newest first. @throws StoreError */
  findingsSince(after: number, limit: number): RaisedFinding[] {
    return this.#reading(() => findingsSince(this.#db, after, limit));
  }

  /** Gaps that end later than `after`, and the sources of all collectors. @throws StoreError */
  sightSince(after: number): { readonly gaps: readonly Gap[]; readonly sources: ReadonlyMap<string, SourceStatus[]> } {
    return this.#reading(() => ({ gaps: gapsSince(this.#db, after), sources: sourcesKnown(this.#db) }));
  }

  /** The name of a user as the newest processes have it; `null` when none of those is of that user. @throws StoreError */
  userName(userId: number): string | null {
    return this.#reading(() => userNameOf(this.#db, userId));
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
    const { source, recordKind, from, to, count, reason } = gap, s = this.#statements;
    return this.#transaction("The store did not take a gap", () => {
      const gapId = id ?? s.freeGap.get()!["id"] as number;
      if (id !== null) s.deleteGap.run(id);
      s.insertGap.run(gapId, source, recordKind, Math.round(from), Math.round(to), count, reason, collectorId);
      return gapId;
    });
  }

  /** Keeps a note for the audit ledger, or counts it where too many wait. Whether it is kept. @throws StoreError */
  note(note: NewNote, now: number): boolean {
    return this.#transaction("The store did not take a note", () => this.#notes.add(note, "", now) > 0);
  }

  /** The oldest notes that are to be entered by a collector. @throws StoreError */
  notesFor(collectorId: string): LedgerNote[] {
    return this.#notes.waiting === 0 ? [] : this.#reading(() => this.#notes.oldest(collectorId));
  }

  /** Notes up to this number are entered. @throws StoreError */
  forgetNotes(upTo: number, collectorId: string): void {
    this.#transaction("The store did not forget notes", () => this.#notes.forget(upTo, collectorId));
    this.#checkpointer.committed(performance.now(), 1);
  }

  /** A number that outlives the agent; `null` when none was set. @throws StoreError */
  number(name: string): number | null {
    return this.#reading(() => this.#statements.number.get(name)?.["value"] as number | undefined ?? null);
  }

  /** @throws StoreError */
  setNumber(name: string, value: number): void {
    this.#transaction("The store did not keep a number", () => this.#statements.setNumber.run(name, value));
  }

  /** Makes `detection_rules` these. @throws StoreError */
  replaceRules(rules: readonly RuleRow[]): void {
    allSteps(this.replacingRules(rules));
  }

  /** The same, in steps: see {@linkcode RuleTable.replacing}. @throws StoreError */
  *replacingRules(rules: readonly RuleRow[]): Generator<void> {
    const what = "The store did not take the rules";
    try {
      yield* this.#rules.replacing(rules, (body) => this.#transaction(what, body));
    } catch (error) {
      throw error instanceof StoreError ? error : storeError("The store cannot be read", this.#path, error);
    }
  }

  /** Sets facts about the host by name. @throws StoreError */
  putSystemInfo(facts: Readonly<Record<string, string>>, now: number): void {
    this.#transaction("The store did not take facts about the host", () => {
      for (const [name, value] of Object.entries(facts)) this.#statements.putFact.run(name, value, now);
    });
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
    const more = this.#transaction(
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

  /** What a batch has beside its events; within a transaction. Gives how many alerts are new. */
  #put(batch: Batch, now: number): readonly Alert[] {
    const { stream } = batch, s = this.#statements;
    const base = stream.number * SEQUENCES_PER_STREAM;
    for (const part of batch.snapshots) {
      const origin = { stream: stream.number, collectorId: stream.collectorId, bootId: stream.bootId };
      this.#processes.applySnapshot(part, origin, base + part.sequence);
    }
    for (const rows of batch.rows ?? []) this.#collected.put(rows, stream.collectorId);
    for (const [table, count] of batch.refusedRows ?? []) this.#collected.refused(table, count);
    for (const { sequence, gap } of batch.gaps) {
      const { source, recordKind, from, to, count, reason } = gap;
      const times = [Math.round(from), Math.round(to)];
      s.insertGap.run(base + sequence, source, recordKind, ...times, count, reason, stream.collectorId);
    }
    if (batch.sources !== null) this.#replaceSources(stream.collectorId, batch.sources, now);
    const ledgerOf = stream.hasNoLedger ? "" : stream.collectorId;
    const added = batch.alerts.length === 0
      ? batch.alerts
      : this.#take(batch.alerts, batch.taker, batch.notesOf, ledgerOf, now);
    for (const changes of batch.seen ?? []) this.#seen.apply(changes);
    this.#streams.advance(stream, batch.lastSequence, now);
    return added;
  }

  /** Writes what goes along with a batch; within its transaction. What is wrong with that alone costs the batch nothing. */
  #takeAlong(): boolean {
    const rider = this.#rider;
    if (rider === null || !rider.isDue) return false;
    this.#db.exec("SAVEPOINT along");
    try {
      rider.put(this.#analyses);
    } catch (error) {
      if (!this.#db.isTransaction || faultOf(error) !== "other") throw error;
      this.#db.exec("ROLLBACK TO along; RELEASE along");
      rider.refused(error);
      return false;
    }
    this.#db.exec("RELEASE along");
    return true;
  }

  #replaceSources(collectorId: string, sources: readonly SourceStatus[], now: number): void {
    const s = this.#statements;
    s.deleteSources.run(collectorId);
    for (const { name, state, detail, misses, unknownColumns } of sources) {
      s.putSource.run(collectorId, name, state, detail, JSON.stringify(misses), JSON.stringify(unknownColumns), now);
    }
  }

  #take(
    alerts: readonly Alert[],
    taker: AlertTaker | undefined,
    notesOf: Batch["notesOf"],
    collectorId: string,
    now: number,
  ): readonly Alert[] {
    this.#taker = taker ?? TAKE_ALL;
    const added = this.#taker.take(alerts, this.#alerts, now);
    for (const note of added.length > 0 ? notesOf?.(added) ?? [] : []) {
      this.#notes.add(note, collectorId || added[0]!.collectorId, now);
    }
    this.#noteDropped(now);
    return added;
  }

  readonly #noteCommit = (): void => this.#checkpointer.committed(performance.now(), 1);

  #noteDropped(now: number): void {
    for (const { sink, count } of this.#alerts.takeDropped()) {
      const what = `alerts owed to the sink ${sink}, which its backlog had no room for`;
      this.#notes.add({ action: "suppressed", value: { what, count, from: now, to: now } }, "", now);
    }
  }

  /** `done` runs once the transaction is durable. */
  #transaction<T>(what: string, body: () => T, done: () => void = () => {}): T {
    let result: T;
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      result = body();
      this.#db.exec("COMMIT");
    } catch (error) {
      try {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      } catch {
        // SQLite rolled it back itself, as it does on a full disk; the first fault is the one to tell
      }
      this.#undone();
      throw error instanceof StoreError ? error : storeError(what, this.#path, error);
    }
    this.#partitions.committed();
    this.#notes.committed();
    this.#taker?.committed();
    this.#taker = null;
    done();
    return result;
  }

  /** What is remembered must not be of a transaction that was undone. */
  #undone(): void {
    this.#taker?.rolledBack();
    this.#taker = null;
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

  #reading<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw storeError("The store cannot be read", this.#path, error);
    }
  }
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  return {
    insertGap: db.prepare(insertInto("gaps")),
    deleteGap: db.prepare("DELETE FROM gaps WHERE gap_id = ?"),
    // Below the ids of the first stream: gaps that no collector reported
    freeGap: db.prepare(
      `SELECT coalesce(max(gap_id), 0) + 1 AS id FROM gaps WHERE gap_id < ${SEQUENCES_PER_STREAM}`,
    ),
    deleteSources: db.prepare("DELETE FROM sources WHERE collector_id = ?"),
    putSource: db.prepare(insertInto("sources") + " ON CONFLICT DO NOTHING"),
    putFact: db.prepare("INSERT OR REPLACE INTO system_info (name, value, time) VALUES (?, ?, ?)"),
    number: db.prepare("SELECT value FROM agent_state WHERE name = ?"),
    setNumber: db.prepare("INSERT OR REPLACE INTO agent_state VALUES (?, ?)"),
  } satisfies Record<string, StatementSync>;
}
