/**
 * What the agent owes its sinks: a row for each alert and sink, and how each sink fares. Used inside the store's
 * transactions.
 *
 * A delivery is owed from the commit of its alert on and done when that is noted after the write: at least once, under
 * the alert's id. The backlog of a sink is bounded in rows and bytes; past that the least severe go, the oldest of them
 * first, and each is counted and told. A sink that will never take an alert leaves a dead letter, which an operator may
 * have tried again or give up. So does one that is not configured any more: what nobody delivers must not hold alerts in
 * the store for good. When it is configured again, those are owed again.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Alert } from "../../proto/alert.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { SEVERITIES, type Severity } from "../../proto/process_event.ts";
import { alertOfRow } from "../../proto/alert_row.ts";

/** Which alerts a sink is for. */
export interface SinkTerms {
  readonly name: string;
  /** Alerts below it are not owed to it. */
  readonly minSeverity: Severity;
}

/** Bounds of one sink's backlog. */
export interface OutboxLimits {
  readonly rows: number;
  readonly bytes: number;
}

export const DEFAULT_OUTBOX: OutboxLimits = { rows: 200_000, bytes: 512 << 20 };
/** Dead letters of one sink; of more the oldest are dropped. */
const MAX_DEAD = 10_000;
/** Deliveries that are dropped at once, so that a full backlog is not full again with the next alert. */
const DROP_ROWS = 100;

/** The reason of dead letters of a sink that is not configured, by which they are known when it is again. */
const NOT_CONFIGURED = "its sink is not configured any more; once it is, this is tried again";

/** A delivery that is owed. */
export interface PendingDelivery {
  readonly deliveryId: number;
  readonly alert: Alert;
}

/** How a sink fares; what is kept over a restart. `leftMs` is the time until the next attempt. */
export interface SinkStanding {
  readonly state: "ready" | "retrying" | "open" | "disabled";
  /** Failed attempts in a row. */
  readonly failures: number;
  readonly leftMs: number;
  readonly notedTime: number;
  readonly lastError: string | null;
  readonly lastErrorTime: number | null;
}

/** Deliveries that were given up for want of room. */
export interface Dropped {
  readonly sink: string;
  readonly count: number;
}

export class Outbox {
  readonly #db: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  #sinks: readonly { readonly name: string; readonly rank: number }[] = [];
  readonly #limits: OutboxLimits;
  /** Sinks that have their row. */
  readonly #known = new Set<string>();
  /** Dead letters there are, and alerts that were given up since the start. */
  #dead = 0;
  #dropped = 0;
  /** What is owed, by sink. */
  readonly #totals = new Map<string, { rows: number; bytes: number }>();

  constructor(db: DatabaseSync, sinks: readonly (string | SinkTerms)[], limits: OutboxLimits) {
    this.#db = db;
    this.#statements = prepare(db);
    this.use(sinks);
    this.#limits = limits;
    this.recount();
  }

