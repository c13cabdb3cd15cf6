/**
 * Puts looks at the deadline into a guarded query.
 *
 * Apart from the guard, so that a reader of a store that checks no SQL need not load a parser.
 *
 * @module
 */
import type { Table } from "../tables/table.ts";
import type { GuardedQuery } from "./sql_guard.ts";

/** The SQL to run: with a look at the deadline, by the SQL function `tick`, in every loop. */
export function weave(query: GuardedQuery, tick: string): string {
  let out = "", from = 0;
  for (const { at, text } of query.insertions) {
    out += query.sql.slice(from, at) + text(tick);
    from = at;
  }
  return out + query.sql.slice(from);
}

/**
 * The column to hand to the function that looks at the deadline: SQLite calls a function without one only once, and a
 * number is the cheapest to hand over. A key would be the row's number, which SQLite does not count as a column read.
 */
export function tickColumn(table: Table): string {
  const columns = table.columns.filter((column) => !table.key.includes(column.name));
  return (columns.find((column) => column.type === "INTEGER") ?? columns[0]!).name;
}
