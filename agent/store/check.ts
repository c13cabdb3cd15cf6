/**
 * Checks all of a store at once, while the agent writes to it or not: every page, every row against its indexes.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { storeError } from "./store_error.ts";

/** Faults that are listed; one damaged page can have thousands. */
const MAX_FAULTS = 20;

/**
 * What is damaged, nothing when all is well. `progress` is told each table before it is checked. Each is read as of one
 * moment, during which the store's log cannot be moved.
 *
 * @throws StoreError when the store cannot be read at all
 */
export function checkStore(path: string, progress: (table: string, at: number, of: number) => void): string[] {
  let db: DatabaseSync | undefined;
  const faults: string[] = [];
  try {
    db = new DatabaseSync(path, { readOnly: true });
    // One row, by get(): iterate() takes an error of SQLite for the end of the rows (Deno 2.9.6).
    const names = "SELECT json_group_array(name) AS names FROM sqlite_schema WHERE type = 'table'";
    const tables = JSON.parse(db.prepare(names).get()!["names"] as string) as string[];
    for (const [at, table] of ["sqlite_schema", ...tables].entries()) {
      progress(table, at + 1, tables.length + 1);
      // A table that was dropped since then cannot be checked, and is not damaged.
      if (table !== "sqlite_schema" && !isThere(db, table)) continue;
      for (const fault of checkTable(db, table)) if (faults.length < MAX_FAULTS) faults.push(`${table}: ${fault}`);
      if (faults.length >= MAX_FAULTS) break;
    }
    return faults;
  } catch (error) {
    throw storeError("The store cannot be checked", path, error);
  } finally {
    db?.close();
  }
}

function isThere(db: DatabaseSync, table: string): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined;
}

function checkTable(db: DatabaseSync, table: string): string[] {
  const quoted = `"${table.replaceAll('"', '""')}"`;
  const verdicts: string[] = [];
  let rows = 0;
  for (const row of db.prepare(`PRAGMA integrity_check(${quoted})`).iterate()) {
    rows += 1;
    for (const verdict of Object.values(row)) if (verdict !== "ok") verdicts.push(String(verdict));
    if (verdicts.length >= MAX_FAULTS) break;
  }
  // Where nothing is wrong it says so; nothing at all is an error that iterate() did not throw.
  return rows === 0 ? ["it cannot be read"] : verdicts;
}
