/**
 * A directory of the real file system as the log's {@linkcode Storage}.
 *
 * Needs read and write permission of that directory and nothing else. Deno has no `O_NOFOLLOW` (2.9.6 drops it from the
 * flags of `node:fs` without a word), so a file is looked at without following links before it is opened, and compared
 * with what was opened: a link that is planted in between leads to an error before anything is read or written.
 *
 * @module
 */
import { type Storage, type StorageEntry, StorageError, type StorageFault, type StorageFile } from "./storage.ts";

/** Modes of a directory and of every file in it. */
export interface StorageModes {
  readonly directory: number;
  readonly file: number;
}

/** For the owner alone. */
const PRIVATE: StorageModes = { directory: 0o700, file: 0o600 };

/** For the owner to write and the directory's group to read. */
export const SHARED: StorageModes = { directory: 0o750, file: 0o640 };

export class DiskStorage implements Storage {
  /** @throws StorageError when `directory` is not one and cannot be made, or is a link. */
  constructor(private readonly directory: string, private readonly modes: StorageModes = PRIVATE) {
    onDisk(directory, () => {
      try {
        Deno.mkdirSync(directory, { mode: modes.directory });
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
      const found = Deno.lstatSync(directory);
      if (!found.isDirectory) {
        throw new StorageError("not-a-file", `${directory} is not a directory; move it away and start again`);
      }
      const others = (found.mode ?? 0) & 0o077 & ~modes.directory;
      if (others !== 0) Deno.chmodSync(directory, modes.directory);
    });
  }

  list(): StorageEntry[] {
    return onDisk(this.directory, () => {
      const entries: StorageEntry[] = [];
      for (const { name } of Deno.readDirSync(this.directory)) {
        const found = lstat(this.#path(name));
        if (found === null) continue;
        entries.push({ name, kind: found.isFile ? "file" : "other", size: found.isFile ? found.size : 0 });
      }
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  create(name: string): StorageFile {
    // createNew is O_EXCL, which does not follow a link in the last place.
    return onDisk(name, () =>
      new DiskFile(
        name,
        Deno.openSync(this.#path(name), { read: true, write: true, createNew: true, mode: this.modes.file }),
        (file) => this.#again(name, file),
      ));
  }

  open(name: string): StorageFile {
    return onDisk(name, () => {
      const before = Deno.lstatSync(this.#path(name));
      if (!before.isFile) throw new StorageError("not-a-file", `${name} is not a regular file, so it is not opened`);
      return new DiskFile(name, this.#same(name, before), (file) => this.#again(name, file));
    });
  }

  remove(name: string): void {
    onDisk(name, () => Deno.removeSync(this.#path(name)));
  }

  rename(from: string, to: string): void {
    onDisk(from, () => Deno.renameSync(this.#path(from), this.#path(to)));
  }

  syncDirectory(): void {
    onDisk(this.directory, () => {
      const directory = Deno.openSync(this.directory, { read: true });
      try {
        directory.syncSync();
      } finally {
        directory.close();
      }
    });
  }

  /** The file that is open as `file`, once more. */
  #again(name: string, file: Deno.FsFile): Deno.FsFile {
    return this.#same(name, file.statSync());
  }

  #same(name: string, { dev, ino }: Deno.FileInfo): Deno.FsFile {
    const file = Deno.openSync(this.#path(name), { read: true, write: true });
    const opened = file.statSync();
    if (opened.dev === dev && opened.ino === ino) return file;
    file.close();
    throw new StorageError("not-a-file", `${name} was replaced while it was opened`);
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }
}

class DiskFile implements StorageFile {
  #position = 0;
  /** The same file, opened for syncs alone: Deno lets nobody write by a handle while a sync of it is under way. */
  #beside: Deno.FsFile | null = null;

  constructor(
    private readonly name: string,
    private readonly file: Deno.FsFile,
    private readonly again: (file: Deno.FsFile) => Deno.FsFile,
  ) {}

  size(): number {
    return onDisk(this.name, () => this.file.statSync().size);
  }

  readAt(position: number, into: Uint8Array): number {
    return onDisk(this.name, () => {
      this.#seek(position);
      const count = this.file.readSync(into) ?? 0;
      this.#position += count;
      return count;
    });
  }

  writeAt(position: number, bytes: Uint8Array): number {
    return onDisk(this.name, () => {
      this.#seek(position);
      const count = this.file.writeSync(bytes);
      this.#position += count;
      return count;
    });
  }

  syncData(): void {
    onDisk(this.name, () => this.file.syncDataSync());
  }

  async syncDataBeside(): Promise<void> {
    const beside = onDisk(this.name, () => this.#beside ??= this.again(this.file));
    // Linux tells each handle of an error once, so a sync of the other one that comes to its end first hides none.
    await beside.syncData().catch((error) =>
      onDisk(this.name, () => {
        throw error;
      })
    );
  }

  truncate(size: number): void {
    onDisk(this.name, () => this.file.truncateSync(size));
  }

  close(): void {
    this.file.close();
    this.#beside?.close(); // a sync that is under way goes on, and nobody asks how it ends
    this.#beside = null;
  }

  #seek(position: number): void {
    if (position === this.#position) return;
    this.#position = -1; // unknown while the call is under way
    this.file.seekSync(position, Deno.SeekMode.Start);
    this.#position = position;
  }
}

function lstat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Does it, and makes a {@linkcode StorageError} of what goes wrong. */
export function onDisk<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError(faultOf(error), `${what}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

function faultOf(error: unknown): StorageFault {
  const code = (error as { code?: unknown }).code;
  // A quota is full to the one who has it.
  if (code === "ENOSPC" || code === "EDQUOT") return "no-space";
  if (code === "EEXIST") return "exists";
  if (code === "ENOENT") return "missing";
  return code === "EIO" ? "io" : "other";
}
