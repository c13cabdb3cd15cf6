/**
 * The one definition of the tables that rules and hunts see.
 *
 * From here come the store's DDL, the guard's allow-list and the CLI's help. A change of a column is a new
 * {@linkcode SCHEMA_VERSION}. Times are Unix milliseconds; booleans are 0 or 1.
 *
 * @module
 */

import { ANALYSIS_TABLES } from "./analysis/tables.ts";

/** Version of the tables of this catalog; it rises with every column that is added. */
export const SCHEMA_VERSION = 6;

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

function column(name: string, type: ColumnType, description: string): Column {
  return { name, type, description };
}

/** The circumstances of a process; in events only of a start, a change or an oddity. */
export const CONTEXT_COLUMNS: readonly Column[] = [
  column("cwd", "TEXT", "working directory"),
  column("effective_user_name", "TEXT", "name of the effective user"),
  column("group_name", "TEXT", "name of the real group"),
  column("saved_user_id", "INTEGER", "saved user id"),
  column("effective_group_id", "INTEGER", "effective group id"),
  column("saved_group_id", "INTEGER", "saved group id"),
  column("login_user_id", "INTEGER", "user who logged in, through every change of user since"),
  column("session_id", "INTEGER", "audit session"),
  column("tty", "TEXT", "controlling terminal, such as pts/0"),
  column("effective_capabilities", "INTEGER", "bit n is capability n: effective_capabilities & (1 << 21) is SYS_ADMIN"),
  column("user_namespace", "INTEGER", "inode of the user namespace"),
  column("pid_namespace", "INTEGER", "inode of the pid namespace"),
  column("mount_namespace", "INTEGER", "inode of the mount namespace"),
  column("network_namespace", "INTEGER", "inode of the network namespace"),
  column("cgroup_path", "TEXT", "control group path"),
  column("cgroup_id", "INTEGER", "control group id (inode of its directory)"),
  column("container_id", "TEXT", "container"),
  column("container_runtime", "TEXT", "docker, containerd, podman, cri-o and so on"),
  column("pod_id", "TEXT", "uid of the Kubernetes pod"),
  column("interpreter_path", "TEXT", "interpreter that the first line of an executed script names"),
  column("script_path", "TEXT", "script that was executed"),
  column(
    "stdin_kind",
    "TEXT",
    "what standard input is: none, file, directory, pipe, socket, tty, null, device, anonymous",
  ),
  column("stdout_kind", "TEXT", "what standard output is"),
  column(
    "environment",
    "TEXT",
    "captured environment variables as a JSON object, secrets masked; a name that is there again is NAME=2, NAME=3; " +
      "the key =cut is there when variables or ends of values are missing",
  ),
];

const processEvents: Table = {
  name: "process_events",
  description: "Every start, stop, change and oddity of a process",
  key: ["event_id"],
  indexes: [["time"], ["exec_id"]],
  columns: [
    column("event_id", "INTEGER", "stream number times 2^40 plus the sequence within the stream"),
    column("time", "INTEGER", "when it happened"),
    column("event_type", "TEXT", "start, stop, modify or suspicious"),
    column("exec_id", "TEXT", "names one execution: boot, pid, start tick and, after a further execve, its tick"),
    column("parent_exec_id", "TEXT", "the execution that the parent process was running"),
    column("pid", "INTEGER", "process id, in the initial namespace"),
    column("ppid", "INTEGER", "process id of the parent"),
    column("name", "TEXT", "the kernel's command name, at most 15 bytes"),
    column("executable_path", "TEXT", "absolute path of the executable"),
    column("command_line", "TEXT", "arguments joined by spaces, secrets masked"),
    column("argv", "TEXT", "arguments as a JSON array; bytes that are not UTF-8 as lone surrogates U+DC80 to U+DCFF"),
    column("argv_length", "INTEGER", "true length of the arguments in bytes, also when they were cut"),
    column("user_id", "INTEGER", "real user id"),
    column("user_name", "TEXT", "name of the real user"),
    column("effective_user_id", "INTEGER", "effective user id"),
    column("group_id", "INTEGER", "real group id"),
    column("namespace_pid", "INTEGER", "process id in its innermost namespace; pid outside of containers"),
    column("start_time", "INTEGER", "when the process began"),
    column("end_time", "INTEGER", "when it ended"),
    column("duration_ms", "REAL", "how long it lived"),
    column("exit_code", "INTEGER", "exit code; NULL when a signal ended it"),
    column("exit_signal", "INTEGER", "the signal that ended it"),
    column("cpu_time_ms", "REAL", "user and system time together"),
    column("memory_usage", "INTEGER", "resident bytes"),
    column("executable_hash", "TEXT", "hash of the executable, lower-case hexadecimal"),
    column("hash_algorithm", "TEXT", "algorithm of executable_hash"),
    column("fuzzy_hash", "TEXT", "similarity hash of the executable"),
    column("file_exists", "INTEGER", "1 when the executable is on disk"),
    column("on_disk_mismatch", "INTEGER", "1 when the file on disk is not the one that runs"),
    column("accessible", "INTEGER", "0 when the process could not be read"),
    column("parent_name", "TEXT", "command name of the parent"),
    column("parent_executable_path", "TEXT", "executable of the parent"),
    column("parent_command_line", "TEXT", "command line of the parent, secrets masked"),
    column("executable_kind", "TEXT", "file, deleted, memfd, or foreign: of another mount namespace"),
    column("inode", "INTEGER", "inode of the executable"),
    column("device", "INTEGER", "device of the executable, major * 2^20 + minor"),
    ...CONTEXT_COLUMNS,
    column("modified_fields", "TEXT", "JSON array of the columns that a modify event changed"),
    column("reason", "TEXT", "why the event was made, where that is not plain"),
    column("severity", "TEXT", "severity of a suspicious event"),
    column("source", "TEXT", "ebpf, tracepoint, netlink, proc or ps"),
    column("collector_id", "TEXT", "collector that reported it"),
  ],
};

