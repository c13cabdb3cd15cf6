/**
 * The agent's store, opened strictly for reading, while the agent is live, stopped or killed.
 *
 * Nobody can interrupt a running SQLite statement here, so every table is seen through a view whose condition calls back
 * for each row and throws once the deadline has passed. A cursor pins the agent's write-ahead log: it is closed before
 * the reader of the output is waited for (see `writer.ts`).
 *
 * The store is trusted as far as the agent is; a damaged one ends in words, never in a stack trace.
 *
 * @module
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { CATALOG, SCHEMA_VERSION, type Table } from "../proto/catalog.ts";
import { printable } from "../proto/printable.ts";
import { tableOf, type TableSet } from "../proto/table_descriptor.ts";
import { catalogColumns, READ_LIMITS } from "../proto/rules/authorizer.ts";
import {
  type DeadlineViews,
  openDeadlineViews,
  QueryDeadlineError,
  QueryStoppedError,
} from "../proto/rules/deadline_views.ts";
import { runGuarded } from "../proto/rules/prepared_query.ts";
import type { GuardedQuery } from "../proto/rules/sql_guard.ts";
import type { EventPart } from "../proto/rules/event_groups.ts";
import type { PartitionLayout } from "../proto/partition_layout.ts";
import { MAX_PARTITIONS } from "../proto/store_layout.ts";
import { CommandError } from "./command.ts";
import type { Cell } from "./output.ts";
import { span } from "./units.ts";
import { fileProblem } from "./file_problem.ts";
import { heldStore } from "./held_state.ts";
import { storeImage } from "./store_image.ts";
import { DESCRIPTOR_COLUMNS, storedDescriptor } from "./stored_descriptor.ts";

// What the runtime has and its declarations lack
declare module "node:sqlite" {
  interface DatabaseSyncOptions {
    readBigInts?: boolean;
    returnArrays?: boolean;
  }
  interface DatabaseSync {
    deserialize(image: Uint8Array): void;
  }
}

/** Time that one command may spend in the store, unless it says otherwise. */
export const DEFAULT_DEADLINE_MS = 30_000;
/** Memory that SQLite may take: sorts and groups happen in memory, because this program writes no file. */
export const MAX_HEAP_BYTES = 1_073_741_824;
/** Arguments of a function: those of `json_object` for the widest table. */
const ROW_ARGUMENTS = 2 * Math.max(...[...CATALOG.values()].map(({ columns }) => columns.length));
/** Bytes of the SQL of the view over all partitions: each has every column and its dictionaries there, by name. */
const MAX_VIEW = 4_096 * MAX_PARTITIONS;
/** Rows of an answer between two looks at the clock. */
const ROWS_PER_LOOK = 32;
/** Statements that are kept for another use. */
const MAX_PREPARED = 16;

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

export interface StoreOptions {
  readonly deadlineMs?: number;
  /** Only what happened since then is seen, where a table says when: Unix milliseconds. */
  readonly since?: number | null;
  /** Whether what runs is to end; looked at as often as the clock. */
  readonly isStopped?: () => boolean;
}

export interface Cursor {
  readonly names: readonly string[];
  readonly rows: Iterable<Cell[]>;
}

export class Store implements Disposable {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #views: DeadlineViews;
  /** The tables that collectors brought. */
  readonly tables: TableSet;
  /** Why tables of collectors cannot be asked, one sentence each. */
  readonly leftOut: readonly string[];
  readonly #deadlineMs: number;
  readonly #isHeld: boolean;
  /** Statements of {@linkcode first}, the one that was asked last at the end. */
  readonly #prepared = new Map<string, StatementSync>();

