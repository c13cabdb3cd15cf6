/**
 * The library that reads SQL, loaded for a query that needs it alone: its code takes as long to start as all the rest of
 * a quick answer.
 *
 * @module
 */
import { isPlain, type SqlParser } from "../proto/rules/sql_gate.ts";
import { bindParameters, type ParameterValue } from "../proto/rules/sql_parameters.ts";
import { SqlRefusedError } from "../proto/rules/sql_refused.ts";

/** What reads the query, once its parameters stand in it. Whether it is allowed is asked later. */
export async function parserFor(
  sql: string,
  parameters: ReadonlyMap<string, ParameterValue>,
  isOsquery = false,
): Promise<SqlParser> {
  // One for osquery is rewritten at the places that its tree names
  if (!isOsquery && isPlain(bound(sql, parameters))) return onlyPlain;
  return (await import("../proto/rules/sql_library.ts")).parseSql;
}

/** The query as it will be, or as it is where it cannot be. */
function bound(sql: string, parameters: ReadonlyMap<string, ParameterValue>): string {
  try {
    return bindParameters(sql, parameters);
  } catch (error) {
    if (error instanceof SqlRefusedError) return sql;
    throw error;
  }
}

function onlyPlain(): never {
  throw new TypeError("A query that is plain was to be read by the library");
}
