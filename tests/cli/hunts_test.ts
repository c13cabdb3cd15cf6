import assert from "node:assert/strict";
import { HUNTS } from "../../cli/hunts/all.ts";
import { guardSql } from "../../proto/rules/sql_guard.ts";
import { huntSql } from "../../cli/hunt.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, type Row, testProcess, TestState } from "../support/test_store.ts";

/** Rows by table; the pid tells processes apart. */
interface World {
  readonly events?: readonly Row[];
  readonly processes?: readonly Row[];
  readonly alerts?: readonly Row[];
  readonly gaps?: number;
}

interface Case {
  readonly parameters?: readonly string[];
  /** What it finds something in, and what it does not. */
  readonly finds: World;
  readonly not: World;
}

const events = (...events: Row[]): World => ({ events });
const processes = (...processes: Row[]): World => ({ processes });
const times = (count: number, row: Row): Row[] => Array.from({ length: count }, () => row);
const stop = (row: Row): Row => ({ event_type: "stop", ...row });
const HOUR = 3_600_000, DAY = 24 * HOUR;
const [H1, H2] = ["a1".repeat(32), "b2".repeat(32)];

const CASES: Readonly<Record<string, Case>> = {
  "run-from-temporary": {
    finds: events({ executable_path: "/dev/shm/x" }),
    not: events({ executable_path: "/usr/tmp/x" }),
  },
  "run-from-home": { finds: events({ executable_path: "/home/a/x" }), not: events({ executable_path: "/usr/home" }) },
  "hidden-programs": { finds: events({ executable_path: "/opt/.x/y" }), not: events({ executable_path: "/opt/x.y" }) },
  "deleted-programs": {
    finds: processes({ executable_kind: "deleted" }),
    not: processes({ executable_kind: "file" }, { executable_kind: "deleted", end_time: NOW }),
  },
  "memory-programs": { finds: events({ executable_kind: "memfd" }), not: events({ executable_kind: "file" }) },
  "foreign-programs": {
    finds: events({ executable_kind: "foreign" }),
    not: events({ executable_kind: "foreign", container_id: "c" }),
  },
  "missing-files": { finds: events({ file_exists: 0 }), not: events({ file_exists: 1 }, {}) },
  "changed-files": { finds: events({ on_disk_mismatch: 1 }), not: events({ on_disk_mismatch: 0 }) },
  "scripts-from-temporary": {
    finds: events({ command_line: "sh -e /tmp/x.sh now" }),
    not: events(
      { script_path: "/opt/x.sh" },
      { command_line: "sh /opt/x.sh /tmp/y" },
      stop({ script_path: "/tmp/x.sh" }),
    ),
  },
  "rare-programs": { finds: events({}, {}), not: events({}, {}, {}) },
  "new-programs": {
    finds: events({ time: NOW - HOUR }),
    not: events({ time: NOW - 2 * DAY }, { time: NOW - HOUR }),
  },
  "many-hashes": {
    finds: events({ executable_hash: H1 }, { executable_hash: H2 }),
    not: events({ executable_hash: H1 }),
  },
  "many-names": {
    finds: events({ executable_hash: H1 }, { executable_hash: H1, executable_path: "/x" }),
    not: events({ executable_hash: H1 }, { executable_hash: H1 }),
  },
  hash: {
    parameters: [`hash=${H1.toUpperCase()}`],
    finds: events({ executable_hash: H1 }),
    not: events({ executable_hash: H2 }),
  },
  "kernel-thread-names": {
    finds: events({ command_line: "[kworker/0:1]" }),
    not: events({ command_line: "[kworker/0:1]", executable_path: null }),
  },
  "names-that-differ": {
    finds: processes({ name: "kworker", executable_path: "/tmp/miner" }),
    not: processes(
      { name: "a-program-of-a-", executable_path: "/bin/a-program-of-a-long-name" },
      { name: "sh", executable_path: "/usr/bin/dash" },
    ),
  },
  "long-commands": { finds: events({ argv_length: 4_096 }), not: events({ argv_length: 4_095 }) },
  "rare-parents": { finds: events({ parent_name: "a" }), not: events({ parent_name: "a" }, { parent_name: "a" }) },
  "children-of": { finds: events({ parent_name: "sshd" }), not: events({ parent_name: "sshd2" }) },
  "parents-of": { parameters: ["name=sh"], finds: events({}), not: events({ name: "bash" }) },
  "shells-of-servers": {
    finds: events({ parent_name: "php-fpm8.2" }),
    not: events({ parent_name: "nginx", name: "nginx" }, { parent_name: "sshd" }),
  },
  "one-liners": {
    finds: events({ name: "perl", command_line: "perl -w -ne print x" }),
    not: events(
      { name: "python3", command_line: "python3 -m http.server" },
      { name: "python3", command_line: "python3 /usr/bin/x -c /etc/x.conf" },
    ),
  },
  "piped-shells": {
    finds: events({ command_line: "sh -s -- -y", stdin_kind: "pipe" }),
    not: events(
      { command_line: "sh x.sh", stdin_kind: "pipe" },
      { command_line: "sh -c ls -s", stdin_kind: "pipe" },
      { command_line: "sh", stdin_kind: "tty" },
    ),
  },
  "shells-on-sockets": { finds: events({ stdin_kind: "socket" }), not: events({ stdin_kind: "socket", name: "sshd" }) },
  "orphaned-shells": {
    finds: processes({ name: "perl5.36" }),
    not: processes({ name: "bash", ppid: 7 }, {
      name: "python3",
      cgroup_path: "/system.slice/networkd-dispatcher.service",
    }),
  },
  "many-children": {
    parameters: ["least=3"],
    finds: events(...times(3, { parent_exec_id: "p" })),
    not: events(...times(2, { parent_exec_id: "p" })),
  },
  crashes: { finds: events(stop({ exit_signal: 11 })), not: events(stop({ exit_signal: 15 })) },
  "failing-commands": {
    finds: events(...times(5, stop({ exit_code: 1 }))),
    not: events(...times(4, stop({ exit_code: 1 })), ...times(9, stop({ exit_code: 0 }))),
  },
  killed: { finds: events(stop({ exit_signal: 9 })), not: events(stop({ exit_code: 9 })) },
  "short-lived": {
    finds: events(...times(10, stop({ duration_ms: 50 }))),
    not: events(...times(9, stop({ duration_ms: 3 })), stop({ duration_ms: 51 })),
  },
  "long-lived": {
    finds: processes({ start_time: NOW - 30 * DAY }),
    not: processes({ start_time: NOW - 29 * DAY }, { start_time: NOW - 40 * DAY, kernel_thread: 1 }),
  },
  "unseen-ends": {
    finds: processes({ status: "lost", end_time: NOW }),
    not: processes({ status: "ended", end_time: NOW }),
  },
  "became-root": { finds: events({ effective_user_id: 0 }), not: events({ user_id: 0, effective_user_id: 0 }) },
  "root-by-login": {
    finds: events({ user_id: 0, login_user_id: 1000 }),
    not: events({ user_id: 0, login_user_id: 4_294_967_295 }, { user_id: 0, login_user_id: null }),
  },
  "user-commands": { finds: events({ user_name: "root" }), not: events({ user_name: "alice" }) },
  "programs-of-one-user": {
    finds: events({ user_id: 1000 }, { user_id: 1000 }),
    not: events(
      { user_id: 1000 },
      { user_id: 0 },
      { user_id: 0, executable_path: "/x" },
      { user_id: 1000, executable_path: null },
    ),
  },
  "shells-of-services": { finds: events({ user_id: 33 }), not: events({ user_id: 1000 }, { user_id: 0 }) },
  "at-odd-hours": {
    finds: events({ tty: "pts/0", time: Date.UTC(2026, 7, 4, 23, 30) }, {
      tty: "pts/0",
      time: Date.UTC(2026, 7, 4, 4),
    }),
    not: events({ tty: "pts/0", time: Date.UTC(2026, 7, 4, 12) }, { time: Date.UTC(2026, 7, 4, 23) }),
  },
  logins: { finds: events({ parent_name: "sshd-session" }), not: events({ name: "bash" }) },
  "capable-processes": {
    finds: processes({ effective_capabilities: 4_096 }),
    not: processes({ effective_capabilities: 0 }, { effective_capabilities: 4_096, effective_user_id: 0 }),
  },
  "secrets-named": {
    finds: events({ command_line: "cat /home/a/.ssh/id_ed25519" }),
    not: events({ command_line: "cat /home/a/.ssh/idx" }),
  },
  preloaded: {
    finds: events({ environment: '{"LD_PRELOAD":"/x.so"}' }),
    not: events({ environment: '{"LD_LIBRARY_PATH":"/x"}' }),
  },
  "history-hidden": {
    finds: events({ environment: '{"HISTFILE":"/dev/null"}' }),
    not: events({ command_line: "less history.txt" }, { environment: '{"HISTFILE":"/home/a/.sh_history"}' }),
  },
  downloads: { finds: events({ name: "curl" }), not: events({ name: "curlew" }) },
  "bare-addresses": {
    finds: events({ command_line: "curl http://203.0.113.9/x" }),
    not: events({ command_line: "curl http://10.0.0.1/x" }, { command_line: "curl http://example.org/1.2.3.4" }),
  },
  tunnels: {
    finds: events({ name: "ssh", command_line: "ssh -NR 9:localhost:22 h" }),
    not: events(
      { name: "ssh", command_line: "ssh -p 22 h" },
      { name: "ssh", command_line: "ssh -oForwardAgent=no -l u h rsync --server -vlogDtpre.iLsfx . /" },
    ),
  },
  "encoded-commands": {
    finds: events({ name: "base64", command_line: "base64 -d" }),
    not: events(
      { name: "base64", command_line: "base64 x" },
      { argv_length: 120, command_line: "x ".repeat(60) },
      { argv_length: 120, command_line: `containerd-shim-runc-v2 -namespace moby -id ${H1} -address /run/x` },
    ),
  },
  compilers: { finds: events({ name: "gcc" }), not: events({ name: "gccgo" }) },
  "stays-after-reboot": {
    finds: events({ name: "systemctl", command_line: "systemctl enable x" }),
    not: events({ name: "systemctl", command_line: "systemctl status x" }, {
      name: "crontab",
      command_line: "crontab -u root -l",
    }),
  },
  "kernel-modules": { finds: events({ name: "insmod" }), not: events({ name: "lsmod" }) },
  scanners: { finds: events({ name: "nmap" }), not: events({ name: "ping" }) },
  captures: { finds: events({ name: "tcpdump" }), not: events({ name: "tcpd" }) },
  "command-contains": {
    parameters: ["text=It's 100%"],
    finds: events({ command_line: "echo it's 100% x" }),
    not: events({ command_line: "echo its 1000" }),
  },
  "container-programs": {
    parameters: ["container=c0ff"],
    finds: events({ container_id: "c0ffee" }),
    not: events({ container_id: "d0ffee" }, {}),
  },
  "container-shells": {
    finds: events({ container_id: "c", tty: "pts/0" }),
    not: events({ container_id: "c" }, { tty: "pts/0" }),
  },
  "container-rights": {
    finds: processes({ container_id: "c", effective_capabilities: 2 ** 21 }),
    not: processes({ container_id: "c", effective_capabilities: 2 ** 20 }, { effective_capabilities: 2 ** 21 }),
  },
  "memory-hogs": { finds: processes({ memory_usage: 2 ** 30 }), not: processes({ memory_usage: 2 ** 30 - 1 }) },
  "busy-processes": { finds: processes({ cpu_time_ms: HOUR }), not: processes({ cpu_time_ms: HOUR - 1 }) },
  "alerts-that-meet": {
    finds: { alerts: [{ rule_id: "a" }, { rule_id: "b" }] },
    not: { alerts: [{ rule_id: "a" }, { rule_id: "b", exec_id: "other" }] },
  },
  "noisy-rules": { parameters: ["least=2"], finds: { alerts: [{}, {}] }, not: { alerts: [{}, { rule_id: "b" }] } },
  "blind-spots": { finds: { gaps: 1 }, not: {} },
};

