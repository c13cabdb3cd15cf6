/**
 * Brings a store of an earlier schema version up to date, in place and in one transaction.
 *
 * Each step only adds columns, which SQLite does without touching a row: it takes no time and no room, and a crash leaves
 * the store as it was. Rows from before have NULL there, which is what was known. The order of columns then differs from
 * that of a new store, so nothing here or in the agent goes by it.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG, SCHEMA_VERSION } from "../../proto/catalog.ts";
import { SCHEMA } from "./schema.ts";

const TEXT = "TEXT" as const, INTEGER = "INTEGER" as const;

/** What version 2 added: the circumstances of a process. */
const CONTEXT_2 = {
  effective_user_name: TEXT,
  group_name: TEXT,
  saved_user_id: INTEGER,
  effective_group_id: INTEGER,
  saved_group_id: INTEGER,
  effective_capabilities: INTEGER,
  user_namespace: INTEGER,
  pid_namespace: INTEGER,
  mount_namespace: INTEGER,
  network_namespace: INTEGER,
  container_runtime: TEXT,
  pod_id: TEXT,
  interpreter_path: TEXT,
  script_path: TEXT,
} as const;

type Additions = Readonly<Record<string, Readonly<Record<string, "TEXT" | "INTEGER">>>>;

/** Columns by table, by the version that they lead away from. Never changed once released. */
const ADDED: ReadonlyMap<number, Additions> = new Map<number, Additions>([
  [1, {
    process_events: { namespace_pid: INTEGER, executable_kind: TEXT, ...CONTEXT_2 },
    processes: {
      group_id: INTEGER,
      namespace_pid: INTEGER,
      threads: INTEGER,
      executable_kind: TEXT,
      ...CONTEXT_2,
      // process_events had room for these already
      cwd: TEXT,
      login_user_id: INTEGER,
      session_id: INTEGER,
      tty: TEXT,
      cgroup_path: TEXT,
      cgroup_id: INTEGER,
      container_id: TEXT,
      stdin_kind: TEXT,
      stdout_kind: TEXT,
      environment: TEXT,
    },
    sources: { unknown_columns: TEXT },
  }],
]);

/** Whether this agent can bring a store of this version up to date. */
export function canUpgrade(version: unknown): version is number {
  return typeof version === "number" && ADDED.has(version);
}

/**
 * Adds what is missing. `check` is asked before anything is kept; when it throws, nothing is.
 *
 * @throws Error of SQLite, also when the store does not have the tables of its version
 */
export function upgrade(db: DatabaseSync, version: number, check: () => void): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    for (let from = version; from < SCHEMA_VERSION; from++) {
      for (const [table, columns] of Object.entries(ADDED.get(from)!)) {
        for (const [name, type] of Object.entries(columns)) db.exec(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`);
      }
    }
    check();
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** Whether the database has the tables, columns and indexes of a new store, no fewer and no more. */
export function hasShape(db: DatabaseSync): boolean {
  const fresh = new DatabaseSync(":memory:");
  try {
    for (const statement of SCHEMA) fresh.exec(statement);
    const expected = shapeOf(fresh), found = shapeOf(db);
    return expected.size === found.size && [...expected].every((piece) => found.has(piece));
  } finally {
    fresh.close();
  }
}

/** Tables of the catalog by their columns, in whatever order; everything else by the statement that made it. */
function shapeOf(db: DatabaseSync): Set<string> {
  const shape = new Set<string>();
  for (const { name, sql } of db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").iterate()) {
    if (!CATALOG.has(name as string)) {
      shape.add(sql as string);
      continue;
    }
    const strict = db.prepare("SELECT strict FROM pragma_table_list(?)").get(name as string)!["strict"];
    shape.add(`${name} ${strict}`);
    for (const column of db.prepare("SELECT * FROM pragma_table_xinfo(?)").iterate(name as string)) {
      shape.add(
        [name, column["name"], column["type"], column["notnull"], column["dflt_value"], column["pk"]].join(" "),
      );
    }
  }
  return shape;
}
