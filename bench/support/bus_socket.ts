/**
 * `bench:bus` over the socket: the agent's own broker with a store here, all subscribers in one other process.
 *
 * @module
 */
import process from "node:process";
import { Broker, listenAt } from "../../agent/broker/listener.ts";
import { Bus } from "../../agent/bus/bus.ts";
import { LocalPort } from "../../agent/bus/local_port.ts";
import { RemoteClients } from "../../agent/bus/remote_clients.ts";
import { newCounters } from "../../agent/counters.ts";
import { Ingest } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { Store } from "../../agent/store/store.ts";
import { MEMORY_FLAG } from "../../deploy/privileges.ts";
import { encodeFrame } from "../../proto/frame.ts";
import { TOKEN } from "./bus_client.ts";
import { BURST, paced, PACED_ROUNDS, PAYLOAD_BYTES, RUNS, TOPIC } from "./bus_load.ts";
import { median } from "./report.ts";

/** Of one run. */
const DELIVERIES = 200_000;
const PAYLOAD = new Uint8Array(PAYLOAD_BYTES).fill(7);
const CLIENT = new URL("bus_client.ts", import.meta.url).pathname;
const rate = { burst: 1e9, perSecond: 1e9 };

/** Deliveries a second, and medians of what 99 of 100 messages were below, in milliseconds; the agent's own cost. */
export interface SocketTimes {
  readonly perSecond: number;
  readonly p99: number;
  readonly bare: { readonly perSecond: number; readonly p99: number };
  readonly usPerDelivery: number;
  readonly grownKib: number;
}

export async function overSocket(subscribers: number): Promise<SocketTimes> {
  const world = await World.begin(), client = new Client(world.socket, subscribers);
  const { messages } = client, rates: number[] = [], p99s: number[] = [], bareP99s: number[] = [];
  const connections = await world.bareConnections(subscribers);
  await client.line(); // "ready"
  const { rss } = Deno.memoryUsage(), cpu = process.cpuUsage();
  for (let run = 0; run < RUNS; run++) {
    const began = performance.now();
    await world.publish(messages);
    await client.line(); // "through"
    rates.push(messages * subscribers / (performance.now() - began) * 1_000);
  }
  if (world.bus.counters.bus_lost_full > 0) throw new Error("the bus lost messages");
  const { user, system } = process.cpuUsage(cpu), usPerDelivery = (user + system) / (RUNS * messages * subscribers);
  const grownKib = (Deno.memoryUsage().rss - rss) / 1024;

  const burst = new Uint8Array(Array.from({ length: BURST }, () => [...encodeFrame(PAYLOAD)]).flat());
  const began = performance.now();
  await Promise.all(connections.map(async (connection) => {
    for (let sent = 0; sent < messages; sent += BURST) await write(connection, burst);
  }));
  await client.line(); // "through"
  const barePerSecond = messages * subscribers / (performance.now() - began) * 1_000;

  const sending = connections.map(() => Promise.resolve());
  for (let round = 0; round < PACED_ROUNDS; round++) {
    await paced(subscribers, (payload) => world.publisher.tell(TOPIC, payload));
    p99s.push(Number(await client.line()));
    await paced(subscribers, (payload) => {
      const frame = encodeFrame(payload);
      connections.forEach((connection, i) => sending[i] = sending[i]!.then(() => write(connection, frame)));
    });
    bareP99s.push(Number(await client.line()));
  }
  await client.end();
  for (const connection of connections) connection.close();
  await world.end();
  const bare = { perSecond: barePerSecond, p99: median(bareP99s) };
  return {
    perSecond: median(rates),
    p99: median(p99s),
    bare,
    usPerDelivery,
    grownKib,
    all: [p99s, bareP99s],
  } as SocketTimes;
}

async function write(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
}

/** The process of the subscribers. */
class Client {
  /** That each of them gets in a run. */
  readonly messages: number;
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #said = "";

  constructor(socket: string, subscribers: number) {
    this.messages = Math.ceil(DELIVERIES / subscribers / BURST) * BURST;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", MEMORY_FLAG, CLIENT, socket, `${subscribers}`, `${this.messages}`],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async line(): Promise<string> {
    while (!this.#said.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("the client ended");
      this.#said += value;
    }
    const at = this.#said.indexOf("\n"), line = this.#said.slice(0, at);
    this.#said = this.#said.slice(at + 1);
    return line;
  }

  async end(): Promise<void> {
    this.#child.kill();
    await this.#child.status;
  }
}

/** The agent's broker with a store, as the product has it. */
class World {
  readonly bus = new Bus();
  readonly publisher = new LocalPort(this.bus, "bench", console.error);
  readonly dir = Deno.makeTempDirSync({ prefix: "daemoneye-bench-bus-" });
  readonly socket = `${this.dir}/broker.sock`;
  readonly #bareListener = Deno.listen({ transport: "unix", path: `${this.socket}.bare` });
  readonly #store = new Store(`${this.dir}/events.db`);
  #broker!: Broker;
  #served!: Promise<void>;

  static async begin(): Promise<World> {
    const world = new World(), journal = new Journal(() => {}), counters = newCounters(), store = world.#store;
    world.#broker = new Broker(await listenAt(world.socket), {
      token: TOKEN,
      storeFailed: () => {},
      journal,
      counters,
      joined: () => {},
      maxConnections: 200,
      idleTimeoutMs: 60_000,
      clients: new RemoteClients(world.bus, { notice: console.error, limits: { rate, topicRate: rate } }),
    });
    const detection = { judge: () => [], stored: () => {} };
    const ingest = new Ingest({ store, counters, detection, alerted: () => {}, failed: () => {} });
    world.#broker.take({ store, ingest });
    world.#served = world.#broker.serve();
    return world;
  }

  async bareConnections(count: number): Promise<Deno.Conn[]> {
    const connections: Deno.Conn[] = [];
    while (connections.length < count) connections.push(await this.#bareListener.accept());
    return connections;
  }

  /** As fast as the slowest subscriber takes them. */
  async publish(messages: number): Promise<void> {
    for (let sent = 0; sent < messages; sent += BURST) {
      for (let i = 0; i < BURST; i++) this.publisher.tell(TOPIC, PAYLOAD);
      do await new Promise((resolve) => setImmediate(resolve)); while (
        Math.max(...[...this.bus.subscribers].map(({ queued }) => queued)) > 1_000 - BURST
      );
    }
  }

  async end(): Promise<void> {
    this.#bareListener.close();
    this.#broker.stop(1_000);
    await this.#served;
    this.#store.close();
    Deno.removeSync(this.dir, { recursive: true });
  }
}