const processes: Table = {
  name: "processes",
  description: "One row per process, alive or ended, with its last known state",
  key: ["process_id"],
  indexes: [["pid"], ["parent_exec_id"]],
  openColumn: "end_time",
  columns: [
    column("process_id", "TEXT", "names the process: boot, pid, start tick"),
    column("exec_id", "TEXT", "its last execution"),
    column("parent_exec_id", "TEXT", "the execution that its parent was running"),
    column("pid", "INTEGER", "process id"),
    column("ppid", "INTEGER", "process id of the parent"),
    column("name", "TEXT", "the kernel's command name"),
    column("executable_path", "TEXT", "absolute path of the executable"),
    column("command_line", "TEXT", "arguments joined by spaces, secrets masked"),
    column("argv", "TEXT", "arguments as a JSON array"),
    column("argv_length", "INTEGER", "true length of the arguments in bytes"),
    column("user_id", "INTEGER", "real user id"),
    column("user_name", "TEXT", "name of the real user"),
    column("effective_user_id", "INTEGER", "effective user id"),
    column("group_id", "INTEGER", "real group id"),
    column("namespace_pid", "INTEGER", "process id in its innermost namespace"),
    column("start_time", "INTEGER", "when it began"),
    column("end_time", "INTEGER", "when it ended; NULL while it lives"),
    column("exit_code", "INTEGER", "exit code"),
    column("exit_signal", "INTEGER", "the signal that ended it"),
    column("cpu_time_ms", "REAL", "user and system time together, when last seen"),
    column("memory_usage", "INTEGER", "resident bytes when last seen"),
    column("threads", "INTEGER", "number of its threads when last seen"),
    column("executable_kind", "TEXT", "file, deleted, memfd, or foreign: of another mount namespace"),
    ...CONTEXT_COLUMNS,
    column("status", "TEXT", "running, sleeping, stopped, zombie and so on; ended, or lost when nobody saw its end"),
    column("kernel_thread", "INTEGER", "1 for a thread of the kernel"),
    column("collection_time", "INTEGER", "when this state was read"),
    column("collector_id", "TEXT", "collector that reported it"),
  ],
};

