/**
 * The first gate for SQL of rules and hunts: what it lets through is one bounded SELECT over the catalog's tables.
 *
 * The text is hostile. It is checked in five steps, each for what the one before it cannot see: tokens and nesting,
 * syntax by SQLite's parser, a syntax tree, names and forms against allow-lists, and that lexer and parser agree on
 * every quoted piece. SQLite's authorizer (`authorizer.ts`) is the second gate and takes nothing from this one.
 *
 * @module
 */
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { attributesOfForms } from "./form_attributes.ts";
import type { Node } from "sql-parser-cst";
import { columnAt, columnsOf, type Form, partsOf } from "./predicate.ts";
import { formSql } from "./predicate_sql.ts";
import { gateSql, takeTree } from "./sql_gate.ts";
import { parseSql } from "./sql_library.ts";
import type { Attributes } from "./sql_attributes.ts";
import type { Purpose, SeveralRows } from "./sql_expression.ts";
import type { Insertion } from "./sql_from.ts";
import type { GroupedRead } from "./sql_grouped.ts";
import type { Translation } from "./sql_predicate.ts";

/** A column that a rule selects: one of `process_events` unchanged, or an expression over it. */
export interface RowOutput {
  /** Name in the result. */
  readonly name: string;
  /** Column of `process_events`; `null` when `sql` computes it. */
  readonly column: string | null;
  /** The expression; `null` for a column unchanged. */
  readonly sql: string | null;
}

/** What the engine needs of a query that looks at one row of `process_events` at a time. */
export interface RowQuery {
  /** The name of `process_events` in it. */
  readonly alias: string;
  /** The condition, as SQL. */
  readonly where: string;
  /** What is selected, in the order of the result. */
  readonly outputs: readonly RowOutput[];
  /** Columns that `where` and the computed outputs read. */
  readonly columns: ReadonlySet<string>;
  /** `where` as a form, or why SQLite alone can compute it. */
  readonly translation: Translation;
}

/** What a query needs of whoever runs it, so that a lane can be chosen. */
export interface QueryNeeds {
  /** Tables of the catalog that it reads. */
  readonly tables: readonly string[];
  /** How often it reads `process_events`, every use of a CTE counted: the store has that one in parts. */
  readonly eventReads: number;
  /** Joins, as written. */
  readonly joins: number;
  /** Calls of aggregate functions; GROUP BY without one counts none. */
  readonly aggregates: number;
  /** Calls with OVER. */
  readonly windows: number;
  /** Subqueries, also in FROM; a CTE is none. */
  readonly subqueries: number;
  /** ORDER BY, LIMIT or DISTINCT anywhere. */
  readonly ordering: boolean;
  /** Functions that it calls, by name; operators are none. */
  readonly functions: readonly string[];
  /** The first thing in it that looks at several rows at once; `null` when it judges each row alone. */
  readonly severalRows: SeveralRows | null;
}

/** Tells a query that passed from any other, for the compiler: no query has it as a value. */
export const guarded: unique symbol = Symbol("guarded");

/** A query that passed; only the gate makes one. */
export interface GuardedQuery {
  /** Only the gate writes this. */
  readonly [guarded]: true;
  /** What it was checked for. */
  readonly purpose: Purpose;
  /** The query, comments and end semicolons blanked. */
  readonly sql: string;
  /** What whoever runs it must have. */
  readonly needs: QueryNeeds;
  /** What a rule reads that is collected on demand; nothing for a hunt. */
  readonly attributes: Attributes;
  /** Where the deadline is looked at, by place in `sql`. */
  readonly insertions: readonly Insertion[];
  /** Of purpose "rule" alone. */
  readonly row: RowQuery | null;
  /** Of purpose "hunt" alone: how it can be answered of groups of events, where it can. */
  readonly grouped: GroupedRead | null;
  /** Of purpose "hunt" alone: no event before this time is in its answer; `null` where nothing is known. */
  readonly earliest: number | null;
}

/**
 * Checks a query.
 *
 * "rule": rows of `process_events`, one at a time: no join, subquery, aggregate, window, DISTINCT, ORDER BY or LIMIT.
 * "window": rows of `process_events` over a time, with joins, aggregates, windows, CTEs and subqueries, each bounded.
 * "collected": rows of the one table in `collected`, each alone or over a time, with the same.
 * "hunt": any table of the catalog or of `collected`, with joins, aggregates, windows, CTEs and subqueries, each bounded.
 *
 * @throws SqlRefusedError with a reason for people and the offset in `sql`
 *
 * @example
 * ```ts
 * import { guardSql } from "./sql_guard.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(guardSql("SELECT pid FROM processes WHERE name = 'sh'", "hunt").needs.tables, ["processes"]);
 * assert.throws(() => guardSql("SELECT load_extension('x') FROM processes", "hunt"), /load_extension is not allowed/);
 * ```
 */
export function guardSql(sql: string, purpose: Purpose, collected: TableSet = NO_TABLES): GuardedQuery {
  return gateSql(sql, purpose, parseSql, collected);
}

/**
 * The query of a rule whose form did not come from SQL: it is written from the form, and so holds nothing of its author's
 * but literals, which are quoted. `shown` are columns.
 */
export function formQuery(form: Form, shown: readonly string[]): GuardedQuery {
  const alias = "e", where = formSql(form, alias), calls = new Set<string>(), columns = new Set<string>();
  for (const place of columnsOf(form)) columns.add(columnAt(place).name);
  const visit = (part: Form): void => {
    if (part.kind === "call" && part.name !== "regexp") calls.add(part.name);
    partsOf(part).forEach(visit);
  };
  visit(form);
  const query: Omit<GuardedQuery, typeof guarded> = {
    purpose: "rule",
    sql: `SELECT ${shown.join(", ")} FROM process_events AS ${alias} WHERE ${where}`,
    needs: {
      tables: ["process_events"],
      eventReads: 1,
      joins: 0,
      aggregates: 0,
      windows: 0,
      subqueries: 0,
      ordering: false,
      functions: [...calls],
      severalRows: null,
    },
    insertions: [],
    grouped: null,
    earliest: null,
    attributes: attributesOfForms([form]),
    row: {
      alias,
      where,
      outputs: shown.map((name) => ({ name, column: name, sql: null })),
      columns,
      translation: { form },
    },
  };
  return query as GuardedQuery;
}

/** The syntax tree of a query of purpose "window" or "collected", once: a query does not keep its tree. */
export function takeStatement(query: GuardedQuery): Node {
  return takeTree(query, parseSql);
}
