/**
 * Retention of what is not events: processes that ended, alerts, gaps, deliveries that were made, snapshots, streams.
 *
 * These are tables of thousands of rows, from which some are deleted at a time. Processes and snapshots go with the
 * events of their time; alerts and gaps have a longer time of their own, and alerts that are still owed to a sink stay.
 * Each table also has a share of the store's size, counted in rows, which holds whatever a clock says.
 *
 * @module
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { CollectedTables } from "./collected_tables.ts";
import type { Partition } from "./partitions.ts";
import { type RemovalReason, type Removals, Tally } from "./removals.ts";

/** Rows that one step deletes, and looks at. */
const STEP_ROWS = 200;
const LOOK_ROWS = 400;
/** Deliveries that were made are kept for those who ask why an alert did not come. */
const DELIVERY_MS = 7 * 86_400_000;

/** Typical bytes of a row with its indexes, and the share of the store that the table may take. */
const PROCESS_BYTES = 800, PROCESS_SHARE = 1 / 8;
const ALERT_BYTES = 3_000, ALERT_SHARE = 1 / 8;
const MIN_ROWS = 1_000;

/** What may go. */
export interface Before {
  /** What is older than this partition. */
  readonly events: Partition;
  /** Alerts and gaps from before. */
  readonly alerts: number;
  /** Rows of collectors' tables from before. */
  readonly rows: number;
  /** The time by the clock of retention. */
  readonly clock: number;
}

const START = { processes: 0, deliveries: 0, scans: 0, streams: 0 };

type Row = Readonly<Record<string, SQLInputValue>>;

export class SideTables {
  readonly #db: DatabaseSync;
  readonly #removals: Removals;
  readonly #statements: ReturnType<typeof prepare>;
  #maxProcesses = 0;
  #maxAlerts = 0;
  /** How far each table was gone through; from its end it begins again, since what was kept may be old by then. */
  #cursors = { ...START };
  /** Why events went last: processes of their time go for the same reason. */
  #lastReason: RemovalReason = "age";

  constructor(
    db: DatabaseSync,
    maxBytes: number,
    removals: Removals,
    private readonly collected: CollectedTables | null = null,
  ) {
    this.#db = db;
    this.#removals = removals;
    this.#statements = prepare(db);
    this.limit(maxBytes);
  }

  /** From here on the store may take so much. */
  limit(maxBytes: number): void {
    this.#maxProcesses = Math.max(MIN_ROWS, Math.floor(maxBytes * PROCESS_SHARE / PROCESS_BYTES));
    this.#maxAlerts = Math.max(MIN_ROWS, Math.floor(maxBytes * ALERT_SHARE / ALERT_BYTES));
  }

  get lastReason(): RemovalReason {
    return this.#lastReason;
  }

  /** To be called when a partition was removed. */
  eventsWent(reason: RemovalReason): void {
    this.#lastReason = reason;
  }

