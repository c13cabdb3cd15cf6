import assert from "node:assert/strict";
import { recordsOf } from "../../../collector/calls/task_filter.ts";
import { Tasks, type TasksOptions } from "../../../collector/calls/tasks.ts";
import { Image, TrackedProcess } from "../../../collector/tracked_process.ts";
import { joinArgv } from "../../../proto/argv.ts";
import type { Answer } from "../../../proto/bus/rpc.ts";
import { blankProcessEvent } from "../../../proto/process_event.ts";
import { type DetectionTask, MAX_RESULT_PROCESSES, type ProcessFilter, TASK_TYPES } from "../../../proto/task.ts";
import { encodeMessage } from "../../../proto/wire.ts";

const HASH = "a".repeat(64), OTHER = "b".repeat(64);

function process(pid: number, ppid: number | null, path: string | null = `/usr/bin/p${pid}`, argv = ["p", "é"]) {
  const name = path?.split("/").at(-1) ?? `p${pid}`;
  const image = new Image(name, path, null, joinArgv(argv), 10, null, null);
  const process = new TrackedProcess(pid, 1e9, "exact", image);
  process.ppid = ppid;
  process.startMs = 1_732_166_400_123;
  process.userId = 1_000;
  return process;
}

const FAMILY = [
  process(1, null),
  process(10, 1, "/usr/sbin/sshd"),
  process(12, 11, "/bin/sh"),
  process(11, 10, "/bin/sh"),
];

function newTasks(more: Partial<TasksOptions> = {}): Tasks {
  return new Tasks({ processes: () => FAMILY, hashOf: () => null, hashNow: null, now: () => 7, ...more });
}

function task(taskType: DetectionTask["taskType"], more: Partial<DetectionTask> = {}): DetectionTask {
  return { taskId: "t", taskType, processFilter: null, hashCheck: null, metadata: null, ...more };
}

function filter(more: Partial<ProcessFilter>): ProcessFilter {
  return { processNames: [], pids: [], executablePattern: null, ...more };
}

function pidsOf({ outcome }: Answer): number[] {
  assert.ok(outcome?.kind === "result");
  return outcome.result.processes.map(({ pid }) => pid);
}

function messageOf({ outcome }: Answer): string | null {
  return outcome?.kind === "result" ? outcome.result.errorMessage : null;
}

const { signal } = new AbortController();

Deno.test("enumerate_processes gives those that the filter means, as they are known", async () => {
  const tasks = newTasks({ hashOf: (path) => path === "/bin/sh" ? { hash: HASH, fuzzyHash: null } : null });
  const meant = async (wanted: ProcessFilter | null) =>
    pidsOf(await tasks.run(task("enumerate_processes", { processFilter: wanted }), signal));
  assert.deepEqual(await meant(null), [1, 10, 12, 11]);
  assert.deepEqual(await meant(filter({ processNames: ["sh"] })), [12, 11]);
  assert.deepEqual(await meant(filter({ pids: [1, 99] })), [1]);
  assert.deepEqual(await meant(filter({ executablePattern: "/usr/*" })), [1, 10]);
  assert.deepEqual(await meant(filter({ executablePattern: "*b*s*h*" })), [10, 12, 11]);
  assert.deepEqual(await meant(filter({ executablePattern: "/bin/sh" })), [12, 11]);
  assert.deepEqual(await meant(filter({ executablePattern: "/bin/s*sh" })), [], "the parts may not overlap");
  assert.deepEqual(await meant(filter({ processNames: ["sh"], pids: [12] })), [12]);

  const { outcome } = await tasks.run(task("enumerate_processes", { processFilter: filter({ pids: [12] }) }), signal);
  assert.deepEqual(outcome?.kind === "result" && outcome.result.processes, [{
    pid: 12,
    ppid: 11,
    name: "sh",
    executablePath: "/bin/sh",
    commandLine: ["p", "é"],
    startTime: 1_732_166_400,
    cpuUsage: null,
    memoryUsage: null,
    executableHash: HASH,
    hashAlgorithm: "sha256",
    userId: "1000",
    accessible: true,
    fileExists: true,
    collectionTime: 7,
    fuzzyHash: null,
    onDiskMismatch: false,
    fuzzyHashDegraded: true,
  }]);
});

