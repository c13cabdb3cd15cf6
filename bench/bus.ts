/**
 * The bus in process and over the socket, with 1, 10 and 100 subscribers: messages, deliveries, memory, and how long one
 * takes at a steady rate. Whoever connects to the agent's real socket runs in a process of its own.
 *
 * Targets: 100,000 messages/s in process to 10 subscribers, 50,000/s over the socket, p99 of 1 ms.
 * The baselines of the same run are a bare loop that calls each handler, and bare frames over sockets of their own.
 *
 * @module
 */
import process from "node:process";
import { Broker, listenAt } from "../agent/broker/listener.ts";
import { Bus } from "../agent/bus/bus.ts";
import { LocalPort } from "../agent/bus/local_port.ts";
import { RemoteClients } from "../agent/bus/remote_clients.ts";
import { newCounters } from "../agent/counters.ts";
import { Ingest } from "../agent/ingest.ts";
import { Journal } from "../agent/journal.ts";
import { Store } from "../agent/store/store.ts";
import { encodeFrame, FRAME_HEADER_BYTES, FrameReader } from "../proto/frame.ts";
import { type Figure, median, report } from "./support/report.ts";

const SUBSCRIBERS = [1, 10, 100];
const RUNS = 3;
const TOPIC = "events.process.lifecycle";
/** As long as an event. */
const PAYLOAD = new Uint8Array(300).fill(7);
/** In process, by subscribers; over the socket deliveries of one run. */
const MESSAGES: Readonly<Record<number, number>> = { 1: 400_000, 10: 200_000, 100: 30_000 };
const DELIVERIES = 200_000;
/** Messages that one turn publishes: what waits for a subscriber is at most 1,000. */
const BURST = 100;
/** A steady load, for the time that one message takes. */
const PACED_DELIVERIES = 10_000, MAX_PACED = 2_000, PACED_SECONDS = 2;
const pacedPerSecond = (subscribers: number): number => Math.min(MAX_PACED, PACED_DELIVERIES / subscribers);

/** Subscribers whose memory is measured. */
const MANY = 1_000;

const token = "ab".repeat(32);
const BARE_BYTES = FRAME_HEADER_BYTES + PAYLOAD.length;
const rate = { burst: 1e9, perSecond: 1e9 };

async function main(): Promise<void> {
  if (Deno.args[0] === "client") return await client(Deno.args[1]!, Number(Deno.args[2]), Number(Deno.args[3]));
  const ofMemory = await memory(), figures: Figure[] = [];
  for (const subscribers of SUBSCRIBERS) figures.push(...await inProcess(subscribers));
  report(`bus in process, messages of ${PAYLOAD.length} bytes`, figures);
  figures.length = 0;
  for (const subscribers of SUBSCRIBERS) figures.push(...await overSocket(subscribers));
  report("bus over the socket, from the agent to another process", figures);
  report(`memory of one subscriber of ${MANY}, who share the messages`, ofMemory);
}

async function inProcess(subscribers: number): Promise<Figure[]> {
  const messages = MESSAGES[subscribers]!, rates: number[] = [], bare: number[] = [];
  let p99 = 0, bareP99 = 0;
  for (let run = 0; run < RUNS; run++) {
    const bus = new Bus(), publisher = new LocalPort(bus, "bench", console.error);
    let came = 0;
    for (let i = 0; i < subscribers; i++) {
      await new LocalPort(bus, `s${i}`, console.error).subscribe("events.#", () => void came++);
    }
    const began = performance.now();
    for (let sent = 0; sent < messages; sent += BURST) {
      for (let i = 0; i < BURST; i++) publisher.tell(TOPIC, PAYLOAD);
      while (came < (sent + BURST) * subscribers) await null;
    }
    rates.push(messages / (performance.now() - began) * 1_000);
    if (bus.counters.bus_lost_full > 0) throw new Error("the bus lost messages");
    bare.push(await bareLoop(subscribers, messages));
    if (run > 0) continue;
    bareP99 = await latencyOfMicrotask(subscribers);
    p99 = await latencyInProcess(subscribers);
  }
  const peer = { name: "bare loop", value: median(bare) };
  const peerOfP99 = { name: "a bare microtask", value: bareP99 };
  return figuresOf(subscribers, median(rates), p99, subscribers === 10 ? 100_000 : null, peer, peerOfP99, "messages/s");
}

