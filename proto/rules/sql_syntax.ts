/**
 * The syntax of a query, judged by SQLite's own parser.
 *
 * It runs before `sql-parser-cst`, because it is linear where the other backtracks, and because its verdict on a slip
 * of the pen is exact. The scratch database is empty and its authorizer denies everything, so nothing can be read or
 * done by a query that is prepared here; it is never stepped.
 *
 * @module
 */
import { constants, DatabaseSync } from "node:sqlite";
import "./sqlite_types.ts";
import type { LexedSql } from "./sql_lexer.ts";
import { refuse } from "./sql_refused.ts";

let scratch: DatabaseSync | null = null;

/** Refuses what SQLite cannot parse, at the token that it stumbles over. @throws SqlRefusedError */
export function checkSyntax({ sql, tokens }: LexedSql): void {
  const first = tokens[0]!;
  const verb = sql.slice(first.start, first.end);
  if (!/^(select|with)$/i.test(verb)) {
    refuse(`Only SELECT statements are allowed, not ${verb.slice(0, 32)}`, first.start);
  }
  const again = tokens.findIndex((t, i) => i > 0 && t.kind === "word" && /^with$/i.test(sql.slice(t.start, t.end)));
  if (again > 0) refuse("WITH stands once, at the beginning of a query", tokens[again]!.start);

  const fault = syntaxFault(sql);
  if (fault === null) return;
  if (/incomplete input/.test(fault)) refuse("The query ends too early", tokens.at(-1)!.end);
  // A prefix is faulty exactly when it holds the token at fault: the parser reads from left to right.
  let good = 0, bad = tokens.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const found = syntaxFault(sql.slice(0, tokens[middle - 1]!.end));
    if (found !== null && !/incomplete input/.test(found)) bad = middle;
    else good = middle;
  }
  const token = tokens[bad - 1]!;
  refuse(
    `Syntax error: ${JSON.stringify(sql.slice(token.start, token.end).slice(0, 40))} is not expected here`,
    token.start,
  );
}

function syntaxFault(sql: string): string | null {
  if (scratch === null) {
    scratch = new DatabaseSync(":memory:", { limits: { attach: 0 } });
    scratch.setAuthorizer(() => constants.SQLITE_DENY);
  }
  try {
    scratch.prepare(sql);
    return null;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return /syntax error|unrecognized token|incomplete input|stack overflow/.test(message) ? message : null;
  }
}
