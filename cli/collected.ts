/**
 * The tables that collectors brought, for what works without a store as well.
 *
 * @module
 */
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import { CommandError } from "./command.ts";
import { Store } from "./store_reader.ts";

/** What the store has of them; none where there is no store that can be read. */
export function storeTables(path: string): TableSet {
  try {
    // Not `using`: the minifier would lose it (deploy/bundle.ts)
    const store = Store.open(path);
    try {
      return store.tables;
    } finally {
      store.close();
    }
  } catch (error) {
    if (error instanceof CommandError) return NO_TABLES;
    throw error;
  }
}
