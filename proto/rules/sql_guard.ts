/**
 * The first gate for SQL of rules and hunts: what it lets through is one bounded SELECT over the catalog's tables.
 *
 * The text is hostile. It is checked in five steps, each for what the one before it cannot see: tokens and nesting,
 * syntax by SQLite's parser, a syntax tree, names and forms against allow-lists, and that lexer and parser agree on
 * every quoted piece. SQLite's authorizer (`authorizer.ts`) is the second gate and takes nothing from this one.
 *
 * @module
 */
import { attributesOfForms } from "./form_attributes.ts";
import { type Node, parse } from "sql-parser-cst";
import { columnAt, columnsOf, type Form, partsOf } from "./predicate.ts";
import { formSql } from "./predicate_sql.ts";
import { type LexedSql, lexSql } from "./sql_lexer.ts";
import { type Attributes, attributesOf, NO_ATTRIBUTES } from "./sql_attributes.ts";
import type { Purpose, SeveralRows } from "./sql_expression.ts";
import type { Insertion, Output } from "./sql_from.ts";
import { parsePlainSelect } from "./sql_fast_parser.ts";
import { QueryCheck } from "./sql_query.ts";
import { translateWhere, type Translation } from "./sql_predicate.ts";
import { refuse, SqlRefusedError } from "./sql_refused.ts";
import { checkSyntax } from "./sql_syntax.ts";

/** A column that a rule selects: one of `process_events` unchanged, or an expression over it. */
export interface RowOutput {
  readonly name: string;
  /** Column of `process_events`; `null` when `sql` computes it. */
  readonly column: string | null;
  readonly sql: string | null;
}

