/** Tasks among collectors that a test plays: who gets one, what is tried again, what is said of a part that is missing. */
import assert from "node:assert/strict";
import { Distributor, NobodyError, type TaskOutcome, type TaskWish } from "../../../agent/tasks/distributor.ts";
import { responseTo } from "../../../proto/bus/answering.ts";
import { type Answer, failure, type RpcRequest, type RpcResponse, success } from "../../../proto/bus/rpc.ts";
import { processTables, type Registration } from "../../../proto/registration.ts";
import type { CollectorStanding } from "../../../proto/status.ts";
import type { DetectionResult, MonitoringDomain, ProcessRecord, TaskType } from "../../../proto/task.ts";
import { until } from "../support.ts";

const WISH: TaskWish = {
  ...{ taskType: "enumerate_processes", target: "any", placement: "least-loaded", timeoutMs: 5_000 },
  ...{ processFilter: null, hashCheck: null, metadata: null },
};

interface Played {
  state: string;
  domains: readonly MonitoringDomain[];
  tasks: readonly TaskType[];
  load: number;
  /** What it answers to each try; the last one again and again. */
  answers: (Answer | ((request: RpcRequest) => Promise<Answer> | Answer))[];
  given: RpcRequest[];
}

const record = (pid: number, startTime = 7): ProcessRecord => ({
  ...{ pid, ppid: 1, name: `p${pid}`, executablePath: null, commandLine: [], startTime, cpuUsage: null },
  ...{ memoryUsage: null, executableHash: null, hashAlgorithm: null, userId: "0", accessible: true, fileExists: true },
  ...{ collectionTime: 0, fuzzyHash: null, onDiskMismatch: false, fuzzyHashDegraded: false },
});
const resultOf = (...processes: ProcessRecord[]): Answer => {
  const result: DetectionResult = { taskId: "x", success: true, errorMessage: null, processes, hashResult: null };
  return success({ kind: "result", result });
};
const GONE = failure("unavailable", "DISCONNECTED", "it went away");

class World {
  readonly played: Record<string, Played> = {};
  readonly said: string[] = [];
  readonly distributor = new Distributor({
    calls: {
      load: (id) => this.played[id]!.load,
      call: async (_, request, signal): Promise<RpcResponse> => {
        const { operation, target } = request, one = this.played[target]!;
        if (operation === "get_capabilities") {
          const version = "1", operations = ["execute_task"] as const;
          return responseTo(request, success({ kind: "capabilities", operations, taskTypes: one.tasks, version }), 0);
        }
        one.given.push(request);
        const answer = one.answers.length > 1 ? one.answers.shift()! : one.answers[0]!;
        signal?.throwIfAborted();
        return responseTo(request, typeof answer === "function" ? await answer(request) : answer, 0);
      },
    },
    standings: () =>
      Object.entries(this.played).map(([collectorId, { state, domains }]): CollectorStanding => ({
        ...{ collectorId, epoch: "", softwareVersion: "", source: "", missed: 0, lastHeard: 0, registrations: 1 },
        ...{ refused: 0, refusal: "", connected: state === "running" || state === "joined" || state === "degraded" },
        lifecycle: { state, since: 0, reason: "", history: [] },
        registration: state === "joined" ? null : registrationOf(domains),
      })),
  });

  play(id: string, more: Partial<Played> = {}): Played {
    return this.played[id] = {
      ...{ state: "running", domains: ["process"], tasks: ["enumerate_processes"], load: 0, given: [] },
      answers: [resultOf(record(1))],
      ...more,
    };
  }

  run(wish: Partial<TaskWish>, signal?: AbortSignal): Promise<TaskOutcome> {
    return this.distributor.run("a test", { ...WISH, ...wish }, (text) => this.said.push(text), signal);
  }
}

function registrationOf(domains: readonly MonitoringDomain[]): Registration {
  return {
    ...{ collectorType: "t", domains, kernelLevel: false, realtime: true, systemWide: false, heartbeatMs: 1_000 },
    ...{ tables: processTables([]), keepsLedger: false },
  };
}

Deno.test("a task goes to the collector that can do it and has the least to do", async () => {
  const world = new World();
  const busy = world.play("busy", { load: 3 }), free = world.play("free"), other = world.play("other", { tasks: [] });
  const net = world.play("net", { domains: ["network"] });
  const { shares, processes, isPartial } = await world.run({});
  assert.deepEqual(shares.map(({ collectorId, tries, fault }) => [collectorId, tries, fault]), [["free", 1, ""]]);
  assert.deepEqual([processes.length, isPartial], [1, false]);
  assert.deepEqual([busy, free, other, net].map(({ given }) => given.length), [0, 1, 0, 0]);
  assert.deepEqual(world.said, ["free has it"]);
});

