/**
 * The rows that one rule over a window can use, in a table of its own, and the statement over them.
 *
 * The table has the columns that the rule names and no others, in the order of time. Every evaluation is bounded by a
 * deadline that the table's view looks at; what SQLite or the deadline stops is told with what was found until then, and
 * never taken for an end.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Table, tableNamed } from "../catalog.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { type DeadlineViews, QueryDeadlineError } from "./authorizer.ts";
import type { ValidatedRule } from "./rule.ts";
import { ARRIVAL, type WindowQuery, windowSql } from "./window_query.ts";

/** Rows of one result that are read; more are counted as left out. */
export const MAX_RESULT_ROWS = 1_000;

const PLACES = columnPlaces("process_events");
const EVENT_ID = PLACES.get("event_id")!, TIME = PLACES.get("time")!;

/** What one evaluation gave. */
export interface WindowResult {
  readonly rows: readonly (readonly (SqlValue | bigint)[])[];
  /** Why it is not whole, `null` when it is. */
  readonly fault: { readonly reason: string; readonly timedOut: boolean } | null;
  readonly ms: number;
}

export class WindowTable {
  /** How many rows it holds. */
  rows = 0;
  /** Time of the oldest, `Infinity` when there is none. */
  oldest = Infinity;
  readonly query: WindowQuery;
  readonly #db: DatabaseSync;
  readonly #places: readonly number[];
  readonly #cells: SqlValue[] = [];
  readonly #insert: StatementSync;
  readonly #evict: StatementSync;
  readonly #first: StatementSync;
  #statement: StatementSync | null = null;
  #explaining: string | null = null;

  /** Makes the table; {@linkcode prepare} comes once all have their views. */
  constructor(db: DatabaseSync, readonly rule: ValidatedRule, readonly name: string) {
    this.#db = db;
    this.query = rule.window!;
    const { columns } = this.shape;
    // The two of the key, the arrival, then what the rule names
    this.#places = columns.slice(3).map((column) => PLACES.get(column.name)!);
    db.exec(
      `CREATE TABLE "${name}" (${columns.map((column) => `"${column.name}" ${column.type}`).join(", ")},
         PRIMARY KEY (time, event_id)) WITHOUT ROWID`,
    );
    for (const column of this.query.lookups) db.exec(`CREATE INDEX "${name}_${column}" ON "${name}" ("${column}")`);
    this.#insert = db.prepare(
      `INSERT OR IGNORE INTO "main"."${name}" VALUES (?${", ?".repeat(columns.length - 1)})`,
    );
    this.#evict = db.prepare(`DELETE FROM "main"."${name}" WHERE time <= ?`);
    this.#first = db.prepare(`SELECT time FROM "main"."${name}" ORDER BY time LIMIT 1 OFFSET ?`);
  }

  /** The table as the catalog would describe it. */
  get shape(): Table {
    const named = tableNamed("process_events").columns.filter(({ name }) =>
      this.query.columns.has(name) && name !== "event_id" && name !== "time"
    );
    const [eventId, time] = ["event_id", "time"].map((name) => ({ name, type: "INTEGER" as const, description: "" }));
    const arrival = { name: ARRIVAL, type: "INTEGER" as const, description: "" };
    return {
      name: this.name,
      description: "",
      columns: [eventId!, time!, arrival, ...named],
      key: ["event_id"],
      indexes: [],
    };
  }

  /** Prepares the statement, while the authorizer stands. Throws what SQLite says against it. */
  prepare(views: DeadlineViews): void {
    const sql = windowSql(this.query, this.name, views.tick);
    const nothing = Array(this.query.width).fill("NULL").join(", ");
    // iterate() takes an error of SQLite for the end of the rows: the second part runs only after the whole first one.
    this.#statement = this.#db.prepare(`SELECT * FROM (${sql}) UNION ALL SELECT ${nothing} WHERE ${views.mark}()`);
    this.#statement.setReturnArrays(true);
    this.#statement.setReadBigInts(true);
    const names = Array.from({ length: this.query.width }, (_, i) => `c${i}`);
    // MATERIALIZED keeps SQLite from weaving the query into this one: every value is computed again, and get() throws.
    this.#explaining = `WITH answer(${names.join(", ")}) AS MATERIALIZED (${sql})
      SELECT ${names.map((name) => `count(${name})`).join(", ")} FROM answer`;
  }

  /** Takes a row, once. */
  insert(cells: readonly SqlValue[], arrival: number): void {
    const values = this.#cells, time = cells[TIME] as number;
    values.length = 0;
    values.push(cells[EVENT_ID]!, time, arrival);
    for (const place of this.#places) values.push(cells[place]!);
    this.rows += Number(this.#insert.run(...values).changes);
    if (time < this.oldest) this.oldest = time;
  }

  /** Drops the rows up to this time. */
  evict(until: number): void {
    if (this.oldest > until) return;
    this.rows -= Number(this.#evict.run(until).changes);
    this.oldest = this.timeAt(0) ?? Infinity;
  }

  /** Drops the rows later than this time. */
  evictAfter(from: number): void {
    this.#db.prepare(`DELETE FROM "main"."${this.name}" WHERE time > ?`).run(from);
    this.recount();
  }

  /** Time of the row at this place in the order of time. */
  timeAt(place: number): number | null {
    return this.#first.get(place)?.["time"] as number | undefined ?? null;
  }

  /** Counts anew what the table holds, after it was rolled back. */
  recount(): void {
    this.rows = Number(this.#db.prepare(`SELECT count(*) AS n FROM "main"."${this.name}"`).get()!["n"]);
    this.oldest = this.timeAt(0) ?? Infinity;
  }

  clear(): void {
    this.#db.exec(`DELETE FROM "main"."${this.name}"`);
    this.recount();
  }

  /** What the rule's query gives now. */
  evaluate(views: DeadlineViews, deadlineMs: number): WindowResult {
    const rows: (readonly (SqlValue | bigint)[])[] = [], began = performance.now();
    let fault: WindowResult["fault"] = null, all = true;
    views.start(deadlineMs);
    try {
      for (const row of this.#statement!.iterate() as Iterable<unknown> as Iterable<(SqlValue | bigint)[]>) {
        views.look();
        if (rows.length === MAX_RESULT_ROWS) {
          all = false;
          break;
        }
        rows.push(row);
      }
      if (!all) fault = { reason: `only the first ${MAX_RESULT_ROWS} rows of its result were read`, timedOut: false };
      else if (!views.marked) fault = { reason: this.#whyStopped(), timedOut: false };
    } catch (error) {
      const timedOut = error instanceof QueryDeadlineError;
      fault = { reason: timedOut ? `stopped after ${deadlineMs} ms` : words(error), timedOut };
    }
    return { rows, fault, ms: performance.now() - began };
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

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
