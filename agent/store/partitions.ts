/**
 * The partitions of `process_events`: one is open and takes what arrives, the others are closed and wait to be removed.
 *
 * An event belongs to the partition that is open when it arrives, whatever its own time: late events and steps of the
 * clock open nothing again. A partition leaves the views in the transaction that adds a record of its removal; its
 * pages are freed afterwards in short steps. After a crash between two steps the next start goes on with them.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { MAX_PARTITIONS, STORED_EVENTS } from "../../proto/store_layout.ts";
import { DictionaryWriter } from "./dictionary.ts";
import {
  COMPACT,
  DICTIONARIES,
  OWN_COLUMNS,
  type PartitionLayout,
  partitionTable,
  partitionTables,
} from "../../proto/partition_layout.ts";
import { ARGUMENT_COLUMNS, partitionStatements, setArguments, viewStatements } from "./partition_schema.ts";

/** A partition as its row in the table `partitions` says; `null` where it was not counted. Times: Unix milliseconds. */
export interface Partition {
  readonly number: number;
  readonly layout: PartitionLayout;
  readonly state: "open" | "closed" | "removing";
  readonly openedTime: number;
  readonly closedTime: number | null;
  /** The times that its events happened at. */
  readonly fromTime: number | null;
  readonly toTime: number | null;
  readonly events: number | null;
  /** Highest rowid of `processes` when it was opened. */
  readonly firstProcess: number;
}

/** What the open partition holds. */
interface Growth {
  events: number;
  /** About, with indexes and dictionaries. */
  bytes: number;
  fromTime: number;
  toTime: number;
}

/** What a row and its part of the indexes take beside the arguments, in bytes; measured. */
const ROW_BYTES = 150;

const TIME = columnPlaces("process_events").get("time")!;
const OWN_PLACES = OWN_COLUMNS.map((name) => columnPlaces("process_events").get(name)!);

/** Makes a partition that is open, and the views over all of them; within a transaction. */
export function addPartition(db: DatabaseSync, now: number): void {
  const { next } = db.prepare("SELECT coalesce(max(partition), 0) + 1 AS next FROM partitions").get() as {
    next: number;
  };
  for (const statement of partitionStatements(next)) db.exec(statement);
  db.prepare(
    `INSERT INTO partitions (partition, layout, state, opened_time, first_process)
     VALUES (?, ?, 'open', ?, (SELECT coalesce(max(rowid), 0) FROM processes))`,
  ).run(next, COMPACT, now);
  replaceViews(db);
}

/** The partitions that the views show, oldest first. */
export function visiblePartitions(db: DatabaseSync): Partition[] {
  return readPartitions(db, "state <> 'removing'");
}

/** Statements of the views as they should be. */
export function expectedViews(db: DatabaseSync): string[] {
  return viewStatements(visiblePartitions(db));
}

function replaceViews(db: DatabaseSync): void {
  db.exec(`DROP VIEW IF EXISTS process_events; DROP VIEW IF EXISTS ${STORED_EVENTS}`);
  for (const statement of expectedViews(db)) db.exec(statement);
}

function readPartitions(db: DatabaseSync, where: string): Partition[] {
  const rows = db.prepare(
    `SELECT partition AS number, layout, state, opened_time AS openedTime, closed_time AS closedTime,
       from_time AS fromTime, to_time AS toTime, events, first_process AS firstProcess
     FROM partitions WHERE ${where} ORDER BY partition`,
  ).iterate();
  return [...rows].map((row) => ({ ...row }) as unknown as Partition);
}

export class Partitions {
  readonly #db: DatabaseSync;
  #visible: Partition[] = [];
  #growth: Growth = { events: 0, bytes: 0, fromTime: Infinity, toTime: -Infinity };
  /** The same as of the last commit. */
  #kept: Growth = this.#growth;
  #insert!: StatementSync;
  #dictionaries: readonly DictionaryWriter[] = [];
  /** Of the row that is being inserted. */
  readonly #cells: SqlValue[] = [];

