/**
 * What an earlier run left in the log and did not enter into the ledger: it is under digests before anything of this run.
 *
 * Until that is done no digest and no note is entered: one of later numbers would pass for all before it, and a note that
 * is in the ledger already would be entered again.
 *
 * @module
 */
import type { StatedAction, Statements } from "../../proto/ledger/statement.ts";
import type { WriteAheadLog } from "../wal/log.ts";
import { type Storage, StorageError } from "../wal/storage.ts";
import type { Coverage, NumberRange, ReadLog } from "./coverage.ts";
import type { Ledger } from "./ledger.ts";
import type { NoteBook } from "./note_book.ts";
import { recollect } from "./recollection.ts";

/** After a fault of the disk. */
const TRY_MS = 10_000;

export interface BacklogOptions {
  readonly coverage: Coverage;
  readonly notes: NoteBook;
  readonly log: () => WriteAheadLog;
  readonly say: <A extends StatedAction>(action: A, value: Statements[A]) => void;
  readonly notice: (text: string) => void;
  /** Milliseconds that never go back, and of the day. */
  readonly elapsed: () => number;
  readonly now: () => number;
}

export class Backlog {
  readonly #options: BacklogOptions;
  #state: "open" | "settling" | "settled" = "open";
  /** Of which epoch it is, how far it is under digests, and how far it goes. */
  #epoch = "";
  #after = -1;
  #last = 0;
  /** Kept over tries: a file that fails for good is lost for it too, in the end. */
  #read: ReadLog | null = null;
  #tryAt = -Infinity;
  #fault = "";

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  get isSettled(): boolean {
    return this.#state === "settled";
  }

  /** Enters what there is, unless it is being entered or just failed; to be called again until it is settled. */
  async settle(ledger: Ledger, storage: Storage): Promise<void> {
    const { elapsed, notice } = this.#options;
    if (this.#state !== "open" || elapsed() < this.#tryAt) return;
    this.#state = "settling";
    try {
      const isDone = await this.#enter(ledger, storage);
      this.#state = isDone ? "settled" : "open";
    } catch (error) {
      this.#state = "open";
      if (!(error instanceof StorageError)) throw error;
      this.#tryAt = elapsed() + TRY_MS;
      const fault = `what the last run left cannot be entered yet: ${error.message}; it is tried again by itself`;
      if (fault !== this.#fault) notice(`ledger: ${fault}`);
      this.#fault = fault;
    }
  }

  /** Says no when it is to be tried again. @throws StorageError */
  async #enter(ledger: Ledger, storage: Storage): Promise<boolean> {
    const { coverage, notes, say, now } = this.#options, log = this.#options.log();
    if (this.#after < 0) {
      const found = await recollect(storage, ledger.status.durable, ledger.header.segmentEntries);
      notes.remember(found.notes);
      this.#epoch = log.identity.epoch;
      this.#last = log.foundLast;
      this.#read = log.apart();
      // No digest of this log, though it may be an old one: of what the agent has, nobody knows whether it is under one.
      this.#after = found.covered.get(this.#epoch) ?? (found.isWhole ? 0 : log.acknowledged);
    }
    // Told before the digest behind it: a crash in between leaves it to be told again.
    const lost = (missing: readonly NumberRange[]): void => {
      if (missing.length === 0) return;
      const count = missing.reduce((sum, { first, last }) => sum + last - first + 1, 0), time = now();
      const numbers = `numbers ${missing[0]!.first} to ${missing.at(-1)!.last} of epoch ${this.#epoch}`;
      const what = `${numbers}: the log has them no more, so no digest covers them`;
      say("suppressed", { what, count, from: time, to: time });
    };
    if (log.identity.epoch === this.#epoch) {
      // What was found and is not on disk yet may be lost once more, and its numbers be given out again.
      if (log.durable < log.foundLast) return false;
      for await (const { missing, digest, upTo } of coverage.catchUp(log, this.#read!, this.#after)) {
        lost(missing);
        if (digest !== null) say("events", digest);
        this.#after = upTo;
      }
    } else if (this.#after < this.#last) lost([{ first: this.#after + 1, last: this.#last }]);
    return true;
  }
}
