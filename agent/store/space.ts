/**
 * How much of the database's file is in use, and giving back what is not.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

/**
 * Pages given back in one step, and the time after which it ends all the same. To move one out of the way of the file's
 * end writes some pages to the log.
 */
const STEP_PAGES = 128;
const STEP_MS = 4;
/** Free pages that are left alone: what arrives next takes them. */
const MIN_SLACK_BYTES = 4 << 20;
const SLACK_SHARE = 16;

export class Space {
  readonly #db: DatabaseSync;
  readonly #pages: StatementSync;
  readonly #free: StatementSync;
  readonly #pageBytes: number;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#pages = db.prepare("SELECT page_count AS n FROM pragma_page_count");
    this.#free = db.prepare("SELECT freelist_count AS n FROM pragma_freelist_count");
    this.#pageBytes = db.prepare("SELECT page_size AS n FROM pragma_page_size").get()!["n"] as number;
  }

  /** Bytes of the pages that hold something. */
  get usedBytes(): number {
    return (this.#count(this.#pages) - this.#count(this.#free)) * this.#pageBytes;
  }

  get freeBytes(): number {
    return this.#count(this.#free) * this.#pageBytes;
  }

  /** Gives some free pages back to the file system, when there are more than a few. Whether more are to go. */
  giveBack(): boolean {
    const slack = Math.max(MIN_SLACK_BYTES, this.usedBytes / SLACK_SHARE), free = this.freeBytes;
    if (free <= slack) return false;
    const pages = Math.min(STEP_PAGES, Math.ceil((free - slack) / this.#pageBytes));
    const end = performance.now() + STEP_MS;
    // A step of the statement gives one page back, and exec() of Deno 2.9.6 takes but one
    for (const _ of this.#db.prepare(`PRAGMA incremental_vacuum(${pages})`).iterate()) {
      if (performance.now() >= end) break;
    }
    // None went: a store of a file that was not made for it
    return this.freeBytes < free;
  }

  #count(statement: StatementSync): number {
    return statement.get()!["n"] as number;
  }
}
