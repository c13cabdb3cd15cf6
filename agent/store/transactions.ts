/**
 * Transactions of the store: all of a change or nothing, and what is remembered in memory follows what is on disk.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { StoreError, storeError } from "./store_error.ts";

/** Who remembers something of what is in the tables. */
export interface Remembering {
  /** A transaction is durable. */
  committed(): void;
  /** What is remembered must not be of a transaction that was undone. */
  undone(): void;
}

export class Transactions {
  constructor(
    private readonly db: DatabaseSync,
    private readonly path: string,
    private readonly remembering: Remembering,
  ) {}

  /** `done` runs once the transaction is durable. @throws StoreError, and then nothing is changed */
  run<T>(what: string, body: () => T, done: () => void = () => {}): T {
    let result: T;
    try {
      this.db.exec("BEGIN IMMEDIATE");
      result = body();
      this.db.exec("COMMIT");
    } catch (error) {
      try {
        if (this.db.isTransaction) this.db.exec("ROLLBACK");
      } catch {
        // SQLite rolled it back itself, as it does on a full disk; the first fault is the one to tell
      }
      this.remembering.undone();
      throw error instanceof StoreError ? error : storeError(what, this.path, error);
    }
    this.remembering.committed();
    done();
    return result;
  }

  /** @throws StoreError */
  reading<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw storeError("The store cannot be read", this.path, error);
    }
  }

  /** The same for rows that are read as they are wanted. @throws StoreError */
  *readingEach<T>(rows: () => Iterable<T>): Generator<T> {
    try {
      yield* rows();
    } catch (error) {
      throw storeError("The store cannot be read", this.path, error);
    }
  }
}