Deno.test("a result has room in a frame, whatever processes there are, and says what found none", async () => {
  const many = Array.from({ length: 12_000 }, (_, i) => process(i + 1, null, "/bin/x", ["x"]));
  const long = Array.from({ length: 2_000 }, (_, i) => process(i + 1, null, "/bin/x", ["\ufffd".repeat(3_000)]));
  for (const [all, most] of [[many, MAX_RESULT_PROCESSES], [long, 200]] as const) {
    const answer = await newTasks({ processes: () => all }).run(task("enumerate_processes"), signal);
    const { length } = pidsOf(answer);
    assert.ok(length > 90 && length <= most, `${length}`);
    assert.match(messageOf(answer)!, new RegExp(`^only ${length} of ${all.length} processes found room`));
    const response = { operation: "execute_task", ...answer, executionMs: 0, queueMs: 0, correlation: null } as const;
    encodeMessage({ kind: "reply", id: 1, body: { kind: "rpc", response } }); // or it throws
  }
  assert.equal(recordsOf([], () => null, 0).total, 0);
});

Deno.test("a task that is none is refused by name, and nothing is done", async () => {
  const tasks = newTasks();
  const faults: readonly [DetectionTask, string][] = [
    [task("enumerate_processes", { taskId: "" }), "INVALID_TASK"],
    [task("enumerate_processes", { taskId: "x".repeat(129) }), "INVALID_TASK"],
    [task("enumerate_processes", { processFilter: filter({ executablePattern: "*".repeat(17) }) }), "INVALID_TASK"],
    [task("enumerate_processes", { processFilter: filter({ executablePattern: "x".repeat(1_025) }) }), "INVALID_TASK"],
    [task("enumerate_processes", { processFilter: filter({ pids: Array(1_001).fill(1) }) }), "INVALID_TASK"],
    [task("monitor_process_tree"), "INVALID_TASK"],
    [task("monitor_process_tree", { processFilter: filter({ pids: [1] }), metadata: "{" }), "INVALID_TASK"],
    [
      task("monitor_process_tree", { processFilter: filter({ pids: [1] }), metadata: '{"duration_ms":1e9}' }),
      "INVALID_TASK",
    ],
    [task("check_process_hash"), "INVALID_TASK"],
    [task("verify_executable", { hashCheck: check("/bin/sh", "x") }), "INVALID_TASK"],
    [task("verify_executable", { hashCheck: { ...check("/bin/sh"), hashAlgorithm: "md5" } }), "INVALID_TASK"],
    [task("monitor_network_connections"), "UNSUPPORTED_TASK"],
    [task("track_file_operations"), "UNSUPPORTED_TASK"],
    [task("collect_performance_metrics"), "UNSUPPORTED_TASK"],
    [task("analyze"), "UNSUPPORTED_TASK"],
  ];
  for (const [wrong, code] of faults) {
    const { status, error, outcome } = await tasks.run(wrong, signal);
    assert.deepEqual([status, error?.category, error?.code, outcome], ["error", "configuration", code, null]);
  }
  assert.equal(TASK_TYPES.length, 8);
});

function check(executablePath: string, expectedHash = "") {
  return { executablePath, expectedHash, hashAlgorithm: "sha256" };
}

Deno.test("files that no process runs are not looked at, whatever the agent asks", async () => {
  const read: string[] = [];
  const tasks = newTasks({
    hashOf: () => ({ hash: HASH, fuzzyHash: null }),
    hashNow: (path) => (read.push(path), Promise.reject(new Error("no"))),
  });
  for (const type of ["check_process_hash", "verify_executable"] as const) {
    const { error } = await tasks.run(task(type, { hashCheck: check("/etc/shadow", HASH) }), signal);
    assert.deepEqual([error?.category, error?.code], ["permission", "NOT_EXECUTED"]);
  }
  assert.deepEqual(read, []);
});

