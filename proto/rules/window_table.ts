/**
 * The rows that one rule over a window can use, in tables of its own, and the statement over them.
 *
 * There is a table for each base of the query, with the columns that the rule names and no others, in the order of time. Every evaluation is bounded by a
 * deadline that the tables' views look at; what SQLite or the deadline stops is told with what was found until then, and
 * never taken for an end.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import type { Table } from "../tables/table.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { type DeadlineViews, QueryDeadlineError } from "./deadline_views.ts";
import { bounded } from "./evidence.ts";
import { type PlanStep, planSteps, sortsRows } from "./plan.ts";
import { columnAt, columnsOf, type Form } from "./predicate.ts";
import type { ValidatedRule } from "./rule.ts";
import { type Evaluated, type Found, MAX_FOUND, type WatchTable } from "./watch_table.ts";
import { keyOf, readable } from "./window_evaluation.ts";
import { ARRIVAL } from "./window_findings.ts";
import { type WindowQuery, windowSql } from "./window_query.ts";

const PLACES = columnPlaces("process_events");
const EVENT_ID = PLACES.get("event_id")!, TIME = PLACES.get("time")!;

/** The table of one base of the rule's query. */
interface BaseTable {
  readonly name: string;
  readonly insert: StatementSync;
  readonly evict: StatementSync;
  readonly first: StatementSync;
  rows: number;
  /** Time of its oldest row, `Infinity` when there is none. */
  oldest: number;
}

export class WindowTable implements WatchTable {
  readonly query: WindowQuery;
  readonly keepMs: number;
  readonly bytes = 0;
  readonly takesLate = false;
  readonly judgesAgain = true;
  readonly suppressible = -1;
  readonly due = Infinity;
  readonly #db: DatabaseSync;
  readonly #tables: readonly BaseTable[];
  readonly #columns: Table["columns"];
  readonly #places: readonly number[];
  readonly #cells: SqlValue[] = [];
  #statement: StatementSync | null = null;
  #sql = "";
  #explaining = "";
  #views!: DeadlineViews;
  #sorts: boolean | null = null;

  /** Makes the tables; {@linkcode prepare} comes once all have their views. */
  constructor(db: DatabaseSync, readonly rule: ValidatedRule, readonly name: string) {
    this.#db = db;
    this.query = rule.window!;
    this.keepMs = rule.windowMs!;
    const named = tableNamed("process_events").columns.filter(({ name }) =>
      this.query.columns.has(name) && name !== "event_id" && name !== "time"
    );
    const own = ["event_id", "time", ARRIVAL].map((name) => ({ name, type: "INTEGER" as const, description: "" }));
    this.#columns = [...own, ...named];
    this.#places = named.map((column) => PLACES.get(column.name)!);
    this.#tables = this.query.bases.map((_, base) => this.#make(`${name}_${base}`));
  }

