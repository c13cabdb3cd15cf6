/**
 * Brings a store of an earlier schema version up to date, in place and in one transaction.
 *
 * Each step only adds columns and tables and gives a table another name, which SQLite does without touching a row: it
 * takes no time and no room, and a crash leaves the store as it was. Deliveries alone are copied: a week of them. Rows from before have NULL in new columns, which is
 * what was known. The order of columns then differs from that of a new store, so nothing here or in the agent goes by
 * it. The one table of events that schema 2 had becomes the first partition as it is, until retention removes it.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG, SCHEMA_VERSION, tableNamed } from "../../proto/catalog.ts";
import { FLAT, partitionTable, partitionTables } from "../../proto/partition_layout.ts";
import { SEVERITIES } from "../../proto/process_event.ts";
import { partitionStatements } from "./partition_schema.ts";
import { addPartition, expectedViews, visiblePartitions } from "./partitions.ts";
import { makingStatements, readDescriptors } from "./collected_tables.ts";
import { SCHEMA, tableStatements } from "./schema.ts";

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
  [3, {
    alerts: { completeness: TEXT, ledger_origin: TEXT, ledger_size: INTEGER, ledger_root: TEXT, rule_hash: TEXT },
    detection_rules: { rule_hash: TEXT },
  }],
  [4, {
    alerts: {
      kind: TEXT,
      status: TEXT,
      status_time: INTEGER,
      muted_by: TEXT,
      dedup_key: TEXT,
      group_id: TEXT,
      hits_before: INTEGER,
      last_hit_time: INTEGER,
      causes: TEXT,
      parent_exec_id: TEXT,
      start_time: INTEGER,
      effective_user_id: INTEGER,
      login_user_id: INTEGER,
      cwd: TEXT,
      container_id: TEXT,
      stdin_kind: TEXT,
      stdout_kind: TEXT,
      ancestry: TEXT,
      repeat_count: INTEGER,
      first_time: INTEGER,
      last_time: INTEGER,
      reason: TEXT,
    },
  }],
]);

/** The schema versions that this agent brings up to date. */
const FIRST_VERSION = 1;
/** The number of the partition that the table of schema 2 becomes. */
const OLD_PARTITION = 1;

/** What schema 3 added beside the partitions: all of it is made from `SCHEMA`, as in a new store. */
const NEW_IN_3 = /^CREATE (TABLE (retention|partitions|agent_state) |INDEX alerts_event_id )/;

/** What schema 4 added beside columns. */
const NEW_IN_4 = /^CREATE TABLE ledger_notes /;

/** What schema 5 added beside columns; the table of deliveries is made anew, since its states are more. */
const NEW_IN_5 =
  /^CREATE (TABLE (alert_history|alert_mutes|alert_sinks|alert_windows|alert_rules|alert_deliveries) |INDEX (alerts_group_id|alert_history_alert_id|alert_deliveries_\w+) )/;

/** What schema 6 added: the tables that collectors bring, and those of analyses. */
const NEW_IN_6 =
  /^CREATE (TABLE|INDEX) (collected_tables|(analyses|analysis_stages|file_facts|file_strings|memory_facts|yara_matches)(_\w+)?) /;

