/**
 * Queries that passed both gates, to be run under a deadline.
 *
 * Never read such a statement with `StatementSync.all()`: in Deno 2.9.6 it does not end when a function called from SQL
 * throws. `iterate()` throws that error but hides those of SQLite; {@linkcode runGuarded} deals with both.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import "./sqlite_types.ts";
import type { SqlValue } from "../event_row.ts";
import { STORED_EVENTS } from "../store_layout.ts";
import { authorizeReads, catalogColumns, type ReadScope } from "./authorizer.ts";
import { type DeadlineViews, EAGER_BUDGET_MS } from "./deadline_views.ts";
import { asWriter, chooseGate, EVENT_COLUMNS, namedColumns, narrowSelect, seeEvents } from "./event_gate.ts";
import { EventGroups } from "./event_groups.ts";
import { planSteps, sortsRows } from "./plan.ts";
import type { GuardedQuery } from "./sql_guard.ts";
import { weave } from "./weave.ts";

/** The answer to a query: names of its columns, and its rows, which come while one asks for them. */
export interface Answer {
  readonly names: readonly string[];
  /** Integers beyond 2^53 are `bigint`. Leave the loop or finish it: until then the statement is open. */
  readonly rows: Generator<(SqlValue | bigint)[]>;
}

/** A query that passed both gates, to be run any number of times, one at a time. */
export interface PreparedQuery {
  readonly names: Answer["names"];
  /** Its rows now; the time counts from here. */
  run(budgetMs: number, nowMs?: number): Answer["rows"];
}

/**
 * Runs a query of purpose "hunt" behind both gates; the authorizer stays set. The time counts from here and covers the
 * reading of the rows too, which throws {@linkcode QueryDeadlineError}, or SQLite's error when it cannot go on.
 *
 * @throws Error of SQLite when the second gate denies what the first let through, or the database lacks a column
 */
export function runGuarded(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  budgetMs: number,
  nowMs?: number,
  tables: ReadScope["tables"] = catalogColumns(),
): Answer {
  const { names, run } = prepareGuarded(db, views, query, budgetMs, tables);
  return { names, rows: run(budgetMs, nowMs) };
}

/**
 * The same, to be run later and again, with no more time than `mostMs`; the authorizer stays set. Whoever changes it after
 * that has SQLite prepare the query again, under what stands then.
 *
 * @throws Error of SQLite when the second gate denies what the first let through, or the database lacks a column
 */
export function prepareGuarded(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  mostMs: number,
  tables: ReadScope["tables"],
): PreparedQuery {
  if (query.sql.toLowerCase().includes(STORED_EVENTS)) throw new RangeError(`A query cannot name ${STORED_EVENTS}`);
  const grouped = prepareGrouped(db, views, query, tables);
  if (grouped === null) {
    const { names, sorts, rows } = prepareRead(db, views, query, mostMs, tables);
    return {
      names,
      run(budgetMs, nowMs) {
        views.start(budgetMs, nowMs, sorts);
        return rows();
      },
    };
  }
  const answer = function* (): Answer["rows"] {
    yield* grouped.run() ?? prepareRead(db, views, query, mostMs, tables).rows();
  };
  return {
    names: grouped.names,
    run(budgetMs, nowMs) {
      views.start(budgetMs, nowMs);
      return answer();
    },
  };
}

/** A query of events, prepared to be answered of groups of them; `null` where it cannot be. */
function prepareGrouped(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  tables: ReadScope["tables"],
): { readonly names: readonly string[]; run(): Answer["rows"] | null } | null {
  const { groups } = views, read = query.grouped ?? null;
  if (groups === null || read === null) return null;
  db.setAuthorizer(null);
  const parts = views.parts(query.earliest) ?? [];
  if (!EventGroups.areFor(parts)) return null;
  const see = (select: string): void => {
    db.setAuthorizer(null);
    seeEvents(db, views, select);
    authorizeReads(db, { tables, functions: "query", views });
  };
  const write = (act: () => void): void => {
    db.setAuthorizer(null);
    asWriter(db, act);
  };
  let names: string[];
  try {
    // Of one partition: what its columns are called, and whether it may be asked
    see(narrowSelect(views, parts.slice(-1), namedColumns(query.sql) ?? EVENT_COLUMNS));
    names = db.prepare(query.sql).columns().map((column) => column.name);
  } catch {
    return null;
  }
  return {
    names,
    run() {
      const filter = namedColumns(read.where) ?? EVENT_COLUMNS;
      if (!groups.replace(read, parts, { filter, condition: views.eventCondition, tick: views.tick, see, write })) {
        return null;
      }
      const sql = marking(read.rewritten(groups.names), names.length, views.mark);
      return readMarked(db, views, sql, names.length, db.prepare(sql));
    },
  };
}

/** A query, prepared to be run as it stands. */
function prepareRead(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  mostMs: number,
  tables: ReadScope["tables"],
): { readonly names: readonly string[]; readonly sorts: boolean; rows(): Answer["rows"] } {
  const sql = weave(query, views.tick);
  const choose = (isNarrow: boolean): boolean => {
    db.setAuthorizer(null);
    const chosen = chooseGate(db, views, query, isNarrow);
    authorizeReads(db, { tables, functions: "query", views });
    return chosen;
  };
  const prepared = (): StatementSync => db.prepare(sql);
  let statement: StatementSync;
  if (choose(true)) {
    try {
      statement = prepared();
    } catch {
      choose(false);
      statement = prepared();
    }
  } else statement = prepared();
  const sorts = mostMs <= EAGER_BUDGET_MS && sortsRows(planSteps(db, sql));
  const names = statement.columns().map((column) => column.name);
  const marked = marking(sql, names.length, views.mark), whole = db.prepare(marked);
  return { names, sorts, rows: () => readMarked(db, views, marked, names.length, whole) };
}

/** The query, with a second part that runs when the first has given all its rows, and gives none. */
function marking(sql: string, width: number, mark: string): string {
  return `SELECT * FROM (${sql}) UNION ALL SELECT ${Array(width).fill("NULL").join(", ")} WHERE ${mark}()`;
}

/**
 * The rows of a statement that marks its end. In Deno 2.9.6 `iterate()` takes an error of SQLite (damage, no memory, a
 * value that cannot be computed) for the end of the rows; `get()` throws it. The row at fault cannot be asked for by its
 * place, since rows that ORDER BY holds equal come in another order under another LIMIT; so every value is computed
 * again, as one row of counts.
 */
function* readMarked(
  db: DatabaseSync,
  views: DeadlineViews,
  sql: string,
  width: number,
  statement: StatementSync,
): Answer["rows"] {
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  for (const row of statement.iterate() as Iterable<unknown> as Iterable<(SqlValue | bigint)[]>) {
    views.look();
    yield row.map(narrowed);
  }
  if (views.marked) return;
  const columns = Array.from({ length: width }, (_, i) => `c${i}`);
  const counts = columns.map((column) => `count(${column})`).join(", ");
  // MATERIALIZED keeps SQLite from weaving the query into this one: it runs as it ran before.
  db.prepare(`WITH answer(${columns.join(", ")}) AS MATERIALIZED (${sql}) SELECT ${counts} FROM answer`).get();
  throw new Error("SQLite stopped before the last row, and does not say why");
}

/** An integer that a double holds exactly becomes one. */
function narrowed(value: SqlValue | bigint): SqlValue | bigint {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