  /** Removes some rows of each table. Whether any went, and so more may be there. */
  step(before: Before, inUse: ReadonlySet<number>, now: number): boolean {
    const went = [
      this.#processes(before.events, now),
      this.#alerts(before.alerts, now),
      Number(this.#statements.deleteMutes.run(before.alerts).changes),
      this.#gaps(this.#rows(this.#statements.oldGaps, before.alerts), "age", now),
      this.#deliveries(before.clock - DELIVERY_MS),
      this.#scans(before.events.openedTime, inUse),
      this.#streams(before.events.openedTime, inUse),
    ];
    const rows = this.collected?.step(before.rows, this.#removals, now) ?? false;
    return rows || went.some((count) => count > 0);
  }

  /** Removes the oldest rows of what takes room, for that alone. Whether there were any. */
  makeRoom(now: number): boolean {
    const s = this.#statements;
    const ended = this.#rows(s.oldestEnded).map((row) => ({ ...row, reason: "size" as const }));
    const alerts = this.#rows(s.oldestAlerts, Number.MAX_SAFE_INTEGER);
    const went = this.#deleteProcesses(ended, now) + this.#deleteAlerts(alerts, "size", now);
    if (went > 0 || this.collected?.step(0, this.#removals, now, true) === true) return true;
    // Gaps say what is not known; they go last
    return this.#gaps(this.#rows(s.oldGaps, Number.MAX_SAFE_INTEGER), "size", now) > 0;
  }

  #processes(events: Partition, now: number): number {
    const s = this.#statements, capped = this.#highest("processes") - this.#maxProcesses;
    const bound = Math.max(capped, events.firstProcess);
    const seen = this.#rows(s.processes, this.#cursors.processes, bound);
    const going: { id: number; end_time: number; reason: RemovalReason }[] = [];
    for (const row of seen) {
      if (going.length === STEP_ROWS) break;
      const id = row["id"] as number, end_time = row["end_time"] as number | null;
      this.#cursors.processes = id;
      if (end_time === null) continue;
      if (id <= capped) going.push({ id, end_time, reason: "size" });
      else if (end_time < events.openedTime) going.push({ id, end_time, reason: this.#lastReason });
    }
    if (seen.length < LOOK_ROWS && going.length < STEP_ROWS) this.#cursors.processes = 0;
    return this.#deleteProcesses(going, now);
  }

  #deleteProcesses(rows: readonly Row[], now: number): number {
    const tally = new Tally();
    for (const row of rows) {
      this.#statements.deleteProcess.run(row["id"]!);
      tally.note(row["reason"] as RemovalReason, row["end_time"] as number);
    }
    for (const removal of tally.of("processes")) this.#removals.add(removal, now);
    return rows.length;
  }

  #alerts(before: number, now: number): number {
    const s = this.#statements;
    // By when they were found, as events by when they came: the times of events are a collector's word
    const old = this.#rows(s.oldestAlerts, Number.MAX_SAFE_INTEGER)
      .filter((row) => (row["detected_time"] as number | null ?? Infinity) < before);
    const capped = this.#rows(s.oldestAlerts, this.#highest("alerts") - this.#maxAlerts);
    return this.#deleteAlerts(old, "age", now) + this.#deleteAlerts(capped, "size", now);
  }

  #deleteAlerts(rows: readonly Row[], reason: RemovalReason, now: number): number {
    const tally = new Tally();
    for (const row of rows) {
      this.#statements.deleteDeliveries.run(row["alert_id"]!);
      this.#statements.deleteHistory.run(row["alert_id"]!);
      if (this.#statements.deleteAlert.run(row["id"]!).changes !== 0) tally.note(reason, row["time"] as number);
    }
    for (const removal of tally.of("alerts")) this.#removals.add(removal, now);
    return rows.length;
  }

  #gaps(rows: readonly Row[], reason: RemovalReason, now: number): number {
    const tally = new Tally();
    for (const row of rows) {
      this.#statements.deleteGap.run(row["id"]!);
      tally.note(reason, row["time"] as number);
    }
    for (const removal of tally.of("gaps")) this.#removals.add(removal, now);
    return rows.length;
  }

  #deliveries(before: number): number {
    const s = this.#statements, seen = this.#rows(s.deliveries, this.#cursors.deliveries);
    const going = seen.filter((row) =>
      (row["state"] === "done" || row["state"] === "dropped") && (row["time"] as number) < before
    );
    for (const row of going) s.deleteDelivery.run(row["id"]!);
    this.#cursors.deliveries = cursorAfter(seen, STEP_ROWS);
    return going.length;
  }

  /** Of a stream that is open, the last snapshot stays: it says when somebody last looked. */
  #scans(before: number, inUse: ReadonlySet<number>): number {
    const s = this.#statements, seen = this.#rows(s.scans, this.#cursors.scans);
    const last = new Set<unknown>([...inUse].map((stream) => s.lastScan.get({ stream })!["id"]));
    const going = seen.filter((row) => (row["time"] as number) < before && !last.has(row["id"]));
    for (const row of going) s.deleteScan.run(row["id"]!);
    this.#cursors.scans = cursorAfter(seen, STEP_ROWS);
    return going.length;
  }

