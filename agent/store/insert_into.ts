/**
 * Inserts of whole rows.
 *
 * @module
 */
import { tableNamed } from "../../proto/catalog.ts";

/** An insert of whole rows, in the order of the catalog's columns. */
export function insertInto(table: string): string {
  const names = tableNamed(table).columns.map((column) => column.name);
  return `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
}
