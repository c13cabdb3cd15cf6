/**
 * The tables that collectors brought, beside those of the catalog.
 *
 * What a collector registers becomes a table here, in the transaction that also writes it into `collected_tables`; a
 * later version adds columns at the end. Nothing removes such a table: its rows go with time and size, and how many
 * tables there may be is bounded. Descriptors were checked where they came in; whether one fits what is there is checked
 * here. Rows are values that are bound, in the order of the columns of whoever sent them.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Column, Table } from "../../proto/tables/table.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import {
  changeFault,
  descriptorFault,
  MAX_COLLECTED_TABLES,
  ROW_COLUMNS,
  type TableDescriptor,
  tableOf,
  type TableSet,
  timeIndex,
} from "../../proto/table_descriptor.ts";
import { type RemovalReason, type Removals, Tally } from "./removals.ts";

/** Rows that one step of retention deletes. */
const STEP_ROWS = 500;
/** Typical bytes of a row with its index, and the share of the store that all of these tables together may take. */
const ROW_BYTES = 250, SHARE = 1 / 4;
const MIN_ROWS = 10_000;

/** Rows of one table as a batch stores them: their ids, and the values as they were sent. */
export interface CollectedRows {
  readonly table: string;
  readonly columns: readonly Column[];
  readonly rows: readonly CollectedRow[];
}

export interface CollectedRow {
  readonly rowId: number;
  readonly time: number;
  readonly values: readonly SqlValue[];
}

export class CollectedTables {
  readonly #db: DatabaseSync;
  #known!: Map<string, TableDescriptor>;
  #set!: TableSet;
  readonly #inserts = new Map<string, StatementSync>();
  /** Rows of each table that was looked at. */
  readonly #counts = new Map<string, number>();
  #maxRows = MIN_ROWS;

  constructor(db: DatabaseSync, maxBytes: number) {
    this.#db = db;
    this.limit(maxBytes);
    this.reload();
  }

  /** Another object whenever there is another table, or one has more columns. */
  get set(): TableSet {
    return this.#set;
  }

  /** From here on the store may take so much. */
  limit(maxBytes: number): void {
    this.#maxRows = Math.max(MIN_ROWS, Math.floor(maxBytes * SHARE / ROW_BYTES));
  }

