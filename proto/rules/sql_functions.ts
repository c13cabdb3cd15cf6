/**
 * The functions that a query may call: one table, from which the guard, SQLite's authorizer, the forms of the stream lane
 * and `docs/sql.md` are made. Everything else is refused, whatever SQLite knows.
 *
 * Each is bounded in time and memory by the size of its arguments, reads nothing but them and the clock, and writes
 * nothing. `replace` and `hex` can lengthen a value; the length limit of the connection bounds them. Those that are ours
 * and not SQLite's are in `user_functions.ts`. {@linkcode REFUSED_FUNCTIONS} says of those that people miss why they are
 * not here.
 *
 * @module
 */

/** Where rules with a function run: "both" in the stream lane and in SQL, "sql" in SQL alone. */
export type Lanes = "both" | "sql";

export interface SqlFunction {
  readonly kind: "scalar" | "aggregate" | "window";
  /** Least and most arguments. */
  readonly least: number;
  readonly most: number;
  readonly lanes: Lanes;
  /** Arguments as people write them. */
  readonly takes: string;
  /** Type of its value, as the docs name it. */
  readonly gives: string;
  /** What it is good for, and why it is safe where that is not plain. */
  readonly reason: string;
  /** Place of the argument that must be a text in the query, and what that text is. */
  readonly literal?: { readonly place: number; readonly what: LiteralKind };
}

/** What a text that a function takes may say: checked when a query is loaded, so that no row fails by it. */
export type LiteralKind = "network" | "span";

/** Most arguments of a function that takes any number. */
export const MAX_ARGUMENTS = 16;

function scalar(least: number, most: number, lanes: Lanes, takes: string, gives: string, reason: string): SqlFunction {
  return { kind: "scalar", least, most, lanes, takes, gives, reason };
}
function aggregate(least: number, most: number, takes: string, gives: string, reason: string): SqlFunction {
  return { kind: "aggregate", least, most, lanes: "sql", takes, gives, reason };
}
function window(least: number, most: number, takes: string, reason: string): SqlFunction {
  const gives = least === 0 ? "INTEGER" : "as its argument";
  return { kind: "window", least, most, lanes: "sql", takes, gives, reason };
}

const ANY = MAX_ARGUMENTS, TIME = "time value, modifier, …", CLOCK = "moments; `now` is the clock when the query runs";

/** Functions over one row that forms have too. */
export const IN_FORMS = {
  length: scalar(1, 1, "both", "text", "INTEGER", "characters of a text, up to a NUL"),
  substr: scalar(2, 3, "both", "text, from, count", "TEXT", "a piece of a text, from 1 on; from the end when negative"),
  instr: scalar(2, 2, "both", "text, piece", "INTEGER", "the place of one text in another, 0 when it is not in it"),
  lower: scalar(1, 1, "both", "text", "TEXT", "A to Z as a to z, no other letter"),
  upper: scalar(1, 1, "both", "text", "TEXT", "a to z as A to Z, no other letter"),
  trim: scalar(1, 2, "both", "text, characters", "TEXT", "without spaces, or these characters, at both ends"),
  ltrim: scalar(1, 2, "both", "text, characters", "TEXT", "without them at the beginning"),
  rtrim: scalar(1, 2, "both", "text, characters", "TEXT", "without them at the end"),
  replace: scalar(3, 3, "both", "text, piece, other", "TEXT", "undoes simple disguises, such as quotes in a command"),
  hex: scalar(1, 1, "both", "text", "TEXT", "bytes of a text as hexadecimal digits"),
  coalesce: scalar(2, ANY, "both", "value, value, …", "as its arguments", "the first value that is not NULL"),
  ifnull: scalar(2, 2, "both", "value, value", "as its arguments", "the first, or the second where that is NULL"),
  nullif: scalar(2, 2, "both", "value, other", "as its arguments", "the first, NULL where both are equal"),
  iif: scalar(3, 3, "both", "condition, value, value", "as its arguments", "a CASE of one arm"),
  abs: scalar(1, 1, "both", "number", "as its argument", "the size of a number"),
  min: scalar(2, ANY, "both", "value, value, …", "as its arguments", "the least of several values of a row"),
  max: scalar(2, ANY, "both", "value, value, …", "as its arguments", "the greatest of several values of a row"),
  path_basename: scalar(1, 1, "both", "path", "TEXT", "what stands after the last slash: the name of a file"),
  cidr_match: {
    ...scalar(
      2,
      2,
      "both",
      "address, 'network'",
      "INTEGER",
      "1 when an IPv4 or IPv6 address is in 10.0.0.0/8, fc00::/7",
    ),
    literal: { place: 1, what: "network" },
  },
  within: {
    ...scalar(
      2,
      3,
      "both",
      "time, 'span', other",
      "INTEGER",
      "1 when a time is at most 30s, 5m, 24h or 7d from another",
    ),
    literal: { place: 1, what: "span" },
  },
} as const satisfies Record<string, SqlFunction>;

