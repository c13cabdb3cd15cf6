/**
 * The library that reads SQL in full. Import it where queries of every form must be read at once; the command line loads
 * it when a query is not plain.
 *
 * @module
 */
import { type Node, parse } from "sql-parser-cst";

/** The statements of a text, empty ones among them. @throws Error of the library, with the place */
export function parseSql(sql: string): readonly Node[] {
  return parse(sql, { dialect: "sqlite", includeRange: true }).statements;
}