  /** Reads again what there is: at the start, and when a transaction was undone. */
  reload(): void {
    this.#counts.clear();
    const known = readDescriptors(this.#db);
    if (this.#known !== undefined && JSON.stringify([...known]) === JSON.stringify([...this.#known])) return;
    this.#known = known;
    this.#renew();
  }

  /** Why these cannot all be taken over; `null` when they can. Changes nothing. */
  fault(descriptors: readonly TableDescriptor[]): string | null {
    const fresh = new Set<string>();
    for (const descriptor of descriptors) {
      const { name } = descriptor, before = this.#known.get(name);
      const fault = before === undefined ? this.#newFault(name, fresh) : changeFault(before, descriptor);
      if (fault !== null) return fault;
      if (before === undefined) fresh.add(name);
    }
    if (this.#known.size + fresh.size <= MAX_COLLECTED_TABLES) return null;
    return `the store has ${this.#known.size} tables of collectors, and may have ${MAX_COLLECTED_TABLES}`;
  }

  /** Makes or extends the tables; within a transaction. Whether anything changed. */
  define(descriptors: readonly TableDescriptor[], collectorId: string, now: number): boolean {
    let isChanged = false;
    for (const descriptor of descriptors) {
      const { name, version, description, columns } = descriptor, before = this.#known.get(name);
      if (before === undefined) { for (const statement of makingStatements(descriptor)) this.#db.exec(statement); }
      else if (version <= before.version) continue;
      else {
        for (const column of columns.slice(before.columns.length)) {
          this.#db.exec(`ALTER TABLE "${name}" ADD COLUMN "${column.name}" ${column.type}`);
        }
      }
      this.#db.prepare(
        `INSERT INTO collected_tables (table_name, version, description, columns, collector_id, first_seen, rows_refused)
           VALUES (?, ?, ?, ?, ?, ?, 0)
         ON CONFLICT (table_name) DO UPDATE SET version = excluded.version, description = excluded.description,
           columns = excluded.columns, collector_id = excluded.collector_id`,
      ).run(name, version, description, JSON.stringify(columns), collectorId, now);
      this.#known.set(name, descriptor);
      isChanged = true;
    }
    if (isChanged) this.#renew();
    return isChanged;
  }

  /** Stores rows; within a transaction. */
  put({ table, columns, rows }: CollectedRows, collectorId: string): void {
    const insert = this.#insert(table, columns);
    for (const { rowId, time, values } of rows) insert.run(rowId, time, collectorId, ...values);
    const before = this.#counts.get(table);
    if (before !== undefined) this.#counts.set(table, before + rows.length);
  }

  /** Counts rows that broke the schema; within a transaction. */
  refused(table: string, count: number): void {
    this.#db.prepare("UPDATE collected_tables SET rows_refused = rows_refused + ? WHERE table_name = ?")
      .run(count, table);
  }

  /** Rows of a table later than `after`, oldest first, at most the newest `limit`: in the order of all its columns. */
  since(table: Table, after: number, limit: number): (readonly SqlValue[])[] {
    const names = table.columns.map(({ name }) => `"${name}"`).join(", ");
    const statement = this.#db.prepare(
      `SELECT ${names} FROM "${table.name}" WHERE time > ? ORDER BY time DESC, row_id DESC LIMIT ?`,
    );
    statement.setReturnArrays(true);
    return ([...statement.iterate(after, limit)] as unknown as SqlValue[][]).reverse();
  }

  /** Time of the newest row of a table that is not later than `most`; `null` when there is none. */
  newest(table: string, most: number): number | null {
    const row = this.#db.prepare(`SELECT max(time) AS time FROM "${table}" WHERE time <= ?`).get(most);
    return row?.["time"] as number | null ?? null;
  }

  /** Whether a table has a row of this stream. */
  uses(stream: number): boolean {
    const from = stream * SEQUENCES_PER_STREAM;
    for (const name of this.#known.keys()) {
      const found = this.#db.prepare(`SELECT 1 FROM "${name}" WHERE row_id BETWEEN ? AND ? LIMIT 1`)
        .get(from, from + SEQUENCES_PER_STREAM - 1);
      if (found !== undefined) return true;
    }
    return false;
  }

  /**
   * Removes some rows from before `before` of each table, and the oldest of those that take more than their share; within
   * a transaction. Whether any went. `all`: whatever their age, for room alone.
   */
  step(before: number, removals: Removals, now: number, all = false): boolean {
    let went = 0;
    const share = Math.max(1, Math.floor(this.#maxRows / Math.max(1, this.#known.size)));
    for (const name of this.#known.keys()) {
      const tally = new Tally();
      went += this.#remove(name, "time < ?", before, "age", tally);
      const rows = this.#count(name);
      if (all) went += this.#remove(name, "time < ?", Number.MAX_SAFE_INTEGER, "size", tally);
      else if (rows > share) {
        went += this.#remove(name, "time < ?", Number.MAX_SAFE_INTEGER, "size", tally, rows - share);
      }
      for (const removal of tally.of(name)) removals.add(removal, now);
    }
    return went > 0;
  }

  /** Counted once, and kept count of from then on. */
  #count(name: string): number {
    let rows = this.#counts.get(name);
    if (rows === undefined) {
      rows = this.#db.prepare(`SELECT count(*) AS n FROM "${name}"`).get()!["n"] as number;
      this.#counts.set(name, rows);
    }
    return rows;
  }

  #remove(
    name: string,
    where: string,
    bound: number,
    reason: RemovalReason,
    tally: Tally,
    most: number = STEP_ROWS,
  ): number {
    const rows = [
      ...this.#db.prepare(`SELECT row_id, time FROM "${name}" WHERE ${where} ORDER BY time LIMIT ?`)
        .iterate(bound, Math.min(most, STEP_ROWS)),
    ];
    const drop = this.#db.prepare(`DELETE FROM "${name}" WHERE row_id = ?`);
    for (const row of rows) {
      drop.run(row["row_id"] as number);
      tally.note(reason, row["time"] as number);
    }
    const count = this.#counts.get(name);
    if (count !== undefined) this.#counts.set(name, count - rows.length);
    return rows.length;
  }

  /** An older version of a collector fills fewer columns. */
  #insert(table: string, columns: readonly Column[]): StatementSync {
    const key = `${table} ${columns.length}`;
    let insert = this.#inserts.get(key);
    if (insert === undefined) {
      const names = [...ROW_COLUMNS, ...columns].map(({ name }) => `"${name}"`);
      insert = this.#db.prepare(
        `INSERT INTO "${table}" (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
      );
      this.#inserts.set(key, insert);
    }
    return insert;
  }

  /** Tables and indexes share their names, also those that come together. */
  #newFault(name: string, others: ReadonlySet<string>): string | null {
    const tables = new Set([...this.#known.keys(), ...others]), index = timeIndex(name);
    const indexed = [...tables].find((other) => timeIndex(other) === name);
    if (indexed !== undefined) return `${name} is the name of the index of the table ${indexed}; choose another`;
    if (tables.has(index)) return `${name} has an index of the name ${index}, which is a table's; choose another`;
    const taken = this.#db.prepare("SELECT name FROM sqlite_schema WHERE name IN (?, ?) COLLATE NOCASE").get(
      name,
      index,
    );
    return taken === undefined
      ? null
      : `${name} needs the name ${taken["name"]}, which is the store's own; choose another`;
  }

  #renew(): void {
    this.#inserts.clear();
    this.#set = new Map([...this.#known].map(([name, descriptor]) => [name, tableOf(descriptor)]));
  }
}

/** What `collected_tables` says there is. Who can write the store can write this: it is checked as if it came in. */
export function readDescriptors(db: DatabaseSync): Map<string, TableDescriptor> {
  const known = new Map<string, TableDescriptor>();
  const rows = db.prepare("SELECT table_name, version, description, columns FROM collected_tables ORDER BY table_name");
  for (const row of [...rows.iterate()]) {
    const descriptor: TableDescriptor = {
      name: String(row["table_name"]),
      version: Number(row["version"]),
      description: String(row["description"]),
      columns: JSON.parse(String(row["columns"])),
    };
    const fault = descriptorFault(descriptor);
    if (fault !== null) throw new RangeError(`collected_tables is damaged: ${fault}`);
    known.set(descriptor.name, descriptor);
  }
  return known;
}

/** Statements that make a table with its index. */
export function makingStatements(descriptor: TableDescriptor): string[] {
  const { name, columns } = tableOf(descriptor);
  const defined = columns.map((column) =>
    `"${column.name}" ${column.type}${column.name === "row_id" ? " PRIMARY KEY NOT NULL" : ""}`
  );
  return [
    `CREATE TABLE "${name}" (\n  ${defined.join(",\n  ")}\n) STRICT`,
    `CREATE INDEX "${timeIndex(name)}" ON "${name}" (time)`,
  ];
}
