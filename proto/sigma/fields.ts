/**
 * What Sigma's fields are on this host: one table of the columns of `process_events`, and what is not seen, with why.
 *
 * A field may always be named as its column too (`container_id|contains: abc`). Of every column it is said whether
 * keywords are looked for in it: in what a log line of the event would hold, and not in identifiers and in what repeats
 * another column. A test holds the table to the catalog.
 *
 * @module
 */

export interface ColumnFields {
  /** Names of Sigma's taxonomy and of Sysmon for Linux, which it follows. */
  readonly names: readonly string[];
  /** Whether keywords are looked for in it. */
  readonly keywords: boolean;
  readonly note: string;
}

const own = (note = "", keywords = false): ColumnFields => ({ names: [], keywords, note });
const known = (names: string, note = "", keywords = false): ColumnFields => ({
  names: names.split(" "),
  keywords,
  note,
});

/** By column of `process_events`. */
export const PROCESS_FIELDS: Readonly<Record<string, ColumnFields>> = {
  event_id: own(),
  time: known("UtcTime", "milliseconds since 1970: for the modifiers of times"),
  event_type: own("the log source asks for it"),
  exec_id: known("ProcessGuid"),
  parent_exec_id: known("ParentProcessGuid"),
  pid: known("ProcessId"),
  ppid: known("ParentProcessId"),
  name: own("the kernel's command name, at most 15 bytes", true),
  executable_path: known("Image", "", true),
  command_line: known("CommandLine", "arguments joined by spaces, secrets masked", true),
  argv: own("a JSON array; `command_line` holds the same"),
  argv_length: own(),
  user_id: known("LogonId", "as Sysmon for Linux has it: the number of the user"),
  user_name: known("User", "a name without a domain", true),
  effective_user_id: own(),
  group_id: own(),
  namespace_pid: own(),
  start_time: own(),
  end_time: own(),
  duration_ms: own(),
  exit_code: own("where the log source is process_termination"),
  exit_signal: own(),
  cpu_time_ms: own(),
  memory_usage: own(),
  executable_hash: known("sha256", "where `collector.hashing` is on; bare digits, not `SHA256=`"),
  hash_algorithm: own(),
  fuzzy_hash: own(),
  file_exists: own(),
  on_disk_mismatch: own(),
  accessible: own(),
  parent_name: own("", true),
  parent_executable_path: known("ParentImage", "", true),
  parent_command_line: known("ParentCommandLine", "", true),
  executable_kind: own(),
  inode: own(),
  device: own(),
  cwd: known("CurrentDirectory", "without a slash at its end", true),
  effective_user_name: own("", true),
  group_name: own("", true),
  saved_user_id: own(),
  effective_group_id: own(),
  saved_group_id: own(),
  login_user_id: known("auid", "who logged in, through every change of user since"),
  session_id: known("TerminalSessionId", "the audit session"),
  tty: own("", true),
  effective_capabilities: own(),
  user_namespace: own(),
  pid_namespace: own(),
  mount_namespace: own(),
  network_namespace: own(),
  cgroup_path: own(),
  cgroup_id: own(),
  container_id: own(),
  container_runtime: own(),
  pod_id: own(),
  interpreter_path: own("", true),
  script_path: own("", true),
  stdin_kind: own(),
  stdout_kind: own(),
  environment: own("as far as `collector.environment` captures it; a keyword would meet PATH in it"),
  modified_fields: own(),
  reason: own(),
  severity: own(),
  source: own(),
  collector_id: known("Computer ComputerName Hostname", "the collector: all events of this host have one"),
};

/** Fields of rules for processes that no column holds. */
export const UNSEEN_FIELDS: Readonly<Record<string, string>> = {
  ParentUser: "the user of a parent is not in the event of its child",
  GrandParentImage: "an event knows its parent, and no further ancestor",
  Hashes: "hashes are not one text; name sha256 with the digits",
  md5: "files are hashed by SHA-256",
  sha1: "files are hashed by SHA-256",
  Imphash: "only files of Windows have it",
  OriginalFileName: "only files of Windows have it",
  Description: "only files of Windows have it",
  Product: "only files of Windows have it",
  Company: "only files of Windows have it",
  FileVersion: "only files of Windows have it",
  IntegrityLevel: "only processes of Windows have it",
  LogonGuid: "only sessions of Windows have it",
  EventID: "an event is told by its log source, not by a number",
  Provider_Name: "an event is told by its log source, not by a provider",
  RuleName: "it is Sysmon's own configuration",
};

/** A field of a log source that the host has no events of yet: its meaning, for the docs. */
export type FutureFields = readonly (readonly [names: string, meaning: string])[];

export const FILE_FIELDS: FutureFields = [
  ["TargetFilename", "path of the file"],
  ["CreationUtcTime", "when it was made"],
  ["Image, ProcessId, ProcessGuid, User", "the process, as in process_creation"],
];

export const NETWORK_FIELDS: FutureFields = [
  ["DestinationIp, DestinationHostname, DestinationPort", "where to; for `cidr`, `lt` to `gte`"],
  ["SourceIp, SourceHostname, SourcePort", "where from"],
  ["Protocol", "tcp or udp"],
  ["Initiated", "true when the host began it"],
  ["Image, ProcessId, ProcessGuid, User", "the process, as in process_creation"],
];

export const AUDITD_FIELDS: FutureFields = [
  ["type", "EXECVE, SYSCALL, PATH, USER_AUTH and so on: the kind of record"],
  ["a0, a1, … of EXECVE", "one argument each, which `argv` holds as a list"],
  ["exe, comm, cwd", "executable_path, name, cwd"],
  ["uid, euid, suid, gid, egid, sgid, auid, ses, tty", "the columns of users, groups, login, session and terminal"],
  ["syscall, success, exit, key, a0 to a3 of SYSCALL", "the system call: not seen"],
  ["name, nametype of PATH", "the file: not seen"],
];
