/**
 * Tables that collectors bring: what one may be, and what a row of it must be.
 *
 * A collector registers a descriptor; the agent makes the table, and rules, hunts and the CLI see it under its name
 * beside those of the catalog. Descriptors and rows come from the collector and are not trusted: both are checked here,
 * on either side. Every such table has the columns of {@linkcode ROW_COLUMNS} before its own.
 *
 * @module
 */
import { CATALOG } from "./catalog.ts";
import type { Column, Table } from "./tables/table.ts";
import type { SqlValue } from "./event_row.ts";
import { MAX_TEXT_LENGTH } from "./wire_fields.ts";

/** Most columns of one such table, beside those that each has. */
export const MAX_OWN_COLUMNS = 64;
/** Most tables that collectors have brought to one store. */
export const MAX_COLLECTED_TABLES = 64;
/** Longest description of a table or a column. */
const MAX_DESCRIPTION_LENGTH = 500;
/** How far a row's time may be ahead of this host's clock, in milliseconds. */
const MAX_ROW_AHEAD_MS = 86_400_000;

/** A table that a collector fills and nobody else does. */
export interface TableDescriptor {
  /** Lower-case letters, digits and `_`, 3 to 48 characters; not a name of the catalog. */
  readonly name: string;
  /** From 1; a later version may add columns at the end, and change nothing else. */
  readonly version: number;
  /** One line: what a row is. */
  readonly description: string;
  /** In the order in which rows give their values. */
  readonly columns: readonly Column[];
}

/** One row: when it happened, in Unix milliseconds, and a value for each column of the descriptor, `null` for none. */
export interface TableRow {
  /** When it happened, in Unix milliseconds. */
  readonly time: number;
  /** A value for each column of the descriptor, `null` for none. */
  readonly values: readonly SqlValue[];
}

/** Tables that collectors brought, by name, as readers see them. */
export type TableSet = ReadonlyMap<string, Table>;

export const NO_TABLES: TableSet = new Map();

/** The columns that the agent fills in each row. */
export const ROW_COLUMNS: readonly Column[] = [
  { name: "row_id", type: "INTEGER", description: "stream number times 2^40 plus the sequence within the stream" },
  { name: "time", type: "INTEGER", description: "when it happened" },
  { name: "collector_id", type: "TEXT", description: "collector that reported it" },
];

const TABLE_NAME = /^[a-z][a-z0-9_]{2,47}$/, COLUMN_NAME = /^[a-z][a-z0-9_]{0,47}$/;
/** What SQLite, the store and the guard keep for themselves. */
const RESERVED = /^(sqlite_|pragma_|temp$|main$|stored_|process_events|partitions?$|json_|batch_row$)/;
/** Words that stand for something else where a column is named. */
const RESERVED_COLUMNS: ReadonlySet<string> = new Set([
  "rowid",
  "oid",
  "_rowid_",
  ...ROW_COLUMNS.map(({ name }) => name),
]);
/** Words of SQL that could be no name without quotes. */
const KEYWORDS: ReadonlySet<string> = new Set(
  ("add all alter and as autoincrement between by case check collate commit constraint create cross current_date " +
    "current_time current_timestamp default deferrable delete distinct drop else end escape except exists filter foreign " +
    "from full glob group having in index inner insert intersect into is isnull join left like limit match natural not " +
    "notnull null offset on or order outer over primary raise references regexp replace returning right select set table " +
    "then to transaction union unique update using values view when where window with").split(" "),
);
const TYPES: readonly string[] = ["INTEGER", "REAL", "TEXT"];

/** The table as the store, rules and hunts have it. */
export function tableOf({ name, description, columns }: TableDescriptor): Table {
  return { name, description, columns: [...ROW_COLUMNS, ...columns], key: ["row_id"], indexes: [["time"]] };
}

/** The name of a table's index over time, which no other table can have: in SQLite tables and indexes share their names. */
export function timeIndex(table: string): string {
  return `${table}_time`;
}

