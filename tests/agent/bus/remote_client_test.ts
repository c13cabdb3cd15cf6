import assert from "node:assert/strict";
import { CLIENT_LIMITS } from "../../../agent/bus/remote_clients.ts";
import { newCorrelation } from "../../../proto/bus/correlation.ts";
import type { Delivery } from "../../../proto/bus/message.ts";
import { until } from "../support.ts";
import { BusCollector, BusWorld } from "./bus_world.ts";

const TOPIC = "events.process.lifecycle";
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = ({ message }: Delivery): string => new TextDecoder().decode(message.payload);
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

Deno.test("a collector gets what it subscribed to over the socket, with everything that a message says", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const came: Delivery[] = [],
    subscription = await collector.port.subscribe("events.#", (each) => void came.push(each));
  const { correlation } = newCorrelation({ id: "ü", tags: { a: "b" }, createdAt: 5 });
  world.agent.tell(TOPIC, bytes("x"), { priority: "high", ttlMs: 60_000, correlation, type: "control" });
  world.agent.tell("alerts.high", bytes("not wanted"));
  world.agent.tell(TOPIC, bytes("y"));
  await until("both came", () => came.length === 2);
  assert.deepEqual(came.map(text), ["x", "y"]);
  const { message } = came[0]!;
  assert.deepEqual(
    [message.topic, message.source, message.priority, message.ttlMs, message.type, message.correlation],
    [TOPIC, "agent", "high", 60_000, "control", correlation],
  );
  assert.deepEqual(world.clients.statuses().map(({ delivered, patterns }) => [delivered, patterns]), [[2, 1]]);
  await subscription.end();
  assert.equal(world.bus.wants(TOPIC), false);
});

Deno.test("a collector publishes what is its own, which others hear; the rest is refused by name and counted", async () => {
  await using world = await BusWorld.begin();
  using one = await BusCollector.join(world.socket, { collectorId: "netmond" });
  using other = await BusCollector.join(world.socket, { collectorId: "other" });
  const came: string[] = [];
  await other.port.subscribe("events.network.#", (each) => void came.push(`${each.message.source} ${text(each)}`));
  await one.port.publish("events.network.dns", bytes("q"));
  await until("it came", () => came.length === 1);
  assert.deepEqual(came, ["netmond q"]);

  const rights = { name: "BusRefusedError", refusal: "rights" }, malformed = { refusal: "malformed" };
  await assert.rejects(one.port.publish(TOPIC, bytes("forged")), rights);
  await assert.rejects(one.port.publish("alerts.high", bytes("forged")), rights);
  await assert.rejects(one.port.publish("control.health.heartbeat.other", bytes("of another")), rights);
  await assert.rejects(other.port.publish("events.network.dns", bytes("not its domain")), rights);
  await assert.rejects(one.port.publish("events.Network", bytes("x")), malformed);
  await one.port.publish("control.health.heartbeat.netmond", bytes("its own"));
  for (
    const pattern of ["#", "control.#", "control.collector.other", "control.collector.config.+", "control.agent.#"]
  ) {
    await assert.rejects(one.port.subscribe(pattern, () => {}), rights, pattern);
  }
  await one.port.subscribe("control.collector.netmond", () => {});
  assert.equal(world.bus.counters.bus_refused_rights, 9);
  assert.equal(world.bus.counters.bus_refused_malformed, 1);
  assert.equal(world.clients.statuses().find(({ name }) => name === "netmond")!.refused, 9);
  const notices = world.lines.filter((line) => line.includes("is refused on the bus"));
  assert.equal(notices.length, 3, "one for each kind and collector, not one for each message");
  assert.equal(one.ended || other.ended, false, "nobody lost a connection");
});

Deno.test("at least once: what was under way when connections broke has its effect exactly once, in order", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const came: string[] = [];
  await collector.port.subscribe("events.#", (each) => void came.push(text(each)), { quality: "at-least-once" });
  const total = 4_000;
  for (let sent = 0, breaks = 0; sent < total;) {
    for (let i = 0; i < 50; i++) world.agent.tell(TOPIC, bytes(`${++sent}`));
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (sent % 400 === 0 && breaks++ < 8) {
      collector.disconnect();
      world.agent.tell(TOPIC, bytes(`${++sent}`));
      world.agent.tell(TOPIC, bytes(`${++sent}`));
      await collector.connect();
    }
    await until("it keeps up", () => came.length > sent - 500);
  }
  await until("all came", () => came.length >= total);
  assert.deepEqual(came, numbers(1, came.length));
  assert.equal(collector.port.lost, 0);
  assert.equal(world.bus.counters.bus_lost_full + world.bus.counters.bus_lost_disconnected, 0);
});

Deno.test("at most once: a broken connection loses what was under way, which is counted, and doubles nothing", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const came: string[] = [];
  await collector.port.subscribe("events.#", (each) => void came.push(text(each)));
  for (let i = 1; i <= 300; i++) world.agent.tell(TOPIC, bytes(`${i}`));
  collector.disconnect();
  await until("the end is noticed", () => world.broker.connections().length === 0);
  await collector.connect();
  world.agent.tell(TOPIC, bytes("new"));
  await until("the new one came", () => came.at(-1) === "new");
  assert.equal(new Set(came).size, came.length);
});

