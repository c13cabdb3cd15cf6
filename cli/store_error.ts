/**
 * What can be wrong with the store, in words that end in the mend.
 *
 * @module
 */
import { SCHEMA_VERSION } from "../proto/catalog.ts";
import { QueryDeadlineError, QueryStoppedError } from "../proto/rules/deadline_views.ts";
import { CommandError } from "./command.ts";
import { span } from "./units.ts";

/** The store cannot be read, or a question to it failed. */
export class StoreError extends CommandError {
  override name = "StoreError";
}

/** The answer took longer than it may. */
export class DeadlineError extends StoreError {
  override name = "DeadlineError";
}

/** A page that the answer needs cannot be read, or holds what it cannot. Others may be whole. */
export class DamagedError extends StoreError {
  override name = "DamagedError";
}

/** A person stopped the question. */
class StoppedError extends StoreError {
  override name = "StoppedError";
}

/** A condition cannot be computed for some row that it was asked about, such as JSON that is none. */
export class RowFaultError extends Error {
  override name = "RowFaultError";
}

/** Why a store of that schema version cannot be read. */
export function versionProblem(version: number, path: string): string {
  if (version === 0) return `The store ${path} is empty: the agent has not finished its first start. Start the agent`;
  return version > SCHEMA_VERSION
    ? `The store ${path} is of schema version ${version}, this program knows ${SCHEMA_VERSION}: use the CLI of the agent's version`
    : `The store ${path} is of schema version ${version}, this program needs ${SCHEMA_VERSION}: start the agent of this version once, which brings it up to date`;
}

/** SQLite's result codes (sqlite.org/rescode.html), by which a failure is told apart. */
const CODE = {
  error: 1,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  cannotOpen: 14,
  tooBig: 18,
  notADatabase: 26,
} as const;

/** Any failure of the store in words; what is words already stays. */
export function inWords(error: unknown, path: string): Error {
  if (error instanceof CommandError) return error;
  if (error instanceof QueryDeadlineError) {
    return new DeadlineError(
      `Stopped after ${
        span(error.budgetMs)
      }: the question reads too much. Narrow it (--since, an exec_id, a LIMIT), or ` +
        `allow more by --timeout`,
      { cause: error },
    );
  }
  if (error instanceof QueryStoppedError) return new StoppedError("Stopped", { cause: error });
  const words = (text: string): StoreError => new StoreError(text, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
  // The low byte is the primary code, the rest tells more
  switch (code & 0xff) {
    case CODE.readOnly:
    case CODE.cannotOpen:
      return words(
        `The store ${path} was left without its log files, which a reader cannot make (SQLite ${code}). ` +
          `Start the agent once, or check that you may read the files beside it`,
      );
    case CODE.busy:
    case CODE.locked:
      return words(`The store ${path} is being recovered by another program; try again in a moment`);
    case CODE.noMemory:
      return words("The question needs more memory than it may have; narrow it, or group and sort less");
    case CODE.ioError:
      return new DamagedError(
        `The store ${path} cannot be read: the disk reported an error (SQLite ${code}). Check the disk`,
        { cause: error },
      );
    case CODE.corrupt:
    case CODE.notADatabase:
      return new DamagedError(
        `The store ${path} is damaged (SQLite ${code}). Stop the agent, keep the file aside for examination, ` +
          `and start the agent, which makes a new one`,
        { cause: error },
      );
  }
  // Whatever is asked passed a gate that knows the tables, or is this program's own
  if ((code & 0xff) === CODE.error && /^no such (table|column)|malformed database schema/.test(message)) {
    return new DamagedError(
      `The tables of the store ${path} are not those of its version (${message}): it is damaged, or something else ` +
        `changed it. Stop the agent, keep the file aside for examination, and start the agent, which makes a new one`,
      { cause: error },
    );
  }
  return words(`The store could not answer: ${message}`);
}

/** The same, where SQLite may have failed to compute something for the rows at hand. */
export function faultOrWords(error: unknown, path: string): Error {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  if (code !== CODE.error && code !== CODE.tooBig) return inWords(error, path);
  return new RowFaultError((error as Error).message, { cause: error });
}
