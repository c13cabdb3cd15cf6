/**
 * What the write-ahead log asks of a file system: one flat directory, and nothing else.
 *
 * Everything that the log does to a disk goes through here, so that tests can stand in for the disk and let it fail,
 * lie in wait and lose power. Names are plain file names. Calls fail with {@linkcode StorageError} and with nothing else.
 *
 * @module
 */

/** What a caller may want to tell apart. `other` carries the system's words in its message. */
export type StorageFault = "no-space" | "exists" | "missing" | "not-a-file" | "io" | "other";

/** A call of a {@linkcode Storage} failed. */
export class StorageError extends Error {
  override name = "StorageError";
  constructor(readonly fault: StorageFault, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

export interface StorageEntry {
  readonly name: string;
  /** Symbolic links, directories, pipes and devices are `other`: the log never opens them. */
  readonly kind: "file" | "other";
  readonly size: number;
}

export interface StorageFile {
  /** Bytes in the file now. */
  size(): number;
  /** Reads at `position` into `into`; may be short, 0 at the end. */
  readAt(position: number, into: Uint8Array): number;
  /** Writes at `position`; may be short, at least 1. */
  writeAt(position: number, bytes: Uint8Array): number;
  /** Everything written is on disk when this returns. After it threw, nobody knows: do not call it again. */
  syncData(): void;
  /**
   * The same beside other work: what was written before the call is on disk when it resolves. Writing may go on
   * meanwhile, and {@linkcode syncData} be called, which tells of an error for itself. One call at a time.
   */
  syncDataBeside(): Promise<void>;
  truncate(size: number): void;
  close(): void;
}

export interface Storage {
  list(): StorageEntry[];
  /** A new file of mode 0600, open for reading and writing; never one that exists, never through a link. */
  create(name: string): StorageFile;
  /** An existing regular file, open for reading and writing; never through a link. */
  open(name: string): StorageFile;
  remove(name: string): void;
  rename(from: string, to: string): void;
  /** Makes names as they are now survive a crash. */
  syncDirectory(): void;
}

/** Writes all of `bytes`, in as many calls as it takes. @throws StorageError */
export function writeAll(file: StorageFile, position: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const count = file.writeAt(position + done, done === 0 ? bytes : bytes.subarray(done));
    if (count <= 0) throw new StorageError("io", `A write of ${bytes.length - done} bytes wrote none`);
    done += count;
  }
}

/** Fills `into` from `position` as far as the file goes; returns how many bytes that were. @throws StorageError */
export function readFully(file: StorageFile, position: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const count = file.readAt(position + done, done === 0 ? into : into.subarray(done));
    if (count <= 0) break;
    done += count;
  }
  return done;
}
