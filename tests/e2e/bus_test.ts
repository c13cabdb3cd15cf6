/** The agent's bus between real processes: hostile collectors beside an honest one, which loses and waits for nothing. */
import assert from "node:assert/strict";
import { readEventBatch } from "../../proto/event_codec.ts";
import { AGENT, type RpcRequest } from "../../proto/bus/rpc.ts";
import { AgentProcess, AgentState } from "../agent/agent_process.ts";
import { TOKEN } from "../agent/broker/test_collector.ts";
import { BusCollector } from "../agent/bus/bus_world.ts";
import { start, until } from "../agent/support.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const PROGRAM = new URL("../support/hostile_collector.ts", import.meta.url).pathname;
/** A hostile collector in a process of its own. */
class Hostile implements AsyncDisposable {
  said = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  constructor(socket: string, name: string, act: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", PROGRAM, socket, TOKEN, name, act],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const gather = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) this.said += decoder.decode(chunk, { stream: true });
    };
    this.#reading = Promise.all([gather(this.#child.stdout), gather(this.#child.stderr), this.#child.status]);
  }

  get isReady(): boolean {
    return this.said.includes("ready");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.#reading;
  }
}

/** An honest collector that sends events, and hears of them on the bus when they are stored. */
class Honest implements Disposable {
  readonly heard: number[] = [];
  readonly delays: number[] = [];
  readonly #sentAt = new Map<number, number>();
  #sequence = 0;

  private constructor(readonly collector: BusCollector) {}

  static async join(socket: string): Promise<Honest> {
    const honest = new Honest(await BusCollector.join(socket, { collectorId: "good" }));
    await honest.collector.port.subscribe("events.process.lifecycle", ({ message }) => {
      if (!message.correlation!.id.startsWith("good:")) return;
      const { firstSequence, events } = readEventBatch(message.payload);
      for (let i = 0; i < events.length; i++) {
        honest.heard.push(firstSequence + i);
        honest.delays.push(performance.now() - honest.#sentAt.get(firstSequence + i)!);
      }
    }, { quality: "at-least-once" });
    return honest;
  }

  /** Sends so many events one by one, and waits until it has heard of all. */
  async send(count: number): Promise<{ p99: number; median: number }> {
    this.delays.length = 0;
    const last = this.#sequence + count;
    while (this.#sequence < last) {
      const sequence = ++this.#sequence;
      this.#sentAt.set(sequence, performance.now());
      await this.collector.channel.send({ kind: "events", firstSequence: sequence, events: [start(sequence)] });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until("it has heard of all that it sent", () => this.heard.length === last, PATIENCE_MS);
    assert.deepEqual(this.heard, Array.from({ length: last }, (_, i) => i + 1), "each once, in order");
    const sorted = this.delays.toSorted((a, b) => a - b);
    return { p99: sorted[Math.ceil(sorted.length * 0.99) - 1]!, median: sorted[sorted.length >> 1]! };
  }

  async health(): Promise<string> {
    const call: RpcRequest = {
      operation: "health_check",
      target: AGENT,
      timeoutMs: 10_000,
      correlation: null,
      payload: { kind: "reason", text: "" },
    };
    const reply = await this.collector.channel.request({ kind: "rpc", call });
    return reply.kind === "rpc" ? reply.response.status : reply.kind;
  }

  [Symbol.dispose](): void {
    this.collector[Symbol.dispose]();
  }
}

Deno.test("hostile collectors lose what is theirs, and an honest one loses nothing and is answered", async (t) => {
  using state = new AgentState();
  await using agent = await AgentProcess.start(state, { set: ["agent.max_connections=32"] });
  const socket = state.layout.brokerSocket, counters = () => agent.status().counters;
  using good = await Honest.join(socket);
  const alone = await good.send(400);
  assert.equal(await good.health(), "success");

  await using flooder = new Hostile(socket, "perfmond", "flood");
  await using forger = new Hostile(socket, "forger", "forge");
  await using deaf = new Hostile(socket, "deaf", "deaf");
  await using leaver = new Hostile(socket, "leaver", "leave");
  await using caller = new Hostile(socket, "caller", "call");
  const hostile = [flooder, forger, deaf, leaver, caller];
  await until("they are all at it", () => hostile.every(({ isReady }) => isReady), PATIENCE_MS);

  const among = await good.send(1_200);
  assert.equal(await good.health(), "success");
  console.log(
    `  event to bus: alone median ${alone.median.toFixed(1)} ms, p99 ${alone.p99.toFixed(1)} ms; among five hostile ` +
      `collectors on ${navigator.hardwareConcurrency} cores median ${among.median.toFixed(1)} ms, p99 ${
        among.p99.toFixed(1)
      } ms`,
  );

  await t.step("everything that was refused or lost is counted, and shown by whom", async () => {
    await until("the flood is refused", () => (counters()["bus_refused_rate"] ?? 0) > 1_000, PATIENCE_MS);
    await until("forgeries are refused", () => (counters()["bus_refused_rights"] ?? 0) > 20, PATIENCE_MS);
    await until("what is no topic is refused", () => (counters()["bus_refused_malformed"] ?? 0) > 5, PATIENCE_MS);
    await until("calls are counted", () => (counters()["rpc_answered"] ?? 0) > 20, PATIENCE_MS);
    const of = (name: string) => agent.status().busClients.find((client) => client.name === name);
    assert.ok(of("perfmond")!.refused > 0 && of("forger")!.refused > 0);
    assert.equal(of("good")!.lost, 0);
    assert.equal(of("good")!.refused, 0);
    assert.match(agent.stderr, /collector forger is refused on the bus: it may not/);
    assert.match(agent.stderr, /collector perfmond is refused on the bus: it publishes too much/);
    const lines = agent.stderr.split("\n").filter((line) => line.includes("refused on the bus"));
    assert.ok(lines.length < 50, `${lines.length} lines: a log that a collector can fill`);
  });

  await t.step("the one that reads nothing loses only its own, within its bounds", async () => {
    const deafOf = () => agent.status().busClients.find(({ name }) => name === "deaf");
    await until("its queue is full, or it was left", () => {
      const client = deafOf();
      return client === undefined || !client.connected || client.queued + client.lost > 0 || client.delivered > 0;
    }, PATIENCE_MS);
    assert.ok((deafOf()?.queued ?? 0) <= 1_000);
  });

  await t.step("nothing of them is in the store or in the alerts, and the agent is as it was", async () => {
    assert.equal(agent.ended, null);
    assert.deepEqual(agent.status().collectors.filter(({ collectorId }) => collectorId === "good").length, 1);
    assert.equal(counters()["alerts"], 0);
    await until("all that the honest one sent is stored", () => counters()["events"]! >= 1_600, PATIENCE_MS);
    assert.equal(counters()["events"], 1_600);
    await good.send(50);
  });
});
