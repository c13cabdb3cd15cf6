/**
 * The functions that a query may call. Everything else is refused, whatever SQLite knows.
 *
 * Each is bounded in time and memory by the size of its arguments, reads nothing but them and the clock, and writes
 * nothing. Not here, and why: `load_extension`, `readfile` and the like reach outside; `randomblob`, `zeroblob`,
 * `printf`, `format`, `char` make large values out of nothing; `glob`, `regexp`, `match` match at a cost that the
 * pattern sets; `json_each` and `json_tree` are tables; `random` gives an answer that nobody can repeat.
 *
 * @module
 */

export interface SqlFunction {
  readonly kind: "scalar" | "aggregate" | "window";
  /** Least and most arguments. */
  readonly least: number;
  readonly most: number;
}

function scalar(least: number, most = least): SqlFunction {
  return { kind: "scalar", least, most };
}
function aggregate(least: number, most = least): SqlFunction {
  return { kind: "aggregate", least, most };
}
function window(least: number, most = least): SqlFunction {
  return { kind: "window", least, most };
}

/** Most arguments of a function that takes any number. */
export const MAX_ARGUMENTS = 16;

/**
 * By name. `min` and `max` of one argument are aggregates, of several scalar: {@linkcode functionOf}.
 *
 * `replace` and `hex` can lengthen a value; the length limit of the connection bounds them.
 */
const FUNCTIONS: ReadonlyMap<string, SqlFunction> = new Map([
  ["length", scalar(1)],
  ["substr", scalar(2, 3)],
  ["instr", scalar(2)],
  ["lower", scalar(1)],
  ["upper", scalar(1)],
  ["trim", scalar(1, 2)],
  ["ltrim", scalar(1, 2)],
  ["rtrim", scalar(1, 2)],
  ["replace", scalar(3)],
  ["hex", scalar(1)],
  ["unhex", scalar(1, 2)],
  ["coalesce", scalar(2, MAX_ARGUMENTS)],
  ["ifnull", scalar(2)],
  ["nullif", scalar(2)],
  ["iif", scalar(3)],
  ["abs", scalar(1)],
  ["round", scalar(1, 2)],
  ["min", scalar(2, MAX_ARGUMENTS)],
  ["max", scalar(2, MAX_ARGUMENTS)],
  ["date", scalar(0, MAX_ARGUMENTS)],
  ["time", scalar(0, MAX_ARGUMENTS)],
  ["datetime", scalar(0, MAX_ARGUMENTS)],
  ["julianday", scalar(0, MAX_ARGUMENTS)],
  ["unixepoch", scalar(0, MAX_ARGUMENTS)],
  ["strftime", scalar(1, MAX_ARGUMENTS)],
  ["json_extract", scalar(2, MAX_ARGUMENTS)],
  ["json_array_length", scalar(1, 2)],
  ["count", aggregate(1)],
  ["sum", aggregate(1)],
  ["avg", aggregate(1)],
  ["total", aggregate(1)],
  ["group_concat", aggregate(1, 2)],
  ["row_number", window(0)],
  ["rank", window(0)],
  ["dense_rank", window(0)],
  ["lag", window(1, 3)],
  ["lead", window(1, 3)],
  ["first_value", window(1)],
  ["last_value", window(1)],
]);

/** The function of that name when it is called with so many arguments, or `null`. */
export function functionOf(name: string, argumentCount: number): SqlFunction | null {
  if ((name === "min" || name === "max") && argumentCount === 1) return aggregate(1);
  return FUNCTIONS.get(name) ?? null;
}

/** Names of all allowed functions. */
export const FUNCTION_NAMES: readonly string[] = [...FUNCTIONS.keys()];