const alerts: Table = {
  name: "alerts",
  description: "What rules found",
  key: ["alert_id"],
  indexes: [["time"], ["rule_id"], ["event_id"], ["group_id"]],
  columns: [
    column("alert_id", "TEXT", "rule and event; the same for every delivery"),
    column("time", "INTEGER", "when the event happened"),
    column("detected_time", "INTEGER", "when the rule found it"),
    column("rule_id", "TEXT", "id of the rule"),
    column("title", "TEXT", "title of the rule"),
    column("description", "TEXT", "description of the rule"),
    column("severity", "TEXT", "info, low, medium, high or critical"),
    column("tags", "TEXT", "JSON array of the rule's tags"),
    column("event_id", "INTEGER", "the event in process_events"),
    column("exec_id", "TEXT", "the execution"),
    column("pid", "INTEGER", "process id"),
    column("ppid", "INTEGER", "process id of the parent"),
    column("name", "TEXT", "command name"),
    column("executable_path", "TEXT", "executable"),
    column("command_line", "TEXT", "arguments joined by spaces, secrets masked"),
    column("user_id", "INTEGER", "real user id"),
    column("user_name", "TEXT", "name of the real user"),
    column("parent_name", "TEXT", "command name of the parent"),
    column("parent_executable_path", "TEXT", "executable of the parent"),
    column("parent_command_line", "TEXT", "command line of the parent"),
    column("evidence", "TEXT", "JSON object of the row that the rule selected"),
    column("collector_id", "TEXT", "collector that reported the event"),
    column("completeness", "TEXT", "JSON object: complete (true or false), and the reasons why the rule saw less"),
    column("ledger_origin", "TEXT", "name of the audit ledger whose checkpoint was the newest then"),
    column("ledger_size", "INTEGER", "entries under that checkpoint"),
    column("ledger_root", "TEXT", "root of that checkpoint, base64"),
    column("rule_hash", "TEXT", "SHA-256 of the file of the rule as it was when it found this"),
    column("kind", "TEXT", "alert, or summary: how often one came again, was held back or kept silent"),
    column("status", "TEXT", "open, acknowledged or closed; alert_history says by whom"),
    column("status_time", "INTEGER", "when it became so; NULL while it is as it was raised"),
    column("muted_by", "TEXT", "silence or inhibition (alert_mutes) that kept it from the sinks"),
    column("dedup_key", "TEXT", "what tells its hits from those of other alerts of the rule: the process, by default"),
    column("group_id", "TEXT", "the first alert of the same family of processes"),
    column("hits_before", "INTEGER", "how often the rule found something before, repeated hits counted"),
    column("last_hit_time", "INTEGER", "when it found something last before"),
    column("causes", "TEXT", "JSON array of the numbers of the events that caused it"),
    column("parent_exec_id", "TEXT", "the execution that the parent process was running"),
    column("start_time", "INTEGER", "when the process began"),
    column("effective_user_id", "INTEGER", "effective user id"),
    column("login_user_id", "INTEGER", "user who logged in, through every change of user since"),
    column("cwd", "TEXT", "working directory"),
    column("container_id", "TEXT", "container"),
    column("stdin_kind", "TEXT", "what standard input was"),
    column("stdout_kind", "TEXT", "what standard output was"),
    column(
      "ancestry",
      "TEXT",
      "JSON array of the process' ancestors as they were known then, the parent first, each an array of execution, " +
        "name, executable and user",
    ),
    column("repeat_count", "INTEGER", "of a summary: how many hits it stands for"),
    column("first_time", "INTEGER", "of a summary: time of the first of them"),
    column("last_time", "INTEGER", "of a summary: time of the last of them"),
    column("reason", "TEXT", "of a summary: why they are no alerts of their own"),
  ],
};

const alertHistory: Table = {
  name: "alert_history",
  description: "What operators did with alerts, and what their rules asked to be done to the processes",
  key: ["entry_id"],
  indexes: [["alert_id"]],
  columns: [
    column("entry_id", "INTEGER", "number of the entry"),
    column("alert_id", "TEXT", "the alert"),
    column("time", "INTEGER", "when"),
    column(
      "action",
      "TEXT",
      "acknowledged, closed or reopened; response asked, not asked, done, dry run, refused or failed",
    ),
    column("actor", "TEXT", "who; of a response the rule that asked for it"),
    column("text", "TEXT", "what they said to it; of a response what was asked for and what came of it"),
  ],
};

const alertMutes: Table = {
  name: "alert_mutes",
  description: "Silences and inhibitions: which alerts do not reach the sinks, why, and how long",
  key: ["mute_id"],
  indexes: [],
  columns: [
    column("mute_id", "TEXT", "names it"),
    column("kind", "TEXT", "silence; or inhibition: while another alert is fresh"),
    column("terms", "TEXT", "JSON object: the alerts that it holds for"),
    column("reason", "TEXT", "why"),
    column("created_time", "INTEGER", "when it was made"),
    column("created_by", "TEXT", "who made it"),
    column("left_ms", "INTEGER", "how long it still held at noted_time, by a clock that does not jump"),
    column("noted_time", "INTEGER", "when that was noted"),
    column("ended_time", "INTEGER", "when it ended; NULL while it holds"),
    column("ended_by", "TEXT", "who ended it before its time"),
    column("muted", "INTEGER", "how many alerts it kept from the sinks"),
  ],
};

const alertSinks: Table = {
  name: "alert_sinks",
  description: "Where alerts go, and how it goes there",
  key: ["sink"],
  indexes: [],
  columns: [
    column("sink", "TEXT", "name of the sink"),
    column("state", "TEXT", "ready; retrying; open: nothing is tried for a while; disabled: until the next start"),
    column("failures", "INTEGER", "failed attempts in a row"),
    column("left_ms", "INTEGER", "time until the next attempt, at noted_time"),
    column("noted_time", "INTEGER", "when that was noted"),
    column("last_error", "TEXT", "why the last attempt failed"),
    column("last_error_time", "INTEGER", "when"),
    column("delivered", "INTEGER", "alerts that it has"),
    column("last_delivered_time", "INTEGER", "when it got the last"),
    column("failed", "INTEGER", "attempts that failed, ever"),
    column("refused", "INTEGER", "alerts that it will never take: dead letters, ever"),
    column("dropped", "INTEGER", "alerts that were owed to it and given up for want of room, ever"),
  ],
};

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
  ]
    .map(
      (table) => [table.name, table],
    ),
);

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

/** The table of that name. @throws RangeError when there is none. */
export function tableNamed(name: string): Table {
  const table = CATALOG.get(name);
  if (table === undefined) {
    throw new RangeError(`No table is named ${name}; there are ${[...CATALOG.keys()].join(", ")}`);
  }
  return table;
}
