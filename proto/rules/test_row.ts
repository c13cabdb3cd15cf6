/**
 * Rows of `process_events`, or of a table that a collector brought, as the tests of a rule file write them.
 *
 * @module
 */
import { tableNamed } from "../catalog.ts";
import type { ColumnType, Table } from "../tables/table.ts";
import type { SqlValue } from "../event_row.ts";
import { parseDuration } from "./duration.ts";
import { YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { suggestion } from "./sql_refused.ts";

const EVENTS = tableNamed("process_events");
/** Most rows of one test. */
const MAX_ROWS = 500;

/** A mapping of columns to values as a row; columns that it does not name are NULL. @throws YamlFaultError */
export function parseTestRow(node: YamlNode, { name: of, columns }: Table = EVENTS): readonly SqlValue[] {
  if (node.kind !== "mapping") {
    throw new YamlFaultError("A test row is a mapping of columns to values", node.offset);
  }
  const values: SqlValue[] = columns.map(() => null);
  for (const [name, { keyOffset, value }] of node.entries) {
    const place = columns.findIndex((column) => column.name === name);
    if (place < 0) {
      const known = suggestion(name, columns.map((column) => column.name));
      throw new YamlFaultError(`${of} has no column ${JSON.stringify(name.slice(0, 64))}${known}`, keyOffset);
    }
    values[place] = cell(value, name, columns[place]!.type);
  }
  return values;
}

/**
 * A list of rows in the order in which they arrive. `time` may be a time since the first, such as `30s`; a row without one
 * comes a millisecond after the one before, and a row without an `event_id` is numbered. @throws YamlFaultError
 */
export function parseTestRows(node: YamlNode, table: Table = EVENTS): readonly (readonly SqlValue[])[] {
  const place = (name: string): number => table.columns.findIndex((column) => column.name === name);
  const at = place("time"), id = place(table.key[0]!);
  if (node.kind !== "sequence" || node.items.length === 0 || node.items.length > MAX_ROWS) {
    throw new YamlFaultError(`A test of a rule over a window is a list of 1 to ${MAX_ROWS} rows`, node.offset);
  }
  const ids = new Set<SqlValue>();
  let time = -1;
  return node.items.map((item, i) => {
    const row = [...parseTestRow(item, table)];
    time = row[at] === null ? time + 1 : row[at] as number;
    row[at] = time;
    row[id] ??= i + 1;
    if (ids.has(row[id]!)) throw new YamlFaultError(`Two rows have one ${table.key[0]}; leave it out`, item.offset);
    ids.add(row[id]!);
    return row;
  });
}

function cell(node: YamlNode, name: string, type: ColumnType): SqlValue {
  if (node.kind === "scalar") {
    const { value } = node;
    if (value === null) return null;
    if (name === "time" && typeof value === "string") {
      const ms = parseDuration(value);
      if (ms === null) throw new YamlFaultError("time is milliseconds, or a time such as 30s", node.offset);
      return ms;
    }
    if (type === "TEXT" && typeof value === "string") return value;
    if (type === "REAL" && typeof value === "number" && Number.isFinite(value)) return value;
    if (type === "INTEGER" && typeof value === "number" && Number.isSafeInteger(value)) return value;
  }
  const form = { TEXT: "a text; put a number into quotes", INTEGER: "a whole number", REAL: "a number" }[type];
  throw new YamlFaultError(`The column ${name} holds ${form}`, node.offset);
}
