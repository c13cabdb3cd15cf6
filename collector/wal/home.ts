/**
 * Where logs live: a directory with one directory for each log, and nothing else.
 *
 * A log is a directory of its own so that another can be begun without touching it: beside one of another host, or when
 * a log must be replaced, which one rename then does as a whole. Names are plain. Calls fail with `StorageError` and with
 * nothing else. A link in the place of a directory is never followed.
 *
 * @module
 */
import { DiskStorage, onDisk } from "./disk_storage.ts";
import { type Storage, StorageError } from "./storage.ts";

export interface LogHome {
  /** Where it is, for people. */
  readonly place: string;
  /** Names of the directories that are there; the home is made when it is not. */
  list(): string[];
  /** The directory of one log, made when it is not there; its name is on disk then. */
  storage(name: string): Storage;
  /** Gives the directory of a log another name, which survives a crash. */
  rename(from: string, to: string): void;
  /** Removes the directory of a log with all that is in it. */
  remove(name: string): void;
}

/** Logs on the real file system, below a directory of mode 0700. Makes nothing before it is asked for something. */
export class DiskHome implements LogHome {
  constructor(readonly place: string) {}

  list(): string[] {
    this.#make();
    return onDisk(
      this.place,
      () => [...Deno.readDirSync(this.place)].filter((entry) => entry.isDirectory).map(({ name }) => name),
    );
  }

  storage(name: string): Storage {
    this.#make();
    const path = this.#path(name), isNew = !isThere(path);
    const storage = new DiskStorage(path);
    if (isNew) this.#sync();
    return storage;
  }

  rename(from: string, to: string): void {
    onDisk(this.#path(from), () => Deno.renameSync(this.#path(from), this.#path(to)));
    this.#sync();
  }

  remove(name: string): void {
    const path = this.#path(name);
    onDisk(path, () => Deno.removeSync(path, { recursive: true }));
  }

  /** @throws {StorageError} */
  #make(): void {
    // As for a log's own directory: mode 0700, never a link.
    const isNew = !isThere(this.place);
    new DiskStorage(this.place);
    if (isNew) new DiskStorage(this.place).syncDirectory();
  }

  #sync(): void {
    new DiskStorage(this.place).syncDirectory();
  }

  #path(name: string): string {
    return `${this.place}/${name}`;
  }
}

function isThere(path: string): boolean {
  return onDisk(path, () => {
    try {
      Deno.lstatSync(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
}

/** Writes some bytes and takes them away again. @throws {StorageError} when the disk does not take them. */
export function tryOut(home: LogHome, name: string): void {
  const storage = home.storage(name);
  try {
    for (const { name: file } of storage.list()) storage.remove(file);
    const file = storage.create("probe");
    try {
      const bytes = new Uint8Array(PROBE_BYTES);
      for (let at = 0; at < bytes.length;) at += file.writeAt(at, bytes.subarray(at));
      file.syncData();
    } finally {
      file.close();
    }
  } finally {
    removeIfPossible(home, name);
  }
}
const PROBE_BYTES = 1_048_576;

/** What stays is removed at the next start. */
function removeIfPossible(home: LogHome, name: string): void {
  try {
    home.remove(name);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
}
