/** What the agent may ask the supervisor for, and what becomes of it, tried with shell scripts in the place of the tiers. */
import assert from "node:assert/strict";
import { BUDGET_WINDOW_MS, RestartBudget } from "../../deploy/backoff.ts";
import { Guard } from "../../deploy/guard.ts";
import { nextStatus, StatusWatch } from "../../deploy/status_watch.ts";
import type { Supervised, SupervisedOptions } from "../../deploy/supervised.ts";
import { MAX_REQUESTS, MAX_SENSOR_RESTARTS, Supervisor } from "../../deploy/supervisor.ts";
import { until } from "../agent/support.ts";
import { needs } from "../support/needs.ts";

const SLEEPS = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done";

class World implements AsyncDisposable {
  readonly guard = new Guard();
  readonly said: string[] = [];
  readonly out: string[] = [];
  now = 0;
  readonly supervisor = new Supervisor({
    collectors: ["procmond", "other"],
    say: (line) => this.said.push(line),
    clock: () => this.now,
  });

  options(name: string, script: string, more: Partial<SupervisedOptions> = {}): SupervisedOptions {
    return {
      name,
      command: ["/bin/sh", "-c", script],
      env: {},
      guard: this.guard,
      onStdout: (line) => this.out.push(`${name}: ${line}`),
      onStderr: (line) => this.out.push(`${name} err: ${line}`),
      onEnd: (line) => this.said.push(line),
      ...more,
    };
  }

  collector(script = SLEEPS, more: Partial<SupervisedOptions> = {}): Supervised {
    return this.supervisor.begin("collector", this.options("other", script, more));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.supervisor.processes.map((process) => process.stop()));
    await this.guard.close();
  }
}

const ready = (world: World, times = 1) =>
  until("it is ready", () => world.out.filter((line) => line === "other: ready").length >= times);

Deno.test("RestartBudget gives so many within ten minutes, and then says when there is one again", () => {
  const budget = new RestartBudget(2);
  assert.deepEqual([budget.spend(0), budget.spend(1_000), budget.left(1_000)], [0, 0, 0]);
  assert.equal(budget.spend(2_000), BUDGET_WINDOW_MS - 2_000);
  assert.equal(budget.left(BUDGET_WINDOW_MS), 1);
  assert.equal(budget.spend(BUDGET_WINDOW_MS), 0);
  assert.equal(budget.spend(BUDGET_WINDOW_MS), 1_000);
  budget.forget();
  assert.equal(budget.left(BUDGET_WINDOW_MS), 2);
  assert.equal(new RestartBudget(0).spend(5), BUDGET_WINDOW_MS);
});

Deno.test("a process that uses up its restarts rests, which is said, and is started when somebody asks", async () => {
  await using world = new World();
  const other = world.collector("echo ready; exit 3", { restarts: 1 });
  await until("its restarts are used up", () => other.status().state === "exhausted");
  const { restarts, budget, lastEnd, nextStart, pid } = other.status();
  assert.deepEqual({ restarts, budget, lastEnd, pid }, { restarts: 1, budget: 0, lastEnd: "exit code 3", pid: 0 });
  assert.ok(nextStart > Date.now() + BUDGET_WINDOW_MS / 2);
  assert.match(world.said.at(-1)!, /the other ended \(exit code 3\); its 1 restarts in 10 minutes are used up/);
  const reply = await world.supervisor.request({ action: "start", collectorId: "other" });
  assert.deepEqual(reply, { accepted: true, detail: "it did not run; it is started" });
  await ready(world, 3);
});

Deno.test("a collector is restarted, stopped and started by its name", async () => {
  await using world = new World();
  const other = world.collector(),
    ask = (action: "start" | "stop" | "restart") => world.supervisor.request({ action, collectorId: "other" });
  await ready(world);
  const first = other.pid;
  assert.match((await ask("start")).detail, /runs already/);
  assert.deepEqual(await ask("restart"), {
    accepted: true,
    detail: `process ${first} was ended; it is started again`,
  });
  await ready(world, 2);
  assert.notEqual(other.pid, first);
  assert.equal(other.status().restarts, 1);
  assert.equal((await ask("stop")).accepted, true);
  await until("it is stopped", () => other.status().state === "stopped");
  assert.equal(other.pid, null);
  assert.equal((await ask("stop")).accepted, false);
  assert.equal((await ask("start")).accepted, true);
  await ready(world, 3);
  assert.equal(other.status().state, "running");
});

Deno.test("a process that waits for its next start can be stopped, and stays so", async () => {
  await using world = new World();
  const other = world.collector("echo ready; exit 1");
  await until("it waits", () => other.status().state === "waiting");
  await other.halt();
  await until("it is stopped", () => other.status().state === "stopped");
  assert.equal(other.status().nextStart, 0);
});

