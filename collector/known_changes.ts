/**
 * Which living processes differ from what the file of the last known table says.
 *
 * A process that begins and ends between two writings never gets there: a storm of short ones costs the file nothing.
 *
 * @module
 */

import type { TrackedProcess } from "./tracked_process.ts";

export interface KnownChange {
  /** Processes that the file does not have, or has otherwise. */
  readonly begun: readonly TrackedProcess[];
  /** Processes that the file has and that have ended. */
  readonly ended: readonly TrackedProcess[];
}

export class KnownChanges {
  /** Those that have ended since are left out when it is taken. */
  #begun: TrackedProcess[] = [];
  #ended: TrackedProcess[] = [];

  /** A living process was reported, or something that the file keeps of it has changed. */
  changed(process: TrackedProcess): void {
    if (process.isChanged) return;
    process.isChanged = true;
    this.#begun.push(process);
  }

  ended(process: TrackedProcess): void {
    process.isChanged = false;
    if (process.isWritten) this.#ended.push(process);
    process.isWritten = false;
  }

  /** Hands out what has changed since the last time; whoever takes it writes it. */
  take(): KnownChange {
    if (this.#begun.length === 0 && this.#ended.length === 0) return NO_CHANGE;
    const change = { begun: this.#begun.filter((process) => process.isChanged), ended: this.#ended };
    for (const process of change.begun) {
      process.isWritten = true;
      process.isChanged = false;
    }
    this.#begun = [];
    this.#ended = [];
    return change;
  }
}

const NO_CHANGE: KnownChange = { begun: [], ended: [] };
