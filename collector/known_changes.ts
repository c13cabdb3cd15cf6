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
  #begun = new Set<TrackedProcess>();
  #ended: TrackedProcess[] = [];

  /** A living process was reported, or something that the file keeps of it has changed. */
  changed(process: TrackedProcess): void {
    this.#begun.add(process);
  }

  ended(process: TrackedProcess): void {
    this.#begun.delete(process);
    if (process.isWritten) this.#ended.push(process);
    process.isWritten = false;
  }

  /** Hands out what has changed since the last time; whoever takes it writes it. */
  take(): KnownChange {
    const change = { begun: [...this.#begun], ended: this.#ended };
    for (const process of change.begun) process.isWritten = true;
    if (this.#begun.size > 0) this.#begun = new Set();
    if (this.#ended.length > 0) this.#ended = [];
    return change;
  }
}
