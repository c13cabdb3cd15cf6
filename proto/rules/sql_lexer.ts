/**
 * Cheap checks of a query before anything parses it, and its tokens as SQLite sees them.
 *
 * Nothing of the text is trusted. What two readers of SQL could read differently is refused here: characters outside
 * texts that are not plain ASCII, backtick and bracket quotes, a lone carriage return, an unclosed comment. Comments are
 * replaced by spaces, so that neither the parser nor SQLite ever sees one and offsets stay.
 *
 * @module
 */
import { refuse } from "./sql_refused.ts";

/** Longest query, in UTF-16 code units. */
export const MAX_SQL_LENGTH = 65_536;

/**
 * Bound on the sum of 2^depth over all tokens, depth being that of the parentheses.
 *
 * `sql-parser-cst` backtracks: a form that it does not know costs time that doubles with every parenthesis around it
 * (measured: 20 s at 30 levels). A token deeper than 16 exceeds this alone, 2,000 tokens may stand 6 deep.
 */
const MAX_NESTING_WEIGHT = 131_072;

export interface Token {
  readonly kind: "word" | "number" | "text" | "name" | "symbol" | "parameter";
  readonly start: number;
  readonly end: number;
}

export interface LexedSql {
  /** The query without comments and end semicolons, of the same length and offsets. */
  readonly sql: string;
  readonly tokens: readonly Token[];
}

// Sticky patterns, tried in this order.
// deno-lint-ignore no-control-regex
const TEXT = /'(?:[^'\u0000-\u0008\u000b\u000c\u000e-\u001f]|'')*'/y;
const NAME = /"[^"\n]*"/y;
const PARAMETER = /:[A-Za-z_][A-Za-z0-9_]*/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/y;
const SYMBOL = /->>|->|\|\||<=|>=|<>|!=|==|<<|>>|[-+*\/%<>=&|~.,();]/y;

/**
 * Splits a query into tokens. Parameters such as `:pid` are tokens for who puts values in their place; the guard allows none.
 *
 * @throws SqlRefusedError
 */
export function lexSql(sql: string, parameters: "allowed" | "refused" = "refused"): LexedSql {
  if (sql.length > MAX_SQL_LENGTH) {
    refuse(`The query has ${sql.length} characters; ${MAX_SQL_LENGTH} are allowed`, MAX_SQL_LENGTH);
  }
  if (!sql.isWellFormed()) refuse("The query is not well-formed Unicode", 0);
  const tokens: Token[] = [];
  const blank: [number, number][] = [];
  const open: number[] = [];
  let weight = 0, ended = -1, at = 0;
  while (at < sql.length) {
    const character = sql[at]!;
    if (character === " " || character === "\t" || character === "\n" || (character === "\r" && sql[at + 1] === "\n")) {
      at++;
      continue;
    }
    const comment = commentEnd(sql, at);
    if (comment > at) {
      blank.push([at, comment]);
      at = comment;
      continue;
    }
    const token = nextToken(sql, at, parameters);
    at = token.end;
    if (sql[token.start] === ";") {
      if (open.length > 0) refuse("A parenthesis is not closed", open.at(-1)!);
      if (tokens.length === 0) refuse("The query is empty", token.start);
      blank.push([token.start, token.end]);
      ended = token.start;
      continue;
    }
    if (ended >= 0) refuse("Only one statement is allowed; this begins a second one", token.start);
    if (sql[token.start] === "(") open.push(token.start);
    if (sql[token.start] === ")" && open.pop() === undefined) {
      refuse("This parenthesis closes none that is open", token.start);
    }
    weight += 2 ** open.length;
    if (weight > MAX_NESTING_WEIGHT) {
      refuse("Parentheses are nested too deeply for a query of this length", token.start);
    }
    tokens.push(token);
  }
  if (open.length > 0) refuse("A parenthesis is not closed", open.at(-1)!);
  if (tokens.length === 0) refuse("The query is empty", 0);
  return { sql: blanked(sql, blank), tokens };
}

function nextToken(sql: string, start: number, parameters: "allowed" | "refused"): Token {
  const character = sql[start]!;
  if (character === "'") {
    const end = matchEnd(TEXT, sql, start);
    if (end < 0) refuse("This text is not closed, or has a control character in it", start);
    return { kind: "text", start, end };
  }
  if (character === '"') {
    const end = matchEnd(NAME, sql, start);
    if (end < 0) refuse("This quoted name is not closed", start);
    return { kind: "name", start, end };
  }
  if (character === "`" || character === "[") refuse('Names are quoted with "double quotes"', start);
  let end = matchEnd(WORD, sql, start);
  if (end > 0) {
    if (sql[end] === "'" && end === start + 1 && /x/i.test(character)) refuse("Blob literals are not allowed", start);
    return { kind: "word", start, end };
  }
  end = matchEnd(NUMBER, sql, start);
  if (end > 0) {
    if (/[A-Za-z0-9_.]/.test(sql[end] ?? "")) refuse("A number runs into other characters", start);
    return { kind: "number", start, end };
  }
  end = matchEnd(SYMBOL, sql, start);
  if (end > 0) return { kind: "symbol", start, end };
  if (parameters === "allowed") {
    end = matchEnd(PARAMETER, sql, start);
    if (end > 0) return { kind: "parameter", start, end };
    if ("?:@$".includes(character)) refuse("A parameter is a colon and a name, such as :pid", start);
  }
  if ("?:@$".includes(character)) refuse("Parameters are not allowed; write the value into the query", start);
  if (character === "\0") refuse("The query has a NUL character in it", start);
  return refuse(`The character ${JSON.stringify(character)} is not allowed outside texts`, start);
}

/** End of the comment that begins at `at`, or `at`. SQLite ends a line comment at a line feed alone. */
function commentEnd(sql: string, at: number): number {
  if (sql.startsWith("--", at)) {
    const end = sql.indexOf("\n", at);
    return end < 0 ? sql.length : end;
  }
  if (sql.startsWith("/*", at)) {
    const end = sql.indexOf("*/", at + 2);
    if (end < 0) refuse("This comment is not closed", at);
    return end + 2;
  }
  return at;
}

function matchEnd(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

function blanked(sql: string, ranges: readonly (readonly [number, number])[]): string {
  let out = "", from = 0;
  for (const [start, end] of ranges) {
    out += sql.slice(from, start) + sql.slice(start, end).replace(/[^\n]/g, " ");
    from = end;
  }
  return out + sql.slice(from);
}
