/**
 * What can be wrong with the store, in kinds that decide what the agent does and in words that end in the mend.
 *
 * @module
 */
import { dirname } from "node:path";

/**
 * - `full`, `io`, `read-only`: its disk does not take what is written.
 * - `busy`: another program holds its lock.
 * - `damaged`: the file, or the log beside it, is not whole. `misplaced`: something else is in its place.
 * - `foreign`, `version`: a database of another program, or of another version of this one.
 * - `taken`, `unreachable`: another agent uses it, or the agent may not use its directory. No waiting mends these.
 * - `other`: one batch or one question was at fault, not the store.
 */
export type StoreFault =
  | "full"
  | "io"
  | "read-only"
  | "busy"
  | "damaged"
  | "misplaced"
  | "foreign"
  | "version"
  | "taken"
  | "unreachable"
  | "other";

/** The store cannot be opened or did not take a batch; the text ends in what to do. */
export class StoreError extends Error {
  override name = "StoreError";
  readonly kind: StoreFault;

  constructor(message: string, { kind = "other", ...options }: ErrorOptions & { readonly kind?: StoreFault } = {}) {
    super(message, options);
    this.kind = kind;
  }
}

/** Kinds that end the agent at once: a setting, a permission or the other agent must change first. */
export function isFinal(kind: StoreFault): boolean {
  return kind === "taken" || kind === "unreachable";
}

/** What an SQLite failure means for an operator. */
export function storeError(what: string, path: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const kind = faultOf(cause);
  return new StoreError(`${what}: ${text}; ${mend(kind, path)}`, { cause, kind });
}

/** What to do with a file that the agent does not touch. */
export function moveAway(path: string): string {
  return `move ${path}, ${path}-wal and ${path}-shm away, and the agent goes on with an empty store, or put a backup in ` +
    `their place`;
}

/** By primary result code (sqlite.org/rescode.html); the low byte of an extended one. */
const FAULTS: ReadonlyMap<number, StoreFault> = new Map([
  [3, "read-only"], // SQLITE_PERM
  [5, "busy"],
  [6, "busy"], // SQLITE_LOCKED
  [8, "read-only"],
  [10, "io"],
  [11, "damaged"],
  [13, "full"],
  [14, "read-only"], // SQLITE_CANTOPEN
  [26, "damaged"], // SQLITE_NOTADB
]);

/** `exec()` throws without a code (Deno 2.9.6): then SQLite's own words for it, which are part of its interface. */
const FAULT_WORDS: readonly (readonly [string, StoreFault])[] = [
  ["database or disk is full", "full"],
  ["disk I/O error", "io"],
  ["attempt to write a readonly database", "read-only"],
  ["unable to open database file", "read-only"],
  ["database disk image is malformed", "damaged"],
  ["file is not a database", "damaged"],
  ["database is locked", "busy"],
];

/** The kind of a failure of SQLite, or of a call to the file system. */
export function faultOf(cause: unknown): StoreFault {
  const { errcode, code, message = "" } = cause as { errcode?: number; code?: string; message?: string };
  if (errcode !== undefined) return FAULTS.get(errcode & 0xff) ?? "other";
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "full";
    case "EROFS":
      return "read-only";
    case "EIO":
      return "io";
  }
  return FAULT_WORDS.find(([words]) => message.startsWith(words))?.[1] ?? "other";
}

function mend(kind: StoreFault, path: string): string {
  switch (kind) {
    case "busy":
      return "another program writes to it; end that program";
    case "read-only":
      return `let the agent's user write ${dirname(path)} and the files in it, on a disk that is mounted for writing`;
    case "full":
      return "free space on its disk";
    case "damaged":
      return moveAway(path);
    default:
      return `see that ${dirname(path)} exists and that its disk is sound`;
  }
}
