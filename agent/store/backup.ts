/**
 * Copies the store while the agent writes to it.
 *
 * The copy is of one moment: a read transaction holds it while the pages are copied, so it needs no second try, and the
 * log grows in the meantime. It becomes visible under its name only after it was checked and is on disk. It needs no log
 * beside it, which also tells it from the store that it is put in the place of. Run as a program of its own: the copy
 * holds the thread.
 *
 * @module
 */
import { dirname } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { share } from "../share.ts";
import { FILE_MODE, syncFile } from "./database_files.ts";
import { freeBytes } from "./disk_room.ts";
import { faultOf, StoreError, storeError } from "./store_error.ts";

const DIRECTORY_MODE = 0o750;
/** Pages of one step, after each of which progress is told. */
const STEP_PAGES = 1_024;
/** What the copy needs beside its own bytes: SQLite's journal while it is given its final form. */
const SPARE_BYTES = 1 << 20;
/** A name within the directory of backups, and no way out of it. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** What must be the same in store and copy. */
export interface BackupFacts {
  readonly applicationId: number;
  readonly version: number;
  /** `collector epoch last-sequence` of each stream, in the order of their numbers. */
  readonly watermarks: readonly string[];
}

export interface Backup extends BackupFacts {
  readonly path: string;
  readonly bytes: number;
}

/** The name of a backup that has none: the time in UTC. */
export function backupName(now: Date): string {
  return `${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}.db`;
}

/**
 * Makes `directory/name` from the store at `path`. `progress` is told pages done and pages in all.
 *
 * @throws StoreError; then there is nothing of the copy
 */
export async function backUp(
  path: string,
  directory: string,
  name: string,
  progress: (done: number, total: number) => void,
): Promise<Backup> {
  if (!NAME.test(name)) {
    throw new StoreError(
      `A backup's name has letters, digits, dots and dashes, and no path; got ${JSON.stringify(name)}`,
    );
  }
  const target = `${directory}/${name}`, temporary = `${directory}/.${name}.new`;
  let source: DatabaseSync | undefined;
  try {
    // Takes group and setgid from the agent's directory; to set a mode then would take the latter away again.
    Deno.mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
    using _lock = lockDirectory(directory);
    removeLeftovers(directory);
    if (exists(target)) throw new StoreError(`There is a backup ${target} already; choose another name by --to`);
    source = new DatabaseSync(path, { readOnly: true });
    source.exec("BEGIN");
    const facts = factsOf(source);
    requireRoom(source, path, directory);
    Deno.openSync(temporary, { write: true, createNew: true, mode: FILE_MODE }).close();
    await backup(source, temporary, {
      rate: STEP_PAGES,
      progress: ({ totalPages, remainingPages }) => progress(totalPages - remainingPages, totalPages),
    });
    finish(temporary, facts);
    share(temporary, FILE_MODE);
    syncFile(temporary);
    Deno.renameSync(temporary, target);
    syncFile(directory);
    return { ...facts, path: target, bytes: Deno.statSync(target).size };
  } catch (error) {
    for (const suffix of ["", "-journal", "-wal", "-shm"]) removeQuietly(temporary + suffix);
    if (error instanceof StoreError) throw error;
    const where = faultOf(error) === "full" ? target : path; // a full disk is the copy's, damage the store's
    throw storeError("The backup was not made", where, error);
  } finally {
    source?.close();
  }
}

/** The copy in its final form, and held against what it was made from. */
function finish(temporary: string, expected: BackupFacts): void {
  const copy = new DatabaseSync(temporary);
  try {
    // Without a log of its own; this is also how a store tells that a log beside it is not its own.
    copy.exec("PRAGMA journal_mode = DELETE");
    const verdict = Object.values(copy.prepare("PRAGMA quick_check(1)").get() ?? {})[0];
    if (verdict !== "ok") throw new StoreError(`The backup is damaged, and so is the store: ${verdict}`);
    const found = factsOf(copy);
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw new StoreError(`The backup differs from the store: ${JSON.stringify(found)}; try again`);
    }
  } finally {
    copy.close();
  }
}

function factsOf(db: DatabaseSync): BackupFacts {
  const pragma = (name: string): number => Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0] as number;
  const text = "coalesce(group_concat(collector_id || ' ' || epoch || ' ' || last_sequence, char(10)), '')";
  const row = db.prepare(`SELECT ${text} AS marks FROM (SELECT * FROM collectors ORDER BY stream)`).get()!;
  const marks = row["marks"] as string;
  return {
    applicationId: pragma("application_id"),
    version: pragma("user_version"),
    watermarks: marks === "" ? [] : marks.split("\n"),
  };
}

function requireRoom(source: DatabaseSync, path: string, directory: string): void {
  const number = (name: string): number => Object.values(source.prepare(`PRAGMA ${name}`).get()!)[0] as number;
  const needed = number("page_count") * number("page_size") + SPARE_BYTES, free = freeBytes(directory);
  if (free === null || free >= needed) return;
  throw new StoreError(
    `A backup of ${path} needs ${needed} bytes, and the disk of ${directory} has ${free}; free space on it, or remove ` +
      `older backups`,
    { kind: "full" },
  );
}

/** One backup at a time, so that what lies there half made was left by a crash. */
function lockDirectory(directory: string): Deno.FsFile {
  const file = Deno.openSync(`${directory}/.lock`, { write: true, create: true, mode: FILE_MODE });
  if (file.tryLockSync(true)) return file;
  file.close();
  throw new StoreError(`Another backup is being made in ${directory}; wait for it`);
}

function removeLeftovers(directory: string): void {
  for (const { name } of Deno.readDirSync(directory)) {
    if (/^\..*\.new(-journal|-wal|-shm)?$/.test(name)) removeQuietly(`${directory}/${name}`);
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Not there, or it stays until the next backup.
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Where backups of the store at `path` are. */
export function backupDirectory(path: string): string {
  return `${dirname(path)}/backup`;
}