  /** @throws Error of SQLite */
  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#load();
  }

  /** Those that the views show, oldest first; the last one is open. */
  get visible(): readonly Partition[] {
    return this.#visible;
  }

  get open(): Partition {
    return this.#visible.at(-1)!;
  }

  /** Events in the open one. */
  get openEvents(): number {
    return this.#growth.events;
  }

  /**
   * Bytes of the open one, about: of what was there before the start, only the number of rows is known. It decides when a
   * partition is closed; the bound of the store's size does not rest on it.
   */
  get openBytes(): number {
    return this.#growth.bytes;
  }

  /** Stores a row of `process_events`; within a transaction. */
  insert(row: readonly SqlValue[]): void {
    const cells = this.#cells, growth = this.#growth, time = row[TIME] as number;
    let at = 0;
    for (const place of OWN_PLACES) cells[at++] = row[place]!;
    growth.bytes += ROW_BYTES + setArguments(row, cells, at);
    at += ARGUMENT_COLUMNS.length;
    for (const dictionary of this.#dictionaries) {
      cells[at++] = dictionary.numberOf(row);
      growth.bytes += dictionary.added;
    }
    this.#insert.get(...cells); // run() would make an object of what changed
    growth.events += 1;
    if (time < growth.fromTime) growth.fromTime = time;
    if (time > growth.toTime) growth.toTime = time;
  }

  /** To be called when a transaction with inserts was committed. */
  committed(): void {
    this.#kept = { ...this.#growth };
  }

  /** To be called when a transaction with inserts, or one of the two below, was undone. */
  rolledBack(): void {
    const { number } = this.open;
    this.#visible = visiblePartitions(this.#db);
    if (this.open.number !== number) return this.#load();
    this.#growth = { ...this.#kept };
    // Rows that they added and remember are gone
    for (const dictionary of this.#dictionaries) dictionary.forget();
  }

  /** Closes the open partition and opens the next; within a transaction. False when there are too many already. */
  rotate(now: number): boolean {
    if (this.#visible.length >= MAX_PARTITIONS) return false;
    const { events, fromTime, toTime } = this.#growth, none = events === 0;
    this.#db.prepare(
      `UPDATE partitions SET state = 'closed', closed_time = ?, from_time = ?, to_time = ?, events = ?
       WHERE partition = ?`,
    ).run(now, none ? null : fromTime, none ? null : toTime, events, this.open.number);
    addPartition(this.#db, now);
    this.#load();
    return true;
  }

  /** Takes the oldest out of the views; within a transaction. It must be closed. */
  hideOldest(): Partition {
    const oldest = this.#visible[0]!;
    if (oldest.state !== "closed") throw new TypeError("The open partition cannot be removed");
    this.#db.prepare("UPDATE partitions SET state = 'removing' WHERE partition = ?").run(oldest.number);
    replaceViews(this.#db);
    this.#visible = visiblePartitions(this.#db);
    return oldest;
  }

  #load(): void {
    this.#visible = visiblePartitions(this.#db);
    const { number } = this.open, table = partitionTable(number);
    const { n, low, high } = this.#db.prepare(
      `SELECT (SELECT count(*) FROM ${table}) AS n, (SELECT min(time) FROM ${table}) AS low,
         (SELECT max(time) FROM ${table}) AS high`,
    ).get() as { n: number; low: number | null; high: number | null };
    this.#growth = { events: n, bytes: n * 2 * ROW_BYTES, fromTime: low ?? Infinity, toTime: high ?? -Infinity };
    this.committed();
    const columns = [...OWN_COLUMNS, ...ARGUMENT_COLUMNS, ...DICTIONARIES.map(({ reference }) => reference)];
    this.#insert = this.#db.prepare(
      `INSERT INTO ${table} (${columns.join(", ")}) VALUES (?${", ?".repeat(columns.length - 1)})`,
    );
    this.#dictionaries = DICTIONARIES.map((dictionary) => new DictionaryWriter(this.#db, number, dictionary));
  }
}

/** Time that one step of freeing may take, in milliseconds, and the rows that it begins with. */
const STEP_MS = 4;
const FIRST_ROWS = 1_000;
const MAX_STEP_ROWS = 20_000;
/** An index of more rows than this is not dropped at once: 2.2 ms for each 100,000 rows in memory, more from a disk. */
const MAX_INDEXED_ROWS = 1_000_000;

/**
 * Frees the pages of partitions that are out of the views, in steps that take some milliseconds each.
 *
 * To drop a table takes time with its pages, each of which SQLite reads: 10 ms for 100,000 events whose pages are in
 * memory. So the indexes go first, then the events by ranges of their numbers, which then frees whole pages, and the
 * table when few are left.
 */
export class Reclaimer {
  readonly #db: DatabaseSync;
  #stepRows = FIRST_ROWS;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Whether there is something to free. */
  get pending(): boolean {
    return this.#db.prepare("SELECT 1 FROM partitions WHERE state = 'removing' LIMIT 1").get() !== undefined;
  }

  /** One step; within a transaction. Gives how many events went, and whether nobody had counted them before. */
  step(): { uncounted: boolean; events: number } {
    const [partition] = readPartitions(this.#db, "state = 'removing'");
    if (partition === undefined) return { uncounted: false, events: 0 };
    const began = performance.now(), { number, layout } = partition;
    const nothing = { uncounted: false, events: 0 };
    const table = partitionTables(number, layout).findLast((name) => this.#exists(name));
    if (table === undefined) {
      this.#db.prepare("DELETE FROM partitions WHERE partition = ?").run(number);
      return nothing;
    }
    const index = this.#db.prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
    ).get(table);
    if (index !== undefined && (partition.events ?? Infinity) <= MAX_INDEXED_ROWS) {
      this.#db.exec(`DROP INDEX "${index["name"]}"`);
      return nothing;
    }
    const deleted = this.#deleteSome(table);
    const took = performance.now() - began;
    this.#stepRows = Math.max(200, Math.min(MAX_STEP_ROWS, Math.round(this.#stepRows * Math.min(2, STEP_MS / took))));
    return { uncounted: partition.events === null, events: table === partitionTable(number) ? deleted : 0 };
  }

  /** The first rows of a table, or the table when no more are left. Gives how many rows went. */
  #deleteSome(table: string): number {
    const key = this.#db.prepare("SELECT name FROM pragma_table_info(?) WHERE pk = 1").get(table)!["name"];
    const last = this.#db.prepare(`SELECT ${key} AS last FROM ${table} ORDER BY ${key} LIMIT 1 OFFSET ?`)
      .get(this.#stepRows);
    if (last !== undefined) {
      return Number(this.#db.prepare(`DELETE FROM ${table} WHERE ${key} <= ?`).run(last["last"]!).changes);
    }
    const { n } = this.#db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number };
    this.#db.exec(`DROP TABLE ${table}`);
    return n;
  }

  #exists(table: string): boolean {
    return this.#db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined;
  }
}