Deno.test("check_process_hash holds what is known against what is expected, and reads nothing", async () => {
  let known: string | null = HASH;
  const tasks = newTasks({ hashOf: () => known === null ? null : { hash: known, fuzzyHash: null } });
  const run = async (expected: string) => {
    const answer = await tasks.run(task("check_process_hash", { hashCheck: check("/bin/sh", expected) }), signal);
    assert.ok(answer.outcome?.kind === "result");
    return [answer.status, answer.outcome.result.hashResult?.hashValue, answer.outcome.result.hashResult?.success];
  };
  assert.deepEqual(await run(HASH), ["success", HASH, true]);
  assert.deepEqual(await run(OTHER), ["success", HASH, false]);
  known = null;
  assert.deepEqual(await run(HASH), ["error", "", false]);
});

Deno.test("verify_executable reads the file, and says what differs from what is expected and what was executed", async () => {
  const answers = { state: "hashed", hash: HASH as string | null };
  const tasks = newTasks({
    hashOf: () => ({ hash: OTHER, fuzzyHash: null }),
    hashNow: () => Promise.resolve({ id: 1, ...answers, fuzzyHash: null, changeTime: null, isSettled: true } as never),
  });
  const run = async (expected: string) => {
    const answer = await tasks.run(task("verify_executable", { hashCheck: check("/bin/sh", expected) }), signal);
    assert.ok(answer.outcome?.kind === "result");
    const { success, errorMessage } = answer.outcome.result.hashResult!;
    return [answer.status, success, errorMessage];
  };
  assert.deepEqual(await run(""), ["success", false, `when it was last executed it was ${OTHER}`]);
  assert.deepEqual(await run(OTHER), [
    "success",
    false,
    `it is not the hash that is expected; when it was last executed it was ${OTHER}`,
  ]);
  answers.state = "missing";
  answers.hash = null;
  assert.deepEqual(await run(""), ["error", false, "It cannot be read: missing"]);
  const { status, error } = await newTasks().run(task("verify_executable", { hashCheck: check("/bin/sh") }), signal);
  assert.deepEqual([status, error?.code], ["unavailable", "NO_HASHER"]);
});

Deno.test("monitor_process_tree has the whole family now, whatever the order of the table", async () => {
  const run = async (...pids: number[]) =>
    await newTasks().run(task("monitor_process_tree", { processFilter: filter({ pids }) }), signal);
  assert.deepEqual(pidsOf(await run(10)).sort(), [10, 11, 12]);
  assert.deepEqual(pidsOf(await run(11)).sort(), [11, 12]);
  const gone = await run(99);
  assert.deepEqual([pidsOf(gone), messageOf(gone)], [[], "no process has the pid 99"]);
});

Deno.test("monitor_process_tree watches for its time who is born into the family, also who has ended since", async () => {
  let all = [...FAMILY];
  const tasks = newTasks({ processes: () => all }), abort = new AbortController();
  const wanted = task("monitor_process_tree", {
    processFilter: filter({ pids: [10] }),
    metadata: '{"duration_ms":600000}',
  });
  const pending = tasks.run(wanted, abort.signal);
  assert.equal(tasks.isWatching, true);
  assert.equal((await tasks.run(wanted, signal)).status, "in_progress", "the same task again");
  all = [...FAMILY, process(13, 12), process(14, 1)];
  tasks.saw([{ ...blankProcessEvent("start", 1, "x", 13), ppid: 12 }]);
  all = [...FAMILY, process(15, 13)];
  tasks.saw([{ ...blankProcessEvent("start", 1, "x", 15), ppid: 13 }]);
  // A stranger has the pid of one that has ended, and children of its own.
  all = [...FAMILY, process(13, 1), process(16, 13)];
  tasks.saw([{ ...blankProcessEvent("start", 1, "x", 16), ppid: 13 }]);
  abort.abort();
  assert.deepEqual(pidsOf(await pending).sort(), [10, 11, 12, 13, 15]);
  assert.equal(tasks.isWatching, false);
});