  /** @throws StoreError in words that end in the mend. */
  static open(path: string, options: StoreOptions = {}): Store {
    const held = heldStore(path);
    if (held !== null) return new Store(held, path, options, true);
    const problem = fileProblem(path);
    if (problem === "absent") {
      throw new StoreError(
        `There is no store at ${path}: the agent has not run here yet. Start it, or name its state directory by --state`,
      );
    }
    if (problem !== null) throw new StoreError(`The store ${path} cannot be read: ${problem}`);
    let db: DatabaseSync | undefined;
    try {
      const image = storeImage(path);
      db = new DatabaseSync(image === null ? path : ":memory:", {
        readOnly: image === null,
        allowExtension: false,
        // The view over the partitions is one compound SELECT; those of people are bounded by the guard.
        // So is what `export` has SQLite make of a row: its names and values are arguments of one function.
        limits: { ...READ_LIMITS, compoundSelect: MAX_PARTITIONS + 8, sqlLength: MAX_VIEW, functionArg: ROW_ARGUMENTS },
        readBigInts: true,
        returnArrays: true,
      });
      if (image !== null) db.deserialize(image);
      return new Store(db, path, options);
    } catch (error) {
      db?.close();
      throw inWords(error, path);
    }
  }

  /** @param isHeld whether others read the database after this one: it is given back as it was, and not closed */
  private constructor(db: DatabaseSync, path: string, options: StoreOptions, isHeld = false) {
    this.#db = db;
    this.#isHeld = isHeld;
    this.#path = path;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    db.exec("PRAGMA trusted_schema = 0; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0");
    // The bound of what is held was set by who filled it
    if (!isHeld) db.exec(`PRAGMA hard_heap_limit = ${MAX_HEAP_BYTES}`);
    const version = Number(cells(db.prepare("PRAGMA user_version").get())[0]);
    if (version !== SCHEMA_VERSION) throw new StoreError(versionProblem(version, path));
    requireTables(db, path);
    const partitions = Number(cells(db.prepare("SELECT count(*) FROM partitions WHERE state <> 'removing'").get())[0]);
    ({ tables: this.tables, leftOut: this.leftOut } = tablesOf(db));
    const all = [...CATALOG.values(), ...this.tables.values()];
    this.#views = openDeadlineViews(db, all, sinceCondition(options.since ?? null), partitions);
    this.#views.readEventsFrom((earliest) => this.#partitions(earliest, options.since ?? null));
    if (options.isStopped !== undefined) this.#views.stopWhen(options.isStopped);
    db.exec("PRAGMA query_only = 1");
  }

  /** Whether it is a bundle's, which stands in for a store. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Rows of a query of a person's, behind both gates and under the deadline, which counts from here. */
  hunt(query: GuardedQuery): Cursor {
    // The list of partitions is of the same moment as they are, and the views that are made of it go afterwards
    const isOuter = !this.#db.isTransaction;
    const end = (): void => {
      if (!isOuter || !this.#db.isOpen || !this.#db.isTransaction) return;
      this.#db.setAuthorizer(null);
      this.#db.exec("ROLLBACK");
    };
    if (isOuter) this.#begin();
    try {
      const { names, rows } = runGuarded(
        this.#db,
        this.#views,
        query,
        this.#deadlineMs,
        undefined,
        catalogColumns(this.tables),
      );
      return { names, rows: this.#inWords(rows, end) };
    } catch (error) {
      end();
      throw inWords(error, this.#path);
    }
  }

  #begin(): void {
    this.#db.setAuthorizer(null);
    this.#db.exec("BEGIN");
  }

  /** The partitions that may hold what happened since both moments. */
  #partitions(...since: (number | null)[]): EventPart[] {
    const from = Math.max(...since.map((time) => time ?? Number.MIN_SAFE_INTEGER));
    const parts = this.#db.prepare(
      "SELECT partition, layout FROM main.partitions WHERE state <> 'removing' AND coalesce(to_time >= ?, 1) ORDER BY 1",
    ).iterate(from);
    return [...parts].map(cells).map(([number, layout]) => ({
      number: Number(number),
      layout: Number(layout) as PartitionLayout,
    }));
  }

