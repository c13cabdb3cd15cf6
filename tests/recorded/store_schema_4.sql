PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE processes (
  process_id TEXT PRIMARY KEY NOT NULL,
  exec_id TEXT,
  parent_exec_id TEXT,
  pid INTEGER,
  ppid INTEGER,
  name TEXT,
  executable_path TEXT,
  command_line TEXT,
  argv TEXT,
  argv_length INTEGER,
  user_id INTEGER,
  user_name TEXT,
  effective_user_id INTEGER,
  group_id INTEGER,
  namespace_pid INTEGER,
  start_time INTEGER,
  end_time INTEGER,
  exit_code INTEGER,
  exit_signal INTEGER,
  cpu_time_ms REAL,
  memory_usage INTEGER,
  threads INTEGER,
  executable_kind TEXT,
  cwd TEXT,
  effective_user_name TEXT,
  group_name TEXT,
  saved_user_id INTEGER,
  effective_group_id INTEGER,
  saved_group_id INTEGER,
  login_user_id INTEGER,
  session_id INTEGER,
  tty TEXT,
  effective_capabilities INTEGER,
  user_namespace INTEGER,
  pid_namespace INTEGER,
  mount_namespace INTEGER,
  network_namespace INTEGER,
  cgroup_path TEXT,
  cgroup_id INTEGER,
  container_id TEXT,
  container_runtime TEXT,
  pod_id TEXT,
  interpreter_path TEXT,
  script_path TEXT,
  stdin_kind TEXT,
  stdout_kind TEXT,
  environment TEXT,
  status TEXT,
  kernel_thread INTEGER,
  collection_time INTEGER,
  collector_id TEXT
) STRICT;
CREATE INDEX processes_pid ON processes (pid);
CREATE INDEX processes_parent_exec_id ON processes (parent_exec_id);
CREATE INDEX processes_open ON processes (end_time) WHERE end_time IS NULL;
CREATE TABLE alerts (
  alert_id TEXT PRIMARY KEY NOT NULL,
  time INTEGER,
  detected_time INTEGER,
  rule_id TEXT,
  title TEXT,
  description TEXT,
  severity TEXT,
  tags TEXT,
  event_id INTEGER,
  exec_id TEXT,
  pid INTEGER,
  ppid INTEGER,
  name TEXT,
  executable_path TEXT,
  command_line TEXT,
  user_id INTEGER,
  user_name TEXT,
  parent_name TEXT,
  parent_executable_path TEXT,
  parent_command_line TEXT,
  evidence TEXT,
  collector_id TEXT,
  completeness TEXT,
  ledger_origin TEXT,
  ledger_size INTEGER,
  ledger_root TEXT,
  rule_hash TEXT
) STRICT;
CREATE INDEX alerts_time ON alerts (time);
CREATE INDEX alerts_rule_id ON alerts (rule_id);
CREATE INDEX alerts_event_id ON alerts (event_id);
CREATE TABLE gaps (
  gap_id INTEGER PRIMARY KEY NOT NULL,
  source TEXT,
  record_kind TEXT,
  from_time INTEGER,
  to_time INTEGER,
  count INTEGER,
  reason TEXT,
  collector_id TEXT
) STRICT;
CREATE INDEX gaps_to_time ON gaps (to_time);
CREATE TABLE retention (
  removal_id INTEGER PRIMARY KEY NOT NULL,
  time INTEGER,
  table_name TEXT,
  from_time INTEGER,
  to_time INTEGER,
  count INTEGER,
  reason TEXT
) STRICT;
CREATE TABLE collectors (
  stream INTEGER PRIMARY KEY NOT NULL,
  collector_id TEXT,
  epoch TEXT,
  boot_id TEXT,
  version TEXT,
  source TEXT,
  first_seen INTEGER,
  last_seen INTEGER,
  last_sequence INTEGER
) STRICT;
CREATE TABLE sources (
  collector_id TEXT,
  name TEXT,
  state TEXT,
  detail TEXT,
  misses TEXT,
  unknown_columns TEXT,
  time INTEGER,
  PRIMARY KEY (collector_id, name)
) STRICT;
CREATE TABLE detection_rules (
  rule_id TEXT PRIMARY KEY NOT NULL,
  title TEXT,
  description TEXT,
  severity TEXT,
  tags TEXT,
  sql TEXT,
  file TEXT,
  state TEXT,
  line INTEGER,
  column_number INTEGER,
  reason TEXT,
  rule_hash TEXT
) STRICT;
CREATE TABLE scan_metadata (
  scan_id INTEGER PRIMARY KEY NOT NULL,
  time INTEGER,
  process_count INTEGER,
  collector_id TEXT
) STRICT;
CREATE TABLE system_info (
  name TEXT PRIMARY KEY NOT NULL,
  value TEXT,
  time INTEGER
) STRICT;
CREATE TABLE alert_deliveries (
    delivery_id INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL,
    sink TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done')),
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered_time INTEGER,
    UNIQUE (alert_id, sink)
  ) STRICT;
