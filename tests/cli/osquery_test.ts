import assert from "node:assert/strict";
import { fromOsquery } from "../../cli/osquery.ts";
import { parseSql } from "../../proto/rules/sql_library.ts";
import { OSQUERY_VIEWS } from "../../cli/osquery_views.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

/** Queries as osquery's documentation and packs write them, and the first column of what must come, where one must. */
const RUN: readonly (readonly [sql: string, first?: unknown])[] = [
  ["SELECT * FROM users;", 0],
  ["SELECT * FROM processes;", 1],
  ["SELECT * FROM processes LIMIT 5;", 1],
  ["SELECT * FROM groups;", 0],
  ["SELECT name, path, pid FROM processes WHERE on_disk = 0;", "gone"],
  ["SELECT COUNT(*) FROM processes;", 4],
  ["SELECT count(*) AS c FROM users;", 2],
  ["SELECT pid, name, path FROM processes", 1],
  ["SELECT pid, name, uid, resident_size FROM processes ORDER BY resident_size DESC LIMIT 10;", 701],
  ["SELECT name, path, cmdline FROM processes WHERE pid = 700;", "bash"],
  ["SELECT pid, parent, path, cmdline FROM processes WHERE cmdline LIKE '%bash%';", 700],
  ["SELECT DISTINCT name FROM processes ORDER BY name;", "bash"],
  ["SELECT uid, COUNT(*) AS n FROM processes GROUP BY uid ORDER BY n DESC;", 1000],
  ["SELECT name, count(pid) AS count FROM processes GROUP BY name HAVING count > 1;"],
  [
    "SELECT processes.name, users.username FROM processes JOIN users ON processes.uid = users.uid WHERE pid = 700;",
    "bash",
  ],
  ["SELECT p.name, u.username FROM processes p JOIN users u USING (uid) WHERE p.pid = 1;", "systemd"],
  ["SELECT p.pid, p.name, u.username FROM processes AS p LEFT JOIN users AS u ON p.uid = u.uid ORDER BY p.pid;", 1],
  [
    "SELECT p.pid, p.name, pp.name AS parent_name FROM processes p, processes pp WHERE p.parent = pp.pid AND p.pid = 700;",
    700,
  ],
  ["SELECT p.pid, p.path, u.username, g.groupname FROM processes p, users u, groups g WHERE p.uid = u.uid AND p.gid = g.gid;"],
  ["SELECT pid, name FROM processes WHERE uid != euid;", 701],
  ["SELECT pid, name FROM processes WHERE (uid = 0 OR euid = 0) AND name NOT LIKE 'k%';", 1],
  ["SELECT pid, path FROM processes WHERE path LIKE '/tmp/%';", 702],
  ["SELECT pid, name, cwd FROM processes WHERE cwd = '/tmp';", 702],
  ["SELECT name, start_time FROM processes ORDER BY start_time DESC LIMIT 1;"],
  ["SELECT datetime(start_time, 'unixepoch') AS started, name FROM processes WHERE pid = 1;", "2026-08-05 11:00:00"],
  ["SELECT pid, state FROM processes WHERE state = 'S';", 1],
  ["SELECT pid, threads FROM processes WHERE threads > 3;", 700],
  ["SELECT pid, cgroup_path FROM processes WHERE cgroup_path LIKE '/docker/%';", 702],
  ["SELECT username FROM users WHERE uid = 0;", "root"],
  ["SELECT uid, username FROM users WHERE username = 'alice'", 1000],
  ["SELECT * FROM users WHERE uid >= 1000;", 1000],
  ["SELECT username FROM users WHERE uid IN (SELECT uid FROM processes WHERE name = 'bash');", "alice"],
  ["SELECT gid, groupname FROM groups WHERE groupname = 'wheel';", 10],
  ["SELECT groupname FROM groups ORDER BY gid;", "root"],
  ["SELECT groups.groupname FROM processes JOIN groups USING (gid) WHERE pid = 1;", "root"],
  ["SELECT * FROM process_events;", 700],
  ["SELECT pid, path, cmdline, cwd, auid, uid, time FROM process_events", 700],
  ["SELECT path, cmdline FROM process_events WHERE uid = 0;", "/usr/bin/sudo"],
  ["SELECT * FROM process_events WHERE time > 1785900000;", 700],
  ["SELECT * FROM process_events WHERE time > (SELECT unixepoch('now') - 300 FROM users LIMIT 1);"],
  ["SELECT path, count(*) AS n FROM process_events GROUP BY path ORDER BY n DESC, path;", "/bin/bash"],
  ["SELECT pe.pid, pe.path, u.username FROM process_events pe JOIN users u ON pe.uid = u.uid;", 700],
  ["SELECT parent, path FROM process_events WHERE path = '/usr/bin/sudo' AND auid = 1000;", 700],
  ["SELECT cmdline_size, cmdline FROM process_events WHERE cmdline_size > 100;"],
  ["SELECT pid, env FROM process_events WHERE env LIKE '%LD_PRELOAD%';", 701],
  ["SELECT pid, uid, euid, suid FROM process_events WHERE euid = 0 AND uid != 0;"],
  ["SELECT * FROM bpf_process_events WHERE cid != 0;", 700],
  ["SELECT pid, json_cmdline, ntime FROM bpf_process_events ORDER BY ntime;", 700],
  ["SELECT pid, net_namespace FROM process_namespaces WHERE pid = 702;", 702],
  [
    "SELECT p.name, n.pid_namespace FROM processes p JOIN process_namespaces n USING (pid) WHERE n.pid_namespace IS NOT NULL;",
    "gone",
  ],
  ["SELECT path, sha256 FROM hash WHERE path = '/bin/bash';", "/bin/bash"],
  ["SELECT p.pid, p.path, h.sha256 FROM processes p JOIN hash h ON p.path = h.path;", 700],
  ["SELECT hostname FROM system_info;", "host.example"],
  ["WITH roots AS (SELECT pid FROM processes WHERE uid = 0) SELECT count(*) FROM roots;", 1],
  [
    "SELECT CASE WHEN uid = 0 THEN 'root' ELSE 'other' END AS kind, count(*) AS n FROM processes GROUP BY kind;",
    "other",
  ],
];