/** Each handler called for each message, and a turn of the event loop's microtasks as often as the bus needs one. */
async function bareLoop(subscribers: number, messages: number): Promise<number> {
  let came = 0;
  const handlers = Array.from({ length: subscribers }, () => (_: { payload: Uint8Array }) => void came++);
  const began = performance.now();
  for (let sent = 0; sent < messages; sent += BURST) {
    for (let i = 0; i < BURST; i++) for (const handle of handlers) handle({ payload: PAYLOAD });
    await null;
  }
  if (came !== messages * subscribers) throw new Error("the loop is wrong");
  return messages / (performance.now() - began) * 1_000;
}

async function latencyInProcess(subscribers: number): Promise<number> {
  const bus = new Bus(), publisher = new LocalPort(bus, "bench", console.error), delays: number[] = [];
  for (let i = 0; i < subscribers; i++) {
    await new LocalPort(bus, `s${i}`, console.error).subscribe("events.#", ({ message: { payload } }) => {
      delays.push(performance.now() - new Float64Array(payload.buffer, payload.byteOffset, 1)[0]!);
    });
  }
  await paced(subscribers, (payload) => publisher.tell(TOPIC, payload), () => performance.now());
  return percentile(delays, 0.99);
}

/** The same for handlers that are called in the next microtask: what the machine lets nobody beat just now. */
async function latencyOfMicrotask(subscribers: number): Promise<number> {
  const delays: number[] = [];
  await paced(subscribers, (payload) => {
    for (let i = 0; i < subscribers; i++) {
      queueMicrotask(() => {
        delays.push(performance.now() - new Float64Array(payload.buffer, payload.byteOffset, 1)[0]!);
      });
    }
  }, () => performance.now());
  return percentile(delays, 0.99);
}