function make(world: World): TestState {
  const state = new TestState();
  world.events?.forEach((row) => state.event(row));
  world.processes?.forEach((row, i) => state.process(100 + i, row));
  world.alerts?.forEach((row, i) => state.alert(2 ** 40 + 1 + i, { exec_id: testProcess(1), ...row }));
  if (world.gaps !== undefined) state.gap(1, NOW - 9_000, NOW - 8_000, 3);
  return state;
}

Deno.test("at least forty hunts are shipped, and each finds what it is for and leaves alone what it is not", async (t) => {
  assert.ok(HUNTS.size >= 40);
  assert.deepEqual([...HUNTS.keys()].filter((name) => CASES[name] === undefined), []);
  for (const [name, { parameters = [], finds, not }] of Object.entries(CASES)) {
    await t.step(name, async () => {
      const args = ["hunt", name, ...parameters.flatMap((text) => ["-p", text]), "-f", "json"];
      for (const [world, expected] of [[finds, true], [not, false]] as const) {
        using state = make(world);
        const { out, err, code } = await cli(state, args);
        assert.ok(code === 0 || code === 3, err);
        assert.equal(JSON.parse(out).length > 0, expected, `${expected ? "finds nothing" : "finds"}: ${out}`);
      }
    });
  }
});

Deno.test("hunts use all of their parameters and no other, and pass the guard with each", () => {
  for (const hunt of HUNTS.values()) {
    assert.match(hunt.name, /^[a-z-]+$/);
    assert.ok(hunt.title.length <= 80 && !hunt.title.endsWith("."), hunt.title);
    const used = new Set([...hunt.sql.matchAll(/:([a-z]+)/g)].map((match) => match[1]!));
    used.delete("now");
    assert.deepEqual([...used].sort(), Object.keys(hunt.parameters ?? {}).sort(), hunt.name);
    const assignments = [...used].map((name) =>
      `${name}=${hunt.parameters![name]!.kind === "number" ? 7 : "x' OR '1'='1"}`
    );
    guardSql(huntSql(hunt, assignments, NOW), "hunt");
  }
});
