/**
 * A database with the catalog's tables and some rows, as the agent's store has them.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG } from "../../../proto/catalog.ts";
import type { Table } from "../../../proto/tables/table.ts";
import { READ_LIMITS } from "../../../proto/rules/authorizer.ts";

const WORDS = ["sh", "bash", "50%", "it's", "", "/usr/bin/bash", '["sh","-c","id"]', "é;--"];

export function storeLike(rows: number): DatabaseSync {
  const db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  for (const table of CATALOG.values()) fill(db, table, rows);
  return db;
}

export function createTable(table: Table): string {
  const columns = table.columns.map((column) => `${column.name} ${column.type}`);
  return `CREATE TABLE ${table.name} (${columns.join(", ")}, PRIMARY KEY (${table.key.join(", ")})) STRICT`;
}

function fill(db: DatabaseSync, table: Table, rows: number): void {
  db.exec(createTable(table));
  const insert = db.prepare(`INSERT INTO ${table.name} VALUES (${table.columns.map(() => "?").join(", ")})`);
  for (let row = 0; row < rows; row++) {
    insert.run(...table.columns.map(({ name, type }, column) => {
      if (table.key.includes(name)) return type === "TEXT" ? `key ${row}` : row;
      const pick = row * 7 + column * 3;
      if (pick % 11 === 0) return null;
      return type === "TEXT" ? WORDS[pick % WORDS.length]! : type === "REAL" ? pick / 4 : pick % 13;
    }));
  }
}