/** Why a descriptor cannot become a table, in words; `null` when it can. */
export function descriptorFault({ name, version, description, columns }: TableDescriptor): string | null {
  if (!TABLE_NAME.test(name)) return "a table's name is 3 to 48 lower-case letters, digits and _, a letter first";
  if (CATALOG.has(name) || RESERVED.test(name) || KEYWORDS.has(name)) {
    return `${name} is a name of SQL's or the store's own; choose another`;
  }
  if (!Number.isInteger(version) || version < 1 || version > 1_000_000) {
    return `${name}: its version is no number from 1`;
  }
  if (textFault(description)) return `${name}: ${TEXT_RULE}`;
  if (columns.length === 0 || columns.length > MAX_OWN_COLUMNS) {
    return `${name} has ${columns.length} columns; 1 to ${MAX_OWN_COLUMNS} are allowed`;
  }
  const seen = new Set<string>();
  for (const column of columns) {
    if (!COLUMN_NAME.test(column.name)) return `${name}: a column's name is lower-case letters, digits and _`;
    if (KEYWORDS.has(column.name)) return `${name}: ${column.name} is a word of SQL; choose another name`;
    if (RESERVED_COLUMNS.has(column.name)) return `${name}: every table has a column ${column.name} already`;
    if (seen.has(column.name)) return `${name} has two columns ${column.name}`;
    seen.add(column.name);
    if (!TYPES.includes(column.type)) return `${name}.${column.name}: its type is one of ${TYPES.join(", ")}`;
    if (textFault(column.description)) return `${name}.${column.name}: ${TEXT_RULE}`;
  }
  return null;
}

/** Why a later descriptor cannot take the place of an earlier one of the same name; `null` when it can. */
export function changeFault(before: TableDescriptor, after: TableDescriptor): string | null {
  const { name } = after,
    same = before.columns.every((column, at) =>
      after.columns[at]?.name === column.name && after.columns[at]?.type === column.type
    );
  if (after.version < before.version) {
    // An older collector beside a newer one: it fills the columns that it knows
    const fits = after.columns.every((column, at) =>
      before.columns[at]?.name === column.name && before.columns[at]?.type === column.type
    );
    return fits ? null : `version ${after.version} of ${name} is not the beginning of version ${before.version}`;
  }
  if (!same) {
    return `version ${after.version} of ${name} changes columns of version ${before.version}; add columns at the end, or ` +
      `name another table`;
  }
  if (after.version === before.version && after.columns.length !== before.columns.length) {
    return `${name} has ${after.columns.length} columns, and ${before.columns.length} under the same version; raise its version`;
  }
  return null;
}

/**
 * Why a row is not one of this table, in words; `null` when it is. `now`: Unix milliseconds of this host. A row may give
 * fewer values than there are columns: it was kept by a collector of an earlier version.
 */
export function rowFault(columns: readonly Column[], { time, values }: TableRow, now: number): string | null {
  if (!Number.isSafeInteger(time) || time < 0) return "its time is no whole number of Unix milliseconds";
  if (time > now + MAX_ROW_AHEAD_MS) return "its time is more than a day ahead";
  if (values.length > columns.length || values.length === 0) {
    return `it has ${values.length} values for ${columns.length} columns`;
  }
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!, { name, type } = columns[at]!;
    if (value === null) continue;
    const fits = type === "TEXT"
      ? typeof value === "string" && value.length <= MAX_TEXT_LENGTH
      : typeof value === "number" && (type === "REAL" ? Number.isFinite(value) : Number.isSafeInteger(value));
    if (!fits) return `${name} is ${typeof value === "string" ? "a text" : typeof value}, not ${type}`;
  }
  return null;
}

const TEXT_RULE = `a description is one line of at most ${MAX_DESCRIPTION_LENGTH} characters`;

function textFault(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return text.length > MAX_DESCRIPTION_LENGTH || /[\u0000-\u001f\u007f-\u009f]/.test(text);
}
