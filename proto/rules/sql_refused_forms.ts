/**
 * What the guard refuses beyond functions and operators, why, and an example of each that a test holds it to.
 *
 * @module
 */

export interface RefusedForm {
  readonly what: string;
  readonly why: string;
  readonly example: string;
}

const FROM = "FROM process_events";

function form(what: string, example: string, why: string): RefusedForm {
  return { what, why, example };
}

export const REFUSED_FORMS: readonly RefusedForm[] = [
  form("Statements other than SELECT", "DELETE FROM processes", "a question changes nothing"),
  form("PRAGMA, ATTACH, VACUUM, EXPLAIN", "PRAGMA writable_schema = 1", "they change the connection or reach files"),
  form("A second statement", `SELECT pid ${FROM}; SELECT pid ${FROM}`, "SQLite would ignore it without a word"),
  form("Tables that the catalog lacks", "SELECT * FROM sqlite_master", "the schema and the bookkeeping are not events"),
  form("Schema names", "SELECT pid FROM main.process_events", "they would lead past the views with the deadline"),
  form("Table-valued functions", "SELECT * FROM json_each('[1]')", "the deadline is not looked at in their rows"),
  form(
    "SELECT without FROM, VALUES",
    "SELECT 1",
    "products of them have no row in which the deadline could be looked at",
  ),
  form(
    "Recursion, with and without the word",
    `WITH c(x) AS (SELECT pid ${FROM} UNION ALL SELECT x + 1 FROM c) SELECT x FROM c`,
    "it need not end, and reads no row in which the deadline could be looked at",
  ),
  form(
    "MATERIALIZED, INDEXED BY",
    `WITH c AS MATERIALIZED (SELECT pid ${FROM}) SELECT pid FROM c`,
    "how to compute is SQLite's to choose",
  ),
  form("Commas between tables", `SELECT a.pid ${FROM} a, processes b`, "a join says what it joins by"),
  form(
    "CROSS, NATURAL, RIGHT and FULL joins",
    `SELECT 1 ${FROM} a CROSS JOIN processes b ON 1`,
    "they hide what is joined by what; JOIN and LEFT JOIN say it",
  ),
  form("Parameters", `SELECT pid ${FROM} WHERE pid = ?`, "there is nobody to give them a value"),
  form("Blobs", `SELECT pid ${FROM} WHERE name = x'41'`, "no column holds one"),
  form("Row values", `SELECT pid ${FROM} WHERE (pid, ppid) = (1, 2)`, "SQLite converts them by rules of their own"),
  form(
    "Patterns that are no text in the query",
    `SELECT pid ${FROM} WHERE name LIKE cwd`,
    "their cost would depend on the rows; instr() looks for the value of a column",
  ),
  form(
    "Characters to trim and texts to put in that are no text in the query",
    `SELECT trim(command_line, environment) ${FROM}`,
    "trim costs text times characters: 42 s for two texts of 64 KB, in one call that nothing can stop",
  ),
  form(
    "Values that grow from function to function",
    `SELECT replace(hex(hex(command_line)), '6', '666666') ${FROM}`,
    "whatever is computed from them costs as many times more",
  ),
  form(
    "More than one row may cost",
    `SELECT pid ${FROM} WHERE name LIKE '%${"a".repeat(200)}b%'`,
    "the deadline is looked at between rows: LIKE begins anew at each place at which its pattern begins to match",
  ),
  form(
    "Look-around and back references",
    `SELECT pid ${FROM} WHERE name REGEXP '(?=a)b'`,
    "only by going back can they be matched, in time that may double with every character",
  ),
  form(
    "Frames of windows other than n PRECEDING",
    `SELECT sum(pid) OVER (ORDER BY pid RANGE 2 PRECEDING) ${FROM}`,
    "SQLite goes over the whole frame again for every row",
  ),
  form("WINDOW", `SELECT pid ${FROM} WINDOW w AS (ORDER BY pid)`, "a window stands after OVER, where it is used"),
  form("Quotes `a` and [a]", `SELECT [pid] ${FROM}`, 'two readers of SQL could read them differently; "a" is a name'),
  form(
    "Characters beyond ASCII outside of texts",
    `SELECT\u00a0pid ${FROM}`,
    "some look like a space or a letter and are none",
  ),
  form(
    "LIMIT that is no number",
    `SELECT pid ${FROM} LIMIT length('abc')`,
    "it is there to bound, and so is itself bounded",
  ),
];
