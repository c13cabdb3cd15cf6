/**
 * Decides when the write-ahead log is moved into the database: while nothing else is to do, or before it grows too long.
 *
 * SQLite's own way is inside whichever commit passes a limit, which then takes 20 to 80 ms and delays an alert.
 *
 * The log begins again at its start only when no reader is in it at that moment. Readers that come and go may leave no
 * such moment, however short each stays: ten of them made the log grow by 30 MB a second. So where it has become twice as
 * long as it may be, commits wait for the readers of that moment to leave; those that come then read the database alone.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { BUSY_TIMEOUT_MS } from "./database.ts";

/** A log that a move does not shorten is pinned by a reader; this size is worth a word. */
export const PINNED_LOG_BYTES = 256 << 20;
/** Without commits for this long, there is time for it. */
const IDLE_MS = 500;
/** A quiet host makes a few events a second for ever: a few rows wait, so that not every event costs two syncs. */
const IDLE_SMALL_MS = 10_000;
/** Some megabytes of the log. */
const FEW_ROWS = 2_000;
/** Between two attempts that are forced by size: a pinned log must not cost every commit an attempt. */
const FORCED_INTERVAL_MS = 1_000;
/** So many times as long as it may be, the log is worth waiting for its readers. */
const CROWDED = 2;
/**
 * So many times as long as the log may be, its file may stay while events come: no longer than readers that come and go
 * make it. To cut it falls to the commit that begins the log anew, which then takes 15 ms more, and so do those that make
 * it long again.
 */
const KEPT_FILE = 4;
/** The same while nothing else is to do: the log grows a little past its bound before anybody looks. */
const KEPT_IDLE = 1.5;
/** Before each page in the log. */
const FRAME_HEADER_BYTES = 24;
/** How long for those readers to leave: ten that export on two processors take 0.2 s. */
const READERS_LEAVE_MS = 500;
/** Until the next attempt where one stayed, twice as long each time: who asks for half a minute must not cost so much. */
const STAYED_MS = { first: 1_000, longest: 16_000 };

/** What a look at the log came to. */
export type CheckpointOutcome = "nothing" | "moved" | "partly";

export class Checkpointer {
  readonly #db: DatabaseSync;
  readonly #checkpoint: StatementSync;
  readonly #restart: StatementSync;
  readonly #truncate: StatementSync;
  readonly #look: StatementSync;
  readonly #frameBytes: number;
  #maxLogBytes = 0;
  #lastCommit = 0;
  #lastAttempt = 0;
  /** When waiting for readers is worth a try again. */
  #waitAgainAt = 0;
  #stayedMs = STAYED_MS.first;
  #dirty = false;
  /** Rows of events in what is to be moved. */
  #rows = 0;
  #logBytes = 0;
  /** Length of its file. */
  #fileBytes = 0;

  /** `maxLogBytes`: longest log before it is moved even though events keep coming. */
  constructor(db: DatabaseSync, maxLogBytes: number) {
    this.#db = db;
    this.#checkpoint = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
    this.#restart = db.prepare("PRAGMA wal_checkpoint(RESTART)");
    this.#truncate = db.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#look = db.prepare("PRAGMA wal_checkpoint(NOOP)");
    this.#frameBytes = FRAME_HEADER_BYTES + (db.prepare("PRAGMA page_size").get()!["page_size"] as number);
    this.limit(maxLogBytes);
  }

  /** From here on the log may be so long. */
  limit(maxLogBytes: number): void {
    this.#maxLogBytes = maxLogBytes;
    this.#db.exec(`PRAGMA journal_size_limit = ${Math.round(maxLogBytes * KEPT_FILE)}`);
  }

  /** Length of the log, as last seen; its file stays as long as it once was. */
  get logBytes(): number {
    return this.#logBytes;
  }

  /** Whether there is more to move than should wait long. */
  get isPressed(): boolean {
    return this.#dirty && this.#rows > FEW_ROWS;
  }

  /** To be called after every commit; `now` is a clock that does not jump, in milliseconds. */
  committed(now: number, rows: number): void {
    this.#dirty = true;
    this.#rows += rows;
    this.#lastCommit = now;
  }

  /**
   * Moves the log when that is due; to be called a few times a second while it {@linkcode isPressed}, and now and then
   * otherwise. @throws Error of SQLite.
   */
  tick(now: number): CheckpointOutcome {
    if (!this.#dirty) return "nothing";
    this.#logBytes = (this.#look.get()!["log"] as number) * this.#frameBytes;
    this.#fileBytes = Math.max(this.#fileBytes, this.#logBytes);
    const idleFor = now - this.#lastCommit;
    const idle = idleFor >= IDLE_MS && (this.isPressed || now - this.#lastAttempt >= IDLE_SMALL_MS);
    const forced = this.#logBytes > this.#maxLogBytes && now - this.#lastAttempt >= FORCED_INTERVAL_MS;
    if (!idle && !forced) return "nothing";
    this.#lastAttempt = now;
    let isMoved = idle && this.#fileBytes > KEPT_IDLE * this.#maxLogBytes
      ? this.#cut()
      : isWhole(this.#checkpoint.get());
    if (this.#logBytes > CROWDED * this.#maxLogBytes && now >= this.#waitAgainAt) {
      isMoved = this.#waitForReaders();
      this.#waitAgainAt = now + this.#stayedMs;
      this.#stayedMs = isMoved ? STAYED_MS.first : Math.min(STAYED_MS.longest, this.#stayedMs * 2);
    }
    if (!isMoved) return "partly";
    this.#dirty = false;
    this.#rows = 0;
    return "moved";
  }

  /** Moves all of the log and cuts its file; false when a reader is in it just now. */
  #cut(): boolean {
    const isCut = this.#waiting(0, () => isWhole(this.#truncate.get()));
    if (isCut) this.#fileBytes = 0;
    return isCut;
  }

  /** Moves all of the log and has the next commit begin it anew; false when a reader stayed in it. */
  #waitForReaders(): boolean {
    return this.#waiting(READERS_LEAVE_MS, () => isWhole(this.#restart.get()));
  }

  /** `act` waits so long for others. */
  #waiting(ms: number, act: () => boolean): boolean {
    this.#db.exec(`PRAGMA busy_timeout = ${ms}`);
    try {
      return act();
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
  }
}

function isWhole(answer: unknown): boolean {
  const { busy, log, checkpointed } = answer as Record<"busy" | "log" | "checkpointed", number>;
  return busy === 0 && log === checkpointed;
}