  /** Rows of a query of this program, one by one, under the deadline, which counts from the first. */
  *each(sql: string, ...parameters: SQLInputValue[]): Generator<Cell[]> {
    try {
      this.#db.setAuthorizer(null);
      this.#views.start(this.#deadlineMs);
      yield* runMarked(this.#db, this.#views, sql, parameters);
    } catch (error) {
      throw inWords(error, this.#path);
    }
  }

  /** The same, for a query that gives few. */
  rows(sql: string, ...parameters: SQLInputValue[]): Cell[][] {
    return [...this.each(sql, ...parameters)];
  }

  /**
   * The first row of a query of this program over `main`'s tables and views, which no deadline stops: it must be one that
   * reads a bounded part. `null` for none. Conditions of rules may stand in it that passed both gates.
   *
   * @throws RowFaultError when SQLite cannot compute it for the rows at hand; StoreError
   */
  first(sql: string, ...parameters: SQLInputValue[]): Cell[] | null {
    let statement: StatementSync;
    try {
      statement = this.#statement(sql);
    } catch (error) {
      throw inWords(error, this.#path);
    }
    try {
      const row = statement.get(...parameters);
      return row === undefined ? null : cells(row).map(narrow);
    } catch (error) {
      throw this.#faultOrWords(error);
    }
  }

  /** Defines a function of one text for queries of this program. */
  define(name: string, is: (text: string) => boolean): void {
    this.#db.function(name, { varargs: true }, (text) => typeof text === "string" && is(text) ? 1 : 0);
  }

  /**
   * Makes or fills up a temporary table `temp.NAME` of numbers, by a query of this program; in memory, as all that
   * is temporary here.
   *
   * @throws RowFaultError, StoreError
   */
  keepNumbers(name: string, sql: string, ...parameters: SQLInputValue[]): void {
    this.#temporarily(() => {
      this.#db.exec(`CREATE TABLE IF NOT EXISTS temp."${name}" (number INTEGER PRIMARY KEY)`);
      this.#db.prepare(`INSERT INTO temp."${name}" ${sql}`).run(...parameters);
    });
  }

  /** Drops such a table. */
  dropNumbers(name: string): void {
    this.#temporarily(() => this.#db.exec(`DROP TABLE IF EXISTS temp."${name}"`));
  }

  #temporarily(change: () => void): void {
    try {
      this.#db.setAuthorizer(null);
      this.#db.exec("PRAGMA query_only = 0");
      change();
    } catch (error) {
      throw this.#faultOrWords(error);
    } finally {
      this.#db.exec("PRAGMA query_only = 1");
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      this.#db.setAuthorizer(null);
      statement = this.#db.prepare(sql);
      const [oldest] = this.#prepared.keys();
      if (this.#prepared.size >= MAX_PREPARED) this.#prepared.delete(oldest!);
    } else this.#prepared.delete(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }

  #faultOrWords(error: unknown): Error {
    const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
    if (code !== CODE.error && code !== CODE.tooBig) return inWords(error, this.#path);
    return new RowFaultError((error as Error).message, { cause: error });
  }

  /** Runs `read` so that all of its queries see one moment of the store. */
  atOneMoment<T>(read: () => T): T {
    this.#begin();
    try {
      return read();
    } finally {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
    }
  }

  close(): void {
    if (!this.#isHeld) {
      if (this.#db.isOpen) this.#db.close();
      return;
    }
    this.#prepared.clear();
    this.#db.setAuthorizer(null);
    this.#db.exec("PRAGMA query_only = 0");
    const own = this.#db.prepare("SELECT type, name FROM temp.sqlite_schema WHERE type IN ('view', 'table')").iterate();
    for (const [type, name] of [...own].map(cells)) this.#db.exec(`DROP ${type} temp."${name}"`);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  *#inWords(rows: Iterable<Cell[]>, end: () => void): Generator<Cell[]> {
    try {
      yield* rows;
    } catch (error) {
      throw inWords(error, this.#path);
    } finally {
      end();
    }
  }
}

/**
 * In Deno 2.9.6 `iterate()` takes an error of SQLite (a damaged page, no memory) for the end of the rows, and `all()` does
 * not end when a function called from SQL throws. So a mark is set after the last row, and where it is missing the row
 * at fault is asked for alone, by `get()`, which throws.
 */
function* runMarked(
  db: DatabaseSync,
  views: DeadlineViews,
  sql: string,
  parameters: readonly SQLInputValue[],
): Generator<Cell[]> {
  const nothing = db.prepare(sql).columns().map(() => "NULL").join(", ");
  const marking = db.prepare(`SELECT * FROM (${sql}) UNION ALL SELECT ${nothing} WHERE ${views.mark}()`);
  let count = 0;
  for (const each of marking.iterate(...parameters)) {
    // Rows that come out of a sort pass no view any more
    if (count % ROWS_PER_LOOK === 0) views.look();
    count += 1;
    // The array is nobody else's
    const row = cells(each);
    for (let i = 0; i < row.length; i++) if (typeof row[i] === "bigint") row[i] = narrow(row[i]!);
    yield row;
  }
  if (views.marked) return;
  db.prepare(`SELECT * FROM (${sql}) LIMIT 1 OFFSET ${count}`).get(...parameters);
  throw new StoreError("The store stopped before the last row of the answer, and SQLite does not say why; try again");
}

/** A row as the connection gives it: an array, against what the declarations say. */
function cells(row: unknown): Cell[] {
  return row as Cell[];
}

/** An integer that is exact as a double becomes one. */
function narrow(cell: Cell): Cell {
  if (typeof cell !== "bigint") return cell;
  return cell >= Number.MIN_SAFE_INTEGER && cell <= Number.MAX_SAFE_INTEGER ? Number(cell) : cell;
}

/** By which condition `--since` narrows a table; tables without one have no time of their own. */
const SINCE: Readonly<Record<string, (since: number) => string>> = {
  process_events: (since) => `time >= ${since}`,
  processes: (since) => `end_time IS NULL OR end_time >= ${since}`,
  alerts: (since) => `time >= ${since}`,
  gaps: (since) => `to_time >= ${since}`,
};

function sinceCondition(since: number | null): (table: Table) => string | null {
  return (table) => {
    if (since === null) return null;
    const condition = SINCE[table.name] ?? (CATALOG.has(table.name) ? undefined : (from: number) => `time >= ${from}`);
    return condition?.(Math.floor(since)) ?? null;
  };
}

/**
 * What `collected_tables` says there is, each checked before its names stand in any SQL, and why one is left out.
 */
function tablesOf(db: DatabaseSync): { tables: TableSet; leftOut: string[] } {
  const tables = new Map<string, Table>(), leftOut: string[] = [];
  const there = new Set([...db.prepare("SELECT name FROM main.sqlite_schema").iterate()].map((row) => cells(row)[0]));
  const rows = db.prepare(`SELECT ${DESCRIPTOR_COLUMNS.join(", ")} FROM main.collected_tables`);
  for (const row of [...rows.iterate()].map(cells)) {
    const { name, descriptor, fault } = storedDescriptor(row);
    if (fault === null && there.has(name)) tables.set(name, tableOf(descriptor));
    else {leftOut.push(
        `The table ${printable(name.slice(0, 64))} of a collector is left out: ${fault ?? "it is not there"}`,
      );}
  }
  return { tables, leftOut };
}

/** A view over a table that is not there would be found out only when it is asked. */
function requireTables(db: DatabaseSync, path: string): void {
  const there = new Set([...db.prepare("SELECT name FROM sqlite_schema").iterate()].map((row) => cells(row)[0]));
  const missing = [...CATALOG.keys()].filter((name) => !there.has(name));
  if (missing.length === 0) return;
  throw new StoreError(
    `The store ${path} lacks the tables ${
      missing.join(", ")
    }: it is not one of this version's. Move it away, and start ` +
      `the agent, which makes a new one`,
  );
}

function versionProblem(version: number, path: string): string {
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
  ioError: 10,
  corrupt: 11,
  cannotOpen: 14,
  tooBig: 18,
  notADatabase: 26,
} as const;
const READONLY = 8;

/** Any failure of the store in words; what is words already stays. */
function inWords(error: unknown, path: string): Error {
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
    case READONLY:
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