/** Publishes at a steady rate, each message with the time at which it was published. */
async function paced(
  subscribers: number,
  publish: (payload: Uint8Array) => void,
  now: () => number,
): Promise<void> {
  const began = performance.now(), perSecond = pacedPerSecond(subscribers), messages = perSecond * PACED_SECONDS;
  for (let sent = 0; sent < messages;) {
    const due = Math.min(messages, (performance.now() - began) / 1_000 * perSecond);
    for (; sent < due; sent++) {
      const payload = new Uint8Array(300);
      new Float64Array(payload.buffer, 0, 1)[0] = now();
      publish(payload);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function overSocket(subscribers: number): Promise<Figure[]> {
  const world = await World.begin();
  const messages = Math.ceil(DELIVERIES / subscribers / BURST) * BURST, rates: number[] = [];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-check",
      import.meta.filename!,
      "client",
      world.socket,
      `${subscribers}`,
      `${messages}`,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  const line = async (): Promise<string> => {
    while (!said.includes("\n")) {
      const { value, done } = await lines.read();
      if (done) throw new Error("the client ended");
      said += value;
    }
    const at = said.indexOf("\n"), text = said.slice(0, at);
    said = said.slice(at + 1);
    return text;
  };
  await line(); // "ready"
  const rss = Deno.memoryUsage().rss, cpu = process.cpuUsage();
  for (let run = 0; run < RUNS; run++) {
    const began = performance.now();
    for (let sent = 0; sent < messages; sent += BURST) {
      for (let i = 0; i < BURST; i++) world.publisher.tell(TOPIC, PAYLOAD);
      await new Promise((resolve) => setImmediate(resolve));
      while (Math.max(...[...world.bus.subscribers].map(({ queued }) => queued)) > 1_000 - BURST) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await line(); // "through"
    rates.push(messages / (performance.now() - began) * 1_000);
  }
  if (world.bus.counters.bus_lost_full > 0) throw new Error("the bus lost messages");
  const { user, system } = process.cpuUsage(cpu), perDelivery = (user + system) / (RUNS * messages * subscribers);
  await paced(
    subscribers,
    (payload) => world.publisher.tell(TOPIC, payload),
    () => performance.timeOrigin + performance.now(),
  );
  const p99 = Number(await line());
  const bare = await bareSocket(world.bareListener, subscribers, messages, line);
  const grown = (Deno.memoryUsage().rss - rss) / 1024;
  await child.status;
  await world.end();
  return [
    ...figuresOf(subscribers, median(rates) * subscribers, p99, 50_000, bare.rate, bare.p99),
    { what: "  CPU of the agent per delivery", ours: perDelivery, unit: "µs", peer: null, target: null },
    { what: "  the agent's resident memory grew by", ours: grown, unit: "KiB", peer: null, target: null },
  ];
}

/** The same bytes in frames over sockets of their own, without a bus: what the machine lets nobody beat just now. */
async function bareSocket(
  listener: Deno.UnixListener,
  subscribers: number,
  messages: number,
  line: () => Promise<string>,
): Promise<{ rate: Figure["peer"]; p99: Figure["peer"] }> {
  const connections: Deno.Conn[] = [], burst = new Uint8Array(BURST * BARE_BYTES);
  while (connections.length < subscribers) connections.push(await listener.accept());
  for (let i = 0; i < BURST; i++) burst.set(encodeFrame(PAYLOAD), i * BARE_BYTES);
  const write = async (connection: Deno.Conn, bytes: Uint8Array): Promise<void> => {
    while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
  };
  const began = performance.now();
  await Promise.all(connections.map(async (connection) => {
    for (let sent = 0; sent < messages; sent += BURST) await write(connection, burst);
  }));
  await line(); // "through"
  const rate = messages * subscribers / (performance.now() - began) * 1_000;
  const sending = connections.map(() => Promise.resolve());
  await paced(subscribers, (payload) => {
    const frame = encodeFrame(payload);
    connections.forEach((connection, i) => sending[i] = sending[i]!.then(() => write(connection, frame)));
  }, () => performance.timeOrigin + performance.now());
  const p99 = Number(await line());
  for (const connection of connections) connection.close();
  return { rate: { name: "bare frames", value: rate }, p99: { name: "bare frames", value: p99 } };
}

/** The client's end of that. */
async function bareClient(path: string, subscribers: number, messages: number): Promise<void> {
  const expected = messages * subscribers, last = expected + pacedPerSecond(subscribers) * PACED_SECONDS * subscribers;
  const delays: number[] = [], ended = Promise.withResolvers<void>();
  let came = 0;
  for (let i = 0; i < subscribers; i++) {
    const connection = await Deno.connect({ transport: "unix", path }), reader = new FrameReader();
    void (async () => {
      for (let count = await connection.read(reader.space()); count !== null;) {
        reader.filled(count);
        for (let payload = reader.next(); payload !== null; payload = reader.next()) {
          if (++came === expected) console.log("through");
          if (came <= expected) continue;
          const sent = new DataView(payload.buffer, payload.byteOffset).getFloat64(0, true);
          delays.push(performance.timeOrigin + performance.now() - sent);
          if (came === last) ended.resolve();
        }
        count = await connection.read(reader.space());
      }
    })().catch(ended.reject);
  }
  await ended.promise;
  console.log(percentile(delays, 0.99));
}

async function client(socket: string, subscribers: number, messages: number): Promise<void> {
  const { Channel } = await import("../proto/channel.ts");
  const { joinAgent } = await import("../proto/handshake.ts");
  const { RemotePort } = await import("../proto/bus/client.ts");
  const expected = messages * subscribers, delays: number[] = [];
  let came = 0, paced = 0;
  for (let i = 0; i < subscribers; i++) {
    const channel = new Channel(await Deno.connect({ transport: "unix", path: socket })), port = new RemotePort();
    const bootId = "0123abcd-0000-4000-8000-000000000000", source = "ebpf";
    await joinAgent(channel, token, { collectorId: `bench${i}`, epoch: "e", bootId, softwareVersion: "1", source });
    void (async () => {
      for (let some = await channel.receive(); some !== null; some = await channel.receive()) {
        for (const message of some) {
          if (message.kind === "busDeliveries" || message.kind === "busTaken") port.receive(message);
          else if (message.kind === "request") {
            await channel.send({ kind: "reply", id: message.id, body: { kind: "error", reason: "a benchmark" } });
          }
        }
      }
    })();
    await port.connected(channel);
    await port.subscribe("events.#", ({ message: { payload } }) => {
      if (came === expected * RUNS) {
        const sent = new DataView(payload.buffer, payload.byteOffset).getFloat64(0, true);
        delays.push(performance.timeOrigin + performance.now() - sent);
        if (++paced === pacedPerSecond(subscribers) * PACED_SECONDS * subscribers) {
          console.log(percentile(delays, 0.99));
          void bareClient(`${socket}.bare`, subscribers, messages).then(() => Deno.exit(0));
        }
      } else if (++came % expected === 0) console.log("through");
    });
  }
  console.log("ready");
}

/** The agent's broker with a store, as the product has it. */
class World {
  readonly bus = new Bus();
  readonly publisher = new LocalPort(this.bus, "bench", console.error);
  readonly dir = Deno.makeTempDirSync({ prefix: "daemoneye-bench-bus-" });
  readonly socket = `${this.dir}/broker.sock`;
  readonly bareListener = Deno.listen({ transport: "unix", path: `${this.socket}.bare` });
  readonly #store = new Store(`${this.dir}/events.db`);
  #broker!: Broker;
  #served!: Promise<void>;

  static async begin(): Promise<World> {
    const world = new World(), journal = new Journal(() => {}), counters = newCounters(), store = world.#store;
    world.#broker = new Broker(await listenAt(world.socket), {
      token,
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

  async end(): Promise<void> {
    this.bareListener.close();
    this.#broker.stop(1_000);
    await this.#served;
    this.#store.close();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

/** What a subscriber takes that waits for nothing, and what one takes whose queue is full. */
async function memory(): Promise<Figure[]> {
  const many = MANY, gc = (globalThis as { gc?: () => void }).gc;
  const used = (): number => (gc?.(), gc?.(), Deno.memoryUsage().heapUsed + Deno.memoryUsage().external);
  const bus = new Bus(), publisher = new LocalPort(bus, "bench", console.error), ports: LocalPort[] = [];
  const before = used();
  for (let i = 0; i < many; i++) {
    const port = new LocalPort(bus, `s${i}`, console.error);
    await port.subscribe("events.#", () => new Promise(() => {}));
    ports.push(port);
  }
  publisher.tell(TOPIC, PAYLOAD);
  await new Promise((resolve) => setTimeout(resolve, 10));
  const idle = used();
  for (let i = 0; i < 2_000; i++) publisher.tell(TOPIC, PAYLOAD.slice());
  const full = used();
  if (ports.length !== many) throw new Error("they are gone");
  const kib = (bytes: number): number => (bytes - before) / many / 1_024, rest = { unit: "KiB", peer: null };
  return [
    { what: "that waits for nothing", ours: kib(idle), ...rest, target: { most: 10 } },
    { what: "whose queue of 1,000 is full", ours: kib(full), ...rest, target: null },
  ];
}

function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** `perSecond` are messages in process, and over the socket deliveries. */
function figuresOf(
  subscribers: number,
  perSecond: number,
  p99: number,
  least: number | null,
  peer: Figure["peer"],
  peerOfP99: Figure["peer"],
  unit = "deliveries/s",
): Figure[] {
  const what = `${subscribers} subscribers`;
  return [
    { what, ours: perSecond, unit, peer, target: least === null ? null : { least } },
    {
      what: `  p99 at ${pacedPerSecond(subscribers)} messages/s`,
      ours: p99,
      unit: "ms",
      peer: peerOfP99,
      target: { most: 1 },
    },
  ];
}

await main();
