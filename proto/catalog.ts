/**
 * The one definition of the tables that rules and hunts see.
 *
 * From here come the store's DDL, the guard's allow-list and the CLI's help. A change of a column is a new
 * {@linkcode SCHEMA_VERSION}. Times are Unix milliseconds; booleans are 0 or 1.
 *
 * @module
 */
import { ANALYSIS_TABLES } from "./analysis/tables.ts";
import { alertHistory, alertMutes, alerts, alertSinks } from "./tables/alerts.ts";
import { processes, processEvents } from "./tables/processes.ts";
import { column, type Table } from "./tables/table.ts";

/** Version of the tables of this catalog; it rises with every column that is added. */
export const SCHEMA_VERSION = 6;

const gaps: Table = {
  name: "gaps",
  description: "What could not be seen or kept: counted losses and times in which nobody looked",
  key: ["gap_id"],
  indexes: [["to_time"]],
  columns: [
    column("gap_id", "INTEGER", "stream number times 2^40 plus the sequence within the stream"),
    column("source", "TEXT", "ebpf, tracepoint, netlink, proc, ps, collector, host or transport"),
    column("record_kind", "TEXT", "exec, exit, fork or all"),
    column("from_time", "INTEGER", "begin"),
    column("to_time", "INTEGER", "end"),
    column("count", "INTEGER", "how many records; NULL when it cannot be known"),
    column("reason", "TEXT", "why"),
    column("collector_id", "TEXT", "collector that reported it"),
  ],
};

const retention: Table = {
  name: "retention",
  description: "What was removed to keep the store within its time and size, summed up for each day",
  key: ["removal_id"],
  indexes: [],
  columns: [
    column("removal_id", "INTEGER", "number of the removal"),
    column("time", "INTEGER", "when it was removed, the last of the day"),
    column("table_name", "TEXT", "process_events, processes, alerts or gaps"),
    column("from_time", "INTEGER", "time of the earliest that was removed"),
    column("to_time", "INTEGER", "time of the latest that was removed"),
    column("count", "INTEGER", "how many rows"),
    column("reason", "TEXT", "age, or size: the store would have become larger than it may"),
  ],
};

const collectors: Table = {
  name: "collectors",
  description: "The streams of events that the agent has received: one per log of a collector",
  key: ["stream"],
  indexes: [],
  columns: [
    column("stream", "INTEGER", "number of the stream"),
    column("collector_id", "TEXT", "collector"),
    column("epoch", "TEXT", "names one log of the collector"),
    column("boot_id", "TEXT", "boot of the host when it connected last"),
    column("version", "TEXT", "version of the collector then"),
    column("source", "TEXT", "rung of the source ladder that it had then"),
    column("first_seen", "INTEGER", "first connection"),
    column("last_seen", "INTEGER", "last batch"),
    column("last_sequence", "INTEGER", "last sequence that is stored"),
  ],
};

const sources: Table = {
  name: "sources",
  description: "Event sources as the collectors reported them",
  key: ["collector_id", "name"],
  indexes: [],
  columns: [
    column("collector_id", "TEXT", "collector"),
    column("name", "TEXT", "ebpf, tracepoint, netlink, proc or ps"),
    column("state", "TEXT", "active or unavailable"),
    column("detail", "TEXT", "what it sees, or why it is not there"),
    column("misses", "TEXT", "JSON array of what it cannot see"),
    column("unknown_columns", "TEXT", "JSON array of the columns of process_events that it leaves NULL"),
    column("time", "INTEGER", "when reported"),
  ],
};

const detectionRules: Table = {
  name: "detection_rules",
  description: "Rules as the agent has them, or had them last",
  key: ["rule_id"],
  indexes: [],
  columns: [
    column("rule_id", "TEXT", "id; the file name for a rule whose id could not be read"),
    column("title", "TEXT", "title"),
    column("description", "TEXT", "description"),
    column("severity", "TEXT", "severity"),
    column("tags", "TEXT", "JSON array of tags"),
    column("sql", "TEXT", "the query"),
    column("file", "TEXT", "file it came from"),
    column("state", "TEXT", "active, draft, disabled or rejected"),
    column("line", "INTEGER", "line of the fault"),
    column("column_number", "INTEGER", "column of the fault"),
    column("reason", "TEXT", "why it is not active"),
    column("rule_hash", "TEXT", "SHA-256 of the file"),
  ],
};

const collectedTables: Table = {
  name: "collected_tables",
  description: "Tables that collectors brought; each can be asked like those here",
  key: ["table_name"],
  indexes: [],
  columns: [
    column("table_name", "TEXT", "name of the table"),
    column("version", "INTEGER", "version of its columns"),
    column("description", "TEXT", "what a row of it is"),
    column("columns", "TEXT", "JSON array of its own columns, each an object of name, type and description"),
    column("collector_id", "TEXT", "collector that registered this version first"),
    column("first_seen", "INTEGER", "when the first version was registered"),
    column("rows_refused", "INTEGER", "rows that were no rows of it, and were refused; gaps says when and why"),
  ],
};

const scanMetadata: Table = {
  name: "scan_metadata",
  description: "Snapshots of the process table that were received whole",
  key: ["scan_id"],
  indexes: [],
  columns: [
    column("scan_id", "INTEGER", "stream number times 2^40 plus the sequence of its last part"),
    column("time", "INTEGER", "when the table was read"),
    column("process_count", "INTEGER", "how many processes it held"),
    column("collector_id", "TEXT", "collector"),
  ],
};

const systemInfo: Table = {
  name: "system_info",
  description: "Facts about the host, by name",
  key: ["name"],
  indexes: [],
  columns: [
    column("name", "TEXT", "hostname, boot_id, os, architecture, agent_version, schema_version"),
    column("value", "TEXT", "value"),
    column("time", "INTEGER", "when it was read"),
  ],
};

/** Every table, by name. */
export const CATALOG: ReadonlyMap<string, Table> = new Map(
  [
    processEvents,
    processes,
    alerts,
    alertHistory,
    alertMutes,
    alertSinks,
    gaps,
    retention,
    collectors,
    sources,
    detectionRules,
    collectedTables,
    scanMetadata,
    systemInfo,
    ...ANALYSIS_TABLES,
  ].map((table) => [table.name, table]),
);

/** The table of that name. @throws RangeError when there is none. */
export function tableNamed(name: string): Table {
  const table = CATALOG.get(name);
  if (table === undefined) {
    throw new RangeError(`No table is named ${name}; there are ${[...CATALOG.keys()].join(", ")}`);
  }
  return table;
}
