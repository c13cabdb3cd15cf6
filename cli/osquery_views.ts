/**
 * Tables of osquery as far as the store has what they show: each column by the expression that gives it.
 *
 * A column that is not here is not known, and a query that names it is told so: no column is made up. Times are seconds
 * there and milliseconds here.
 *
 * @module
 */

export interface OsqueryView {
  readonly name: string;
  /** What it shows, and how that differs from osquery. */
  readonly about: string;
  /** Expressions by column, in osquery's order. */
  readonly columns: Readonly<Record<string, string>>;
  /** What follows the columns. */
  readonly from: string;
  /** Columns of osquery that the store cannot give, for the documentation. */
  readonly missing: readonly string[];
}

const STATE = `CASE status WHEN 'running' THEN 'R' WHEN 'sleeping' THEN 'S' WHEN 'disk_sleep' THEN 'D'
  WHEN 'stopped' THEN 'T' WHEN 'traced' THEN 't' WHEN 'zombie' THEN 'Z' WHEN 'dead' THEN 'X' WHEN 'idle' THEN 'I'
  ELSE '?' END`;
const ON_DISK = "CASE executable_kind WHEN 'file' THEN 1 WHEN 'deleted' THEN 0 WHEN 'memfd' THEN 0 ELSE -1 END";

const VIEWS: readonly OsqueryView[] = [
  {
    name: "processes",
    about: "Processes that are alive, as last seen",
    columns: {
      pid: "pid",
      name: "name",
      path: "coalesce(executable_path, '')",
      cmdline: "coalesce(command_line, '')",
      state: STATE,
      cwd: "coalesce(cwd, '')",
      uid: "user_id",
      gid: "group_id",
      euid: "effective_user_id",
      egid: "effective_group_id",
      suid: "saved_user_id",
      sgid: "saved_group_id",
      on_disk: ON_DISK,
      resident_size: "memory_usage",
      start_time: "start_time / 1000",
      parent: "ppid",
      threads: "threads",
      cgroup_path: "cgroup_path",
    },
    from: "FROM processes WHERE end_time IS NULL",
    missing: [
      ...["root", "wired_size", "total_size", "user_time", "system_time", "disk_bytes_read", "disk_bytes_written"],
      ...["pgroup", "nice"],
    ],
  },
  {
    name: "process_events",
    about: "Starts of programs, also of those that live too short for a look at the process table",
    columns: {
      pid: "pid",
      path: "coalesce(executable_path, '')",
      cmdline: "coalesce(command_line, '')",
      cmdline_size: "argv_length",
      env: "environment",
      cwd: "coalesce(cwd, '')",
      auid: "login_user_id",
      uid: "user_id",
      euid: "effective_user_id",
      gid: "group_id",
      egid: "effective_group_id",
      parent: "ppid",
      time: "time / 1000",
      eid: "event_id",
      suid: "saved_user_id",
      sgid: "saved_group_id",
    },
    from: "FROM process_events WHERE event_type = 'start'",
    missing: [
      ...["mode", "env_count", "env_size", "owner_uid", "owner_gid", "atime", "mtime", "ctime", "btime", "overflows"],
      ...["uptime", "status", "fsuid", "fsgid", "syscall"],
    ],
  },
  {
    name: "bpf_process_events",
    about: "The same under the names of osquery's eBPF table",
    columns: {
      pid: "pid",
      parent: "ppid",
      uid: "user_id",
      gid: "group_id",
      cid: "cgroup_id",
      path: "coalesce(executable_path, '')",
      cwd: "coalesce(cwd, '')",
      cmdline: "coalesce(command_line, '')",
      json_cmdline: "argv",
      ntime: "time * 1000000",
      time: "time / 1000",
      eid: "event_id",
    },
    from: "FROM process_events WHERE event_type = 'start'",
    missing: ["tid", "exit_code", "probe_error", "syscall", "duration"],
  },
  {
    name: "users",
    about: "Users that something runs or ran as; the others of the host are not known",
    columns: { uid: "user_id", uid_signed: "user_id", username: "max(user_name)" },
    from: "FROM processes WHERE user_id IS NOT NULL GROUP BY user_id",
    missing: ["gid", "gid_signed", "description", "directory", "shell", "uuid"],
  },
  {
    name: "groups",
    about: "Groups that something runs or ran as; the others of the host are not known",
    columns: { gid: "group_id", gid_signed: "group_id", groupname: "max(group_name)" },
    from: "FROM processes WHERE group_id IS NOT NULL GROUP BY group_id",
    missing: [],
  },
  {
    name: "process_namespaces",
    about: "Namespaces of processes that are alive, by inode",
    columns: {
      pid: "pid",
      mnt_namespace: "CAST(mount_namespace AS TEXT)",
      net_namespace: "CAST(network_namespace AS TEXT)",
      pid_namespace: "CAST(pid_namespace AS TEXT)",
      user_namespace: "CAST(user_namespace AS TEXT)",
    },
    from: "FROM processes WHERE end_time IS NULL",
    missing: ["cgroup_namespace", "ipc_namespace", "uts_namespace"],
  },
  {
    name: "hash",
    about: "Hashes of executables that ran, as they were then; other files are not known",
    columns: { path: "executable_path", sha256: "executable_hash" },
    from: "FROM process_events WHERE executable_hash IS NOT NULL AND hash_algorithm = 'sha256' " +
      "GROUP BY executable_path, executable_hash",
    missing: ["directory", "md5", "sha1"],
  },
  {
    name: "system_info",
    about: "The host",
    columns: {
      hostname: "max(CASE name WHEN 'hostname' THEN value END)",
      cpu_type: "max(CASE name WHEN 'architecture' THEN value END)",
    },
    from: "FROM system_info GROUP BY 1 = 1",
    missing: ["uuid", "cpu_brand", "physical_memory", "hardware_vendor", "hardware_model", "computer_name"],
  },
];

/** By the name of osquery's table. */
export const OSQUERY_VIEWS: ReadonlyMap<string, OsqueryView> = new Map(VIEWS.map((view) => [view.name, view]));

/** The SELECT that gives what the table shows. */
export function viewSql({ columns, from }: OsqueryView): string {
  const list = Object.entries(columns).map(([name, sql]) => `${sql} AS ${name}`);
  return `SELECT ${list.join(", ")} ${from}`;
}
