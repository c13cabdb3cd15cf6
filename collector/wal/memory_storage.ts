/**
 * Files in memory as the log's {@linkcode Storage}: what the collector works with while no disk takes its log.
 *
 * Nothing in it survives the process. It is as large as the log that is written into it, which bounds itself.
 *
 * @module
 */
import { type Storage, type StorageEntry, StorageError, type StorageFile } from "./storage.ts";

const FIRST_BYTES = 4_096;

export class MemoryStorage implements Storage {
  readonly #files = new Map<string, MemoryFile>();

  list(): StorageEntry[] {
    return [...this.#files].map(([name, file]) => ({ name, kind: "file" as const, size: file.size() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  create(name: string): StorageFile {
    if (this.#files.has(name)) throw new StorageError("exists", `${name} is there already`);
    const file = new MemoryFile();
    this.#files.set(name, file);
    return file;
  }

  open(name: string): StorageFile {
    return this.#file(name);
  }

  remove(name: string): void {
    this.#file(name);
    this.#files.delete(name);
  }

  rename(from: string, to: string): void {
    const file = this.#file(from);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  syncDirectory(): void {
    // nothing outlives the process
  }

  #file(name: string): MemoryFile {
    const file = this.#files.get(name);
    if (file === undefined) throw new StorageError("missing", `${name} is not there`);
    return file;
  }
}

class MemoryFile implements StorageFile {
  #bytes = new Uint8Array(FIRST_BYTES);
  #size = 0;

  size(): number {
    return this.#size;
  }

  readAt(position: number, into: Uint8Array): number {
    const piece = this.#bytes.subarray(Math.min(position, this.#size), Math.min(position + into.length, this.#size));
    into.set(piece);
    return piece.length;
  }

  writeAt(position: number, bytes: Uint8Array): number {
    const end = position + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, position);
    this.#size = Math.max(this.#size, end);
    return bytes.length;
  }

  syncData(): void {
    // nothing outlives the process
  }

  syncDataBeside(): Promise<void> {
    return Promise.resolve();
  }

  truncate(size: number): void {
    this.#bytes.fill(0, size);
    this.#size = size;
  }

  close(): void {
    // the bytes stay for whoever opens it next
  }
}