  /** Frees the numbers of streams of which nothing is left: ids of their rows would otherwise come again. */
  #streams(before: number, inUse: ReadonlySet<number>): number {
    const s = this.#statements, seen = this.#rows(s.streams, this.#cursors.streams, before);
    const going = seen.map((row) => row["id"] as number)
      .filter((stream) =>
        !inUse.has(stream) && s.usesOfStream.get({ stream })!["used"] === 0 && this.collected?.uses(stream) !== true
      );
    for (const stream of going) {
      s.deleteProgress.run(stream);
      s.deleteStream.run(stream);
    }
    this.#cursors.streams = cursorAfter(seen, STREAMS_A_STEP);
    return going.length;
  }

  #highest(table: "processes" | "alerts"): number {
    return this.#db.prepare(`SELECT coalesce(max(rowid), 0) AS n FROM ${table}`).get()!["n"] as number;
  }

  #rows(statement: StatementSync, ...parameters: number[]): Row[] {
    return [...statement.iterate(...parameters)];
  }
}

/** Where to go on after these rows; at the beginning when they were the last. */
function cursorAfter(seen: readonly Row[], limit: number): number {
  return seen.length < limit ? 0 : seen.at(-1)!["id"] as number;
}

/** Each asks every partition whether it has an event of the stream. */
const STREAMS_A_STEP = 8;

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  const owed = `EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.alert_id = alerts.alert_id AND d.state = 'pending')`;
  const range = "BETWEEN $stream * 1099511627776 AND $stream * 1099511627776 + 1099511627775";
  return {
    processes: db.prepare(
      `SELECT rowid AS id, end_time FROM processes WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ${LOOK_ROWS}`,
    ),
    oldestEnded: db.prepare(
      `SELECT rowid AS id, end_time FROM processes WHERE end_time IS NOT NULL ORDER BY rowid LIMIT ${STEP_ROWS}`,
    ),
    deleteProcess: db.prepare("DELETE FROM processes WHERE rowid = ?"),
    oldestAlerts: db.prepare(
      `SELECT rowid AS id, alert_id, time, detected_time FROM alerts WHERE rowid <= ? AND NOT ${owed} ORDER BY rowid LIMIT ${STEP_ROWS}`,
    ),
    deleteAlert: db.prepare("DELETE FROM alerts WHERE rowid = ?"),
    deleteDeliveries: db.prepare("DELETE FROM alert_deliveries WHERE alert_id = ?"),
    deleteHistory: db.prepare("DELETE FROM alert_history WHERE alert_id = ?"),
    deleteMutes: db.prepare("DELETE FROM alert_mutes WHERE ended_time < ?"),
    oldGaps: db.prepare(
      `SELECT gap_id AS id, to_time AS time FROM gaps WHERE to_time < ? ORDER BY to_time LIMIT ${STEP_ROWS}`,
    ),
    deleteGap: db.prepare("DELETE FROM gaps WHERE gap_id = ?"),
    deliveries: db.prepare(
      `SELECT delivery_id AS id, state, coalesce(delivered_time, added_time) AS time FROM alert_deliveries
       WHERE delivery_id > ? ORDER BY delivery_id LIMIT ${STEP_ROWS}`,
    ),
    deleteDelivery: db.prepare("DELETE FROM alert_deliveries WHERE delivery_id = ?"),
    scans: db.prepare(
      `SELECT scan_id AS id, time FROM scan_metadata WHERE scan_id > ? ORDER BY scan_id LIMIT ${STEP_ROWS}`,
    ),
    lastScan: db.prepare(`SELECT max(scan_id) AS id FROM scan_metadata WHERE scan_id ${range}`),
    deleteScan: db.prepare("DELETE FROM scan_metadata WHERE scan_id = ?"),
    streams: db.prepare(
      `SELECT stream AS id FROM collectors WHERE stream > ? AND last_seen < ? ORDER BY stream LIMIT ${STREAMS_A_STEP}`,
    ),
    usesOfStream: db.prepare(
      `SELECT EXISTS (SELECT 1 FROM gaps WHERE gap_id ${range})
         OR EXISTS (SELECT 1 FROM scan_metadata WHERE scan_id ${range})
         OR EXISTS (SELECT 1 FROM alerts WHERE event_id ${range})
         OR EXISTS (SELECT 1 FROM process_events WHERE event_id ${range}) AS used`,
    ),
    deleteProgress: db.prepare("DELETE FROM snapshot_progress WHERE stream = ?"),
    deleteStream: db.prepare("DELETE FROM collectors WHERE stream = ?"),
  } satisfies Record<string, StatementSync>;
}
