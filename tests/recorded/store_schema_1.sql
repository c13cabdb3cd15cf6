PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE process_events (
  event_id INTEGER PRIMARY KEY NOT NULL,
  time INTEGER,
  event_type TEXT,
  exec_id TEXT,
  parent_exec_id TEXT,
  pid INTEGER,
  ppid INTEGER,
  name TEXT,
  executable_path TEXT,
  command_line TEXT,
  argv TEXT,
  argv_length INTEGER,
  cwd TEXT,
  user_id INTEGER,
  user_name TEXT,
  effective_user_id INTEGER,
  group_id INTEGER,
  login_user_id INTEGER,
  session_id INTEGER,
  tty TEXT,
  start_time INTEGER,
  end_time INTEGER,
  duration_ms REAL,
  exit_code INTEGER,
  exit_signal INTEGER,
  cpu_time_ms REAL,
  memory_usage INTEGER,
  executable_hash TEXT,
  hash_algorithm TEXT,
  fuzzy_hash TEXT,
  file_exists INTEGER,
  on_disk_mismatch INTEGER,
  accessible INTEGER,
  parent_name TEXT,
  parent_executable_path TEXT,
  parent_command_line TEXT,
  container_id TEXT,
  cgroup_path TEXT,
  cgroup_id INTEGER,
  inode INTEGER,
  device INTEGER,
  stdin_kind TEXT,
  stdout_kind TEXT,
  environment TEXT,
  modified_fields TEXT,
  reason TEXT,
  severity TEXT,
  source TEXT,
  collector_id TEXT
) STRICT;
CREATE INDEX process_events_time ON process_events (time);
CREATE INDEX process_events_exec_id ON process_events (exec_id);
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
  start_time INTEGER,
  end_time INTEGER,
  exit_code INTEGER,
  exit_signal INTEGER,
  cpu_time_ms REAL,
  memory_usage INTEGER,
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
  collector_id TEXT
) STRICT;
CREATE INDEX alerts_time ON alerts (time);
CREATE INDEX alerts_rule_id ON alerts (rule_id);
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
  reason TEXT
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
PRAGMA application_id = 1145395525; PRAGMA user_version = 1;
