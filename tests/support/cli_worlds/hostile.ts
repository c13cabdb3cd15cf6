/**
 * Data made to harm who looks at it.
 *
 * @module
 */
import { COLLECTOR, NOW, testProcess, TestState } from "../test_store.ts";

export function hostile(): TestState {
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
