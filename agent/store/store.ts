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
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SeenChanges } from "../../proto/rules/seen_table.ts";
import type { RuleStatus, SourceStatus } from "../../proto/status.ts";
import { allSteps } from "../../proto/steps.ts";
import type { LedgerNote } from "../../proto/wire.ts";
import { type NewNote, NoteTable } from "../ledger_notes.ts";
import { alertOfRow, alertRow } from "./alert_row.ts";
import { Checkpointer, type CheckpointOutcome } from "./checkpoint.ts";
import { closeDatabase, lockStore, openDatabase } from "./database.ts";
import { Partitions } from "./partitions.ts";
import { ProcessTable, type SnapshotPart } from "./process_table.ts";
import { eventsBetween, findingsSince, gapsSince, newestTime, type RaisedFinding, sourcesKnown } from "./recent.ts";
import { DEFAULT_LIMITS, logLimit, type Removed, Retention, type StoreLimits } from "./retention.ts";
import { SeenValues, type StoredMemory } from "./seen_values.ts";
import { StoreError, storeError } from "./store_error.ts";

/** Rules that are written in one transaction. */
const RULES_A_TRANSACTION = 256;

/** Room for the sequences of one stream in the ids of its rows. */
export const SEQUENCES_PER_STREAM = 2 ** 40;
/** Ids stay below 2^53, where a double is still exact. */
export const MAX_STREAM = 2 ** 13 - 1;

/** Who a stream of events comes from: one log of one collector, which outlives its starts and those of the host. */
export interface StreamIdentity {
  readonly collectorId: string;
  readonly epoch: string;
  readonly bootId: string;
  readonly version: string;
  readonly source: string;
}

/** A stream that the store knows. */
export interface Stream extends StreamIdentity {
  readonly number: number;
  /** Last sequence that is stored; moves with each commit. */
  lastSequence: number;
}

/** What one transaction takes over. */
export interface Batch {
  readonly stream: Stream;
  /** Watermark after it. */
  readonly lastSequence: number;
  /** Rows of `process_events`, oldest first. */
  readonly events: readonly SqlValue[][];
  readonly snapshots: readonly SnapshotPart[];
  readonly gaps: readonly { readonly sequence: number; readonly gap: Gap }[];
  /** All sources of the collector, `null` when nothing was said of them. */
  readonly sources: readonly SourceStatus[] | null;
  readonly alerts: readonly Alert[];
  /** What rules remember anew. */
  readonly seen?: readonly SeenChanges[];
  /** What is to be entered into the ledger of those of the alerts that are new. */
  readonly notesOf?: (alerts: readonly Alert[]) => readonly NewNote[];
}

/** A delivery that is owed. */
export interface PendingDelivery {
  readonly deliveryId: number;
  readonly alert: Alert;
}

/** A rule as the table shows it. */
export interface RuleRow extends RuleStatus {
  readonly description: string | null;
  readonly tags: readonly string[];
  readonly sql: string | null;
}

export class Store {
  readonly #lock: Deno.FsFile;
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #sinks: readonly string[];
  readonly #partitions: Partitions;
  readonly #processes: ProcessTable;
  readonly #retention: Retention;
  readonly #checkpointer: Checkpointer;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #notes: NoteTable;
  readonly #seen: SeenValues;
  /** Deliveries owed now, all sinks together. */
  #owed: number;
  /** The open stream of each collector: one object, so that two connections of it share the watermark. */
  readonly #streams = new Map<string, Stream>();
  #lastCommitTime = 0;
  /** What `detection_rules` holds, by id; `null` before it was written. */
  #rules: ReadonlyMap<string, string> | null = null;
  /** The schema version that the store had before this start; `null` when it was up to date. */
  readonly upgradedFrom: number | null;

  /**
   * Opens the store, and makes it when there is none. `sinks` are the names that every alert is owed to; `limits` what
   * {@linkcode Store.maintain} keeps it within.
   *
   * @throws StoreError
   */
  constructor(path: string, sinks: readonly string[] = [], limits: StoreLimits = DEFAULT_LIMITS) {
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
    this.#sinks = sinks;
    this.#partitions = new Partitions(this.#db);
    this.#processes = new ProcessTable(this.#db);
    this.#retention = new Retention(this.#db, this.#partitions, limits, Date.now(), performance.now());
    this.#checkpointer = new Checkpointer(this.#db, path, logLimit(limits));
    this.#statements = prepare(this.#db);
    this.#notes = new NoteTable(this.#db);
    this.#seen = new SeenValues(this.#db);
    this.#owed = this.#sinks.reduce((sum, sink) => sum + (this.#statements.countPending.get(sink)!["n"] as number), 0);
  }

