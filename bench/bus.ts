/**
 * The bus in process and over the socket, with 1, 10 and 100 subscribers: messages, deliveries, memory, and how long one
 * takes at a steady rate, from where it is published to its handler. Over the socket, agent and subscribers are two fresh
 * processes with the memory that the product's own have (`MEMORY_FLAG`): a heap that a burst of 200,000 messages has left
 * is collected at length, so bursts come last. A round before those that count lets V8 compile.
 *
 * Targets: 100,000 messages/s in process to 10 subscribers, 50,000/s over the socket, p99 of 1 ms.
 * The baselines of the same run are a bare loop that calls each handler, and bare frames over sockets of their own, those
 * of one turn in one write.
 *
 * With 100 subscribers 1 ms is beyond what this runtime does on 2 cores, the frames alone included. One message is 100
 * writes and 100 reads, and 500 messages a second leave 2 ms for each. The agent's writes take 2.6 µs each, wherever they
 * are done (`Deno.Conn` has no way to write to many, and the agent no FFI). The subscribers' process begins some 0.4 ms
 * late, as the kernel wakes it on the writer's core (0.8 ms until half have a frame, 0.5 where each is bound to a core of
 * its own), and then takes 6 µs for each read that does nothing but read. Bare frames with a checksum use 4 + 5 µs of
 * processor for a delivery, the bus 7 + 9: four tenths of both cores are busy, and what a collection of garbage (0.2 to
 * 1 ms at either end) holds up waits behind the next message. Writing in groups with turns between them, writes by
 * `node:net`, one thread for all collections and larger young heaps did not make it less.
 *
 * @module
 */
import { Bus } from "../agent/bus/bus.ts";
import { LocalPort } from "../agent/bus/local_port.ts";
import {
  BURST,
  Delays,
  type DelayTimes,
  paced,
  PACED_ROUNDS,
  pacedPerSecond,
  PAYLOAD_BYTES,
  RUNS,
  TOPIC,
} from "./support/bus_load.ts";
import type { BurstTimes, PacedTimes } from "./support/bus_agent.ts";
import { LineProcess } from "./support/line_process.ts";
import { type Figure, median, report } from "./support/report.ts";

const SUBSCRIBERS = [1, 10, 100];
const PAYLOAD = new Uint8Array(PAYLOAD_BYTES).fill(7);
/** By subscribers. */
const MESSAGES: Readonly<Record<number, number>> = { 1: 400_000, 10: 200_000, 100: 30_000 };
/** Subscribers whose memory is measured. */
const MANY = 1_000;

async function main(): Promise<void> {
  const ofMemory = await memory(), figures: Figure[] = [];
  for (const subscribers of SUBSCRIBERS) figures.push(...await inProcess(subscribers));
  report(`bus in process, messages of ${PAYLOAD_BYTES} bytes`, figures);
  figures.length = 0;
  for (const subscribers of SUBSCRIBERS) figures.push(...await overSocket(subscribers));
  report("bus over the socket, from the agent to another process", figures);
  report(`memory of one subscriber of ${MANY}, who share the messages`, ofMemory);
}

async function inProcess(subscribers: number): Promise<Figure[]> {
  const messages = MESSAGES[subscribers]!, rates: number[] = [], bare: number[] = [];
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
  }
  const p99s: number[] = [], bareP99s: number[] = [];
  for (let round = 0; round < PACED_ROUNDS; round++) {
    p99s.push(await latencyInProcess(subscribers));
    bareP99s.push(await latencyOfMicrotask(subscribers));
  }
  return figuresOf(
    subscribers,
    { what: "messages/s", ours: median(rates), peer: { name: "bare loop", value: median(bare) } },
    subscribers === 10 ? 100_000 : null,
    { ours: median(p99s), peer: { name: "a bare microtask", value: median(bareP99s) } },
  );
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
  const bus = new Bus(), publisher = new LocalPort(bus, "bench", console.error);
  return await latency(subscribers, (payload) => publisher.tell(TOPIC, payload), async (came) => {
    for (let i = 0; i < subscribers; i++) {
      await new LocalPort(bus, `s${i}`, console.error).subscribe("events.#", ({ message }) => came(message.payload));
    }
  });
}