const IN_SQL: Record<string, SqlFunction> = {
  unhex: scalar(1, 2, "sql", "text, characters", "BLOB", "bytes that hexadecimal digits stand for"),
  round: scalar(1, 2, "sql", "number, digits", "REAL", "shorter numbers in reports"),
  date: scalar(0, ANY, "sql", TIME, "TEXT", CLOCK),
  time: scalar(0, ANY, "sql", TIME, "TEXT", CLOCK),
  datetime: scalar(0, ANY, "sql", TIME, "TEXT", CLOCK),
  julianday: scalar(0, ANY, "sql", TIME, "REAL", CLOCK),
  unixepoch: scalar(0, ANY, "sql", TIME, "INTEGER", `${CLOCK}; in seconds, where columns have milliseconds`),
  strftime: scalar(1, ANY, "sql", `format, ${TIME}`, "TEXT", CLOCK),
  json_extract: scalar(2, ANY, "sql", "json, path, …", "any", "a value in argv, environment or modified_fields"),
  json_array_length: scalar(1, 2, "sql", "json, path", "INTEGER", "how many arguments a program was given"),
  json_type: scalar(1, 2, "sql", "json, path", "TEXT", "whether a value is there, and of which type"),
  json_valid: scalar(1, 1, "sql", "text", "INTEGER", "asked first, it keeps a text that is no JSON from failing a row"),
  count: aggregate(1, 1, "value or *", "INTEGER", "how many rows; DISTINCT and FILTER are allowed"),
  sum: aggregate(1, 1, "number", "INTEGER or REAL", "what a group takes together; overflow is an error"),
  avg: aggregate(1, 1, "number", "REAL", "the mean of a group"),
  total: aggregate(1, 1, "number", "REAL", "a sum that is never NULL"),
  group_concat: aggregate(1, 2, "text, separator", "TEXT", "all values of a group in one text, which the limit bounds"),
  row_number: window(0, 0, "", "numbers rows of a partition"),
  rank: window(0, 0, "", "numbers rows, equal ones alike, with gaps"),
  dense_rank: window(0, 0, "", "numbers rows, equal ones alike, without gaps"),
  lag: window(1, 3, "value, rows, otherwise", "the value of a row before"),
  lead: window(1, 3, "value, rows, otherwise", "the value of a row after"),
  first_value: window(1, 1, "value", "the value of the first row of the frame"),
  last_value: window(1, 1, "value", "the value of the last row of the frame"),
};

/** `min` and `max` of one argument. */
const MIN_MAX_OF_GROUP = aggregate(1, 1, "value", "as its argument", "the least or the greatest of a group");

/** By name. `min` and `max` of one argument are aggregates, of several scalar: {@linkcode functionOf}. */
export const FUNCTIONS: ReadonlyMap<string, SqlFunction> = new Map(Object.entries({ ...IN_FORMS, ...IN_SQL }));

/** Names of all allowed functions. */
export const FUNCTION_NAMES: readonly string[] = [...FUNCTIONS.keys()];

/** The functions that forms have; the operator REGEXP is one there too. The others SQLite alone can compute. */
export type FormFunction = keyof typeof IN_FORMS | "regexp";
export const FORM_FUNCTIONS = [...Object.keys(IN_FORMS), "regexp"] as readonly FormFunction[];

/** The function of that name when it is called with so many arguments, or `null`. */
export function functionOf(name: string, argumentCount: number): SqlFunction | null {
  if ((name === "min" || name === "max") && argumentCount === 1) return MIN_MAX_OF_GROUP;
  return FUNCTIONS.get(name) ?? null;
}

const OUTSIDE = "it reaches outside the database";
const OUT_OF_NOTHING = "it makes large values out of nothing";
const NOT_REPEATABLE = "nobody can repeat its answer";

/** Functions that people try, and why they are refused. */
export const REFUSED_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ...["load_extension", "load", "readfile", "writefile", "edit", "eval", "exec", "system", "shell", "fts3_tokenizer"]
    .map((name) => [name, OUTSIDE] as const),
  ...["randomblob", "zeroblob", "printf", "format", "char"].map((name) => [name, OUT_OF_NOTHING] as const),
  ...["random", "last_insert_rowid", "changes", "total_changes", "sqlite_version", "sqlite_source_id"]
    .map((name) => [name, NOT_REPEATABLE] as const),
  ["like", "write the operator LIKE, whose pattern is a text in the query"],
  ["glob", "it matches at a cost that its pattern sets; use LIKE or REGEXP"],
  ["regexp", "write the operator REGEXP, whose pattern is a text in the query"],
  ["match", "it belongs to full-text tables, and there are none"],
  ["json_each", "it is a table, and the deadline is not looked at in its rows; use json_extract()"],
  ["json_tree", "it is a table, and the deadline is not looked at in its rows; use json_extract()"],
  ["json_group_array", "use group_concat()"],
  ["json_group_object", "use group_concat()"],
  ["string_agg", "use group_concat()"],
  ["quote", "values are shown as they are"],
  ["typeof", "columns have one type each, or are NULL"],
  ["unicode", "use hex()"],
  ["soundex", "names of programs are compared exactly"],
  ["difference", "names of programs are compared exactly"],
  ["ntile", "use row_number()"],
  ["nth_value", "use lag() or lead()"],
]);