/** Those that name what the store does not have, which the answer must name. */
const MISSING: readonly (readonly [sql: string, name: string])[] = [
  ["SELECT name, user_time, system_time FROM processes;", "user_time"],
  ["SELECT pid, total_size FROM processes;", "total_size"],
  ["SELECT username, directory, shell FROM users;", "directory"],
  [
    "SELECT DISTINCT processes.name, listening_ports.port FROM listening_ports JOIN processes USING (pid);",
    "listening_ports",
  ],
  ["SELECT * FROM process_open_sockets;", "process_open_sockets"],
  ["SELECT pid, mode, path FROM process_events;", "mode"],
  ["SELECT pid, syscall FROM process_events;", "syscall"],
  ["SELECT * FROM file WHERE path = '/etc/passwd';", "file"],
];

function world(): TestState {
  const state = new TestState();
  const sha256 = { executable_hash: "ab".repeat(32), hash_algorithm: "sha256" };
  const root = { user_id: 0, user_name: "root", effective_user_id: 0, group_id: 0, group_name: "root", ppid: 0 };
  state.process(1, { ...root, name: "systemd", executable_kind: "file" });
  const alice = { group_id: 10, group_name: "wheel", executable_kind: "file" };
  state.process(700, { ...alice, name: "bash", command_line: "-bash", executable_path: "/bin/bash", threads: 4 });
  state.process(701, { ...alice, name: "sudo", effective_user_id: 0, ppid: 700 });
  const gone = { name: "gone", executable_path: "/tmp/gone", executable_kind: "deleted", cwd: "/tmp" };
  const namespaces = { pid_namespace: 4_026_531_836, network_namespace: 4_026_531_840 };
  state.process(702, { ...gone, ...namespaces, cgroup_path: "/docker/c0ffee", status: "running", memory_usage: 1 });
  state.process(703, { name: "ended", end_time: NOW, status: "ended" });
  state.insert("system_info", { name: "hostname", value: "host.example", time: NOW });
  state.event({ pid: 700, executable_path: "/bin/bash", ...sha256, cgroup_id: 7 });
  const sudo = { pid: 701, ppid: 700, executable_path: "/usr/bin/sudo", user_id: 0, login_user_id: 1000 };
  state.event({ ...sudo, parent_exec_id: testProcess(700), environment: '{"LD_PRELOAD":"/tmp/x.so"}' });
  state.event({ pid: 701, event_type: "stop" });
  state.live();
  return state;
}