Deno.test("at most once: room is granted as messages come, with no clock", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const came: string[] = [], total = 5_000;
  await collector.port.subscribe("events.#", (each) => void came.push(text(each)));
  // As many at a time as are never all granted at the end of the window.
  for (let sent = 0; sent < total;) {
    for (let i = 0; i < 500; i++) world.agent.tell(TOPIC, bytes(`${++sent}`));
    await until("all came", () => came.length === sent);
  }
  assert.deepEqual(came, numbers(1, total));
  assert.equal(collector.port.lost, 0);
});

Deno.test("what a collector publishes at least once takes effect exactly once, whatever its connections do", async () => {
  const rate = { burst: 1e6, perSecond: 1e6 };
  await using world = await BusWorld.begin({ rate, topicRate: rate });
  using collector = await BusCollector.join(world.socket, { collectorId: "fsmond" });
  const came: string[] = [];
  await world.agent.subscribe("events.filesystem.#", (each) => void came.push(text(each)));
  const pending: Promise<void>[] = [], total = 2_000;
  for (let i = 1; i <= total; i++) {
    pending.push(collector.port.publish("events.filesystem.operations", bytes(`${i}`)));
    if (i % 100 === 0) await Promise.all(pending.splice(0, 80));
    if (i % 250 === 0) {
      collector.disconnect();
      await collector.connect();
    }
  }
  await Promise.all(pending);
  await until("all came", () => came.length >= total);
  assert.deepEqual(came, numbers(1, total));
});

Deno.test("a collector that stops reading loses only what is its own", async () => {
  await using world = await BusWorld.begin();
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  using stuck = await BusCollector.join(world.socket, { collectorId: "stuck" });
  let came = 0;
  await good.port.subscribe("events.#", () => void came++);
  // A handler that never ends: nothing is acknowledged any more.
  await stuck.port.subscribe("events.#", () => new Promise(() => {}), { quality: "at-least-once" });
  const payload = new Uint8Array(2_000), total = 5_000;
  for (let sent = 0; sent < total;) {
    for (let i = 0; i < 100; i++, sent++) world.agent.tell(TOPIC, payload);
    await until("the good one keeps up", () => came > sent - 500);
  }
  await until("the good one has all", () => came === total);
  const of = (name: string) => world.clients.statuses().find((each) => each.name === name)!;
  assert.equal(of("good").lost, 0);
  assert.ok(of("stuck").queued <= 1_000 && of("stuck").lost >= total - 1_000 - 1_000 - 1);
  assert.equal(of("stuck").lost, world.bus.counters.bus_lost_full);
});

Deno.test("a flood is refused above its rate and slows down nobody else", async () => {
  await using world = await BusWorld.begin();
  using flooder = await BusCollector.join(world.socket, { collectorId: "perfmond" });
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  let heard = 0, answered = 0;
  await world.agent.subscribe("events.performance.#", () => void heard++);
  let isFlooding = true;
  const flood = (async () => {
    while (isFlooding) {
      await flooder.port.tell("events.performance.system", bytes("x".repeat(500))).catch(() => isFlooding = false);
    }
  })();
  await until("it is refused", () => world.bus.counters.bus_refused_rate > 2_000);
  for (; answered < 50; answered++) await good.port.publish("control.health.heartbeat.good", bytes(`${answered}`));
  isFlooding = false;
  await flood;
  assert.equal(answered, 50);
  const { burst, perSecond } = CLIENT_LIMITS.topicRate;
  assert.ok(heard <= burst + perSecond * 30, `${heard} of a flood were taken`);
  assert.match(world.lines.join("\n"), /collector perfmond is refused on the bus: it publishes too much/);
  assert.equal(world.lines.filter((line) => line.includes("publishes too much")).length, 1);
});

Deno.test("who acknowledges what it was not sent loses its connection, and no more", async () => {
  await using world = await BusWorld.begin();
  using liar = await BusCollector.join(world.socket, { collectorId: "liar" });
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  await liar.port.subscribe("events.#", () => {});
  await liar.channel.send({ kind: "busConsumed", number: 1_000, window: 1_000 });
  await until("its connection ends", () => liar.ended);
  await good.port.publish("control.health.heartbeat.good", bytes("x"));
  assert.equal(world.counters.connections_failed, 1);
});

Deno.test("no collector can be called as the agent is", async () => {
  await using world = await BusWorld.begin();
  await assert.rejects(BusCollector.join(world.socket, { collectorId: "agent" }), /cannot be called agent/);
});

Deno.test("who has gone for good is forgotten, and those that are kept are few", async () => {
  await using world = await BusWorld.begin();
  for (let i = 0; i < 40; i++) {
    using collector = await BusCollector.join(world.socket, { epoch: `epoch-${i}` });
    await collector.port.subscribe("events.#", () => {}, { quality: "at-least-once" });
  }
  await until("all are gone", () => world.broker.connections().length === 0);
  await until("few are kept", () => world.bus.subscribers.size <= 32);
  assert.equal(world.bus.subscribers.size, 32);
});
