/**
 * Rules and triggers over results: SQL over the rows of one analysis, behind both gates of all SQL.
 *
 * The rows stand in a database of their own in memory, some hundred at most, and leave it with the next analysis. So what a
 * rule sees is that one analysis and nothing else, and what it costs is bounded by its deadline and those rows.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import "../rules/sqlite_types.ts";
import type { SqlValue } from "../event_row.ts";
import { columnsOf, READ_LIMITS } from "../rules/authorizer.ts";
import { type DeadlineViews, openDeadlineViews } from "../rules/deadline_views.ts";
import { type PreparedQuery, prepareGuarded } from "../rules/prepared_query.ts";
import { type GuardedQuery, guardSql } from "../rules/sql_guard.ts";
import { SqlRefusedError } from "../rules/sql_refused.ts";
import type { FactRow, StageRows } from "./stage.ts";
import { ANALYSIS_TABLES } from "./tables.ts";
import type { Column } from "../tables/table.ts";

/** Rows of an answer that are hits, and how long one query may take. */
export const MAX_HITS = 16, DEADLINE_MS = 200;

const TABLES: ReadonlySet<string> = new Set(ANALYSIS_TABLES.map(({ name }) => name));
const COLUMNS = columnsOf(ANALYSIS_TABLES);

export interface ResultQuery {
  readonly guarded: GuardedQuery;
}

/** @throws SqlRefusedError */
export function guardResultSql(sql: string): ResultQuery {
  const guarded = guardSql(sql, "hunt"), other = guarded.needs.tables.find((table) => !TABLES.has(table));
  if (other !== undefined) {
    throw new SqlRefusedError(`A query over results reads ${[...TABLES].join(", ")}, not ${other}`, 0);
  }
  if (guarded.needs.tables.length === 0) throw new SqlRefusedError("A query over results reads one of their tables", 0);
  return { guarded };
}

interface Filled {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly clear: StatementSync;
  readonly insert: StatementSync;
}

/** Judges the rows of one analysis at a time, each query prepared once. */
export class ResultLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #views: DeadlineViews;
  readonly #tables: readonly Filled[];
  readonly #prepared = new Map<ResultQuery, PreparedQuery>();

  /** `queries`: those that will be asked, which are made ready now, and not when something waits for their answer. */
  constructor(queries: Iterable<ResultQuery> = []) {
    this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    for (const { name, columns } of ANALYSIS_TABLES) {
      this.#db.exec(
        `CREATE TABLE ${name} (${columns.map((column) => `"${column.name}" ${column.type}`).join(", ")}) STRICT`,
      );
    }
    this.#views = openDeadlineViews(this.#db, ANALYSIS_TABLES);
    this.#tables = ANALYSIS_TABLES.map(({ name, columns }) => ({
      name,
      columns,
      clear: this.#db.prepare(`DELETE FROM main.${name}`),
      insert: this.#db.prepare(`INSERT INTO main.${name} VALUES (${columns.map(() => "?").join(", ")})`),
    }));
    const asked = [...queries];
    this.#prepareAll(asked);
    for (const query of asked) this.#warm(query);
  }

  /** Puts the rows of an analysis in the place of those before. */
  put(rows: StageRows): void {
    for (const { name, columns, clear, insert } of this.#tables) {
      clear.run();
      for (const row of rows[name] ?? []) insert.run(...columns.map((column) => row[column.name] ?? null));
    }
  }

  /** What a query finds, at most {@linkcode MAX_HITS}. @throws QueryDeadlineError, and Error of SQLite */
  hits(query: ResultQuery, now: number): FactRow[] {
    const { names, run } = this.#prepare(query), hits: FactRow[] = [];
    for (const row of run(DEADLINE_MS, now)) {
      hits.push(Object.fromEntries(names.map((name, i) => [name, plain(row[i]!)])));
      if (hits.length >= MAX_HITS) break;
    }
    return hits;
  }

  /** What cannot be prepared says why when it is asked. */
  #prepareAll(queries: readonly ResultQuery[]): void {
    try {
      for (const query of queries) {
        this.#prepared.set(query, prepareGuarded(this.#db, this.#views, query.guarded, DEADLINE_MS, COLUMNS));
      }
    } catch {
      // The others are prepared when they are asked
    } finally {
      this.#db.setAuthorizer(null);
    }
  }

  #warm(query: ResultQuery): void {
    try {
      this.hits(query, 0);
    } catch {
      // It says so again when it is asked
    }
  }

  /** The gate stands while a query is prepared; taking it away makes SQLite prepare anew, once, what it let through. */
  #prepare(query: ResultQuery): PreparedQuery {
    let prepared = this.#prepared.get(query);
    if (prepared !== undefined) return prepared;
    try {
      prepared = prepareGuarded(this.#db, this.#views, query.guarded, DEADLINE_MS, COLUMNS);
    } finally {
      this.#db.setAuthorizer(null);
    }
    this.#prepared.set(query, prepared);
    return prepared;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function plain(value: SqlValue | bigint): SqlValue {
  return typeof value === "bigint" ? Number(value) : value;
}