/** The same for handlers that are called in the next microtask: what the machine lets nobody beat just now. */
async function latencyOfMicrotask(subscribers: number): Promise<number> {
  const handlers: ((payload: Uint8Array) => void)[] = [];
  return await latency(subscribers, (payload) => {
    for (const handle of handlers) queueMicrotask(() => handle(payload));
  }, (came) => {
    for (let i = 0; i < subscribers; i++) handlers.push(came);
  });
}

async function latency(
  subscribers: number,
  publish: (payload: Uint8Array) => void,
  subscribe: (came: (payload: Uint8Array) => void) => void | Promise<void>,
): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<DelayTimes>();
  const delays = new Delays(pacedPerSecond(subscribers) * subscribers, resolve);
  await subscribe((payload) => delays.came(payload, performance.now()));
  await paced(subscribers, publish, { now: () => performance.now() });
  return (await promise).p99;
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

/** The rounds of both in turn, each after one that does not count, and then the bursts, which leave large heaps. */
async function overSocket(subscribers: number): Promise<Figure[]> {
  const module = new URL("support/bus_agent.ts", import.meta.url);
  const bus = new LineProcess(module, ["bus", `${subscribers}`]), rounds: PacedTimes[] = [], runs: BurstTimes[] = [];
  const bare = new LineProcess(module, ["bare", `${subscribers}`]), bareRounds: PacedTimes[] = [];
  await Promise.all([bus.answer(), bare.answer()]); // "ready"
  for (let round = -1; round < PACED_ROUNDS; round++) {
    for (const [process, times] of [[bus, rounds], [bare, bareRounds]] as const) {
      await process.ask("paced");
      const each = await process.answer<PacedTimes>();
      if (round >= 0) times.push(each);
    }
  }
  for (let run = 0; run < RUNS; run++) {
    await bus.ask("burst");
    runs.push(await bus.answer());
  }
  await bare.ask("burst");
  const { perSecond: barePerSecond } = await bare.answer<BurstTimes>(), name = "bare frames";
  await Promise.all([bus.end(), bare.end()]);
  const of = (key: keyof PacedTimes): Compared => ({
    ours: median(rounds.map((each) => each[key])),
    peer: { name, value: median(bareRounds.map((each) => each[key])) },
  });
  const usPerDelivery = median(runs.map((run) => run.usPerDelivery));
  return [
    ...figuresOf(
      subscribers,
      {
        what: "deliveries/s",
        ours: median(runs.map(({ perSecond }) => perSecond)),
        peer: { name, value: barePerSecond },
      },
      50_000,
      of("p99"),
    ),
    { what: "  half of them below", unit: "ms", target: null, ...of("p50") },
    { what: "  CPU of the agent per delivery at this rate", unit: "µs", target: null, ...of("usPerDelivery") },
    { what: "  CPU of the subscribers per delivery", unit: "µs", target: null, ...of("usPerDeliveryTaken") },
    {
      what: "  CPU of the agent per delivery at full speed",
      ours: usPerDelivery,
      unit: "µs",
      peer: null,
      target: null,
    },
    {
      what: "  the agent's resident memory grew by",
      ours: Math.max(...runs.map(({ grownKib }) => grownKib)),
      unit: "KiB",
      peer: null,
      target: null,
    },
  ];
}

interface Compared {
  readonly ours: number;
  readonly peer: Figure["peer"];
}

/** `rate.what` is what is counted by the second. */
function figuresOf(
  subscribers: number,
  rate: Compared & { readonly what: string },
  least: number | null,
  p99: Compared,
): Figure[] {
  const { what: unit, ...compared } = rate, target = least === null ? null : { least };
  const at = `  p99 at ${pacedPerSecond(subscribers)} messages/s`;
  return [
    { what: `${subscribers} subscribers`, unit, target, ...compared },
    { what: at, unit: "ms", target: { most: 1 }, ...p99 },
  ];
}

await main();
