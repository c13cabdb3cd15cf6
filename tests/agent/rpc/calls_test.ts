import assert from "node:assert/strict";
import type { Registry } from "../../../agent/rpc/registry.ts";
import type { Supervision } from "../../../agent/supervision.ts";
import {
  AGENT,
  failure,
  type Operation,
  OPERATIONS,
  PAYLOAD_OF,
  type RpcPayload,
  type RpcRequest,
  type RpcResponse,
  success,
} from "../../../proto/bus/rpc.ts";
import { BusCollector, BusWorld, usualAnswer } from "../bus/bus_world.ts";
import { until } from "../support.ts";

const PAYLOADS: { readonly [K in RpcPayload["kind"]]: Extract<RpcPayload, { kind: K }> } = {
  reason: { kind: "reason", text: "a test" },
  registration: {
    kind: "registration",
    registration: { collectorType: "process", version: "1", capabilities: [], heartbeatIntervalMs: 1_000 },
  },
  config: { kind: "config", update: { expectedVersion: 0, validateOnly: false, changes: {} } },
  task: {
    kind: "task",
    task: { taskId: "t", taskType: "enumerate_processes", processFilter: null, hashCheck: null, metadata: null },
  },
  response: {
    kind: "response",
    request: {
      ...{ action: "kill", process: "1a2b3c4d-812-99", tree: false, seconds: 0 } as const,
      ...{ rule: "", byRule: false, by: "user 1000", reason: "a test" },
    },
  },
};

function requestOf(operation: Operation, more: Partial<RpcRequest> = {}): RpcRequest {
  const payload = PAYLOADS[PAYLOAD_OF[operation]];
  return { operation, target: "col", timeoutMs: 10_000, correlation: null, payload, ...more };
}

function outcome({ status, error }: RpcResponse): string {
  return error === null ? status : `${status} ${error.category} ${error.code}`;
}

/** The agent knows that the collector takes calls. */
async function known(world: BusWorld, collectorId = "col"): Promise<void> {
  await until("the collector has said what it can do", () => world.broker.target(collectorId)?.rpcVersion === 1);
}

/** Asks the agent as a collector does. */
async function ask(collector: BusCollector, call: RpcRequest): Promise<RpcResponse> {
  const reply = await collector.channel.request({ kind: "rpc", call });
  assert.equal(reply.kind, "rpc");
  return (reply as { response: RpcResponse }).response;
}

const never = (): Promise<never> => new Promise(() => {});

Deno.test("each operation that is a collector's reaches it with what it is given, and its answer comes back", async () => {
  const came: RpcRequest[] = [];
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket, {
    handle: (call) => (came.push(call), Promise.resolve(success({ kind: "done", text: call.operation }))),
  });
  await known(world);
  const own = OPERATIONS.slice(5);
  for (const operation of own) {
    const response = await world.calls.call("test", requestOf(operation));
    assert.equal(outcome(response), "success");
    assert.deepEqual(response.outcome, { kind: "done", text: operation });
  }
  assert.deepEqual(came.map(({ operation }) => operation), own);
  assert.deepEqual(came[1]!.payload, PAYLOADS.config);
  assert.equal(world.rpcCounters.rpc_succeeded, own.length);
  assert.equal(collector.answering.counts.calls, own.length);
});

Deno.test("what needs a supervisor or a registry says so without one, and uses the one there is", async () => {
  {
    await using world = await BusWorld.begin();
    for (const operation of ["start", "stop", "restart"] as const) {
      const response = await world.calls.call("test", requestOf(operation));
      assert.equal(outcome(response), "unavailable unavailable NO_SUPERVISOR");
      assert.equal(
        response.error!.message,
        "unavailable: this agent was started without a supervisor; use what started it, such as systemctl",
      );
    }
  }
  const asked: string[] = [];
  const supervision: Supervision = {
    isThere: true,
    request: (action, id) => {
      asked.push(`${action} ${id}`);
      if (action === "restart") return never();
      return Promise.resolve({ accepted: action === "start", detail: "as a test says" });
    },
  };
  const registry: Registry = {
    register: (id, { version }) => {
      asked.push(`register ${id} ${version}`);
      return Promise.resolve({ accepted: true, detail: "" });
    },
    deregister: () => Promise.resolve({ accepted: false, detail: "broken" }),
  };
  await using world = await BusWorld.begin({}, {}, { supervision, registry });
  using collector = await BusCollector.join(world.socket);
  assert.equal(outcome(await world.calls.call("uid 1000", requestOf("start", { target: "gone" }))), "success");
  assert.equal(outcome(await world.calls.call("test", requestOf("stop"))), "error resource REFUSED");
  assert.equal(
    outcome(await world.calls.call("test", requestOf("restart", { timeoutMs: 30 }))),
    "timeout timeout DEADLINE_EXCEEDED",
  );
  assert.equal(outcome(await ask(collector, requestOf("register", { target: AGENT }))), "success");
  assert.equal(outcome(await ask(collector, requestOf("deregister", { target: AGENT }))), "error resource REFUSED");
  assert.deepEqual(asked, ["start gone", "stop col", "restart col", "register col 1"]);
});