/** Whether this agent can bring a store of this version up to date. */
export function canUpgrade(version: unknown): version is number {
  return typeof version === "number" && version >= FIRST_VERSION && version < SCHEMA_VERSION;
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
      for (const [table, columns] of Object.entries(ADDED.get(from) ?? {})) {
        for (const [name, type] of Object.entries(columns)) db.exec(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`);
      }
      if (from === 2) partition(db, Date.now());
      if (from === 3) { for (const statement of SCHEMA) if (NEW_IN_4.test(statement)) db.exec(statement); }
      if (from === 4) renewDeliveries(db);
      if (from === 5) { for (const statement of SCHEMA) if (NEW_IN_6.test(statement)) db.exec(statement); }
    }
    check();
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** Schema 3: the table of events becomes the first partition, and a second one is opened. */
function partition(db: DatabaseSync, now: number): void {
  for (const statement of SCHEMA) if (NEW_IN_3.test(statement)) db.exec(statement);
  const { low, high } = db.prepare(
    "SELECT (SELECT min(time) FROM process_events) AS low, (SELECT max(time) FROM process_events) AS high",
  ).get() as { low: number | null; high: number | null };
  db.exec(`ALTER TABLE process_events RENAME TO ${partitionTable(OLD_PARTITION)}`);
  // It is not counted, which would take a second for ten million events
  db.prepare(
    `INSERT INTO partitions (partition, layout, state, opened_time, closed_time, from_time, to_time, first_process)
     VALUES (?, ?, 'closed', ?, ?, ?, ?, 0)`,
  ).run(OLD_PARTITION, FLAT, low ?? now, now, low, high);
  addPartition(db, now);
}

/** Schema 5: what is owed, and what was delivered in the last days, moves into a table that knows how urgent it is. */
function renewDeliveries(db: DatabaseSync): void {
  db.exec("ALTER TABLE alert_deliveries RENAME TO alert_deliveries_4; DROP INDEX alert_deliveries_pending");
  for (const statement of SCHEMA) if (NEW_IN_5.test(statement)) db.exec(statement);
  const ranks = SEVERITIES.map((severity, rank) => `WHEN '${severity}' THEN ${rank}`).join(" ");
  db.exec(
    `INSERT INTO alert_deliveries
       SELECT d.delivery_id, d.alert_id, d.sink, d.state, CASE a.severity ${ranks} ELSE 0 END, ${OLD_ALERT_BYTES},
         a.detected_time, d.attempts, d.delivered_time, NULL
       FROM alert_deliveries_4 d JOIN alerts a ON a.alert_id = d.alert_id`,
  );
  db.exec("DROP TABLE alert_deliveries_4");
}

/** What an alert of before schema 5 is taken for in the room that a sink's backlog may take. */
const OLD_ALERT_BYTES = 1_500;

/** Whether the database has the tables, columns, indexes and views of a store of this version, no fewer and no more. */
export function hasShape(db: DatabaseSync): boolean {
  const fresh = new DatabaseSync(":memory:");
  try {
    for (const statement of SCHEMA) fresh.exec(statement);
    const expected = shapeOf(fresh), found = shapeOf(db);
    if (![...expected].every((piece) => found.delete(piece))) return false;
    for (const statement of tableStatements(tableNamed("process_events"))) fresh.exec(statement);
    return takePartitions(db, fresh, found) && takeCollected(db, fresh, found) && found.size === 0;
  } finally {
    fresh.close();
  }
}

/** Takes what belongs to the partitions out of a shape; false when some is not there. `fresh` has the flat table. */
function takePartitions(db: DatabaseSync, fresh: DatabaseSync, shape: Set<string>): boolean {
  const visible = visiblePartitions(db), take = (piece: string): boolean => shape.delete(piece);
  if (visible.at(-1)?.state !== "open" || !expectedViews(db).every(take)) return false;
  for (const { number, layout } of visible) {
    if (layout !== FLAT) {
      if (!partitionStatements(number).every(take)) return false;
      continue;
    }
    const table = partitionTable(number), events = tableNamed("process_events");
    const indexes = events.indexes.map((columns) =>
      `CREATE INDEX process_events_${columns.join("_")} ON "${table}" (${columns.join(", ")})`
    );
    const there = new Set(columnsOf(db, table, events.name));
    const expected = columnsOf(fresh, events.name, events.name);
    if (there.size !== expected.length || !expected.every((piece) => there.has(piece))) return false;
    if (!indexes.every(take) || !takeTables(db, [table], shape)) return false;
  }
  // What is left of partitions that are being removed may lack anything.
  const removing = db.prepare("SELECT partition, layout FROM partitions WHERE state = 'removing'").iterate();
  for (const row of [...removing]) {
    takeTables(db, partitionTables(row["partition"] as number, row["layout"] as 2 | 3), shape);
  }
  return true;
}

/** Takes the tables that collectors brought out of a shape; false when one is not as `collected_tables` says. */
function takeCollected(db: DatabaseSync, fresh: DatabaseSync, shape: Set<string>): boolean {
  for (const descriptor of readDescriptors(db).values()) {
    const { name } = descriptor, statements = makingStatements(descriptor);
    for (const statement of statements) fresh.exec(statement);
    // Columns that a later version added stand elsewhere in the statement that made the table
    const expected = columnsOf(fresh, name, name), there = new Set(columnsOf(db, name, name));
    if (there.size !== expected.length || !expected.every((piece) => there.has(piece))) return false;
    if (!shape.has(statements[1]!) || !takeTables(db, [name], shape)) return false;
  }
  return true;
}

/** Takes whatever statements made these tables and their indexes out of a shape. */
function takeTables(db: DatabaseSync, tables: readonly string[], shape: Set<string>): boolean {
  let found = false;
  for (const table of tables) {
    const statements = db.prepare("SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL").iterate(
      table,
    );
    for (const { sql } of [...statements]) found = shape.delete(sql as string) || found;
  }
  return found;
}

/** Tables of the catalog by their columns, in whatever order; everything else by the statement that made it. */
function shapeOf(db: DatabaseSync): Set<string> {
  const shape = new Set<string>();
  for (
    const { type, name, sql } of db.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").iterate()
  ) {
    if (type === "table" && CATALOG.has(name as string)) {
      for (const piece of columnsOf(db, name as string, name as string)) shape.add(piece);
    } else shape.add(sql as string);
  }
  return shape;
}

/** Columns of a table, as if it were named `as`. */
function columnsOf(db: DatabaseSync, table: string, as: string): string[] {
  const { strict } = db.prepare("SELECT strict FROM pragma_table_list(?)").get(table)!;
  const columns = [...db.prepare("SELECT * FROM pragma_table_xinfo(?)").iterate(table)];
  return [
    `${as} ${strict}`,
    ...columns.map((c) => [as, c["name"], c["type"], c["notnull"], c["dflt_value"], c["pk"]].join(" ")),
  ];
}
