/**
 * Keeps the log's {@link StateFile | state file} true: what must be remembered is put on disk, again a little later where
 * the disk refused, and how far the log has come is hinted at now and then.
 *
 * @module
 */
import { STATE_NAME, StateFile, type WalState } from "./state_file.ts";
import { type Storage, StorageError } from "./storage.ts";

const RETRY_MS = 100;
/** A hint of how far the log has come is given when one of these has passed; a restart writes the rest again. */
const HINT_MS = 1_000, HINT_BYTES = 2_097_152;

export class StateKeeper {
  /** Whether something is to be put on disk that is not there: refusals that were counted. */
  hasNews = false;
  /** Times that the disk refused. */
  faults = 0;
  #file: StateFile;
  #retryAt = 0;
  #hint = { time: -Infinity, bytes: 0, progress: 0 };

  /** @param describe what is to be remembered now */
  constructor(
    private readonly storage: Storage,
    private readonly clock: () => number,
    private readonly describe: () => WalState,
  ) {
    this.#file = StateFile.absent(storage);
  }

  /**
   * Makes the file anew, since what can be read of the old one may be in memory only, as with the log's end. On a disk
   * that has no room for that the old one must do.
   *
   * @param generations of the file that was found, `null` when there was none
   */
  open(generations: readonly number[] | null): void {
    if (this.save()) return;
    this.hasNews = true;
    if (generations === null || this.#file.unsure) return;
    try {
      this.#file = StateFile.reuse(this.storage, this.storage.open(STATE_NAME), generations);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    }
  }

  /** Whether the disk may be asked: it refused long enough ago, if it did. */
  isDue(now: number): boolean {
    return now >= this.#retryAt;
  }

  /** Returns whether it is on disk now. */
  save(): boolean {
    try {
      this.#file.save(this.describe());
      this.hasNews = false;
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.faults += 1;
      this.#retryAt = this.clock() + RETRY_MS;
      return false;
    }
  }

  /**
   * Now and then: a write to a second file makes the next sync of the first wait for the file system's journal.
   *
   * @param bytes of the log
   * @param progress grows when there is anything to say
   */
  hint(now: number, bytes: number, progress: number): void {
    const isDue = now - this.#hint.time >= HINT_MS || bytes - this.#hint.bytes >= HINT_BYTES;
    if (!isDue || progress === this.#hint.progress) return;
    this.#hint = { time: now, bytes, progress };
    this.#file.hint(this.describe());
  }

  close(): void {
    this.#file.close();
  }
}
