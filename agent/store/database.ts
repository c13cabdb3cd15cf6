/**
 * Opens, checks and closes the database file of the store.
 *
 * The directory is the agent's own and trusted; the file may still be damaged, foreign or of a later version, and then
 * nothing in it is touched and {@linkcode StoreError} says what to do. One of an earlier version is brought up to date
 * (`upgrade.ts`). Readers of another OS user may read the directory
 * but not write it, and SQLite lets them read a WAL database only while `-wal` and `-shm` exist: so both are made at
 * open and stay behind at close.
 *
 * @module
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { share } from "../share.ts";
import { partitionTables } from "./partition_schema.ts";
import { addPartition, visiblePartitions } from "./partitions.ts";
import { APPLICATION_ID, BEFORE_SCHEMA, SCHEMA, SCHEMA_MARKS } from "./schema.ts";
import { canUpgrade, hasShape, upgrade } from "./upgrade.ts";

/** The store cannot be opened or did not take a batch; the text ends in what to do. */
export class StoreError extends Error {
  override name = "StoreError";
}

/** Owner writes, the readers' group reads. */
const FILE_MODE = 0o640;
/** How long a write waits for a lock that another process holds (a backup, a person's sqlite3 shell). */
const BUSY_TIMEOUT_MS = 5_000;
/** Up to this size the whole file is checked at open; a larger one only at its edges, for the time that it takes. */
const CHECK_WHOLE_BYTES = 32 << 20;
const CACHE_KIB = 16_384;

/**
 * Opens the database at `path`, and makes it when the file does not exist or is empty. `upgraded` is told the schema
 * version that an older one had.
 *
 * @throws StoreError
 */
export function openDatabase(path: string, upgraded: (version: number) => void = () => {}): DatabaseSync {
  const isNew = createFile(path);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    if (isNew) db.exec(BEFORE_SCHEMA);
    const version = isNew ? SCHEMA_VERSION : checkMarks(db, path);
    configure(db);
    if (isNew) createSchema(db);
    else {
      const opened = db;
      if (version === SCHEMA_VERSION) checkShape(db, path);
      else upgrade(db, version, () => checkShape(opened, path));
      checkContent(db, path);
      if (version !== SCHEMA_VERSION) upgraded(version);
    }
    // Makes -wal and -shm where a reader that may not make them already looks for them.
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    for (const suffix of ["", "-wal", "-shm"]) share(path + suffix, FILE_MODE);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof StoreError) throw error;
    throw storeError(`The store ${path} cannot be opened`, path, error);
  }
}

/**
 * Closes it so that `-wal` and `-shm` stay: while a read-only handle is open, the last writer does not remove them, and
 * a read-only handle may not.
 */
export function closeDatabase(db: DatabaseSync, path: string): void {
  try {
    // A reader that pins the log must not delay the end: what is not moved now is moved at the next start.
    db.exec("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {
    // A full disk: the log keeps everything that was committed.
  }
  const reader = new DatabaseSync(path, { readOnly: true });
  try {
    reader.prepare("SELECT count(*) FROM sqlite_schema").get();
  } finally {
    db.close();
    reader.close();
  }
}

/**
 * Holds the store for this process until the file is closed. SQLite itself would let two agents take turns.
 *
 * @throws StoreError
 */
export function lockStore(path: string): Deno.FsFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(`${path}.lock`, { write: true, create: true, mode: FILE_MODE });
  } catch (error) {
    const text = error instanceof Error ? error.message : error;
    throw new StoreError(
      `The store ${path} cannot be locked: ${text}; make ${dirname(path)} and let the agent's user write it`,
      { cause: error },
    );
  }
  if (file.tryLockSync(true)) return file;
  file.close();
  throw new StoreError(
    `Another agent uses the store ${path}; stop it, or choose another state directory by --state`,
  );
}

/** What an SQLite failure means for an operator. */
export function storeError(what: string, path: string, cause: unknown): StoreError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new StoreError(`${what}: ${text}; ${mend((cause as { errcode?: number }).errcode, path)}`, { cause });
}

