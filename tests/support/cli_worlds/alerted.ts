/**
 * A host with alerts that came again, were acknowledged, muted or not delivered.
 *
 * @module
 */
import { AGENT, NOW, testProcess, TestState } from "../test_store.ts";
import { fill } from "./ordinary.ts";

export function alerted(): TestState {
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
