/** The agent as a process of its own, told by its supervisor whom to wait for: its states, and those of its collectors. */
import assert from "node:assert/strict";
import { Channel } from "../../proto/channel.ts";
import { CollectorSession } from "../../proto/collector_session.ts";
import { processTables } from "../../proto/registration.ts";
import type { StateLayout } from "../../proto/state_layout.ts";
import { AgentProcess, AgentState } from "./agent_process.ts";
import { TestCollector, TOKEN } from "./broker/test_collector.ts";
import { BOOT_ID, rows, until } from "./support.ts";

const NONCE = "0f".repeat(16);
const told = (...lines: unknown[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

class Client implements AsyncDisposable {
  readonly #running: Promise<void>;

  private constructor(readonly session: CollectorSession, readonly began: { hasBegun: boolean }) {
    this.#running = session.run().catch(() => {});
  }

  static async join(layout: StateLayout, collectorId: string): Promise<Client> {
    const began = { hasBegun: false };
    const channel = new Channel(await Deno.connect({ transport: "unix", path: layout.brokerSocket }));
    const session = await CollectorSession.join(channel, {
      token: TOKEN,
      identity: { collectorId, epoch: "e1", bootId: BOOT_ID, softwareVersion: "1", source: "test" },
      registration: {
        ...{ collectorType: "test", domains: ["process"], tables: processTables([]), heartbeatMs: 200 },
        ...{ kernelLevel: false, realtime: true, systemWide: false, keepsLedger: false },
      },
      begun: () => began.hasBegun = true,
    });
    return new Client(session, began);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.close();
    await this.#running;
  }
}

Deno.test("the agent waits for its collectors, fails its start without them, and makes up for it when they come", async () => {
  using state = new AgentState();
  const process = { name: "mute", state: "running", pid: 77, restarts: 2, budget: 3, lastEnd: "code 1", nextStart: 0 };
  await using agent = await AgentProcess.start(state, {
    set: ["agent.startup_timeout_ms=1500"],
    input: told(
      { kind: "hello", nonce: NONCE, collectors: ["early", "late"] },
      { kind: "processes", processes: [process] },
    ),
  });
  const phase = () => agent.status().lifecycle;
  const of = (id: string) => agent.status().registry.find(({ collectorId }) => collectorId === id);
  await using early = await Client.join(state.layout, "early");
  await until("one has registered", () => of("early")?.lifecycle.state === "registered");
  assert.deepEqual([phase().state, of("late")!.lifecycle.state], ["loading", "expected"]);
  assert.match(phase().reason, /waits for late/);
  assert.equal(early.began.hasBegun, false);
  assert.deepEqual(agent.status().supervised, [process]);
  await until("the start has failed", () => phase().state === "startupFailed");
  assert.match(phase().reason, /late did not register within 1.5 s/);
  assert.equal(of("late")!.lifecycle.state, "failed");

  await using _late = await Client.join(state.layout, "late");
  await until("the start is made up for", () => phase().state === "steadyState" && early.began.hasBegun);
  await until("both run", () => ["early", "late"].every((id) => of(id)!.lifecycle.state === "running"));
  assert.deepEqual(phase().history.map((each) => each.state), ["startupFailed", "ready", "steadyState"]);

  // One that says nothing any more, on a connection that stays: a heartbeat is missed, then three.
  using mute = await TestCollector.join(state.layout.brokerSocket, { collectorId: "mute" });
  await until("it has joined", () => of("mute")?.lifecycle.state === "joined");
  await mute.channel.send({
    ...{ kind: "registration", collectorType: "mute", domains: ["process"], tables: processTables([]) },
    ...{ kernelLevel: false, realtime: false, systemWide: false, heartbeatMs: 400, keepsLedger: false },
  });
  await until("it has failed", () => of("mute")!.lifecycle.state === "failed");
  assert.deepEqual(of("mute")!.lifecycle.history.map(({ event }) => event), [
    ...["joined", "registered", "begun", "missed", "gaveUp"],
  ]);
  const gaps = () => rows(state.layout.store, "SELECT reason, collector_id, from_time, to_time FROM gaps");
  await until("a gap says so", () => gaps().length === 1);
  assert.match(String(gaps()[0]!["reason"]), /collector mute was not heard from/);
  await until(
    "rules say so",
    () => agent.status().rules[0]!.degraded.some((why) => /collector mute has failed/.test(why)),
  );
  await until("the supervisor is asked", () => agent.stderr.includes(`supervise ${NONCE} 1 restart mute`));
  await mute.channel.send({ kind: "heartbeat", time: Date.now() });
  await until("it is heard again", () => of("mute")!.lifecycle.history.some(({ event }) => event === "heard"));
  assert.ok(Number(gaps()[0]!["to_time"]) > Number(gaps()[0]!["from_time"]));

  await agent.end("SIGTERM");
  const { lifecycle, registry } = agent.status();
  assert.equal(lifecycle.state, "shuttingDown");
  assert.equal(registry.find(({ collectorId }) => collectorId === "early")!.connected, false);
});

Deno.test("an agent that nobody supervises waits for nobody", async () => {
  using state = new AgentState();
  await using agent = await AgentProcess.start(state);
  await until("it is in its steady state", () => agent.status().lifecycle.state === "steadyState");
  assert.deepEqual(agent.status().lifecycle.history.map(({ event }) => event), ["allRegistered", "begun"]);
});