Deno.test("a collector asks the agent what is for collectors, and nothing else", async () => {
  await using world = await BusWorld.begin({}, {}, {
    health:
      () => [{ name: "store", state: "degraded", detail: "slow" }, { name: "rules", state: "healthy", detail: "" }],
  });
  using collector = await BusCollector.join(world.socket);
  const health = await ask(collector, requestOf("health_check", { target: AGENT }));
  assert.equal(health.outcome?.kind === "health" && health.outcome.state, "degraded");
  const capabilities = await ask(collector, requestOf("get_capabilities", { target: AGENT }));
  assert.ok(capabilities.outcome?.kind === "capabilities" && capabilities.outcome.operations.length === 4);
  for (const operation of OPERATIONS) {
    const response = await ask(collector, requestOf(operation, { target: "other" }));
    assert.equal(outcome(response), "error permission NOT_ALLOWED", operation);
  }
  for (const operation of ["stop", "execute_task", "force_shutdown"] as const) {
    const response = await ask(collector, requestOf(operation, { target: AGENT }));
    assert.equal(outcome(response), "error permission NOT_ALLOWED");
  }
});

Deno.test("what an agent cannot do itself is refused by name to whoever calls it", async () => {
  await using world = await BusWorld.begin();
  for (
    const operation of [
      "update_config",
      "graceful_shutdown",
      "force_shutdown",
      "pause",
      "resume",
      "execute_task",
      "respond",
    ] as const
  ) {
    const response = await world.calls.call("test", requestOf(operation, { target: AGENT }));
    assert.equal(outcome(response), "error configuration UNSUPPORTED_OPERATION", operation);
  }
  assert.equal(outcome(await world.calls.call("test", requestOf("register"))), "error permission NOT_FOR_OTHERS");
});

Deno.test("who is not there, or takes no calls, is unavailable", async () => {
  await using world = await BusWorld.begin();
  assert.equal(outcome(await world.calls.call("test", requestOf("pause"))), "unavailable unavailable NOT_CONNECTED");
  using old = await BusCollector.join(world.socket, {
    answer: (body) => {
      const answer = usualAnswer(body);
      return answer.kind === "capabilities" ? { ...answer, rpcVersion: 0 } : answer;
    },
  });
  await until("it is known", () => world.broker.target("col")?.rpcVersion === 0);
  assert.equal(outcome(await world.calls.call("test", requestOf("pause"))), "unavailable unavailable NO_CALLS");
  assert.equal(old.received.some((message) => message.kind === "request" && message.body.kind === "rpc"), false);
});

Deno.test("a call ends by its time on both sides, and the handler is told", async () => {
  let isAborted = false;
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket, {
    handle: (_, signal) => (signal.addEventListener("abort", () => isAborted = true), never()),
  });
  await known(world);
  const response = await world.calls.call("test", requestOf("execute_task", { timeoutMs: 50 }));
  assert.equal(outcome(response), "timeout timeout DEADLINE_EXCEEDED");
  await until("the handler is told", () => isAborted);
  assert.equal(collector.answering.counts.timedOut, 1);
  assert.equal(world.rpcCounters.rpc_timed_out, 1);
});

Deno.test("a caller that no longer waits has its answer at once, and the collector is told", async () => {
  let isAborted = false;
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket, {
    handle: (_, signal) => (signal.addEventListener("abort", () => isAborted = true), never()),
  });
  await known(world);
  const abort = new AbortController(), pending = world.calls.call("test", requestOf("execute_task"), abort.signal);
  await until("it runs", () => collector.answering.counts.calls === 1);
  abort.abort();
  assert.equal(outcome(await pending), "cancelled communication CANCELLED");
  await until("the handler is told", () => isAborted && collector.answering.counts.cancelled === 1);
  await until("its answer came late", () => world.rpcCounters.rpc_late_replies === 1);
  assert.equal(
    outcome(await world.calls.call("test", requestOf("pause"), AbortSignal.abort())),
    "cancelled communication CANCELLED",
  );
});

