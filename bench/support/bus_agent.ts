/**
 * The agent's end of `bench:bus` over the socket, in a process of its own: `KIND SUBSCRIBERS`, where the kind is `bus` or
 * `bare`. Asked `paced` it publishes for a second at a steady rate, asked `burst` as fast as the slowest subscriber takes
 * it.
 *
 * @module
 */
import { Broker, listenAt } from "../../agent/broker/listener.ts";
import { Bus } from "../../agent/bus/bus.ts";
import { LocalPort } from "../../agent/bus/local_port.ts";
import { RemoteClients } from "../../agent/bus/remote_clients.ts";
import { newCounters } from "../../agent/counters.ts";
import { Ingest } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { Store } from "../../agent/store/store.ts";
import { encodeFrame } from "../../proto/frame.ts";
import { TOKEN } from "./bus_client.ts";
import { BURST, cpuTime, type DelayTimes, paced, pacedPerSecond, PAYLOAD_BYTES, TOPIC } from "./bus_load.ts";
import { LineProcess, linesOf } from "./line_process.ts";

/** Of one burst; of the one before anything is measured, for what is compiled while it runs. */
const DELIVERIES = 200_000, WARMING = 20_000;
const PAYLOAD = new Uint8Array(PAYLOAD_BYTES).fill(7);
const rate = { burst: 1e9, perSecond: 1e9 };
/** A host that stands still for a moment is to make messages late and not to lose them: late ones are in the figures. */
const queue = { messages: 100_000, bytes: 256 << 20 };

/** What is answered to `burst`. */
export interface BurstTimes {
  readonly perSecond: number;
  readonly usPerDelivery: number;
  readonly grownKib: number;
}

/** What is answered to `paced`. */
export interface PacedTimes extends DelayTimes {
  readonly usPerDelivery: number;
  /** Of the subscribers. */
  readonly usPerDeliveryTaken: number;
}

/** What publishes to sockets. */
interface Sender {
  readonly socket: string;
  /** The subscribers are connected. */
  ready(subscribers: number): Promise<void>;
  publish(payload: Uint8Array<ArrayBuffer>): void;
  /** All that this turn publishes. */
  published(): void;
  /** @throws Error when something was lost */
  check(): void;
  /** Ends when so little waits that another burst finds room. */
  settled(): Promise<void>;
  end(): Promise<void>;
}

/** The agent's broker with a store, as the product has it. */
class BusSender implements Sender {
  readonly #bus = new Bus();
  readonly #publisher = new LocalPort(this.#bus, "bench", console.error);
  readonly #store: Store;
  readonly #broker: Broker;
  readonly #served: Promise<void>;

  private constructor(readonly socket: string, dir: string, listener: Deno.UnixListener) {
    const store = this.#store = new Store(`${dir}/events.db`), counters = newCounters();
    this.#broker = new Broker(listener, {
      token: TOKEN,
      storeFailed: () => {},
      journal: new Journal(() => {}),
      counters,
      joined: () => {},
      maxConnections: 200,
      idleTimeoutMs: 60_000,
      clients: new RemoteClients(this.#bus, { notice: console.error, limits: { queue, rate, topicRate: rate } }),
    });
    const detection = { judge: () => [], stored: () => {} };
    const ingest = new Ingest({ store, counters, detection, alerted: () => {}, failed: () => {} });
    this.#broker.take({ store, ingest });
    this.#served = this.#broker.serve();
  }

  static async begin(dir: string): Promise<BusSender> {
    const socket = `${dir}/broker.sock`;
    return new BusSender(socket, dir, await listenAt(socket));
  }

  async ready(): Promise<void> {}

  publish(payload: Uint8Array): void {
    this.#publisher.tell(TOPIC, payload);
  }

  published(): void {}

  async settled(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve)); while (
      Math.max(...[...this.#bus.subscribers].map(({ queued }) => queued)) > 1_000 - BURST
    );
    this.check();
  }

  check(): void {
    if (this.#bus.counters.bus_lost_full > 0) {
      throw new Error("The bus lost messages");
    }
  }

  async end(): Promise<void> {
    this.#broker.stop(1_000);
    await this.#served;
    this.#store.close();
  }
}