Deno.test("the agent asks over its standard error and is answered on its standard input; nobody else is heard", async () => {
  await using world = new World();
  world.collector();
  await ready(world);
  // It does as the agent does: takes the number from the first line, asks, and repeats what it is told.
  const script = `read hello; echo "$hello"
    nonce=$(echo "$hello" | sed 's/.*"nonce":"\\([0-9a-f]*\\)".*/\\1/')
    echo "supervise 00000000000000000000000000000000 1 stop other" >&2
    echo "agent: supervise $nonce 2 stop other" >&2
    echo "supervise $nonce 3 stop ../../bin/sh" >&2
    echo "supervise $nonce 4 restart other" >&2
    while read line; do echo "$line"; done`;
  world.supervisor.begin("agent", world.options("agent", script));
  const told = () => world.out.filter((line) => line.startsWith("agent: {")).map((line) => JSON.parse(line.slice(7)));
  await until("it is answered", () => told().some(({ kind }) => kind === "reply"));
  await ready(world, 2);
  assert.deepEqual(told()[0].collectors, ["procmond", "other"]);
  assert.deepEqual(told().filter(({ kind }) => kind === "reply").map(({ id, accepted }) => [id, accepted]), [[
    4,
    true,
  ]]);
  await until(
    "it is told what runs",
    () =>
      told().some(({ kind, processes }) =>
        kind === "processes" && processes[0].name === "other" && processes[0].restarts === 1 && processes[0].pid > 0
      ),
  );
  // What is no request is a line like any other.
  const lines = world.out.filter((line) => line.startsWith("agent err: "));
  assert.equal(lines.length, 3);
  assert.ok(lines.every((line) => line.includes("stop")));
});

Deno.test("what the agent may ask is closed: no tier, no unknown name, no end of the sensor, and not too often", async () => {
  await using world = new World();
  world.supervisor.begin("sensor", world.options("collector", SLEEPS, { id: "procmond" }));
  world.supervisor.begin("agent", world.options("agent", "read x; echo up; cat"));
  world.supervisor.begin("other", world.options("hasher", SLEEPS));
  await until("the sensor runs", () => world.out.includes("collector: ready"));
  const ask = async (action: "start" | "stop" | "restart", collectorId: string): Promise<string> =>
    (await world.supervisor.request({ action, collectorId })).detail;
  for (const name of ["agent", "hasher", "collector", "nobody"]) {
    assert.match(await ask("restart", name), /no collector .* is supervised here/);
  }
  assert.match(await ask("stop", "procmond"), /not stopped for an agent/);
  for (let i = 0; i < MAX_SENSOR_RESTARTS; i++) assert.match(await ask("restart", "procmond"), /ended|started/);
  assert.match(await ask("restart", "procmond"), /3 times in ten minutes/);
  for (let i = 6 + MAX_SENSOR_RESTARTS; i < MAX_REQUESTS; i++) await ask("start", "nobody");
  assert.match(await ask("start", "procmond"), /more than 10 requests in a minute/);
  world.now = 60_000;
  assert.doesNotMatch(await ask("start", "procmond"), /more than/);
  await until("it runs", () => world.supervisor.collectors[0]!.pid !== null);
});

Deno.test("a process that stands still is ended and started again; one that only writes no status is not", async () => {
  await using world = new World();
  const path = await Deno.makeTempFile();
  const busy = world.supervisor.begin("other", world.options("busy", "while :; do :; done"));
  const still = world.supervisor.begin("sensor", world.options("still", "echo up; sleep 0.1; kill -STOP $$"));
  await until("it is there", () => world.out.includes("still: up"));
  const say = (line: string) => void world.said.push(line), pid = still.pid;
  const common = { path, say, stillLooks: 40, lookMs: 50 };
  const watches = [new StatusWatch({ process: busy, ...common }), new StatusWatch({ process: still, ...common })];
  try {
    await until("it is started again", () => still.pid !== null && still.pid !== pid);
  } finally {
    for (const watch of watches) watch.stop();
    await Deno.remove(path);
  }
  const said = world.said.join("\n");
  assert.match(said, /the still stands still \(process \d+\)/);
  assert.match(said, /the still ended \(its status and its use of CPU stood still for 40 looks; signal SIGKILL\)/);
  assert.doesNotMatch(said, /the busy/);
});

Deno.test("nextStatus() waits for a status that is newer than the one that was there, and not for ever", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/status.pb`;
  const write = (): void => {
    Deno.writeTextFileSync(`${path}.new`, "");
    Deno.renameSync(`${path}.new`, path);
  };
  try {
    write();
    let isWritten = false;
    const waits = nextStatus(path, 60_000).then(() => isWritten);
    await new Promise((resolve) => setTimeout(resolve, 60));
    isWritten = true;
    write();
    assert.equal(await waits, true);
    await nextStatus(path, 30);
    await nextStatus(`${directory}/nothing`, 30);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test({
  name: "a collector's start leaves the processor to others, for two seconds; a sensor's does not",
  ...needs({ autogroups: true }),
  async fn() {
    await using world = new World();
    const niceOf = ({ pid }: Supervised): string | undefined =>
      /nice (-?\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/autogroup`))?.[1];
    const collector = world.collector(), sensor = world.supervisor.begin("sensor", world.options("procmond", SLEEPS));
    // Others may make changes at this moment, of which the kernel takes ten a second.
    await until("it starts gently", () => niceOf(collector) === "10");
    assert.equal(niceOf(sensor), "0");
    await until("it is like any other", () => niceOf(collector) === "0");
    assert.equal((await collector.restart()).accepted, true);
    await until("it starts gently again", () => collector.pid !== null && niceOf(collector) === "10");
  },
});
