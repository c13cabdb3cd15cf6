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
import { CATALOG, SCHEMA_VERSION } from "../proto/catalog.ts";
import type { TableSet } from "../proto/table_descriptor.ts";
import "../proto/rules/sqlite_types.ts";
import { catalogColumns, READ_LIMITS } from "../proto/rules/authorizer.ts";
import { type DeadlineViews, openDeadlineViews } from "../proto/rules/deadline_views.ts";
import { runGuarded } from "../proto/rules/prepared_query.ts";
import type { GuardedQuery } from "../proto/rules/sql_guard.ts";
import type { EventPart } from "../proto/rules/event_groups.ts";
import type { PartitionLayout } from "../proto/partition_layout.ts";
import { MAX_PARTITIONS } from "../proto/store_layout.ts";
import type { Cell } from "./output.ts";
import { fileProblem } from "./file_problem.ts";
import { heldStore } from "./held_state.ts";
import { cells, narrow, runMarked } from "./marked_rows.ts";
import { storeImage } from "./store_image.ts";
import { faultOrWords, inWords, StoreError, versionProblem } from "./store_error.ts";
import { requireTables, sinceCondition, tablesOf } from "./stored_tables.ts";

/** Time that one command may spend in the store, unless it says otherwise. */
export const DEFAULT_DEADLINE_MS = 30_000;
/** Memory that SQLite may take: sorts and groups happen in memory, because this program writes no file. */
export const MAX_HEAP_BYTES = 1_073_741_824;
/** Arguments of a function: those of `json_object` for the widest table. */
export const ROW_ARGUMENTS = 2 * Math.max(...[...CATALOG.values()].map(({ columns }) => columns.length));
/** Bytes of the SQL of the view over all partitions: each has every column and its dictionaries there, by name. */
const MAX_VIEW = 4_096 * MAX_PARTITIONS;
/** Statements that are kept for another use. */
const MAX_PREPARED = 16;

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
      throw faultOrWords(error, this.#path);
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
      throw faultOrWords(error, this.#path);
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