/** By primary result code (sqlite.org/rescode.html); the low byte of an extended one. */
function mend(errcode: number | undefined, path: string): string {
  switch (errcode === undefined ? undefined : errcode & 0xff) {
    case 5: // SQLITE_BUSY
      return "another program writes to it; end that program";
    case 8: // SQLITE_READONLY
    case 14: // SQLITE_CANTOPEN
    case 3: // SQLITE_PERM
      return `let the agent's user write ${dirname(path)} and the files in it`;
    case 13: // SQLITE_FULL
      return "free space on its disk";
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return moveAway(path);
    default:
      return `see that ${dirname(path)} exists and that its disk is sound`;
  }
}

function moveAway(path: string): string {
  return `stop the agent and move ${path}, ${path}-wal and ${path}-shm away; it then starts with an empty store`;
}

/** Whether the database is still to be made. The mode is right from the first byte on. */
function createFile(path: string): boolean {
  try {
    const info = Deno.lstatSync(path);
    if (!info.isFile) throw new StoreError(`The store ${path} is not a regular file; move it away`);
    return info.size === 0 && !exists(path + "-wal");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: FILE_MODE }).close();
  } catch (error) {
    const text = error instanceof Error ? error.message : error;
    throw new StoreError(
      `The store ${path} cannot be made: ${text}; make ${dirname(path)} and let the agent's user write it`,
      { cause: error },
    );
  }
  return true;
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).size > 0;
  } catch {
    return false;
  }
}

/** Before anything is written: is this ours, and of a version that we know? Gives the version. */
function checkMarks(db: DatabaseSync, path: string): number {
  const applicationId = pragma(db, "application_id");
  if (applicationId !== APPLICATION_ID) {
    throw new StoreError(
      `The file ${path} is a database of another program (application id ${applicationId}); move it away`,
    );
  }
  const version = pragma(db, "user_version");
  if (version === SCHEMA_VERSION || canUpgrade(version)) return version as number;
  throw new StoreError(
    `The store ${path} has schema version ${version}, and this agent knows ${SCHEMA_VERSION}; ` +
      `run the agent that made it, or ${moveAway(path)}`,
  );
}

function configure(db: DatabaseSync): void {
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;       -- an acknowledged event survives power loss: the collector forgets it
    PRAGMA wal_autocheckpoint = 0;   -- checkpoint.ts decides when, so that no commit stalls for it
    PRAGMA journal_size_limit = ${32 << 20};
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = OFF;
  `);
  if (pragma(db, "journal_mode") !== "wal") throw new Error("its file system cannot hold a write-ahead log");
}

function createSchema(db: DatabaseSync): void {
  db.exec("BEGIN IMMEDIATE");
  for (const statement of SCHEMA) db.exec(statement);
  addPartition(db, Date.now());
  db.exec(SCHEMA_MARKS);
  db.exec("COMMIT");
}

function checkShape(db: DatabaseSync, path: string): void {
  if (!hasShape(db)) {
    throw new StoreError(`The store ${path} does not have the tables of its version; ${moveAway(path)}`);
  }
}

function checkContent(db: DatabaseSync, path: string): void {
  const pages = pragma(db, "page_count") as number, pageBytes = pragma(db, "page_size") as number;
  if (pages * pageBytes <= CHECK_WHOLE_BYTES) {
    const verdict = pragma(db, "quick_check(1)");
    if (verdict !== "ok") throw new StoreError(`The store ${path} is damaged: ${verdict}; ${moveAway(path)}`);
  } else {
    // The right edge of each tree is where the next batch goes; a damaged page there throws SQLITE_CORRUPT.
    const events = visiblePartitions(db).flatMap(({ number, layout }) => partitionTables(number, layout));
    for (const table of [...events, "alerts", "gaps", "collectors", "alert_deliveries"]) {
      db.prepare(`SELECT * FROM ${table} ORDER BY rowid DESC LIMIT 1`).get();
    }
  }
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}