  #make(name: string): BaseTable {
    const db = this.#db, columns = this.#columns;
    db.exec(
      `CREATE TABLE "${name}" (${columns.map((column) => `"${column.name}" ${column.type}`).join(", ")},
         PRIMARY KEY (time, event_id)) WITHOUT ROWID`,
    );
    for (const column of this.query.lookups) db.exec(`CREATE INDEX "${name}_${column}" ON "${name}" ("${column}")`);
    return {
      name,
      insert: db.prepare(`INSERT OR IGNORE INTO main."${name}" VALUES (?${", ?".repeat(columns.length - 1)})`),
      evict: db.prepare(`DELETE FROM main."${name}" WHERE time <= ?`),
      first: db.prepare(`SELECT time FROM main."${name}" ORDER BY time LIMIT 1 OFFSET ?`),
      rows: 0,
      oldest: Infinity,
    };
  }

  /** The tables as the catalog would describe them. */
  get shapes(): Table[] {
    const columns = this.#columns;
    return this.#tables.map(({ name }) => ({ name, description: "", columns, key: ["event_id"], indexes: [] }));
  }

  get bases(): readonly Form[] {
    return this.query.bases;
  }

  /** Those that the query names, and those of its bases. */
  get columns(): ReadonlySet<string> {
    const columns = new Set(this.query.columns);
    for (const base of this.query.bases) for (const place of columnsOf(base)) columns.add(columnAt(place).name);
    return columns;
  }

  /** How many rows they hold; one that several hold counts for each. */
  get rows(): number {
    let rows = 0;
    for (const table of this.#tables) rows += table.rows;
    return rows;
  }

  /** Whether there are rows enough for anything to be found. */
  get isEnough(): boolean {
    return this.#tables.every(({ rows }, base) => rows >= this.query.least[base]!);
  }

  /** Time of the oldest row, `Infinity` when there is none. */
  get oldest(): number {
    let oldest = Infinity;
    for (const table of this.#tables) if (table.oldest < oldest) oldest = table.oldest;
    return oldest;
  }

  /** Prepares the statement, while the authorizer stands. Throws what SQLite says against it. */
  prepare(views: DeadlineViews): void {
    this.#views = views;
    const sql = windowSql(this.query, this.#tables.map(({ name }) => views.gates.get(name)!), views.tick);
    const nothing = Array(this.query.width).fill("NULL").join(", ");
    // iterate() takes an error of SQLite for the end of the rows: the second part runs only after the whole first one.
    this.#sql = `SELECT * FROM (${sql}) UNION ALL SELECT ${nothing} WHERE ${views.mark}()`;
    const names = Array.from({ length: this.query.width }, (_, i) => `c${i}`);
    // MATERIALIZED keeps SQLite from weaving the query into this one: every value is computed again, and get() throws.
    this.#explaining = `WITH answer(${names.join(", ")}) AS MATERIALIZED (${sql})
      SELECT ${names.map((name) => `count(${name})`).join(", ")} FROM answer`;
    this.#again();
  }

  /** How SQLite goes about the rule's query, over tables with the indexes that they have. */
  get plan(): PlanStep[] {
    return planSteps(this.#db, this.#sql.slice("SELECT * FROM (".length, this.#sql.lastIndexOf(") UNION ALL")));
  }

  #again(): void {
    this.#sorts ??= sortsRows(this.plan);
    this.#statement = this.#db.prepare(this.#sql);
    this.#statement.setReturnArrays(true);
    this.#statement.setReadBigInts(true);
  }

  begin(): void {}

  insert(cells: readonly SqlValue[], arrival: number, bases: number): void {
    const values = this.#cells, time = cells[TIME] as number;
    values.length = 0;
    values.push(cells[EVENT_ID]!, time, arrival);
    for (const place of this.#places) values.push(cells[place]!);
    for (let base = 0; base < this.#tables.length; base++) {
      if ((bases & 1 << base) === 0) continue;
      const table = this.#tables[base]!;
      table.rows += Number(table.insert.run(...values).changes);
      if (time < table.oldest) table.oldest = time;
    }
  }

  /** Drops the rows up to this time. */
  evict(until: number): void {
    for (const table of this.#tables) {
      if (table.oldest > until) continue;
      table.rows -= Number(table.evict.run(until).changes);
      table.oldest = timeAt(table, 0) ?? Infinity;
    }
  }

  /** Drops the rows later than this time. */
  evictAfter(from: number): void {
    for (const { name } of this.#tables) this.#db.prepare(`DELETE FROM main."${name}" WHERE time > ?`).run(from);
    this.#recount();
  }

  shrink(): number | null {
    const [largest] = [...this.#tables].sort((a, b) => b.rows - a.rows);
    const until = timeAt(largest!, Math.floor(largest!.rows / 10));
    if (until !== null) this.evict(until);
    return until;
  }

  settle(): void {}

  keep(): void {}

  /** The database has undone it. */
  undo(): void {
    this.#recount();
  }

  #recount(): void {
    for (const table of this.#tables) {
      table.rows = Number(this.#db.prepare(`SELECT count(*) AS n FROM main."${table.name}"`).get()!["n"]);
      table.oldest = timeAt(table, 0) ?? Infinity;
    }
  }

  clear(): void {
    for (const { name } of this.#tables) this.#db.exec(`DELETE FROM main."${name}"`);
    this.#recount();
  }

  /** What the rule's query gives now. */
  evaluate(deadlineMs: number): Evaluated {
    const found: Found[] = [], views = this.#views, began = performance.now();
    let fault: Evaluated["fault"] = null, all = true;
    views.start(deadlineMs, undefined, this.#sorts ?? false);
    try {
      for (const row of this.#statement!.iterate() as Iterable<unknown> as Iterable<(SqlValue | bigint)[]>) {
        views.look();
        if (found.length === MAX_FOUND) {
          all = false;
          break;
        }
        found.push(this.#found(row));
      }
      if (!all) fault = { reason: `only the first ${MAX_FOUND} rows of its result were read`, timedOut: false };
      else if (!views.marked) fault = { reason: this.#whyStopped(), timedOut: false };
    } catch (error) {
      // A statement in which a function threw fails at its next use, without a reason.
      this.#again();
      const timedOut = error instanceof QueryDeadlineError;
      fault = { reason: timedOut ? stopped(deadlineMs, this.#sorts === true) : words(error), timedOut };
    }
    return { found, suppressed: 0, fault, ms: performance.now() - began };
  }

  #found(row: readonly (SqlValue | bigint)[]): Found {
    const { key, newest, outputs } = this.query;
    return {
      key: keyOf(key.map((place) => row[place]!)),
      arrival: newest === null ? null : Number(row[newest]),
      cells: null,
      evidence: () => Object.fromEntries(outputs.map((name, place) => [name, bounded(readable(row[place]!))])),
    };
  }

  #whyStopped(): string {
    try {
      this.#db.prepare(this.#explaining!).get();
      return "SQLite stopped before the last row, and does not say why";
    } catch (error) {
      return words(error);
    }
  }
}

function timeAt({ first }: BaseTable, place: number): number | null {
  return first.get(place)?.["time"] as number | undefined ?? null;
}

function stopped(deadlineMs: number, sorts: boolean): string {
  return sorts
    ? `stopped while it read, since what it reads is to be sorted within ${deadlineMs} ms`
    : `stopped after ${deadlineMs} ms`;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