Deno.test("a collector that goes in the middle of a call makes it unavailable, and its own calls are told", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket, { handle: never });
  await known(world);
  const pending = world.calls.call("test", requestOf("execute_task"));
  await until("it runs", () => collector.answering.counts.calls === 1);
  collector.disconnect();
  assert.equal(outcome(await pending), "unavailable unavailable DISCONNECTED");
});

Deno.test("a collector that never answers holds up its own callers alone, whose number is bounded", async () => {
  await using world = await BusWorld.begin();
  // It takes no notice of the time of a call.
  using mute = await BusCollector.join(world.socket, { collectorId: "mute", handle: never });
  mute.answering.answer = () => never();
  using _good = await BusCollector.join(world.socket, { collectorId: "good" });
  await known(world, "mute");
  await known(world, "good");
  const many = Array.from(
    { length: 100 },
    () => world.calls.call("test", requestOf("pause", { target: "mute", timeoutMs: 300 })),
  );
  assert.equal(outcome(await world.calls.call("test", requestOf("pause", { target: "good" }))), "success");
  const outcomes = (await Promise.all(many)).map(outcome);
  const count = (what: string): number => outcomes.filter((each) => each === what).length;
  assert.equal(count("error resource QUEUE_FULL"), 100 - 8 - 64);
  assert.ok(count("timeout timeout DEADLINE_EXCEEDED") >= 8);
  // Those that it owes an answer count until it gives one: more are not sent to it.
  for (let i = 0; i < 16; i++) await world.calls.call("test", requestOf("pause", { target: "mute", timeoutMs: 1 }));
  const last = await world.calls.call("test", requestOf("pause", { target: "mute", timeoutMs: 50 }));
  assert.equal(outcome(last), "error resource NO_ANSWERS");
  assert.equal(outcome(await world.calls.call("test", requestOf("pause", { target: "good" }))), "success");
});

Deno.test("answers that come when nobody waits are counted and harm nobody", async () => {
  const gate = Promise.withResolvers<void>();
  await using world = await BusWorld.begin();
  using late = await BusCollector.join(world.socket);
  late.answering.answer = async (_, call) => {
    await gate.promise;
    return {
      operation: call.operation,
      ...success({ kind: "done", text: "" }),
      executionMs: 0,
      queueMs: 0,
      correlation: null,
    };
  };
  await known(world);
  assert.match(outcome(await world.calls.call("test", requestOf("pause", { timeoutMs: 1 }))), /^timeout/);
  gate.resolve();
  await until("it is counted", () => world.rpcCounters.rpc_late_replies === 1);
  late.answering.answer = (_, call) =>
    Promise.resolve({
      operation: call.operation,
      ...success({ kind: "done", text: "in time" }),
      executionMs: 0,
      queueMs: 0,
      correlation: null,
    });
  assert.equal(outcome(await world.calls.call("test", requestOf("pause"))), "success");
  late.answering.answer = () =>
    Promise.resolve({
      operation: "stop",
      ...success({ kind: "done", text: "" }),
      executionMs: 0,
      queueMs: 0,
      correlation: null,
    });
  assert.equal(outcome(await world.calls.call("test", requestOf("pause"))), "error communication WRONG_ANSWER");
});

Deno.test("a handler that fails, and a task that fails with a result, come back as what they are", async () => {
  await using world = await BusWorld.begin();
  const result = { taskId: "t", success: false, errorMessage: "no", processes: [], hashResult: null };
  let isThrowing = true;
  using collector = await BusCollector.join(world.socket, {
    handle: () => {
      if (isThrowing) return Promise.reject(new Error("broken"));
      return Promise.resolve({ ...failure("resource", "NOT_READ", "no"), outcome: { kind: "result", result } });
    },
  });
  await known(world);
  const thrown = await world.calls.call("test", requestOf("health_check"));
  assert.deepEqual([outcome(thrown), thrown.error!.message], ["error internal INTERNAL", "broken"]);
  isThrowing = false;
  const failed = await world.calls.call("test", requestOf("execute_task"));
  assert.equal(outcome(failed), "error resource NOT_READ");
  assert.deepEqual(failed.outcome, { kind: "result", result });
  assert.equal(collector.answering.counts.failed, 2);
});
