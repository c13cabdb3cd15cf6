/**
 * A host with a container, and with programs that are no plain files.
 *
 * @module
 */
import { NOW, testProcess, TestState } from "../test_store.ts";
import { fill } from "./ordinary.ts";

export function containers(): TestState {
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
