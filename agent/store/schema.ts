/**
 * The store's tables: those of the catalog, which hunts see, and the agent's own, which they do not.
 *
 * @module
 */
import { CATALOG, SCHEMA_VERSION } from "../../proto/catalog.ts";
import type { Table } from "../../proto/tables/table.ts";

/** "DEYE": marks a database file as ours (PRAGMA application_id). */
export const APPLICATION_ID = 0x44455945;

/** Not in the catalog, so neither rules nor hunts can name them. */
const PRIVATE = [
  // One row for each alert and sink, written with the alert: what is owed survives a crash. `severity` is a rank, 4 for
  // critical. Dead: the sink will never take it; dropped: it found no room.
  `CREATE TABLE alert_deliveries (
    delivery_id INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL,
    sink TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'dead', 'dropped')),
    severity INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    added_time INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered_time INTEGER,
    reason TEXT,
    UNIQUE (alert_id, sink)
  ) STRICT`,
  `CREATE INDEX alert_deliveries_pending ON alert_deliveries (sink, severity DESC, delivery_id) WHERE state = 'pending'`,
  `CREATE INDEX alert_deliveries_dead ON alert_deliveries (sink, delivery_id) WHERE state = 'dead'`,
  // What keeps hits from being alerts: repeats of an alert, hits of a rule over its limit. alerts/manager.ts
  `CREATE TABLE alert_windows (
    window_key TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('repeat', 'limit', 'inhibit')),
    rule_id TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    left_ms INTEGER NOT NULL,
    noted_time INTEGER NOT NULL,
    muted_by TEXT,
    sample TEXT
  ) STRICT`,
  // What is known of each rule's hits, and the rest of its limit; '' stands for all rules together.
  `CREATE TABLE alert_rules (
    rule_id TEXT PRIMARY KEY NOT NULL,
    hits INTEGER NOT NULL,
    last_time INTEGER,
    tokens REAL NOT NULL,
    noted_time INTEGER NOT NULL
  ) STRICT`,
  // How far a snapshot that comes in parts has got, so that a restart between two parts does not make it look whole.
  `CREATE TABLE snapshot_progress (
    stream INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    next_part INTEGER NOT NULL,
    process_count INTEGER NOT NULL
  ) STRICT`,
  // See partitions.ts; process_events is a view over the tables that the rows name.
  `CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'removing')),
    opened_time INTEGER NOT NULL,
    closed_time INTEGER,
    from_time INTEGER,
    to_time INTEGER,
    events INTEGER,
    first_process INTEGER NOT NULL
  ) STRICT`,
  // What is to be entered into the audit ledger, until a collector says that it is: ledger_notes.ts.
  `CREATE TABLE ledger_notes (
    note_id INTEGER PRIMARY KEY NOT NULL,
    collector_id TEXT NOT NULL,
    action INTEGER NOT NULL,
    payload BLOB NOT NULL
  ) STRICT`,
  // Numbers that the agent keeps over a restart, by name: retention_clock.ts.
  `CREATE TABLE agent_state (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT`,
];

/** Statements of each table with its indexes, by table; the views over the partitions come with the first of those. */
const TABLES: ReadonlyMap<string, readonly string[]> = new Map(
  [...CATALOG.values()].filter(({ name }) => name !== "process_events").map((table) => [
    table.name,
    tableStatements(table),
  ]),
);

/** Every statement that makes an empty database a store without a partition, one object each. */
export const SCHEMA: readonly string[] = [...[...TABLES.values()].flat(), ...PRIVATE];

/** To be run before the first table exists; pages that a later deletion frees can then be given back piecemeal. */
export const BEFORE_SCHEMA = "PRAGMA auto_vacuum = INCREMENTAL";

export const SCHEMA_MARKS = `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`;

/** Makes a table of the catalog with its indexes. */
export function tableStatements(table: Table): string[] {
  const columns = table.columns.map(({ name, type }) =>
    table.key.length === 1 && table.key[0] === name ? `${name} ${type} PRIMARY KEY NOT NULL` : `${name} ${type}`
  );
  if (table.key.length > 1) columns.push(`PRIMARY KEY (${table.key.join(", ")})`);
  return [
    `CREATE TABLE ${table.name} (\n  ${columns.join(",\n  ")}\n) STRICT`,
    ...table.indexes.map((index) =>
      `CREATE INDEX ${table.name}_${index.join("_")} ON ${table.name} (${index.join(", ")})`
    ),
    ...(table.openColumn === undefined ? [] : [
      `CREATE INDEX ${table.name}_open ON ${table.name} (${table.openColumn}) WHERE ${table.openColumn} IS NULL`,
    ]),
  ];
}
