/**
 * Rows of `process_events` as the tests of a rule file write them.
 *
 * @module
 */
import { type ColumnType, tableNamed } from "../catalog.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { suggestion } from "./sql_refused.ts";

const COLUMNS = tableNamed("process_events").columns;
const PLACES = columnPlaces("process_events");

/** A mapping of columns to values as a row; columns that it does not name are NULL. @throws YamlFaultError */
export function parseTestRow(node: YamlNode): readonly SqlValue[] {
  if (node.kind !== "mapping") {
    throw new YamlFaultError("A test row is a mapping of columns to values", node.offset);
  }
  const values: SqlValue[] = COLUMNS.map(() => null);
  for (const [name, { keyOffset, value }] of node.entries) {
    const place = PLACES.get(name);
    if (place === undefined) {
      const known = suggestion(name, PLACES.keys());
      throw new YamlFaultError(`process_events has no column ${JSON.stringify(name.slice(0, 64))}${known}`, keyOffset);
    }
    values[place] = cell(value, name, COLUMNS[place]!.type);
  }
  return values;
}

function cell(node: YamlNode, name: string, type: ColumnType): SqlValue {
  if (node.kind === "scalar") {
    const { value } = node;
    if (value === null) return null;
    if (type === "TEXT" && typeof value === "string") return value;
    if (type === "REAL" && typeof value === "number" && Number.isFinite(value)) return value;
    if (type === "INTEGER" && typeof value === "number" && Number.isSafeInteger(value)) return value;
  }
  const form = { TEXT: "a text; put a number into quotes", INTEGER: "a whole number", REAL: "a number" }[type];
  throw new YamlFaultError(`The column ${name} holds ${form}`, node.offset);
}
