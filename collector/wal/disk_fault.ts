/**
 * What keeps the log from being written: told when it begins and when it is over, and tried again less and less often.
 *
 * @module
 */
import type { StorageError, StorageFault } from "./storage.ts";

const FIRST_RETRY_MS = 100, LAST_RETRY_MS = 30_000;

export class DiskFault {
  /** Why nothing is written now, or empty. */
  text = "";
  #retryAt = 0;
  #retryMs = FIRST_RETRY_MS;

  constructor(private readonly notice: (text: string) => void) {}

  /** Whether the disk may be asked. */
  isDue(now: number): boolean {
    return this.text === "" || now >= this.#retryAt;
  }

  began({ fault, message }: StorageError, now: number): void {
    const text = `${WORDS[fault]}: ${message}`;
    if (this.text === "") {
      const waiting = "events wait in memory, and what finds no room there is counted";
      this.notice(`write-ahead log: ${text}; ${waiting}; ${MEND[fault]}`);
    }
    this.text = text;
    this.#retryAt = now + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  over(): void {
    if (this.text === "") return;
    this.text = "";
    this.#retryMs = FIRST_RETRY_MS;
    this.notice("write-ahead log: the disk takes records again");
  }
}

const WORDS: Readonly<Record<StorageFault, string>> = {
  "no-space": "the disk is full",
  "io": "the disk fails",
  "exists": "a name is taken",
  "missing": "a file has gone",
  "not-a-file": "a file was replaced",
  "other": "the log cannot be written",
};

const MEND: Readonly<Record<StorageFault, string>> = {
  "no-space": "make room, and the log goes on by itself",
  "io": "look into the kernel's log for errors of the device",
  "exists": "look who writes into the log's directory",
  "missing": "look who writes into the log's directory",
  "not-a-file": "look who writes into the log's directory",
  "other": "the log tries again by itself",
};