Deno.test("query --osquery runs what osquery's documentation writes, and names what is missing", async (t) => {
  assert.ok(RUN.length >= 45 && RUN.length + MISSING.length >= 60, `${RUN.length} and ${MISSING.length}`);
  using state = world();
  for (const [sql, first] of RUN) {
    await t.step(sql, async () => {
      const { out, err, code } = await cli(state, ["query", "--osquery", sql, "-f", "json"]);
      assert.equal(code, 0, err);
      const rows = JSON.parse(out) as Record<string, unknown>[];
      if (first !== undefined) assert.equal(Object.values(rows[0] ?? {})[0], first);
    });
  }
  for (const [sql, name] of MISSING) {
    await t.step(sql, async () => {
      const { out, err, code } = await cli(state, ["query", "--osquery", sql]);
      assert.deepEqual([out, code], ["", 1]);
      assert.match(err, new RegExp(`There is no (column|table) ${name}\\b`));
    });
  }
});

Deno.test("query without --osquery says so when a column of osquery is meant", async () => {
  using state = world();
  const { err, code } = await cli(state, ["query", "SELECT cmdline FROM processes"]);
  assert.equal(code, 1);
  assert.match(err, /There is no column cmdline.*; --osquery has the tables of osquery/);
});

Deno.test("shell names osquery's tables when that is turned on", async () => {
  using state = world();
  const stdin = ".osquery on\n.osquery\n.tables process\n.mode csv\nSELECT cmdline FROM processes WHERE pid = 700;\n" +
    ".osquery off\nSELECT command_line FROM processes WHERE pid = 700;\n.osquery maybe";
  const { out, err, code } = await cli(state, ["shell"], { stdin });
  assert.equal(out, "processes\nprocess_events\nprocess_namespaces\ncmdline\r\n-bash\r\ncommand_line\r\n-bash\r\n");
  assert.deepEqual([err, code], ["osquery on\n.osquery is on or off, and not maybe\n", 2]);
});

Deno.test("fromOsquery() leaves alone what reads no table of osquery's, and what it cannot parse", () => {
  for (const sql of ["SELECT count(*) FROM alerts", "SELECT", "DROP TABLE processes", "'"]) {
    assert.equal(fromOsquery(sql, parseSql), sql);
  }
  // A CTE of the query's own hides the table of that name
  const hidden = "WITH users AS (SELECT pid FROM alerts) SELECT pid FROM users";
  assert.equal(fromOsquery(hidden, parseSql), hidden);
});

Deno.test("docs/osquery.md maps every column, and names those that are missing", () => {
  const text = Deno.readTextFileSync(new URL("../../docs/osquery.md", import.meta.url)).replaceAll(/\s+/g, " ");
  for (const { name, about, columns, missing } of OSQUERY_VIEWS.values()) {
    assert.ok(text.includes(`## ${name} ${about}`), name);
    for (const [column, sql] of Object.entries(columns)) {
      const row = `| \`${column}\` | \`${sql.replaceAll(/\s+/g, " ")}\` |`;
      assert.ok(text.includes(row), row);
    }
    if (missing.length > 0) assert.ok(text.includes(`Missing: ${missing.map((m) => `\`${m}\``).join(", ")}.`), name);
  }
});