/** Frames with the payload alone, those of one turn in one write: what the runtime's sockets let nobody beat. */
class BareSender implements Sender {
  readonly socket: string;
  readonly #listener: Deno.UnixListener;
  readonly #connections: Deno.UnixConn[] = [];
  #sent: Promise<void>[] = [];
  #frames: Uint8Array<ArrayBuffer>[] = [];

  constructor(dir: string) {
    this.socket = `${dir}/bare.sock`;
    this.#listener = Deno.listen({ transport: "unix", path: this.socket });
  }

  async ready(subscribers: number): Promise<void> {
    while (this.#connections.length < subscribers) this.#connections.push(await this.#listener.accept());
    this.#sent = this.#connections.map(() => Promise.resolve());
  }

  publish(payload: Uint8Array<ArrayBuffer>): void {
    this.#frames.push(encodeFrame(payload));
  }

  published(): void {
    if (this.#frames.length === 0) return;
    const bytes = joined(this.#frames);
    this.#frames = [];
    this.#connections.forEach((connection, i) => {
      this.#sent[i] = this.#sent[i]!.then(() => write(connection, bytes));
    });
  }

  check(): void {}

  async settled(): Promise<void> {
    this.published();
    await Promise.all(this.#sent);
  }

  // deno-lint-ignore require-await -- as the other has it
  async end(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    this.#listener.close();
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

async function write(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
}

async function burst(sender: Sender, client: LineProcess, subscribers: number, least: number): Promise<BurstTimes> {
  const bursts = Math.ceil(least / subscribers / BURST), deliveries = bursts * BURST * subscribers;
  await client.ask(`${deliveries}`);
  await client.answer(); // "ready"
  const { rss } = Deno.memoryUsage(), cpu = cpuTime(), began = performance.now();
  for (let i = 0; i < bursts; i++) {
    for (let j = 0; j < BURST; j++) sender.publish(PAYLOAD);
    await sender.settled();
  }
  await client.answer(); // "through"
  const perSecond = deliveries / (performance.now() - began) * 1_000, usPerDelivery = (cpuTime() - cpu) / deliveries;
  const grownKib = (Deno.memoryUsage().rss - rss) / 1_024;
  return { perSecond, usPerDelivery, grownKib };
}

async function steady(sender: Sender, client: LineProcess, subscribers: number): Promise<PacedTimes> {
  await client.ask("paced");
  await client.answer(); // "ready"
  const cpu = cpuTime(), deliveries = pacedPerSecond(subscribers) * subscribers;
  await paced(subscribers, (payload) => sender.publish(payload), { published: () => sender.published() });
  sender.check();
  const { cpu: taken, ...times } = await client.answer<DelayTimes & { cpu: number }>();
  return { ...times, usPerDelivery: (cpuTime() - cpu) / deliveries, usPerDeliveryTaken: taken / deliveries };
}

if (import.meta.main) {
  const [kind, count] = Deno.args as [string, string], subscribers = Number(count);
  const dir = Deno.makeTempDirSync({ prefix: "daemoneye-bench-bus-" });
  const sender: Sender = kind === "bus" ? await BusSender.begin(dir) : new BareSender(dir);
  const client = new LineProcess(new URL("bus_client.ts", import.meta.url), [kind, sender.socket, count]);
  await Promise.all([sender.ready(subscribers), client.answer()]);
  await burst(sender, client, subscribers, WARMING);
  console.log(`"ready"`);
  for await (const question of linesOf(Deno.stdin.readable)) {
    const times = question === "burst"
      ? await burst(sender, client, subscribers, DELIVERIES)
      : await steady(sender, client, subscribers);
    console.log(JSON.stringify(times));
  }
  await client.end();
  await sender.end();
  Deno.removeSync(dir, { recursive: true });
}
