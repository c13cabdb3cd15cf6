/**
 * The operators that a query may use: one table, from which the guard, SQLite's authorizer and `docs/sql.md` are made.
 *
 * To SQLite some operators are functions (LIKE, REGEXP, `->`, `->>`; also GLOB and MATCH, which are refused): a list of
 * functions alone would let them through.
 *
 * @module
 */
import type { Lanes } from "./sql_functions.ts";

export interface SqlOperator {
  readonly form: "infix" | "prefix" | "postfix" | "pattern" | "list" | "range" | "other";
  readonly lanes: Lanes;
  readonly reason: string;
  /** The function that SQLite calls for it. */
  readonly calls?: string;
}

function infix(names: string, reason: string, lanes: Lanes = "both"): [string, SqlOperator][] {
  return names.split(",").map((name) => [name, { form: "infix", lanes, reason }]);
}
function one(name: string, form: SqlOperator["form"], reason: string, calls?: string): [string, SqlOperator] {
  return [name, { form, lanes: "both", reason, ...(calls === undefined ? {} : { calls }) }];
}
function json(name: string, reason: string): [string, SqlOperator] {
  return [name, { form: "infix", lanes: "sql", reason, calls: name }];
}

export const OPERATORS: ReadonlyMap<string, SqlOperator> = new Map([
  ...infix("=,==,<>,!=,<,<=,>,>=", "compares; NULL when one side is"),
  ...infix("IS,IS NOT,IS DISTINCT FROM,IS NOT DISTINCT FROM", "compares, NULL like any other value: 1 or 0"),
  ...infix("AND,OR", "joins conditions"),
  ...infix("+,-,*,/,%", "computes; a division of whole numbers is whole, one by 0 is NULL"),
  ...infix("&,|,<<,>>", "looks at single bits, such as those of effective_capabilities"),
  ...infix("||", "joins texts"),
  json("->", "a value of a JSON text, as JSON: argv -> 0"),
  json("->>", "a value of a JSON text, as text or number: argv ->> 1, environment ->> 'LD_PRELOAD'"),
  one("NOT", "prefix", "turns a condition round; NULL stays NULL"),
  one("EXISTS", "prefix", "whether a subquery has a row; in SQL alone"),
  ...["-", "+", "~"].map((name) => one(`${name} before a value`, "prefix", "sign, or all bits turned round")),
  ...["ISNULL", "NOTNULL", "NOT NULL"].map((name) => one(name, "postfix", "whether a value is there")),
  ...["LIKE", "NOT LIKE"].map((name) =>
    one(
      name,
      "pattern",
      "% is any text, _ one character, A to Z as a to z; the pattern is a text in the query, of at most 512 bytes",
      "like",
    )
  ),
  ...["REGEXP", "NOT REGEXP"].map((name) =>
    one(
      name,
      "pattern",
      "a regular expression of RE2, found anywhere in the text; the pattern is a text in the query; time grows with the " +
        "text, never faster; (?i) folds case",
      "regexp",
    )
  ),
  ...["IN", "NOT IN"].map((name) => one(name, "list", "a list in parentheses; a subquery in SQL alone")),
  ...["BETWEEN", "NOT BETWEEN"].map((name) => one(name, "range", "both ends belong to the range")),
  one("CASE … END", "other", "chooses by conditions"),
  one("CAST(… AS …)", "other", "to TEXT, INTEGER, REAL or NUMERIC"),
]);

/** Operators that people try, and why they are refused. */
export const REFUSED_OPERATORS: ReadonlyMap<string, string> = new Map([
  ["GLOB", "it matches at a cost that its pattern sets; use LIKE or REGEXP"],
  ["NOT GLOB", "it matches at a cost that its pattern sets; use NOT LIKE or NOT REGEXP"],
  ["MATCH", "it belongs to full-text tables, and there are none; use LIKE or REGEXP"],
  ["NOT MATCH", "it belongs to full-text tables, and there are none; use LIKE or REGEXP"],
  ["COLLATE", "texts are compared byte by byte; use lower()"],
]);

/** Operators of these forms, by name. */
export function operatorsOf(...forms: SqlOperator["form"][]): ReadonlySet<string> {
  return new Set(
    [...OPERATORS].filter(([, { form }]) => forms.includes(form)).map(([name]) => name.split(" before ")[0]!),
  );
}
