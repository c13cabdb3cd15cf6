/**
 * What a table is that rules and hunts see.
 *
 * @module
 */

/** Types of columns, as SQLite's STRICT tables have them; a REAL may hold no whole number of its own. */
export type ColumnType = "INTEGER" | "REAL" | "TEXT";

/** A column of a table. */
export interface Column {
  /** Lower-case letters, digits and `_`. */
  readonly name: string;
  /** What its values are; NULL is always possible. */
  readonly type: ColumnType;
  /** One line, with the unit of its values. */
  readonly description: string;
}

/** A table that rules and hunts see. */
export interface Table {
  /** Lower-case letters, digits and `_`. */
  readonly name: string;
  /** One line: what a row is. */
  readonly description: string;
  /** In their order; a later schema version adds some at the end. */
  readonly columns: readonly Column[];
  /** Columns of the primary key. */
  readonly key: readonly string[];
  /** Further indexes, each a list of columns. */
  readonly indexes: readonly (readonly string[])[];
  /** A column that is indexed only where it is NULL: what is asked for is open, and what is closed costs nothing. */
  readonly openColumn?: string;
}

/** A column, in few words. */
export function column(name: string, type: ColumnType, description: string): Column {
  return { name, type, description };
}

/** What the numbers of a column count, or what its text is, for the docs; empty for a plain text. */
export function unitOf({ name, type }: Column): string {
  if (type === "TEXT") {
    if (/^(argv|environment|modified_fields|tags|evidence|causes|ancestry|terms)$/.test(name)) return "JSON";
    return /_hash$/.test(name) && name !== "fuzzy_hash" ? "hexadecimal" : "";
  }
  if (/(^|_)time$|_seen$/.test(name)) return "ms since 1970";
  if (name.endsWith("_ms")) return "ms";
  if (name === "argv_length" || name === "memory_usage") return "bytes";
  if (/^(file_exists|on_disk_mismatch|accessible|kernel_thread)$/.test(name)) return "0 or 1";
  if (name.endsWith("_capabilities")) return "bits";
  return /(^|_)count$|^threads$/.test(name) ? "count" : "number";
}
