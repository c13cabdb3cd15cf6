/**
 * Keeps account of what retention removed, in the table `retention` that operators see.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

export type RemovalReason = "age" | "size";

/** Rows that went; `null` times where nothing is known of them. */
export interface Removal {
  readonly table: string;
  readonly reason: RemovalReason;
  readonly count: number;
  readonly from: number | null;
  readonly to: number | null;
}

const DAY_MS = 86_400_000;

export class Removals {
  readonly #extend: StatementSync;
  readonly #insert: StatementSync;

  constructor(db: DatabaseSync) {
    // One row a day for each table and reason keeps this table small for centuries.
    this.#extend = db.prepare(
      `UPDATE retention SET time = $time, count = count + $count,
         from_time = coalesce(min(from_time, $from), from_time, $from), to_time = coalesce(max(to_time, $to), to_time, $to)
       WHERE removal_id = (SELECT max(removal_id) FROM retention WHERE table_name = $table AND reason = $reason)
         AND time BETWEEN $day AND $day + ${DAY_MS - 1}`,
    );
    this.#insert = db.prepare(
      `INSERT INTO retention (time, table_name, from_time, to_time, count, reason)
       VALUES ($time, $table, $from, $to, $count, $reason)`,
    );
  }

  /** Within the transaction that removes. */
  add({ table, reason, count, from, to }: Removal, now: number): void {
    const values = { time: now, table, reason, count, from, to };
    const day = Math.floor(now / DAY_MS) * DAY_MS;
    if (this.#extend.run({ ...values, day }).changes === 0) this.#insert.run(values);
  }
}

/** Sums up removals of one step by reason. */
export class Tally {
  readonly #sums = new Map<RemovalReason, { count: number; from: number; to: number }>();

  note(reason: RemovalReason, time: number): void {
    const sum = this.#sums.get(reason);
    if (sum === undefined) this.#sums.set(reason, { count: 1, from: time, to: time });
    else {
      sum.count += 1;
      sum.from = Math.min(sum.from, time);
      sum.to = Math.max(sum.to, time);
    }
  }

  of(table: string): Removal[] {
    return [...this.#sums].map(([reason, sum]) => ({ table, reason, ...sum }));
  }
}
