/**
 * Analyses in the store: their rows are written anew as they go on, and the oldest go when there are too many.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ANALYSIS_TABLES } from "../../proto/analysis/tables.ts";
import type { StageRows } from "../../proto/analysis/stage.ts";

/** Analyses that are kept, and how many go at a time. */
const MAX_ANALYSES = 20_000;
const REMOVED_AT_ONCE = 50;

/** A process to be analysed. */
export interface ProcessTarget {
  readonly path: string | null;
  readonly execId: string | null;
  readonly name: string | null;
  readonly userName: string | null;
  readonly pid: number;
  readonly device: null;
  readonly inode: null;
  readonly hash: null;
  readonly eventId: null;
  readonly row: null;
}

/** Rows of analyses that go along with batches of events, in their transactions. */
export interface AnalysisRider {
  /** Whether there are any. */
  readonly isDue: boolean;
  /** Writes them; what is thrown costs them, and the batch only where the store itself is at fault. */
  put(tables: AnalysisTables): void;
  /** What was put is durable. */
  committed(): void;
  /** What was put was at fault itself, and is taken back. */
  refused(error: unknown): void;
}

export class AnalysisTables {
  readonly #db: DatabaseSync;
  readonly #insert: ReadonlyMap<string, StatementSync>;
  readonly #delete: readonly StatementSync[];
  readonly #max: number;

  constructor(db: DatabaseSync, max: number = MAX_ANALYSES) {
    this.#db = db;
    this.#max = max;
    this.#insert = new Map(
      ANALYSIS_TABLES.map(({ name, columns }) => [
        name,
        db.prepare(
          `INSERT INTO ${name} (${columns.map((column) => column.name).join(", ")})
           VALUES (${columns.map(() => "?").join(", ")})`,
        ),
      ]),
    );
    this.#delete = ANALYSIS_TABLES.map(({ name }) => db.prepare(`DELETE FROM ${name} WHERE analysis_id = ?`));
  }

  /** The number of the last analysis, 0 before the first. */
  last(): number {
    return this.#db.prepare("SELECT coalesce(max(analysis_id), 0) AS n FROM analyses").get()!["n"] as number;
  }

  /** Writes all rows of one analysis in the place of those that were there; within a transaction. */
  put(id: number, rows: StageRows): void {
    for (const statement of this.#delete) statement.run(id);
    for (const { name, columns } of ANALYSIS_TABLES) {
      for (const row of rows[name] ?? []) {
        this.#insert.get(name)!.run(...columns.map((column) => row[column.name] ?? null));
      }
    }
    this.#removeOldest(id);
  }

  /** A process that is alive, by its pid. */
  process(pid: number): ProcessTarget | null {
    const row = this.#db.prepare(
      `SELECT executable_path, exec_id, name, user_name FROM processes
       WHERE pid = ? AND end_time IS NULL ORDER BY rowid DESC LIMIT 1`,
    ).get(pid) as Record<string, string | null> | undefined;
    if (row === undefined) return null;
    const { executable_path: path = null, exec_id: execId = null, name = null, user_name: userName = null } = row;
    return { path, execId, name, userName, pid, device: null, inode: null, hash: null, eventId: null, row: null };
  }

  /** What a run before this one left under way did not end: it says so. */
  closeOpen(now: number): void {
    const reason = "the agent ended before it";
    for (const table of ["analyses", "analysis_stages"]) {
      this.#db.prepare(
        `UPDATE ${table} SET state = 'cancelled', reason = ?, ended_time = ? WHERE state IN ('running', 'pending')`,
      ).run(reason, now);
    }
  }

  #removeOldest(newest: number): void {
    const oldest = this.#db.prepare(
      "SELECT analysis_id AS id FROM analyses WHERE analysis_id <= ? ORDER BY analysis_id LIMIT ?",
    ).iterate(newest - this.#max, REMOVED_AT_ONCE);
    for (const { id } of [...oldest]) for (const statement of this.#delete) statement.run(id as number);
  }
}
