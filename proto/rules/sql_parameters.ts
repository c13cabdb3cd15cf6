/**
 * Values in the place of the parameters of a query, such as `:pid`.
 *
 * The values are hostile: whoever writes the query means one value wherever a parameter stands. They are put in as
 * literals at the tokens that the guard's own lexer finds, so never inside a text, a name or a comment, and each with
 * space around it, so that it cannot grow together with its neighbours. What comes out passes the guard like any query,
 * which with the literals sees all that it judges: patterns of LIKE and REGEXP, bounds, what the planner makes of it.
 *
 * @module
 */
import { lexSql } from "./sql_lexer.ts";
import { refuse } from "./sql_refused.ts";

/** An integer is a bigint or a whole number; a real is any other finite number. */
export type ParameterValue = string | number | bigint;

/** Longest text of a parameter, in UTF-16 code units. */
const MAX_PARAMETER_TEXT = 4_096;

/** The names of the parameters in a query, each once. @throws SqlRefusedError */
export function parametersOf(sql: string): string[] {
  const { tokens } = lexSql(sql, "allowed");
  return [
    ...new Set(tokens.flatMap(({ kind, start, end }) => kind === "parameter" ? [sql.slice(start + 1, end)] : [])),
  ];
}

/**
 * The query with a literal for each parameter.
 *
 * @throws SqlRefusedError for a parameter that has no value, a number that SQL cannot write, and a text that the guard
 * would not let stand in a query (control characters, lone surrogates, more than 4,096 characters)
 *
 * @example
 * ```ts
 * import { bindParameters } from "./sql_parameters.ts";
 * import assert from "node:assert/strict";
 * const sql = bindParameters("SELECT pid FROM processes WHERE name = :name", new Map([["name", "o'b"]]));
 * assert.equal(sql, "SELECT pid FROM processes WHERE name =  'o''b' ");
 * ```
 */
export function bindParameters(sql: string, values: ReadonlyMap<string, ParameterValue>): string {
  const { tokens } = lexSql(sql, "allowed");
  let out = "", from = 0;
  for (const { kind, start, end } of tokens) {
    if (kind !== "parameter") continue;
    const name = sql.slice(start + 1, end), value = values.get(name);
    if (value === undefined) return refuse(`The parameter :${name} has no value`, start);
    out += `${sql.slice(from, start)} ${literal(name, value, start)} `;
    from = end;
  }
  return out + sql.slice(from);
}

function literal(name: string, value: ParameterValue, at: number): string {
  if (typeof value === "string") {
    if (value.length > MAX_PARAMETER_TEXT) {
      return refuse(`The text of :${name} is longer than ${MAX_PARAMETER_TEXT} characters`, at);
    }
    // deno-lint-ignore no-control-regex
    if (!value.isWellFormed() || /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(value)) {
      return refuse(`The text of :${name} has a control character or half a character in it`, at);
    }
    return `'${value.replaceAll("'", "''")}'`;
  }
  if (typeof value === "number" && !Number.isFinite(value)) return refuse(`The value of :${name} is no number`, at);
  const text = String(value);
  // Two minus signs would begin a comment
  return text.startsWith("-") ? `(${text})` : text;
}
