/**
 * Hashes of files by what tells one version of a file from the next: device, inode, size and both times.
 *
 * The time of the inode's change is set by the kernel with every write and cannot be set back by a program, so the same
 * five numbers mean the same bytes, but for a write in the very tick of the first look: a file that changed so lately is
 * not kept.
 *
 * @module
 */
import type { FileFacts } from "./file_calls.ts";

/** Of some 250 bytes each. */
const MAX_ENTRIES = 16_384;
/** Kernels before 6.13 have such times in ticks of at most 10 ms. */
export const TICK_MS = 20;

export interface FileHash {
  readonly hash: string;
  readonly fuzzyHash: string | null;
}

export class HashCache {
  readonly #entries = new Map<string, FileHash>();
  readonly #limit: number;

  constructor(limit = MAX_ENTRIES) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(facts: FileFacts): FileHash | null {
    const key = keyOf(facts), found = this.#entries.get(key);
    if (found === undefined) return null;
    // To the end of the order: the first is the one that was longest without use.
    this.#entries.delete(key);
    this.#entries.set(key, found);
    return found;
  }

  put(facts: FileFacts, hash: FileHash): void {
    if (this.#entries.size >= this.#limit) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(keyOf(facts), hash);
  }
}

/** Whether a file that was looked at at a Unix time (milliseconds) can have changed since without a trace in its times. */
export function isSettled({ changeTime }: FileFacts, lookedAt: number): boolean {
  return changeTime / 1e6 + TICK_MS < lookedAt;
}

/** Whether two looks at a file saw the same version of it. */
export function isSameVersion(a: FileFacts, b: FileFacts): boolean {
  return keyOf(a) === keyOf(b);
}

function keyOf({ device, inode, size, modifyTime, changeTime }: FileFacts): string {
  return `${device} ${inode} ${size} ${modifyTime} ${changeTime}`;
}
