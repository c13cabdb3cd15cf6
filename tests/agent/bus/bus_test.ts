import assert from "node:assert/strict";
import { Bus } from "../../../agent/bus/bus.ts";
import { LocalPort } from "../../../agent/bus/local_port.ts";
import { MessageQueue } from "../../../agent/bus/message_queue.ts";
import type { Published } from "../../../agent/bus/published.ts";
import { MAX_PATTERNS, MAX_WINDOW, Subscriber } from "../../../agent/bus/subscriber.ts";
import { TokenBucket } from "../../../agent/token_bucket.ts";
import { type Delivery, MAX_PAYLOAD_BYTES } from "../../../proto/bus/message.ts";
import { newCorrelation } from "../../../proto/bus/correlation.ts";
import { checkPattern } from "../../../proto/bus/topic.ts";
import { until } from "../support.ts";

const TOPIC = "events.process.lifecycle";
const NOTHING = new Uint8Array(0);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = ({ message }: Delivery): string => new TextDecoder().decode(message.payload);

function newPort(bus: Bus, name: string, notices: string[] = []): LocalPort {
  return new LocalPort(bus, name, (notice) => notices.push(notice));
}

/** A subscriber without a port, as of a socket. */
function newSubscriber(bus: Bus, quality: "at-most-once" | "at-least-once", limits = { messages: 1_000, bytes: 1e6 }) {
  const subscriber = new Subscriber("far", bus.counters, { isRemote: true, limits });
  subscriber.patterns.set("events.#", { segments: checkPattern("events.#"), quality });
  bus.add(subscriber);
  return subscriber;
}

function taken(subscriber: Subscriber, max = 1_000, now = Date.now()): { first: number; texts: string[] } {
  const batch: Published[] = [], first = subscriber.take(batch, max, Infinity, now);
  return { first, texts: batch.map(({ payload }) => new TextDecoder().decode(payload)) };
}

Deno.test("a message goes to those whose pattern matches, once to each, with what it says of itself", async () => {
  const bus = new Bus(() => 42), publisher = newPort(bus, "agent"), got: Record<string, Delivery[]> = {};
  for (const [name, ...patterns] of [["a", "events.#", "events.process.+"], ["b", "alerts.#"], ["c", TOPIC]]) {
    const port = newPort(bus, name!);
    for (const pattern of patterns) {
      await port.subscribe(pattern, (delivery) => void (got[name!] ??= []).push(delivery));
    }
  }
  const { correlation } = newCorrelation({ id: "case", createdAt: 1 });
  await publisher.publish(TOPIC, bytes("x"), { priority: "high", ttlMs: 5, correlation });
  await until("it came", () => got["c"]?.length === 1);
  assert.equal(got["a"]!.length, 2, "two handlers of one port");
  assert.equal(got["b"], undefined);
  assert.deepEqual({ ...got["c"]![0]!.message, encoded: null, receipt: null }, {
    topic: TOPIC,
    type: "event",
    source: "agent",
    sequence: 1,
    time: 42,
    priority: "high",
    ttlMs: 5,
    correlation,
    payload: bytes("x"),
    encoded: null,
    receipt: null,
  });
  assert.equal(bus.counters.bus_delivered, 2, "delivered once to each port");
});

Deno.test("who asks whether a topic is wanted hears it as subscriptions come and go", async () => {
  const bus = new Bus(), port = newPort(bus, "a");
  assert.equal(bus.wants(TOPIC), false);
  const first = await port.subscribe("events.#", () => {}), second = await port.subscribe("events.#", () => {});
  assert.equal(bus.wants(TOPIC), true);
  assert.equal(bus.wants("alerts.high"), false);
  await first.end();
  assert.equal(bus.wants(TOPIC), true);
  await second.end();
  assert.equal(bus.wants(TOPIC), false);
  assert.deepEqual(bus.gauges(), { bus_subscribers: 0, bus_subscriptions: 0, bus_queued: 0, bus_behind: 0 });
});

