/**
 * Opens, checks and closes the database file of the store.
 *
 * The directory is the agent's own and trusted; the file may still be damaged, foreign or of a later version, and then
 * nothing in it is touched and {@linkcode StoreError} says what to do: everything that can be wrong is found by a handle
 * that cannot write. A store of an earlier version is brought up to date (`upgrade.ts`). Readers of another OS user may
 * read the directory but not write it, and SQLite lets them read a WAL database only while `-wal` and `-shm` exist: so
 * both are made at open and stay behind at every close, also where opening failed.
 *
 * @module
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { share } from "../share.ts";
import { createStore, FILE_MODE, isAbsent } from "./database_files.ts";
import { APPLICATION_ID } from "./schema.ts";
import { faultOf, moveAway, StoreError, storeError } from "./store_error.ts";
import { canUpgrade, hasShape, upgrade } from "./upgrade.ts";

/**
 * How long a write waits for a lock that another process holds (a person's sqlite3 shell). Nothing else happens in that
 * time, so it is less than the age at which readers call the agent's status stale.
 */
export const BUSY_TIMEOUT_MS = 1_000;
/** Up to this size the whole file is checked at open; a larger one only at its edges, for the time that it takes. */
const CHECK_WHOLE_BYTES = 32 << 20;
/** More makes no insertion cheaper: what is written stays in the log, and the rest in the cache of the kernel. */
const CACHE_KIB = 4_096;

/**
 * Opens the database at `path`, and makes it when the file does not exist or is empty. `upgraded` is told the schema
 * version that an older one had.
 *
 * @throws StoreError
 */
export function openDatabase(path: string, upgraded: (version: number) => void = () => {}): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    if (isAbsent(path)) createStore(path);
    const version = inspect(path);
    db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    configure(db);
    if (version !== SCHEMA_VERSION) {
      const opened = db;
      upgrade(db, version, () => checkShape(opened, path));
      upgraded(version);
    }
    // Makes -wal and -shm where a reader that may not make them already looks for them, and proves that it can write.
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    for (const suffix of ["", "-wal", "-shm"]) share(path + suffix, FILE_MODE);
    guard(db, path);
    return db;
  } catch (error) {
    if (db !== undefined) {
      if (!guards.has(db)) guard(db, path);
      closeKeepingFiles(db);
    }
    throw storeError(`The store ${path} cannot be opened`, path, error);
  }
}

/**
 * A read-only handle beside each writer: while it is open, the last writer that closes does not remove `-wal` and `-shm`,
 * and a read-only handle may not. Opened at once, as later another store may have this one's name.
 */
const guards = new WeakMap<DatabaseSync, DatabaseSync>();

function guard(db: DatabaseSync, path: string): void {
  try {
    const reader = new DatabaseSync(path, { readOnly: true });
    reader.prepare("SELECT count(*) FROM sqlite_schema").get();
    guards.set(db, reader);
  } catch {
    // Nobody can read it: there is nobody to lock out.
  }
}

/** Closes it so that `-wal` and `-shm` stay. */
export function closeDatabase(db: DatabaseSync): void {
  try {
    // A reader that pins the log must not delay the end: what is not moved now is moved at the next start.
    db.exec("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {
    // A full disk: the log keeps everything that was committed.
  }
  closeKeepingFiles(db);
}

function closeKeepingFiles(db: DatabaseSync): void {
  const reader = guards.get(db);
  guards.delete(db);
  db.close();
  reader?.close();
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
    const text = error instanceof Error ? error.message : error, kind = faultOf(error);
    const mend = kind === "full" ? "free space on its disk" : `make ${dirname(path)} and let the agent's user write it`;
    throw new StoreError(`The store ${path} cannot be locked: ${text}; ${mend}`, {
      cause: error,
      kind: kind === "other" ? "unreachable" : kind,
    });
  }
  if (file.tryLockSync(true)) return file;
  file.close();
  throw new StoreError(
    `Another agent uses the store ${path}; stop it, or choose another state directory by --state`,
    { kind: "taken" },
  );
}

/** Finds everything that is wrong with an existing store, by a handle that writes nothing. Gives its version. */
function inspect(path: string): number {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const version = checkMarks(db, path);
    if (version === SCHEMA_VERSION) checkShape(db, path);
    checkContent(db, path);
    return version;
  } finally {
    db.close();
  }
}

/** Is this ours, and of a version that we know? Gives the version. */
function checkMarks(db: DatabaseSync, path: string): number {
  const applicationId = pragma(db, "application_id");
  if (applicationId !== APPLICATION_ID) {
    throw new StoreError(
      `The file ${path} is a database of another program (application id ${applicationId}); move it away`,
      { kind: "foreign" },
    );
  }
  const version = pragma(db, "user_version");
  if (version === SCHEMA_VERSION || canUpgrade(version)) return version as number;
  throw new StoreError(
    `The store ${path} has schema version ${version}, and this agent knows ${SCHEMA_VERSION}; ` +
      `run the agent that made it, or ${moveAway(path)}`,
    { kind: "version" },
  );
}

function configure(db: DatabaseSync): void {
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;       -- an acknowledged event survives power loss: the collector forgets it
    PRAGMA wal_autocheckpoint = 0;   -- checkpoint.ts decides when, so that no commit stalls for it
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = OFF;
  `);
  if (pragma(db, "journal_mode") !== "wal") throw new Error("its file system cannot hold a write-ahead log");
}

function checkShape(db: DatabaseSync, path: string): void {
  if (!hasShape(db)) {
    throw new StoreError(`The store ${path} does not have the tables of its version; ${moveAway(path)}`, {
      kind: "damaged",
    });
  }
}

function checkContent(db: DatabaseSync, path: string): void {
  const pages = pragma(db, "page_count") as number, pageBytes = pragma(db, "page_size") as number;
  if (pages * pageBytes <= CHECK_WHOLE_BYTES) {
    const verdict = pragma(db, "quick_check(1)");
    if (verdict !== "ok") {
      throw new StoreError(`The store ${path} is damaged: ${verdict}; ${moveAway(path)}`, { kind: "damaged" });
    }
  } else {
    // The right edge of each tree is where the next batch goes; a damaged page there throws SQLITE_CORRUPT. The rest is
    // read while the agent works (`background_check.ts`).
    for (const { name } of db.prepare("SELECT name FROM pragma_table_list WHERE type = 'table' AND wr = 0").iterate()) {
      db.prepare(`SELECT * FROM "${name}" ORDER BY rowid DESC LIMIT 1`).get();
    }
  }
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}