Deno.test("who went away in the middle is replaced by another; each try has a number of its own", async () => {
  const world = new World();
  const bad = world.play("a", { answers: [GONE] }), good = world.play("b", { load: 1 });
  const { taskId, shares: [share] } = await world.run({});
  assert.deepEqual([share!.collectorId, share!.tries, share!.fault], ["b", 2, ""]);
  const ids = [...bad.given, ...good.given].map(({ payload }) => payload.kind === "task" ? payload.task.taskId : "");
  assert.deepEqual(ids, [`${taskId}.1`, `${taskId}.2`]);
  assert.equal(share!.result!.taskId, taskId);
});

Deno.test("the one that is meant is waited for when it went away, and given the task again", async () => {
  const world = new World();
  const one = world.play("a", {
    answers: [() => {
      setTimeout(() => one.state = "running", 400);
      one.state = "failed"; // its process ended
      return GONE;
    }, resultOf(record(5))],
  });
  world.play("b");
  const { shares: [share] } = await world.run({ target: "a" });
  assert.deepEqual([share!.collectorId, share!.tries, share!.result!.processes[0]!.pid], ["a", 2, 5]);
});

Deno.test("a task ends after three tries, and by its time", async () => {
  const world = new World(), one = world.play("a", { answers: [GONE] });
  const tried = await world.run({});
  assert.deepEqual([tried.shares[0]!.tries, tried.shares[0]!.fault, tried.isPartial], [3, "it went away", true]);
  one.answers = [() => (one.state = "failed", GONE)];
  const expired = await world.run({ timeoutMs: 600 });
  assert.match(
    expired.shares[0]!.fault,
    /^it went away; then in the time given nobody can enumerate processes: a is not connected/,
  );
});

Deno.test("what a collector refuses, or does not end in time, is not tried again", async () => {
  const world = new World(), answer = failure("permission", "NOT_EXECUTED", "not that file");
  const one = world.play("a", { answers: [answer] });
  world.play("b", { load: 1 });
  assert.equal((await world.run({})).shares[0]!.fault, "not that file");
  one.answers = [failure("timeout", "DEADLINE_EXCEEDED", "too late")];
  assert.equal((await world.run({})).shares[0]!.fault, "too late");
  assert.equal(one.given.length, 2);
});

Deno.test("all that can do it: results stand together once each, and who is missing is named", async () => {
  const world = new World();
  world.play("a", { answers: [resultOf(record(1), record(2))] });
  world.play("b", { answers: [resultOf(record(2), record(2, 8), record(3))] });
  world.play("c", { state: "failed" });
  world.play("d", { state: "degraded" });
  world.play("e", { state: "stopped" });
  const { shares, processes, isPartial } = await world.run({ target: "all" });
  assert.deepEqual(processes.map(({ pid, startTime }) => `${pid} ${startTime}`), ["1 7", "2 7", "2 8", "3 7"]);
  assert.deepEqual(shares.map(({ collectorId, fault }) => `${collectorId} ${fault}`), [
    "a ",
    "b ",
    "c is not connected",
    "d is not heard from",
  ]);
  assert.equal(isPartial, true);
});

Deno.test("a task that nobody has is refused at once, with each one's reason", async () => {
  const world = new World();
  const refused = (wish: Partial<TaskWish>, why: RegExp) =>
    assert.rejects(world.run(wish), (error: Error) => error instanceof NobodyError && why.test(error.message));
  await refused({}, /^nobody can enumerate processes: no collector sees the domain process$/);
  world.play("a", { tasks: [] });
  await refused({}, /: a does not have that task$/);
  await refused({ target: "b" }, /there is no collector b that sees the domain process$/);
  await refused({ taskType: "track_file_operations" }, /no collector sees the domain filesystem/);
});

Deno.test("who no longer waits ends the wait for a collector", async () => {
  const world = new World(), abort = new AbortController();
  world.play("a", { state: "joined" });
  const running = world.run({ timeoutMs: 60_000 }, abort.signal);
  let isOver = false;
  void running.catch(() => {}).finally(() => isOver = true);
  abort.abort();
  await until("it is over", () => isOver);
  await assert.rejects(running, /a (is not connected|has not registered)/);
});
