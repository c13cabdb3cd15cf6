/**
 * Decides when the write-ahead log is moved into the database: while nothing else is to do, or before it grows too long.
 *
 * SQLite's own way is inside whichever commit passes a limit, which then takes 20 to 80 ms and delays an alert.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** A log that a move does not shorten is pinned by a reader; this size is worth a word. */
export const PINNED_LOG_BYTES = 256 << 20;
/** Without commits for this long, there is time for it. */
const IDLE_MS = 500;
/** A quiet host makes a few events a second for ever: a small log waits, so that not every event costs two syncs. */
const IDLE_SMALL_MS = 10_000;
const SMALL_LOG_BYTES = 4 << 20;
/** Between two attempts that are forced by size: a pinned log must not cost every commit an attempt. */
const FORCED_INTERVAL_MS = 1_000;

/** What a look at the log came to. */
export type CheckpointOutcome = "nothing" | "moved" | "partly";

export class Checkpointer {
  readonly #checkpoint: StatementSync;
  readonly #logPath: string;
  readonly #maxLogBytes: number;
  #lastCommit = 0;
  #lastAttempt = 0;
  #dirty = false;
  #logBytes = 0;

  /** `maxLogBytes`: longest log before it is moved even though events keep coming. */
  constructor(db: DatabaseSync, storePath: string, maxLogBytes: number) {
    this.#checkpoint = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
    this.#logPath = storePath + "-wal";
    this.#maxLogBytes = maxLogBytes;
  }

  /** Size of the log's file, as last seen. */
  get logBytes(): number {
    return this.#logBytes;
  }

  /** To be called after every commit; `now` is a clock that does not jump, in milliseconds. */
  committed(now: number): void {
    this.#dirty = true;
    this.#lastCommit = now;
  }

  /** To be called often (a few times a second); moves the log when that is due. @throws Error of SQLite. */
  tick(now: number): CheckpointOutcome {
    if (!this.#dirty) return "nothing";
    this.#logBytes = Deno.statSync(this.#logPath).size;
    const idleFor = now - this.#lastCommit;
    const idle = this.#logBytes > SMALL_LOG_BYTES
      ? idleFor >= IDLE_MS
      : idleFor >= IDLE_MS && now - this.#lastAttempt >= IDLE_SMALL_MS;
    const forced = this.#logBytes > this.#maxLogBytes && now - this.#lastAttempt >= FORCED_INTERVAL_MS;
    if (!idle && !forced) return "nothing";
    this.#lastAttempt = now;
    const { busy, log, checkpointed } = this.#checkpoint.get() as Record<"busy" | "log" | "checkpointed", number>;
    if (busy !== 0 || log !== checkpointed) return "partly";
    this.#dirty = false;
    return "moved";
  }
}
