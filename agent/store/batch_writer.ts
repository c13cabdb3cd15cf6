/**
 * What is written of batches: events, process table, alerts with their notes, gaps, sources, rows of collectors' tables,
 * what rules remember, and how far the stream is. All of it within one transaction of the store, one batch after the
 * other.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { Alert } from "../../proto/alert.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { NoteTable } from "../ledger_notes.ts";
import type { AlertTables } from "./alert_tables.ts";
import type { AnalysisRider, AnalysisTables } from "./analysis_tables.ts";
import { type AlertTaker, type Batch, TAKE_ALL } from "./batch.ts";
import type { CollectedTables } from "./collected_tables.ts";
import type { HostTables } from "./host_tables.ts";
import type { Partitions } from "./partitions.ts";
import type { ProcessTable } from "./process_table.ts";
import type { SeenValues } from "./seen_values.ts";
import { faultOf } from "./store_error.ts";
import type { Streams } from "./streams.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";

/** Where a batch goes. */
export interface BatchTables {
  readonly partitions: Partitions;
  readonly processes: ProcessTable;
  readonly collected: CollectedTables;
  readonly host: HostTables;
  readonly alerts: AlertTables;
  readonly analyses: AnalysisTables;
  readonly notes: NoteTable;
  readonly seen: SeenValues;
  readonly streams: Streams;
}

export class BatchWriter {
  readonly #db: DatabaseSync;
  readonly #tables: BatchTables;
  #rider: AnalysisRider | null = null;
  /** Whether the rider's is in the open transaction. */
  #hasRidden = false;
  /** Who decides about alerts in the open transaction. */
  #taker: AlertTaker | null = null;

  constructor(db: DatabaseSync, tables: BatchTables) {
    this.#db = db;
    this.#tables = tables;
  }

  /** From here on each transaction takes along what this has of analyses. */
  carry(rider: AnalysisRider): void {
    this.#rider = rider;
  }

  /** Writes batches in their order; gives what became an alert. */
  write(batches: readonly Batch[], now: number): readonly Alert[] {
    const { partitions, processes } = this.#tables, added: Alert[] = [];
    // A process that begins and ends between two snapshots of the table is written once.
    let untold: SqlValue[][] = [];
    for (const batch of batches) {
      for (const row of batch.events) {
        partitions.insert(row);
        untold.push(row);
      }
      // Alerts name the ancestors of their processes
      if (batch.snapshots.length > 0 || batch.alerts.length > 0) {
        processes.applyEvents(untold);
        untold = [];
      }
      added.push(...this.#put(batch, now));
    }
    processes.applyEvents(untold);
    this.#hasRidden = this.#takeAlong();
    return added;
  }

  /** Stores alerts, as far as `taker` takes them, with their notes for the ledger of a collector; gives those. */
  take(
    alerts: readonly Alert[],
    taker: AlertTaker | undefined,
    notesOf: Batch["notesOf"],
    collectorId: string,
    now: number,
  ): readonly Alert[] {
    const { alerts: tables, notes } = this.#tables;
    this.#taker = taker ?? TAKE_ALL;
    const added = this.#taker.take(alerts, tables, now);
    for (const note of added.length > 0 ? notesOf?.(added) ?? [] : []) {
      notes.add(note, collectorId || added[0]!.collectorId, now);
    }
    this.noteDropped(now);
    return added;
  }

  /** Notes deliveries that found no room. */
  noteDropped(now: number): void {
    const { alerts, notes } = this.#tables;
    for (const { sink, count } of alerts.takeDropped()) {
      const what = `alerts owed to the sink ${sink}, which its backlog had no room for`;
      notes.add({ action: "suppressed", value: { what, count, from: now, to: now } }, "", now);
    }
  }

  /** The transaction is durable. */
  committed(): void {
    this.#taker?.committed();
    this.#taker = null;
    if (this.#hasRidden) this.#rider!.committed();
    this.#hasRidden = false;
  }

  undone(): void {
    this.#taker?.rolledBack();
    this.#taker = null;
    this.#hasRidden = false;
  }

  /** What a batch has beside its events. Gives how many alerts are new. */
  #put(batch: Batch, now: number): readonly Alert[] {
    const { stream } = batch, { processes, collected, host, seen, streams } = this.#tables;
    const base = stream.number * SEQUENCES_PER_STREAM;
    for (const part of batch.snapshots) {
      const origin = { stream: stream.number, collectorId: stream.collectorId, bootId: stream.bootId };
      processes.applySnapshot(part, origin, base + part.sequence);
    }
    for (const rows of batch.rows ?? []) collected.put(rows, stream.collectorId);
    for (const [table, count] of batch.refusedRows ?? []) collected.refused(table, count);
    for (const { sequence, gap } of batch.gaps) host.putGap(base + sequence, gap, stream.collectorId);
    if (batch.sources !== null) host.replaceSources(stream.collectorId, batch.sources, now);
    const ledgerOf = stream.hasNoLedger ? "" : stream.collectorId;
    const added = batch.alerts.length === 0
      ? batch.alerts
      : this.take(batch.alerts, batch.taker, batch.notesOf, ledgerOf, now);
    for (const changes of batch.seen ?? []) seen.apply(changes);
    streams.advance(stream, batch.lastSequence, now);
    return added;
  }

  /** Writes what goes along with a batch; within its transaction. What is wrong with that alone costs the batch nothing. */
  #takeAlong(): boolean {
    const rider = this.#rider;
    if (rider === null || !rider.isDue) return false;
    this.#db.exec("SAVEPOINT along");
    try {
      rider.put(this.#tables.analyses);
    } catch (error) {
      if (!this.#db.isTransaction || faultOf(error) !== "other") throw error;
      this.#db.exec("ROLLBACK TO along; RELEASE along");
      rider.refused(error);
      return false;
    }
    this.#db.exec("RELEASE along");
    return true;
  }
}
