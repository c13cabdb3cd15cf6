import assert from "node:assert/strict";
import { LiveSettings, type LiveSettingsOptions } from "../../../collector/calls/live_settings.ts";
import { collectorService, type ServiceOptions } from "../../../collector/calls/service.ts";
import { Tasks } from "../../../collector/calls/tasks.ts";
import { refusal } from "../../../proto/response/action.ts";
import {
  type Answer,
  type ConfigUpdate,
  type Operation,
  OPERATIONS,
  PAYLOAD_OF,
  type RpcPayload,
} from "../../../proto/bus/rpc.ts";

const SNAPSHOT = "collector.snapshot_interval_ms", MEMORY = "collector.memory_change_percent";

class World {
  values: Record<string, number> = { [SNAPSHOT]: 30_000, [MEMORY]: 0 };
  changes: Readonly<Record<string, number>>[] = [];
  now = 1e6;
  readonly live: LiveSettings;

  constructor(more: Partial<LiveSettingsOptions["settings"]> = {}) {
    const setting = (name: string, max?: number) => ({
      ...max === undefined ? {} : { max },
      get: () => this.values[name]!,
      set: (value: number) => void (this.values[name] = value),
    });
    this.live = new LiveSettings({
      settings: {
        [SNAPSHOT]: setting(SNAPSHOT, 300_000),
        [MEMORY]: setting(MEMORY),
        ...more,
      } as LiveSettingsOptions["settings"],
      changed: (changes) => this.changes.push(changes),
      clock: () => this.now,
    });
  }

  update(changes: Record<string, string>, more: Partial<ConfigUpdate> = {}): Answer {
    return this.live.update({ expectedVersion: 0, validateOnly: false, changes, ...more });
  }
}

Deno.test("an update changes what it names and nothing else, and has a version", () => {
  const world = new World(), { outcome } = world.update({ [SNAPSHOT]: "5000" });
  assert.deepEqual(outcome, {
    kind: "config",
    version: 2,
    values: { [SNAPSHOT]: "5000", [MEMORY]: "0" },
    changed: [SNAPSHOT],
  });
  assert.deepEqual(world.values, { [SNAPSHOT]: 5_000, [MEMORY]: 0 });
  assert.deepEqual(world.changes, [{ [SNAPSHOT]: 5_000 }]);
});

Deno.test("an update that is wrong in one part changes nothing", () => {
  const world = new World(), before = { ...world.values };
  const wrong: Record<string, string>[] = [
    { [MEMORY]: "10", [SNAPSHOT]: "999" },
    { [MEMORY]: "10", [SNAPSHOT]: "300001" },
    { [MEMORY]: "10", [SNAPSHOT]: "1e4" },
    { [MEMORY]: "10", [SNAPSHOT]: "" },
    { [MEMORY]: "10", "collector.redaction": "off" },
    { [MEMORY]: "10", "collector.ledger": "off" },
    { [MEMORY]: "10", "constructor": "1" },
    { [MEMORY]: "10", "no\u001b[2J": "1" },
  ];
  for (const changes of wrong) {
    const { error } = world.update(changes);
    assert.deepEqual([error?.category, error?.code], ["configuration", "NOT_A_SETTING"]);
    assert.ok(!error!.message.includes("\u001b"));
  }
  assert.deepEqual(world.values, before);
  const hidden = world.update(JSON.parse(`{"${MEMORY}":"10","__proto__":"1"}`));
  assert.equal(hidden.error?.code, "NOT_A_SETTING");
  assert.deepEqual(world.values, before);
});

Deno.test("an update of another version, one too soon, and one that is only to be checked change nothing", () => {
  const world = new World();
  assert.equal(world.update({ [MEMORY]: "10" }, { expectedVersion: 7 }).error?.code, "OTHER_VERSION");
  const checked = world.update({ [MEMORY]: "10" }, { validateOnly: true });
  assert.deepEqual(checked.outcome?.kind === "config" && [checked.outcome.version, checked.outcome.changed], [1, [
    MEMORY,
  ]]);
  assert.equal(world.values[MEMORY], 0);
  assert.equal(world.update({ [MEMORY]: "10" }, { expectedVersion: 1 }).status, "success");
  assert.equal(world.update({ [MEMORY]: "20" }).error?.code, "TOO_OFTEN");
  assert.equal(world.update({ [MEMORY]: "10" }).status, "success", "nothing is changed by it");
  world.now += 1_000;
  assert.equal(world.update({ [MEMORY]: "20" }).status, "success");
  assert.equal(world.live.version, 3);
});

