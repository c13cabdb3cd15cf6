/**
 * Looks at the files of a store before SQLite does, and makes a new one.
 *
 * SQLite takes what it finds: it makes a database where a file is empty, throws away a log whose first bytes are damaged,
 * and replays a log over whatever database lies beside it. Each of these would destroy something or mix two stores, so
 * each is told apart here by reading alone. A new store appears under its name whole or not at all, so a file without
 * content was never one that an agent made.
 *
 * @module
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { share } from "../share.ts";
import { addPartition } from "./partitions.ts";
import { BEFORE_SCHEMA, SCHEMA, SCHEMA_MARKS } from "./schema.ts";
import { faultOf, moveAway, StoreError } from "./store_error.ts";

/** Owner writes, the readers' group reads. */
export const FILE_MODE = 0o640;

/** The database header (sqlite.org/fileformat2.html, section 1.3). */
const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";
const ROLLBACK_JOURNAL = 1;
/** The header of a write-ahead log (section 4.1). */
const LOG_HEADER_BYTES = 32;
const LOG_MAGIC = 0x377f0682;

/** Whether there is no store yet at `path`. Touches nothing. @throws StoreError for what no store looks like. */
export function isAbsent(path: string): boolean {
  const log = `${path}-wal`, index = `${path}-shm`;
  const size = sizeOf(path), logSize = sizeOf(log), indexSize = sizeOf(index);
  if (size === null && (logSize ?? 0) === 0) return true;
  if (size === null) {
    throw damaged(`The store ${path} is missing, but its log ${log} (${logSize} bytes) is there`, path);
  }
  if (size === 0) {
    if (logSize === null && indexSize === null) return true;
    throw damaged(`The store ${path} was cut off: it has no bytes, but its log or index is there`, path);
  }
  const header = firstBytes(path, HEADER_BYTES);
  if (new TextDecoder().decode(header.subarray(0, MAGIC.length)) !== MAGIC) {
    throw damaged(`The store ${path} is not a database: its first bytes are not SQLite's`, path);
  }
  checkLog(path, logSize ?? 0, header);
  if ((logSize ?? 0) === 0) checkLength(path, size, header);
  return false;
}

/** Makes an empty store at `path`, where nothing or an empty file is. @throws StoreError, Error of SQLite */
export function createStore(path: string): void {
  const temporary = `${path}.new`;
  try {
    for (const suffix of ["", "-journal", "-wal", "-shm"]) removeIfThere(temporary + suffix); // a crash left them
    Deno.openSync(temporary, { write: true, createNew: true, mode: FILE_MODE }).close();
    const db = new DatabaseSync(temporary);
    try {
      db.exec(`PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; ${BEFORE_SCHEMA}`);
      db.exec("BEGIN");
      for (const statement of SCHEMA) db.exec(statement);
      addPartition(db, Date.now());
      db.exec(SCHEMA_MARKS);
      db.exec("COMMIT");
      db.exec("PRAGMA journal_mode = WAL");
    } finally {
      db.close();
    }
    share(temporary, FILE_MODE);
    syncFile(temporary);
    Deno.renameSync(temporary, path);
    syncFile(dirname(path));
  } catch (error) {
    try {
      removeIfThere(temporary);
    } catch {
      // the next attempt removes it
    }
    const text = error instanceof Error ? error.message : error;
    throw new StoreError(
      `The store ${path} cannot be made: ${text}; free space on its disk, and let the agent's user write ${
        dirname(path)
      }`,
      { cause: error, kind: faultOf(error) === "other" ? "read-only" : faultOf(error) },
    );
  }
}

/** Makes a file, or the names in a directory, survive a loss of power. */
export function syncFile(path: string): void {
  const file = Deno.openSync(path, { read: true });
  try {
    file.syncSync();
  } finally {
    file.close();
  }
}

/** Bytes of a regular file, `null` where nothing is. @throws StoreError for anything else. */
function sizeOf(path: string): number | null {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw unreadable(path, error);
  }
  if (!info.isFile) {
    const what = info.isSymlink ? "a symbolic link" : info.isDirectory ? "a directory" : "not a regular file";
    throw new StoreError(`${path} is ${what}, and the store is a regular file; move it away`, { kind: "misplaced" });
  }
  return info.size;
}

function firstBytes(path: string, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  try {
    using file = Deno.openSync(path, { read: true });
    return bytes.subarray(0, file.readSync(bytes) ?? 0);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** A log that SQLite would throw away, or replay over a database that it was not written for. */
function checkLog(path: string, size: number, databaseHeader: Uint8Array): void {
  const log = `${path}-wal`;
  // Shorter, or zeros: a crash while the log was begun. Nothing in it was ever acknowledged.
  if (size < LOG_HEADER_BYTES) return;
  const header = firstBytes(log, LOG_HEADER_BYTES);
  if (header.every((byte) => byte === 0)) return;
  if (databaseHeader[18] === ROLLBACK_JOURNAL) {
    throw new StoreError(
      `The log ${log} (${size} bytes) is not of the store ${path}, which is a restored backup; ` +
        `move ${log} and ${path}-shm away`,
      { kind: "damaged" },
    );
  }
  if (!isLogHeader(header)) {
    throw damaged(
      `The log ${log} of the store (${size} bytes, which may hold the newest events) is damaged in its first ` +
        `${LOG_HEADER_BYTES} bytes`,
      path,
    );
  }
}

/** Magic and checksum (section 4.1 and 4.2); the magic's last bit says in which order the sum takes the bytes. */
function isLogHeader(header: Uint8Array): boolean {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const magic = view.getUint32(0);
  if ((magic & ~1) >>> 0 !== LOG_MAGIC) return false;
  const littleEndian = (magic & 1) === 0;
  let first = 0, second = 0;
  for (let at = 0; at < 24; at += 8) {
    first = first + view.getUint32(at, littleEndian) + second >>> 0;
    second = second + view.getUint32(at + 4, littleEndian) + first >>> 0;
  }
  return view.getUint32(24) === first && view.getUint32(28) === second;
}

/** Whether the file is as long as it says. What is not moved out of the log yet would count as well. */
function checkLength(path: string, size: number, header: Uint8Array): void {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  if (header.length < HEADER_BYTES) throw damaged(`The store ${path} was cut off after ${size} bytes`, path);
  const pageBytes = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16), pages = view.getUint32(28);
  // The count of pages holds only where whoever wrote last knew of it (section 1.3.8).
  if (view.getUint32(24) !== view.getUint32(92) || pages * pageBytes <= size) return;
  throw damaged(`The store ${path} was cut off: it has ${size} of its ${pages * pageBytes} bytes`, path);
}

function damaged(what: string, path: string): StoreError {
  return new StoreError(`${what}; ${moveAway(path)}`, { kind: "damaged" });
}

function unreadable(path: string, error: unknown): StoreError {
  const text = error instanceof Error ? error.message : error;
  return new StoreError(`${path} cannot be read: ${text}; let the agent's user read and write it`, {
    cause: error,
    kind: faultOf(error) === "other" ? "read-only" : faultOf(error),
  });
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