/** What the engine needs of a query that looks at one row of `process_events` at a time. */
export interface RowQuery {
  /** The name of `process_events` in it. */
  readonly alias: string;
  readonly where: string;
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

declare const guarded: unique symbol;

/** A query that passed; only {@linkcode guardSql} makes one. */
export interface GuardedQuery {
  readonly [guarded]: true;
  readonly purpose: Purpose;
  /** The query, comments and end semicolons blanked. */
  readonly sql: string;
  readonly needs: QueryNeeds;
  /** What a rule reads that is collected on demand; nothing for a hunt. */
  readonly attributes: Attributes;
  /** Where the deadline is looked at, by place in `sql`. */
  readonly insertions: readonly Insertion[];
  /** Of purpose "rule" alone. */
  readonly row: RowQuery | null;
}

/**
 * Checks a query.
 *
 * "rule": rows of `process_events`, one at a time: no join, subquery, aggregate, window, DISTINCT, ORDER BY or LIMIT.
 * "window": rows of `process_events` over a time, with joins, aggregates, windows, CTEs and subqueries, each bounded.
 * "hunt": any table of the catalog, with joins, aggregates, windows, CTEs and subqueries, each bounded.
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
export function guardSql(sql: string, purpose: Purpose): GuardedQuery {
  const lexed = lexSql(sql);
  checkSyntax(lexed);
  const statement = parsePlainSelect(lexed) ?? parseOne(lexed.sql);
  const check = new QueryCheck(purpose);
  let outputs: readonly Output[];
  try {
    outputs = check.statement(statement);
  } catch (error) {
    if (error instanceof RangeError) refuse("The query is nested too deeply", 0);
    throw error;
  }
  checkAgreement(lexed, check.quoted);
  const { functions, ...found } = check.found, { severalRows } = found;
  if (purpose === "rule" && severalRows !== null) {
    const reason =
      `${severalRows.what} looks at several rows; a rule over several rows names its window, such as window: 5m`;
    refuse(reason, severalRows.offset);
  }
  const query: Omit<GuardedQuery, typeof guarded> = {
    purpose,
    sql: lexed.sql,
    needs: { tables: [...check.tables], eventReads: check.eventReads, ...found, functions: [...functions] },
    attributes: purpose === "hunt" ? NO_ATTRIBUTES : attributesOf(statement, lexed.sql),
    insertions: check.insertions.map((insertion, i) => ({ insertion, i }))
      .sort((a, b) => a.insertion.at - b.insertion.at || a.i - b.i).map(({ insertion }) => insertion),
    row: purpose === "rule" ? rowQuery(lexed.sql, statement, check, outputs) : null,
  };
  if (purpose === "window") STATEMENTS.set(query as GuardedQuery, statement);
  return query as GuardedQuery;
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

/** Trees of queries that passed, until somebody takes them. */
const STATEMENTS = new WeakMap<GuardedQuery, Node>();

/** The syntax tree of a query of purpose "window", once: a query does not keep its tree. */
export function takeStatement(query: GuardedQuery): Node {
  const statement = STATEMENTS.get(query) ?? parseOne(query.sql);
  STATEMENTS.delete(query);
  return statement;
}

function parseOne(sql: string): Node {
  let statements: readonly Node[];
  try {
    statements = parse(sql, { dialect: "sqlite", includeRange: true }).statements;
  } catch (error) {
    // SQLite reads it, so this is a form that the parser does not know, or one nested too deeply for its stack.
    const place = error instanceof Error ? /:([0-9]+):([0-9]+)\n/.exec(error.message) : null;
    const offset = place === null ? 0 : offsetOf(sql, Number(place[1]), Number(place[2]));
    throw new SqlRefusedError("This form of SQL is not supported", offset, { cause: error });
  }
  const [statement, second] = statements.filter((node) => node.type !== "empty");
  if (statement === undefined) refuse("The query is empty", 0);
  if (second !== undefined) refuse("Only one statement is allowed", second.range![0]);
  return statement;
}

/** Texts and quoted names must be the same pieces to the lexer, which reads like SQLite, and to the parser. */
function checkAgreement({ tokens }: LexedSql, quoted: ReadonlySet<number>): void {
  const pieces = tokens.filter((token) => token.kind === "text" || token.kind === "name");
  const missed = pieces.find((piece) => !quoted.has(piece.start));
  if (missed !== undefined) refuse("A quoted piece is not allowed here", missed.start);
  if (pieces.length !== quoted.size) refuse("The query cannot be read in one way only", 0);
}

function rowQuery(sql: string, statement: Node, check: QueryCheck, outputs: readonly Output[]): RowQuery {
  if (statement.type !== "select_stmt") return refuse("Only SELECT statements are allowed", 0);
  const from = statement.clauses.find((clause) => clause.type === "from_clause")!;
  const where = statement.clauses.find((clause) => clause.type === "where_clause");
  if (where === undefined) refuse("A rule needs WHERE; without it every event would match", from.range![1]);
  const item = from.expr;
  const alias = item.type === "alias" ? item.alias.name : "process_events";
  // A rule is measured by the time of the event that it judges, so that it says the same when it is replayed
  const piece = ([from, to]: readonly [number, number]): string => {
    let text = sql.slice(from, to);
    for (const at of check.ownTime.toSorted((a, b) => b - a)) {
      if (at > from && at < to) text = `${text.slice(0, at - from)}, "${alias}"."time"${text.slice(at - from)}`;
    }
    return text;
  };
  if (check.ownTime.length > 0) check.columns.add("time");
  const rowOutputs = outputs.map(({ name, column, range }): RowOutput => {
    if (column !== null) return { name: name!, column, sql: null };
    return { name: name!, column: null, sql: piece(range!) };
  });
  return {
    alias,
    where: piece(where.expr.range!),
    outputs: rowOutputs,
    columns: check.columns,
    translation: translateWhere(where.expr),
  };
}

/** Offset of a one-based line and column. */
function offsetOf(sql: string, line: number, column: number): number {
  let offset = 0;
  for (let at = 1; at < line; at++) offset = sql.indexOf("\n", offset) + 1;
  return Math.min(offset + column - 1, sql.length);
}