Deno.test("when a part of an update fails, what it had done is taken back", () => {
  const world = new World({
    "collector.cpu_change_percent": {
      get: () => 0,
      set: () => {
        throw new Error("broken");
      },
    },
  });
  const { error } = world.update({ [SNAPSHOT]: "5000", "collector.cpu_change_percent": "5" });
  assert.deepEqual([error?.category, error?.code], ["internal", "ROLLED_BACK"]);
  assert.deepEqual(world.values, { [SNAPSHOT]: 30_000, [MEMORY]: 0 });
  assert.deepEqual([world.live.version, world.changes], [1, []]);
});

const PAYLOADS: { readonly [K in RpcPayload["kind"]]: Extract<RpcPayload, { kind: K }> } = {
  reason: { kind: "reason", text: "a\u001b test" },
  registration: {
    kind: "registration",
    registration: { collectorType: "", version: "", capabilities: [], heartbeatIntervalMs: 1 },
  },
  config: { kind: "config", update: { expectedVersion: 0, validateOnly: false, changes: { [MEMORY]: "5" } } },
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

function newService(more: Partial<ServiceOptions> = {}) {
  const said: string[] = [];
  const serve = collectorService({
    collectorId: "procmond",
    tasks: new Tasks({ processes: () => [], hashOf: () => null, hashNow: null }),
    settings: new World().live,
    health:
      () => [{ name: "log", state: "unhealthy", detail: "full" }, { name: "ledger", state: "unknown", detail: "" }],
    pause: (isPaused) => said.push(`paused ${isPaused}`),
    shutdown: null,
    respond: ({ action }) => Promise.resolve(refusal(`no ${action} in a test`)),
    notice: (text) => said.push(text),
    ...more,
  });
  const call = (operation: Operation, target = "procmond"): Promise<Answer> =>
    serve(
      { operation, target, timeoutMs: 1, correlation: null, payload: PAYLOADS[PAYLOAD_OF[operation]] },
      new AbortController().signal,
    );
  return { said, call };
}

Deno.test("each operation has its answer: what the collector does, what the agent does, what is not allowed", async () => {
  const { call, said } = newService(), codes: Record<string, string> = {};
  for (const operation of OPERATIONS) codes[operation] = (await call(operation)).error?.code ?? "success";
  assert.deepEqual(codes, {
    register: "UNSUPPORTED_OPERATION",
    deregister: "UNSUPPORTED_OPERATION",
    start: "UNSUPPORTED_OPERATION",
    stop: "UNSUPPORTED_OPERATION",
    restart: "UNSUPPORTED_OPERATION",
    health_check: "success",
    update_config: "success",
    get_capabilities: "success",
    graceful_shutdown: "NOT_ALLOWED",
    force_shutdown: "NOT_ALLOWED",
    pause: "success",
    resume: "success",
    execute_task: "success",
    respond: "success",
  });
  assert.deepEqual(said, [
    "paused true",
    "the agent pauses what it is sent: a? test",
    "paused false",
    "the agent resumes what it is sent: a? test",
  ]);
  const health = await call("health_check");
  assert.equal(health.outcome?.kind === "health" && health.outcome.state, "unhealthy");
  assert.equal((await call("health_check", "another")).error?.code, "OTHER_TARGET");
});

Deno.test("the agent ends the collector where the configuration lets it, when the answer is on its way", async () => {
  const ended = Promise.withResolvers<[boolean, string]>();
  const { call } = newService({ shutdown: (isForced, reason) => ended.resolve([isForced, reason]) });
  assert.equal((await call("force_shutdown")).status, "success");
  assert.deepEqual(await ended.promise, [true, "a? test"]);
  const capabilities = await call("get_capabilities");
  assert.ok(
    capabilities.outcome?.kind === "capabilities" && capabilities.outcome.operations.includes("graceful_shutdown"),
  );
});
