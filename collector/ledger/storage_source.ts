/**
 * The ledger's own directory as a source of its files.
 *
 * @module
 */
import type { LedgerSource } from "../../proto/ledger/segment_stream.ts";
import { type Storage, StorageError, type StorageFile } from "../wal/storage.ts";

export class StorageSource implements LedgerSource, Disposable {
  readonly #open = new Map<string, StorageFile | null>();

  constructor(private readonly storage: Storage) {}

  names(): readonly string[] {
    return this.storage.list().map(({ name }) => name);
  }

  size(name: string): number | null {
    return this.#file(name)?.size() ?? null;
  }

  read(name: string, position: number, into: Uint8Array): number {
    return this.#file(name)?.readAt(position, into) ?? 0;
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file?.close();
    this.#open.clear();
  }

  #file(name: string): StorageFile | null {
    let file = this.#open.get(name);
    if (file === undefined) {
      // A ledger of years has more files than a process may have open; those that are read are the newest asked for.
      if (this.#open.size >= MAX_OPEN) this[Symbol.dispose]();
      file = this.#found(name);
      this.#open.set(name, file);
    }
    return file;
  }

  #found(name: string): StorageFile | null {
    try {
      return this.storage.open(name);
    } catch (error) {
      if (error instanceof StorageError && error.fault === "missing") return null;
      throw error;
    }
  }
}

const MAX_OPEN = 64;