  /** From here on alerts are owed to these; {@linkcode present} settles what was owed to others. */
  use(sinks: readonly (string | SinkTerms)[]): void {
    this.#sinks = sinks.map((sink) =>
      typeof sink === "string"
        ? { name: sink, rank: 0 }
        : { name: sink.name, rank: SEVERITIES.indexOf(sink.minSeverity) }
    );
  }

  /** How many deliveries are owed now to the sinks that there are. */
  get owed(): number {
    return this.#sinks.reduce((sum, { name }) => sum + (this.#totals.get(name)?.rows ?? 0), 0);
  }

  get dead(): number {
    return this.#dead;
  }

  /** Since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** What is owed to one sink. */
  backlog(sink: string): { readonly rows: number; readonly bytes: number } {
    return this.#totals.get(sink) ?? { rows: 0, bytes: 0 };
  }

  /**
   * Sees to it that operators see every sink that there is, and settles what is owed to those that are not configured:
   * that becomes dead letters, all of it, and what became so before is owed again to a sink that is back. Gives what
   * became dead letters.
   */
  present(): { readonly sink: string; readonly count: number }[] {
    for (const { name } of this.#sinks) this.#know(name);
    const sinks = JSON.stringify(this.#sinks.map(({ name }) => name)), s = this.#statements;
    const buried = [...s.orphans.iterate({ sinks })].map((row) => ({
      sink: row["sink"] as string,
      count: row["n"] as number,
    }));
    if (buried.length > 0) s.buryOrphans.run({ sinks, reason: NOT_CONFIGURED });
    const revived = Number(s.reviveOrphans.run({ sinks, reason: NOT_CONFIGURED }).changes);
    s.retire.run({ sinks, reason: NOT_CONFIGURED });
    s.returned.run({ sinks, reason: NOT_CONFIGURED });
    if (buried.length > 0 || revived > 0) this.recount();
    return buried;
  }

  /** Counts anew what is owed, as after a transaction that was undone. */
  recount(): void {
    this.#known.clear();
    this.#dead = this.#db.prepare("SELECT count(*) AS n FROM alert_deliveries WHERE state = 'dead'")
      .get()!["n"] as number;
    this.#totals.clear();
    const rows = this.#db.prepare(
      `SELECT sink, count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM alert_deliveries WHERE state = 'pending' GROUP BY sink`,
    ).iterate();
    for (const { sink, n, bytes } of [...rows]) {
      this.#totals.set(sink as string, { rows: n as number, bytes: bytes as number });
    }
  }

  /** Owes an alert to every sink that it is for. Gives what had to go for it. */
  owe(alert: Alert, bytes: number): Dropped[] {
    const dropped: Dropped[] = [], rank = SEVERITIES.indexOf(alert.severity);
    for (const { name: sink, rank: least } of this.#sinks) {
      if (rank < least) continue;
      this.#statements.insert.run(alert.alertId, sink, rank, bytes, alert.detectedTime);
      this.#count(sink, 1, bytes);
      const count = this.#makeRoom(sink);
      if (count > 0) dropped.push({ sink, count });
    }
    return dropped;
  }

  /** What is owed to a sink, the most severe first, of those the oldest. */
  pending(sink: string, limit: number): PendingDelivery[] {
    return [...this.#statements.pending.iterate(sink, limit)].map((row) => ({
      deliveryId: row["delivery_id"] as number,
      alert: alertOfRow(row as Record<string, SqlValue>),
    }));
  }

  /**
   * Ids of the oldest owed of each severity: one write that a crash left unnoted is of these, whatever came since and is
   * delivered before them.
   */
  heads(sink: string, limit: number): { readonly deliveryId: number; readonly alertId: string }[] {
    return SEVERITIES.flatMap((_, rank) =>
      [...this.#statements.head.iterate(sink, rank, limit)].map((row) => ({
        deliveryId: row["delivery_id"] as number,
        alertId: row["alert_id"] as string,
      }))
    );
  }

  /** These deliveries of a sink were made. */
  delivered(sink: string, deliveryIds: readonly number[], now: number): void {
    let count = 0;
    for (const id of deliveryIds) if (this.#end(sink, id, "done", now, null)) count += 1;
    if (count > 0) this.#tally(sink, { delivered: count }, now);
  }

  /** An attempt for these failed; they stay owed. */
  failed(sink: string, deliveryIds: readonly number[]): void {
    for (const id of deliveryIds) this.#statements.attempt.run(id);
    this.#know(sink);
    this.#statements.failed.run(sink);
  }

  /** The sink will never take this one. */
  bury(sink: string, deliveryId: number, reason: string): void {
    if (!this.#end(sink, deliveryId, "dead", null, reason)) return;
    this.#tally(sink, { refused: 1 }, null);
    this.#dead += 1;
    const surplus = [...this.#statements.oldDead.iterate(sink, DROP_ROWS, MAX_DEAD)];
    for (const row of surplus) this.#statements.giveUp.run("there were more dead letters than are kept", row["id"]!);
    if (surplus.length === 0) return;
    this.#dead -= surplus.length;
    this.#tally(sink, { dropped: surplus.length }, null);
  }

  /** Owes dead letters again: one by its alert, or all of a sink. How many. */
  retryDead(sink: string, alertId: string | null): number {
    return this.#eachDead(sink, alertId, (id, bytes) => {
      this.#statements.revive.run(id);
      this.#count(sink, 1, bytes);
    });
  }

  /** Gives dead letters up for good: one by its alert, or all of a sink. How many. */
  dropDead(sink: string, alertId: string | null, reason: string): number {
    const count = this.#eachDead(sink, alertId, (id) => this.#statements.giveUp.run(reason, id));
    if (count === 0) return 0; // nor does a name that no sink ever had become one
    this.#tally(sink, { dropped: count }, null);
    return count;
  }

  standing(sink: string): SinkStanding | null {
    const row = this.#statements.standing.get(sink);
    return row === undefined ? null : {
      state: row["state"] as SinkStanding["state"],
      failures: row["failures"] as number,
      leftMs: row["left_ms"] as number,
      notedTime: row["noted_time"] as number,
      lastError: row["last_error"] as string | null,
      lastErrorTime: row["last_error_time"] as number | null,
    };
  }

  keepStanding(sink: string, standing: SinkStanding): void {
    const { state, failures, leftMs, notedTime, lastError, lastErrorTime } = standing;
    this.#know(sink);
    this.#statements.keepStanding.run(state, failures, Math.ceil(leftMs), notedTime, lastError, lastErrorTime, sink);
  }

  #eachDead(sink: string, alertId: string | null, act: (deliveryId: number, bytes: number) => void): number {
    const rows = [...this.#statements.dead.iterate({ sink, alert: alertId })];
    for (const row of rows) act(row["id"] as number, row["bytes"] as number);
    this.#dead -= rows.length;
    return rows.length;
  }

  /** A delivery is owed no more. False when it was not. */
  #end(
    sink: string,
    id: number,
    state: "done" | "dead" | "dropped",
    time: number | null,
    reason: string | null,
  ): boolean {
    const row = this.#statements.end.get(state, time, reason, id);
    if (row === undefined) return false;
    this.#count(sink, -1, -(row["bytes"] as number));
    return true;
  }

  #know(sink: string): void {
    if (this.#known.has(sink)) return;
    this.#statements.putSink.run(sink);
    this.#known.add(sink);
  }

  #tally(sink: string, counts: { delivered?: number; refused?: number; dropped?: number }, time: number | null): void {
    this.#know(sink);
    this.#statements.tally.run({ sink, delivered: 0, refused: 0, dropped: 0, ...counts, time });
  }

  #count(sink: string, rows: number, bytes: number): void {
    const total = this.#totals.get(sink);
    if (total === undefined) this.#totals.set(sink, { rows, bytes });
    else {
      total.rows += rows;
      total.bytes += bytes;
    }
  }

  #makeRoom(sink: string): number {
    const { rows, bytes } = this.#limits, total = this.#totals.get(sink)!;
    if (total.rows <= rows && total.bytes <= bytes) return 0;
    const spare = Math.min(DROP_ROWS, Math.floor(rows / 100));
    const isFull = (): boolean => total.rows > rows - spare || total.bytes > bytes;
    let count = 0;
    for (let rank = 0; rank < SEVERITIES.length; rank++) {
      while (isFull()) {
        const oldest = [...this.#statements.head.iterate(sink, rank, DROP_ROWS)];
        for (const row of oldest) {
          if (!isFull()) break;
          this.#end(sink, row["delivery_id"] as number, "dropped", null, "the backlog of its sink was full");
          count += 1;
        }
        if (oldest.length < DROP_ROWS) break;
      }
    }
    this.#dropped += count;
    this.#tally(sink, { dropped: count }, null);
    return count;
  }
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  const columns = tableNamed("alerts").columns.map((column) => `a.${column.name}`).join(", ");
  return {
    insert: db.prepare(
      `INSERT INTO alert_deliveries (alert_id, sink, state, severity, bytes, added_time) VALUES (?, ?, 'pending', ?, ?, ?)`,
    ),
    pending: db.prepare(
      `SELECT d.delivery_id, ${columns} FROM alert_deliveries d JOIN alerts a ON a.alert_id = d.alert_id
       WHERE d.state = 'pending' AND d.sink = ? ORDER BY d.severity DESC, d.delivery_id LIMIT ?`,
    ),
    head: db.prepare(
      `SELECT delivery_id, alert_id FROM alert_deliveries
       WHERE state = 'pending' AND sink = ? AND severity = ? ORDER BY delivery_id LIMIT ?`,
    ),
    end: db.prepare(
      `UPDATE alert_deliveries SET state = ?, attempts = attempts + 1, delivered_time = ?, reason = ?
       WHERE delivery_id = ? AND state = 'pending' RETURNING bytes`,
    ),
    attempt: db.prepare("UPDATE alert_deliveries SET attempts = attempts + 1 WHERE delivery_id = ?"),
    dead: db.prepare(
      `SELECT delivery_id AS id, bytes FROM alert_deliveries
       WHERE state = 'dead' AND sink = $sink AND ($alert IS NULL OR alert_id = $alert)`,
    ),
    oldDead: db.prepare(
      `SELECT delivery_id AS id FROM alert_deliveries WHERE state = 'dead' AND sink = ?
       ORDER BY delivery_id DESC LIMIT ? OFFSET ?`,
    ),
    orphans: db.prepare(
      `SELECT sink, count(*) AS n FROM alert_deliveries
       WHERE state = 'pending' AND sink NOT IN (SELECT value FROM json_each($sinks)) GROUP BY sink`,
    ),
    buryOrphans: db.prepare(
      `UPDATE alert_deliveries SET state = 'dead', reason = $reason
       WHERE state = 'pending' AND sink NOT IN (SELECT value FROM json_each($sinks))`,
    ),
    reviveOrphans: db.prepare(
      `UPDATE alert_deliveries SET state = 'pending', reason = NULL
       WHERE state = 'dead' AND reason = $reason AND sink IN (SELECT value FROM json_each($sinks))`,
    ),
    // A wait of a sink that nobody tries would be shown for good
    retire: db.prepare(
      `UPDATE alert_sinks SET state = 'disabled', failures = 0, left_ms = 0, last_error = $reason
       WHERE sink NOT IN (SELECT value FROM json_each($sinks))`,
    ),
    returned: db.prepare(
      `UPDATE alert_sinks SET state = 'ready', last_error = NULL, last_error_time = NULL
       WHERE last_error = $reason AND sink IN (SELECT value FROM json_each($sinks))`,
    ),
    revive: db.prepare("UPDATE alert_deliveries SET state = 'pending', reason = NULL WHERE delivery_id = ?"),
    giveUp: db.prepare("UPDATE alert_deliveries SET state = 'dropped', reason = ? WHERE delivery_id = ?"),
    putSink: db.prepare(
      `INSERT INTO alert_sinks (sink, state, failures, left_ms, noted_time, delivered, failed, refused, dropped)
       VALUES (?, 'ready', 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING`,
    ),
    standing: db.prepare("SELECT * FROM alert_sinks WHERE sink = ?"),
    keepStanding: db.prepare(
      `UPDATE alert_sinks SET state = ?, failures = ?, left_ms = ?, noted_time = ?, last_error = ?, last_error_time = ?
       WHERE sink = ?`,
    ),
    failed: db.prepare("UPDATE alert_sinks SET failed = failed + 1 WHERE sink = ?"),
    tally: db.prepare(
      `UPDATE alert_sinks SET delivered = delivered + $delivered, refused = refused + $refused,
         dropped = dropped + $dropped, last_delivered_time = coalesce($time, last_delivered_time) WHERE sink = $sink`,
    ),
  } satisfies Record<string, StatementSync>;
}
