/**
 * What every host of these has: some processes with their events, a rule, and two alerts.
 *
 * @module
 */
import { NOW, testProcess, type TestState } from "../test_store.ts";

export function fill(state: TestState): void {
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