Deno.test("what cannot be published or subscribed to is refused by name", async () => {
  const port = newPort(new Bus(), "a"), refused = { name: "BusRefusedError", refusal: "malformed" };
  await assert.rejects(port.publish("Events", NOTHING), refused);
  await assert.rejects(port.publish(TOPIC, new Uint8Array(MAX_PAYLOAD_BYTES + 1)), refused);
  await assert.rejects(port.subscribe("events.#.x", () => {}), refused);
  for (let i = 0; i < MAX_PATTERNS; i++) await port.subscribe(`events.a${i}`, () => {});
  await assert.rejects(port.subscribe("events.one-more", () => {}), { refusal: "limit" });
});

Deno.test("a subscriber that stands still loses what is its own, is told how much, and keeps nobody", async () => {
  const bus = new Bus(), publisher = newPort(bus, "agent"), slow = newPort(bus, "slow"), fast = newPort(bus, "fast");
  const gate = Promise.withResolvers<void>(), came: Delivery[] = [];
  let fastCame = 0;
  await slow.subscribe("events.#", (delivery) => (came.push(delivery), gate.promise));
  await fast.subscribe("events.#", () => void fastCame++);
  for (let i = 0; i < 3_000; i++) {
    publisher.tell(TOPIC, bytes(`${i}`));
    if (i % 500 === 499) await until("the fast one has them", () => fastCame === i + 1);
  }
  assert.equal(bus.gauges()["bus_queued"]! <= 1_000, true);
  gate.resolve();
  await until("the slow one is through", () => bus.gauges()["bus_queued"] === 0);
  await until("its handler ran", () => came.length === 3_000 - slow.lost);
  assert.equal(fast.lost, 0);
  assert.ok(slow.lost >= 1_900 && slow.lost <= 2_000, `${slow.lost} lost`);
  assert.equal(bus.counters.bus_lost_full, slow.lost);
  assert.equal(came.at(-1)!.lost, slow.lost);
  assert.deepEqual(came.map(text).slice(0, 3), ["0", "1", "2"], "the beginning of what it missed is there");
  assert.deepEqual(came.map(({ number }) => number), came.map((_, i) => i + 1));
});

Deno.test("a handler that throws is counted and noticed once, and goes on", async () => {
  const bus = new Bus(), notices: string[] = [], port = newPort(bus, "bad", notices);
  let calls = 0;
  await port.subscribe("events.#", () => {
    calls++;
    throw new Error("no");
  });
  for (let i = 0; i < 3; i++) port.tell(TOPIC, NOTHING);
  await until("all came", () => calls === 3);
  assert.equal(bus.counters.bus_handler_faults, 3);
  assert.deepEqual(notices, [`bad cannot handle a message of ${TOPIC}: no`]);
});

Deno.test("the important goes first, and of a full queue the unimportant is given up first, the oldest before", () => {
  const bus = new Bus(), subscriber = newSubscriber(bus, "at-most-once", { messages: 4, bytes: 1e6 });
  const publish = (words: string, priority: "critical" | "high" | "normal" | "low"): void =>
    bus.publish("agent", TOPIC, bytes(words), { priority });
  publish("low 1", "low");
  publish("low 2", "low");
  publish("normal", "normal");
  publish("low 3", "low");
  publish("critical", "critical"); // in place of low 1
  publish("low 4", "low"); // no room
  publish("high", "high"); // in place of low 2
  assert.deepEqual(taken(subscriber).texts, ["critical", "high", "normal", "low 3"]);
  assert.equal(subscriber.counts.lost, 3);
});

Deno.test("a queue is bounded in bytes too, and takes one message of any length", () => {
  const queue = new MessageQueue(1_000, 10_000),
    bus = new Bus(),
    message = (length: number): Published => {
      const subscriber = newSubscriber(bus, "at-most-once", { messages: 1, bytes: 1 });
      bus.publish("agent", TOPIC, new Uint8Array(length));
      const batch: Published[] = [];
      subscriber.take(batch, 1, 1, 0);
      bus.remove(subscriber);
      return batch[0]!;
    };
  assert.equal(queue.push(message(50_000), false), 0);
  assert.equal(queue.push(message(10), false), 1);
  queue.shift();
  for (let i = 0; i < 100; i++) queue.push(message(1_000), false);
  assert.equal(queue.length, 8);
});