  /** Unix milliseconds of the last commit of a batch, 0 before the first. */
  get lastCommitTime(): number {
    return this.#lastCommitTime;
  }

  /** How many deliveries are owed now, to all sinks together. */
  get owedDeliveries(): number {
    return this.#owed;
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
      ledger_notes_waiting: this.#notes.waiting,
      ledger_notes_refused: this.#notes.refusals,
    };
  }

  get logBytes(): number {
    return this.#checkpointer.logBytes;
  }

  /**
   * The stream of that identity, with its watermark; a new one gets a number. Numbers of earlier streams of the same
   * collector that never stored anything are free again, so the caller first ends that collector's older connection.
   *
   * @throws StoreError also when all numbers are used.
   */
  openStream(identity: StreamIdentity, now: number): Stream {
    const { collectorId, epoch, bootId, version, source } = identity, s = this.#statements;
    const open = this.#streams.get(collectorId);
    if (open?.epoch === epoch) {
      if (open.bootId === bootId && open.version === version && open.source === source) return open;
      this.#transaction(
        "The store did not take a stream",
        () => s.renewStream.run(bootId, version, source, open.number),
      );
      return Object.assign(open, { bootId, version, source });
    }
    const stream = this.#transaction("The store did not take a stream", (): Stream => {
      s.dropUnusedStreams.run(collectorId, epoch);
      const known = s.stream.get(collectorId, epoch);
      if (known !== undefined) {
        s.renewStream.run(bootId, version, source, known["stream"] as number);
        return { ...identity, number: known["stream"] as number, lastSequence: known["last_sequence"] as number };
      }
      const number = s.freeStream.get()!["stream"] as number;
      if (number > MAX_STREAM) {
        throw new StoreError(
          `The store ${this.#path} has had ${MAX_STREAM} streams and cannot number another; stop the agent and move ` +
            `it away`,
        );
      }
      s.insertStream.run(number, collectorId, epoch, bootId, version, source, now, now, 0);
      return { ...identity, number, lastSequence: 0 };
    });
    this.#streams.set(collectorId, stream);
    return stream;
  }

  /** Stores a batch; durable when this returns. @throws StoreError, and then nothing of it is stored. */
  commit(batch: Batch, now: number): void {
    const { stream } = batch, s = this.#statements;
    const base = stream.number * SEQUENCES_PER_STREAM;
    if (this.#retention.isRotationDue(performance.now())) {
      this.#transaction("The store did not begin a partition", () => this.#retention.rotate(now, performance.now()));
    }
    const owed = this.#transaction("The store did not take a batch", () => {
      for (const row of batch.events) this.#partitions.insert(row);
      this.#processes.applyEvents(batch.events);
      for (const part of batch.snapshots) {
        const origin = { stream: stream.number, collectorId: stream.collectorId, bootId: stream.bootId };
        this.#processes.applySnapshot(part, origin, base + part.sequence);
      }
      for (const { sequence, gap } of batch.gaps) {
        const { source, recordKind, from, to, count, reason } = gap;
        const times = [Math.round(from), Math.round(to)];
        s.insertGap.run(base + sequence, source, recordKind, ...times, count, reason, stream.collectorId);
      }
      if (batch.sources !== null) this.#replaceSources(stream.collectorId, batch.sources, now);
      const added = batch.alerts.filter((alert) => this.#addAlert(alert));
      if (added.length > 0) {
        for (const note of batch.notesOf?.(added) ?? []) this.#notes.add(note, stream.collectorId, now);
      }
      for (const changes of batch.seen ?? []) this.#seen.apply(changes);
      s.advance.run(batch.lastSequence, now, stream.number);
      return added.length * this.#sinks.length;
    });
    this.#owed += owed;
    stream.lastSequence = batch.lastSequence;
    this.#lastCommitTime = now;
    this.#checkpointer.committed(performance.now());
  }

  /** Stores alerts that no batch raised: nothing came, and that is what they say. @throws StoreError, and none is stored */
  addAlerts(alerts: readonly Alert[], notesOf: Batch["notesOf"], now: number): void {
    this.#owed += this.#transaction("The store did not take alerts", () => {
      const added = alerts.filter((alert) => this.#addAlert(alert));
      for (const note of added.length > 0 ? notesOf?.(added) ?? [] : []) {
        this.#notes.add(note, added[0]!.collectorId, now);
      }
      return added.length * this.#sinks.length;
    });
    this.#checkpointer.committed(performance.now());
  }

  /** What rules remember. @throws StoreError */
  seenMemories(): StoredMemory[] {
    return this.#reading(() => this.#seen.load());
  }

  /** Forgets what a rule that is gone remembers. @throws StoreError */
  forgetSeen(ruleId: string): void {
    this.#transaction("The store did not forget what a rule remembers", () => this.#seen.forget(ruleId));
  }

  /** Deliveries that are owed to a sink, oldest first. @throws StoreError */
  pendingDeliveries(sink: string, limit: number): PendingDelivery[] {
    return this.#reading(() =>
      [...this.#statements.pending.iterate(sink, limit)].map((row) => ({
        deliveryId: row["delivery_id"] as number,
        alert: alertOfRow(row as Record<string, SqlValue>),
      }))
    );
  }

  /** Notes that deliveries were made. @throws StoreError */
  markDelivered(deliveryIds: readonly number[], now: number): void {
    this.#transaction("The store did not note a delivery", () => {
      for (const id of deliveryIds) this.#statements.markDelivered.run(now, id);
    });
    this.#owed -= deliveryIds.length;
    this.#checkpointer.committed(performance.now());
  }

  /** Notes that an attempt failed; the deliveries stay owed. @throws StoreError */
  markFailed(deliveryIds: readonly number[]): void {
    this.#transaction("The store did not note a failed delivery", () => {
      for (const id of deliveryIds) this.#statements.markFailed.run(id);
    });
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

  /** Keeps a note for the audit ledger. @throws StoreError */
  note(note: NewNote, now: number): void {
    this.#transaction("The store did not take a note", () => this.#notes.add(note, "", now));
  }

  /** The oldest notes that are to be entered by a collector. @throws StoreError */
  notesFor(collectorId: string): LedgerNote[] {
    return this.#notes.waiting === 0 ? [] : this.#reading(() => this.#notes.oldest(collectorId));
  }

  /** Notes up to this number are entered. @throws StoreError */
  forgetNotes(upTo: number, collectorId: string): void {
    this.#transaction("The store did not forget notes", () => this.#notes.forget(upTo, collectorId));
    this.#checkpointer.committed(performance.now());
  }

  /** A number that outlives the agent; `null` when none was set. @throws StoreError */
  number(name: string): number | null {
    return this.#reading(() => this.#statements.number.get(name)?.["value"] as number | undefined ?? null);
  }

  /** @throws StoreError */
  setNumber(name: string, value: number): void {
    this.#transaction("The store did not keep a number", () => this.#statements.setNumber.run(name, value));
  }

  /** Makes `detection_rules` these; of two with one id the first counts. Only what differs is written. @throws StoreError */
  replaceRules(rules: readonly RuleRow[]): void {
    allSteps(this.replacingRules(rules));
  }

  /**
   * The same, in steps of a transaction for {@linkcode RULES_A_TRANSACTION} rules, with room for other work between them
   * but not for other rules. Who reads meanwhile sees some rules as they were. @throws StoreError
   */
  *replacingRules(rules: readonly RuleRow[]): Generator<void> {
    const what = "The store did not take the rules", s = this.#statements, next = new Map<string, string>();
    const written = this.#rules ??
      new Map<string, string>(
        this.#reading(() => [...s.ruleIds.iterate()].map((row) => [row["rule_id"] as string, ""])),
      );
    // What a failure leaves half done is written anew
    this.#rules = null;
    for (let at = 0; at < rules.length; at += RULES_A_TRANSACTION) {
      this.#transaction(what, () => {
        for (const r of rules.slice(at, at + RULES_A_TRANSACTION)) {
          if (next.has(r.id)) continue;
          const tags = JSON.stringify(r.tags), fault = [r.state, r.line, r.column, r.reason];
          const cells = [r.id, r.title, r.description, r.severity, tags, r.sql, r.file, ...fault, r.hash];
          // The hash stands for what the file says; the rest can change without it
          const said = JSON.stringify(r.hash === null ? cells : [r.hash, r.severity, r.file, ...fault]);
          next.set(r.id, said);
          if (written.get(r.id) !== said) s.insertRule.run(...cells);
        }
      });
      yield;
    }
    const gone = [...written.keys()].filter((id) => !next.has(id));
    if (gone.length > 0) this.#transaction(what, () => gone.forEach((id) => s.deleteRule.run(id)));
    this.#rules = next;
  }

  /** Sets facts about the host by name. @throws StoreError */
  putSystemInfo(facts: Readonly<Record<string, string>>, now: number): void {
    this.#transaction("The store did not take facts about the host", () => {
      for (const [name, value] of Object.entries(facts)) this.#statements.putFact.run(name, value, now);
    });
  }

  /** Moves the log into the database when that is due; to be called a few times a second. @throws StoreError */
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
    const inUse = new Set([...this.#streams.values()].map((stream) => stream.number));
    const more = this.#transaction(
      "The store was not kept within its limits",
      () => this.#retention.step(now, performance.now(), inUse),
    );
    if (more) this.#checkpointer.committed(performance.now());
    return { more, removed: this.#retention.takeRemoved() };
  }

  /** Leaves the files as readers need them: see {@linkcode closeDatabase}. */
  close(): void {
    closeDatabase(this.#db);
    this.#lock.close();
  }

  #replaceSources(collectorId: string, sources: readonly SourceStatus[], now: number): void {
    const s = this.#statements;
    s.deleteSources.run(collectorId);
    for (const { name, state, detail, misses, unknownColumns } of sources) {
      s.putSource.run(collectorId, name, state, detail, JSON.stringify(misses), JSON.stringify(unknownColumns), now);
    }
  }

  /** The alert's id names rule and event: one that is there already was raised before, and is owed already. */
  #addAlert(alert: Alert): boolean {
    if (Number(this.#statements.insertAlert.run(...alertRow(alert)).changes) === 0) return false;
    for (const sink of this.#sinks) this.#statements.insertDelivery.run(alert.alertId, sink);
    return true;
  }

  #transaction<T>(what: string, body: () => T): T {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const result = body();
      this.#db.exec("COMMIT");
      this.#partitions.committed();
      this.#notes.committed();
      return result;
    } catch (error) {
      try {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      } catch {
        // SQLite rolled it back itself, as it does on a full disk; the first fault is the one to tell
      }
      this.#undone();
      throw error instanceof StoreError ? error : storeError(what, this.#path, error);
    }
  }

  /** What is remembered of the partitions must not be of a transaction that was undone. */
  #undone(): void {
    try {
      this.#partitions.rolledBack();
      this.#notes.rolledBack(this.#db);
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

/** An insert of whole rows, in the order of the catalog's columns. */
function insertInto(table: string): string {
  const names = tableNamed(table).columns.map((column) => column.name);
  return `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  const columns = tableNamed("alerts").columns.map((column) => `a.${column.name}`).join(", ");
  return {
    insertGap: db.prepare(insertInto("gaps")),
    insertAlert: db.prepare(insertInto("alerts") + " ON CONFLICT (alert_id) DO NOTHING"),
    insertRule: db.prepare(insertInto("detection_rules").replace("INSERT", "INSERT OR REPLACE")),
    deleteRule: db.prepare("DELETE FROM detection_rules WHERE rule_id = ?"),
    ruleIds: db.prepare("SELECT rule_id FROM detection_rules"),
    insertDelivery: db.prepare("INSERT INTO alert_deliveries (alert_id, sink, state) VALUES (?, ?, 'pending')"),
    pending: db.prepare(
      `SELECT d.delivery_id, ${columns} FROM alert_deliveries d JOIN alerts a ON a.alert_id = d.alert_id
       WHERE d.state = 'pending' AND d.sink = ? ORDER BY d.delivery_id LIMIT ?`,
    ),
    countPending: db.prepare("SELECT count(*) AS n FROM alert_deliveries WHERE state = 'pending' AND sink = ?"),
    markDelivered: db.prepare(
      "UPDATE alert_deliveries SET state = 'done', attempts = attempts + 1, delivered_time = ? WHERE delivery_id = ?",
    ),
    markFailed: db.prepare("UPDATE alert_deliveries SET attempts = attempts + 1 WHERE delivery_id = ?"),
    deleteSources: db.prepare("DELETE FROM sources WHERE collector_id = ?"),
    putSource: db.prepare(insertInto("sources") + " ON CONFLICT DO NOTHING"),
    putFact: db.prepare("INSERT OR REPLACE INTO system_info (name, value, time) VALUES (?, ?, ?)"),
    stream: db.prepare("SELECT stream, last_sequence FROM collectors WHERE collector_id = ? AND epoch = ?"),
    dropUnusedStreams: db.prepare(
      "DELETE FROM collectors WHERE collector_id = ? AND epoch <> ? AND last_sequence = 0",
    ),
    freeStream: db.prepare(
      `SELECT min(n) AS stream FROM (SELECT 1 AS n UNION ALL SELECT stream + 1 FROM collectors)
       WHERE n NOT IN (SELECT stream FROM collectors)`,
    ),
    renewStream: db.prepare("UPDATE collectors SET boot_id = ?, version = ?, source = ? WHERE stream = ?"),
    insertStream: db.prepare(insertInto("collectors")),
    number: db.prepare("SELECT value FROM agent_state WHERE name = ?"),
    setNumber: db.prepare("INSERT OR REPLACE INTO agent_state VALUES (?, ?)"),
    advance: db.prepare("UPDATE collectors SET last_sequence = ?, last_seen = ? WHERE stream = ?"),
  } satisfies Record<string, StatementSync>;
}
