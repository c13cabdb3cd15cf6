/**
 * The checks of the first gate for SQL (`sql_guard.ts`), for whoever has a parser at hand.
 *
 * Most queries of people are plain and are read without the library, whose code is half of a program's that holds it:
 * the command line loads it only for a query that needs it.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import type { GuardedQuery, RowOutput, RowQuery } from "./sql_guard.ts";
import { type LexedSql, lexSql } from "./sql_lexer.ts";
import { attributesOf, NO_ATTRIBUTES } from "./sql_attributes.ts";
import type { Purpose } from "./sql_expression.ts";
import type { Output } from "./sql_from.ts";
import { parsePlainSelect } from "./sql_fast_parser.ts";
import { earliestEvent, groupedRead } from "./sql_grouped.ts";
import { QueryCheck } from "./sql_query.ts";
import { translateWhere } from "./sql_predicate.ts";
import { refuse, SqlRefusedError } from "./sql_refused.ts";
import { checkSyntax } from "./sql_syntax.ts";

/** Reads a text of SQL: its statements, empty ones among them. Throws what the library throws. */
export type SqlParser = (sql: string) => readonly Node[];

/** Whether a query can be read without the library. It may be refused all the same. */
export function isPlain(sql: string): boolean {
  try {
    return parsePlainSelect(lexSql(sql)) !== null;
  } catch (error) {
    if (error instanceof SqlRefusedError) return false;
    throw error;
  }
}

/** The statement of a query that passed; `parse` reads what is not plain. */
export function statementOf(sql: string, parse: SqlParser): Node {
  return parsePlainSelect(lexSql(sql)) ?? parseOne(sql, parse);
}

/** Checks a query as `guardSql()` does. @throws SqlRefusedError with a reason for people and the offset in `sql` */
export function gateSql(
  sql: string,
  purpose: Purpose,
  parse: SqlParser,
  collected: TableSet = NO_TABLES,
): GuardedQuery {
  const lexed = lexSql(sql);
  checkSyntax(lexed);
  const statement = parsePlainSelect(lexed) ?? parseOne(lexed.sql, parse);
  const check = new QueryCheck(purpose);
  check.collected = collected;
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
  const query = {
    purpose,
    sql: lexed.sql,
    needs: { tables: [...check.tables], eventReads: check.eventReads, ...found, functions: [...functions] },
    attributes: purpose === "hunt" || purpose === "collected" ? NO_ATTRIBUTES : attributesOf(statement, lexed.sql),
    insertions: check.insertions.map((insertion, i) => ({ insertion, i }))
      .sort((a, b) => a.insertion.at - b.insertion.at || a.i - b.i).map(({ insertion }) => insertion),
    row: purpose === "rule" ? rowQuery(lexed.sql, statement, check, outputs) : null,
    grouped: purpose === "hunt" ? groupedRead(statement, lexed.sql) : null,
    earliest: purpose === "hunt" ? earliestEvent(statement) : null,
  };
  const guarded = query as unknown as GuardedQuery;
  if (purpose === "window" || purpose === "collected") STATEMENTS.set(guarded, statement);
  return guarded;
}

/** Trees of queries that passed, until somebody takes them. */
const STATEMENTS = new WeakMap<GuardedQuery, Node>();

/** The syntax tree of a query of purpose "window" or "collected", once: a query does not keep its tree. */
export function takeTree(query: GuardedQuery, parse: SqlParser): Node {
  const statement = STATEMENTS.get(query) ?? parseOne(query.sql, parse);
  STATEMENTS.delete(query);
  return statement;
}

function parseOne(sql: string, parse: SqlParser): Node {
  let statements: readonly Node[];
  try {
    statements = parse(sql);
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