Deno.test("what is too old when its turn comes is not handed out, and is counted", () => {
  let now = 1_000;
  const bus = new Bus(() => now), subscriber = newSubscriber(bus, "at-least-once");
  bus.publish("agent", TOPIC, bytes("short"), { ttlMs: 10 });
  bus.publish("agent", TOPIC, bytes("long"), { ttlMs: 100 });
  bus.publish("agent", TOPIC, bytes("for ever"));
  now += 50;
  assert.deepEqual(taken(subscriber, 10, now), { first: 1, texts: ["long", "for ever"] });
  assert.equal(bus.counters.bus_lost_expired, 1);
});

Deno.test("no more is under way than was granted, and an acknowledgement grants more", () => {
  const bus = new Bus(), subscriber = newSubscriber(bus, "at-most-once");
  let woken = 0;
  subscriber.connected(() => void woken++);
  subscriber.resumed(0, 10);
  for (let i = 0; i < 30; i++) bus.publish("agent", TOPIC, bytes(`${i}`));
  assert.equal(taken(subscriber).texts.length, 10);
  assert.equal(taken(subscriber).texts.length, 0);
  assert.equal(woken, 1);
  assert.equal(subscriber.acknowledge(4, 10), true);
  assert.equal(woken, 2);
  assert.deepEqual(taken(subscriber), { first: 11, texts: ["10", "11", "12", "13"] });
  assert.equal(subscriber.acknowledge(99, 10), false, "it was not handed out");
  assert.equal(subscriber.acknowledge(14, 1e9), true);
  assert.equal(subscriber.credit, MAX_WINDOW, "nobody grants more than that");
});

Deno.test("at least once: what was not acknowledged comes again under its number, and only that", () => {
  const bus = new Bus(), subscriber = newSubscriber(bus, "at-least-once");
  for (let i = 1; i <= 6; i++) bus.publish("agent", TOPIC, bytes(`${i}`));
  assert.equal(taken(subscriber, 4).first, 1);
  subscriber.acknowledge(1, 100);
  subscriber.disconnected();
  bus.publish("agent", TOPIC, bytes("7"));
  let isAwake = false;
  subscriber.connected(() => isAwake = true);
  assert.deepEqual(taken(subscriber).texts, [], "nothing before it says what it has");
  subscriber.resumed(2, 100);
  assert.ok(isAwake);
  assert.deepEqual(taken(subscriber), { first: 3, texts: ["3", "4"] });
  subscriber.disconnected(); // again, before anything of it was acknowledged
  subscriber.connected(() => {});
  subscriber.resumed(3, 100);
  assert.deepEqual(taken(subscriber), { first: 4, texts: ["4"] });
  assert.deepEqual(taken(subscriber), { first: 5, texts: ["5", "6", "7"] });
  assert.equal(subscriber.counts.lost, 0);
  assert.equal(bus.counters.bus_redelivered, 3);
});

Deno.test("at most once: what was under way or waited when a connection broke is lost and counted, once", () => {
  const bus = new Bus(), subscriber = newSubscriber(bus, "at-most-once");
  for (let i = 1; i <= 6; i++) bus.publish("agent", TOPIC, bytes(`${i}`));
  taken(subscriber, 4);
  subscriber.acknowledge(1, 100);
  subscriber.disconnected();
  bus.publish("agent", TOPIC, bytes("while it is away"));
  assert.equal(subscriber.counts.lost, 5);
  subscriber.connected(() => {});
  subscriber.resumed(1, 100);
  bus.publish("agent", TOPIC, bytes("new"));
  assert.deepEqual(taken(subscriber), { first: 5, texts: ["new"] });
  assert.equal(bus.counters.bus_lost_disconnected, 5);
});

Deno.test("a bucket gives its burst at once, and then what comes back with time", () => {
  const bucket = new TokenBucket({ burst: 10, perSecond: 100 }, 0);
  const count = (now: number): number => {
    let given = 0;
    while (bucket.take(now)) given++;
    return given;
  };
  assert.equal(count(0), 10);
  assert.equal(count(50), 5);
  assert.equal(count(40), 0, "a clock that goes back gives nothing");
  assert.equal(count(60_000), 10, "and a long pause no more than the burst");
});