CREATE INDEX alert_deliveries_pending ON alert_deliveries (sink, delivery_id) WHERE state = 'pending';
CREATE TABLE snapshot_progress (
    stream INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    next_part INTEGER NOT NULL,
    process_count INTEGER NOT NULL
  ) STRICT;
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'removing')),
    opened_time INTEGER NOT NULL,
    closed_time INTEGER,
    from_time INTEGER,
    to_time INTEGER,
    events INTEGER,
    first_process INTEGER NOT NULL
  ) STRICT;
CREATE TABLE ledger_notes (
    note_id INTEGER PRIMARY KEY NOT NULL,
    collector_id TEXT NOT NULL,
    action INTEGER NOT NULL,
    payload BLOB NOT NULL
  ) STRICT;
CREATE TABLE agent_state (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT;
CREATE TABLE stored_events_1 (
  event_id INTEGER PRIMARY KEY NOT NULL,
  time INTEGER,
  event_type TEXT,
  exec_id TEXT,
  pid INTEGER,
  argv_length INTEGER,
  namespace_pid INTEGER,
  start_time INTEGER,
  end_time INTEGER,
  duration_ms REAL,
  exit_code INTEGER,
  exit_signal INTEGER,
  cpu_time_ms REAL,
  memory_usage INTEGER,
  modified_fields TEXT,
  reason TEXT,
  severity TEXT,
  arguments TEXT,
  quoted TEXT,
  context INTEGER,
  program INTEGER,
  parent INTEGER
) STRICT;
CREATE INDEX stored_events_1_time ON stored_events_1 (time);
CREATE INDEX stored_events_1_exec_id ON stored_events_1 (exec_id);
CREATE TABLE stored_events_1_contexts (
  number INTEGER PRIMARY KEY NOT NULL,
  cwd TEXT,
  effective_user_name TEXT,
  group_name TEXT,
  saved_user_id INTEGER,
  effective_group_id INTEGER,
  saved_group_id INTEGER,
  login_user_id INTEGER,
  session_id INTEGER,
  tty TEXT,
  effective_capabilities INTEGER,
  user_namespace INTEGER,
  pid_namespace INTEGER,
  mount_namespace INTEGER,
  network_namespace INTEGER,
  cgroup_path TEXT,
  cgroup_id INTEGER,
  container_id TEXT,
  container_runtime TEXT,
  pod_id TEXT,
  interpreter_path TEXT,
  script_path TEXT,
  stdin_kind TEXT,
  stdout_kind TEXT,
  environment TEXT
) STRICT;
CREATE TABLE stored_events_1_programs (
  number INTEGER PRIMARY KEY NOT NULL,
  name TEXT,
  executable_path TEXT,
  executable_hash TEXT,
  hash_algorithm TEXT,
  fuzzy_hash TEXT,
  file_exists INTEGER,
  on_disk_mismatch INTEGER,
  accessible INTEGER,
  executable_kind TEXT,
  inode INTEGER,
  device INTEGER,
  user_id INTEGER,
  user_name TEXT,
  effective_user_id INTEGER,
  group_id INTEGER,
  source TEXT,
  collector_id TEXT
) STRICT;
CREATE TABLE stored_events_1_parents (
  number INTEGER PRIMARY KEY NOT NULL,
  parent_exec_id TEXT,
  ppid INTEGER,
  parent_name TEXT,
  parent_executable_path TEXT,
  parent_command_line TEXT
) STRICT;
CREATE VIEW stored_events (event_id, time, event_type, exec_id, parent_exec_id, pid, ppid, name, executable_path, command_line, argv, argv_length, user_id, user_name, effective_user_id, group_id, namespace_pid, start_time, end_time, duration_ms, exit_code, exit_signal, cpu_time_ms, memory_usage, executable_hash, hash_algorithm, fuzzy_hash, file_exists, on_disk_mismatch, accessible, parent_name, parent_executable_path, parent_command_line, executable_kind, inode, device, cwd, effective_user_name, group_name, saved_user_id, effective_group_id, saved_group_id, login_user_id, session_id, tty, effective_capabilities, user_namespace, pid_namespace, mount_namespace, network_namespace, cgroup_path, cgroup_id, container_id, container_runtime, pod_id, interpreter_path, script_path, stdin_kind, stdout_kind, environment, modified_fields, reason, severity, source, collector_id) AS
SELECT e.event_id, e.time, e.event_type, e.exec_id, parents.parent_exec_id, e.pid, parents.ppid, programs.name, programs.executable_path, CAST(CASE WHEN e.quoted IS NULL THEN replace(e.arguments, '', ' ') ELSE e.arguments END AS TEXT), CAST(CASE WHEN e.quoted IS NULL THEN '["' || replace(e.arguments, '', '","') || '"]' ELSE nullif(e.quoted, '') END AS TEXT), e.argv_length, programs.user_id, programs.user_name, programs.effective_user_id, programs.group_id, e.namespace_pid, e.start_time, e.end_time, e.duration_ms, e.exit_code, e.exit_signal, e.cpu_time_ms, e.memory_usage, programs.executable_hash, programs.hash_algorithm, programs.fuzzy_hash, programs.file_exists, programs.on_disk_mismatch, programs.accessible, parents.parent_name, parents.parent_executable_path, parents.parent_command_line, programs.executable_kind, programs.inode, programs.device, contexts.cwd, contexts.effective_user_name, contexts.group_name, contexts.saved_user_id, contexts.effective_group_id, contexts.saved_group_id, contexts.login_user_id, contexts.session_id, contexts.tty, contexts.effective_capabilities, contexts.user_namespace, contexts.pid_namespace, contexts.mount_namespace, contexts.network_namespace, contexts.cgroup_path, contexts.cgroup_id, contexts.container_id, contexts.container_runtime, contexts.pod_id, contexts.interpreter_path, contexts.script_path, contexts.stdin_kind, contexts.stdout_kind, contexts.environment, e.modified_fields, e.reason, e.severity, programs.source, programs.collector_id FROM stored_events_1 e LEFT JOIN stored_events_1_contexts contexts ON contexts.number = e.context LEFT JOIN stored_events_1_programs programs ON programs.number = e.program LEFT JOIN stored_events_1_parents parents ON parents.number = e.parent;
CREATE VIEW process_events AS SELECT event_id, time, event_type, exec_id, parent_exec_id, pid, ppid, name, executable_path, command_line, argv, argv_length, user_id, user_name, effective_user_id, group_id, namespace_pid, start_time, end_time, duration_ms, exit_code, exit_signal, cpu_time_ms, memory_usage, executable_hash, hash_algorithm, fuzzy_hash, file_exists, on_disk_mismatch, accessible, parent_name, parent_executable_path, parent_command_line, executable_kind, inode, device, cwd, effective_user_name, group_name, saved_user_id, effective_group_id, saved_group_id, login_user_id, session_id, tty, effective_capabilities, user_namespace, pid_namespace, mount_namespace, network_namespace, cgroup_path, cgroup_id, container_id, container_runtime, pod_id, interpreter_path, script_path, stdin_kind, stdout_kind, environment, modified_fields, reason, severity, source, collector_id FROM stored_events;
INSERT INTO partitions VALUES (1, 3, 'open', 1795295426772, NULL, NULL, NULL, NULL, 0);
PRAGMA application_id = 1145395525;
PRAGMA user_version = 4;
