/** The bus as a sink: out of the outbox, until every subscriber that wants alerts at least once has acknowledged them. */
import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { Delivery } from "../../../../agent/alerts/delivery.ts";
import { type Sink, SinkError } from "../../../../agent/alerts/sink.ts";
import { busSink } from "../../../../agent/alerts/sinks/bus_sink.ts";
import type { Alert } from "../../../../proto/alert.ts";
import type { Quality } from "../../../../proto/bus/message.ts";
import { type AlertPayload, AlertPayloadSchema } from "../../../../proto/gen/eventbus_pb.ts";
import type { BusSinkSettings } from "../../../../proto/sink_settings.ts";
import { BusCollector, BusWorld } from "../../bus/bus_world.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { commitEvents, newAlert, openTestStream, rows, start, until } from "../../support.ts";
import { sinkOf } from "./settings.ts";

function open(world: BusWorld, more: Record<string, unknown> = {}): Sink {
  const settings = sinkOf({ name: "bus", type: "bus", timeout_ms: 200, ...more }) as BusSinkSettings;
  return busSink(settings, world.bus, (text) => world.journal.notice(text));
}

/** Ids of the alerts that a subscriber gets, in their order. */
async function heardBy(collector: BusCollector, quality: Quality = "at-least-once"): Promise<string[]> {
  const ids: string[] = [];
  await collector.port.subscribe("alerts.#", ({ message }) => void ids.push(message.correlation!.id), { quality });
  return ids;
}

function raise(world: BusWorld, ids: readonly string[], severity: Alert["severity"] = "high"): void {
  const stream = openTestStream(world.store), base = stream.number * 2 ** 40 + stream.lastSequence + 1;
  const alerts = ids.map((id, i) => newAlert(id, { eventId: base + i, severity }));
  commitEvents(world.store, stream, ids.map((_, i) => start(i + 1)), { alerts });
}

const isRetry = (error: unknown): error is SinkError =>
  error instanceof SinkError && error.remedy.kind === "retry" && error.taken === 0;

Deno.test("alerts wait in the store while nobody subscribes, and go to the bus at once when somebody does", async () => {
  await using world = await BusWorld.begin();
  world.store.useSinks([{ name: "bus", minSeverity: "low" }], []);
  const faults: string[] = [];
  const delivery = new Delivery(open(world, { timeout_ms: 5_000 }), {
    fault: (text) => faults.push(text),
    storeFault: () => {},
  });
  world.bus.subscribed = () => delivery.hasten();
  delivery.attach(world.store);
  raise(world, ["low@col:e:1"], "low");
  raise(world, ["bad@col:e:2", "worse@col:e:3"], "critical");
  raise(world, ["nothing@col:e:4"], "info");
  delivery.poke();
  await until("it says what it waits for", () => faults.length > 0);
  assert.match(faults[0]!, /^alerts to bus: nobody subscribes to alerts\.critical at least once/);

  using once = await BusCollector.join(world.socket, { collectorId: "once" });
  const passing = await heardBy(once, "at-most-once");
  assert.equal(world.store.owedDeliveries, 3, "who may lose them is nobody to wait for");
  using collector = await BusCollector.join(world.socket);
  const ids = await heardBy(collector);
  await until("nothing is owed", () => world.store.owedDeliveries === 0);
  assert.deepEqual(ids, ["bad@col:e:2", "worse@col:e:3", "low@col:e:1"], "the most severe first");
  assert.deepEqual(passing, ids);
  await delivery.stop(1_000);
});

/** A subscriber that acknowledges nothing before it is released. */
async function hangingAs(world: BusWorld, collectorId: string): Promise<
  { collector: BusCollector; late: string[]; release: () => void }
> {
  const collector = await BusCollector.join(world.socket, { collectorId }), late: string[] = [];
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  await collector.port.subscribe("alerts.#", async ({ message }) => {
    await held;
    late.push(message.correlation!.id);
  }, { quality: "at-least-once" });
  return { collector, late, release };
}

/** Longer than any test: what waits for that waits for ever. */
const FOR_EVER = { timeout_ms: 120_000 };

Deno.test("an alert is delivered when each subscriber that keeps up has it; one that hangs holds up the others once", async () => {
  await using world = await BusWorld.begin();
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  const got = await heardBy(good), slow = await hangingAs(world, "slow");
  using _ = slow.collector;
  const sink = open(world, { timeout_ms: 100 }), patient = open(world, FOR_EVER);
  await sink.write([newAlert("a"), newAlert("b")]);
  assert.deepEqual([world.bus.gauges()["bus_behind"], world.bus.counters.bus_unacknowledged], [1, 2]);
  const said = world.lines.filter((line) => line.includes("slow did not acknowledge alerts within 100 ms"));
  assert.equal(said.length, 1);

  let isDelivered = false;
  void patient.write([newAlert("c")]).then(() => isDelivered = true);
  await until("the next is not held up", () => isDelivered);
  assert.deepEqual([got, slow.late], [["a", "b", "c"], []]);

  slow.release();
  await until("it has all, each once", () => slow.late.length === 3);
  assert.deepEqual(slow.late, ["a", "b", "c"]);
  await until("it keeps up", () => world.bus.gauges()["bus_behind"] === 0);
  await patient.write([newAlert("d")]); // and it is waited for
  assert.deepEqual([got, slow.late], [["a", "b", "c", "d"], ["a", "b", "c", "d"]]);
});

Deno.test("alerts that the only subscriber does not acknowledge stay owed, and go on when it does or another comes", async () => {
  await using world = await BusWorld.begin();
  world.store.useSinks([{ name: "bus", minSeverity: "info" }], []);
  const slow = await hangingAs(world, "slow"), faults: string[] = [];
  using _ = slow.collector;
  const events = { fault: (text: string) => faults.push(text), storeFault: () => {} };
  const delivery = new Delivery(open(world, { timeout_ms: 100 }), events, { firstRetryMs: 5 });
  world.bus.subscribed = () => delivery.hasten();
  delivery.attach(world.store);
  raise(world, ["a@col:e:1", "b@col:e:2"]);
  delivery.poke();
  const says = (pattern: RegExp) => () => faults.some((text) => pattern.test(text));
  await until("it is told", says(/slow did not acknowledge within 100 ms/));
  await until("why it waits", says(/slow does not acknowledge alerts\.high; its alerts wait until it does/));
  assert.equal(world.store.owedDeliveries, 2);
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  const got = await heardBy(good);
  await until("the other has them", () => world.store.owedDeliveries === 0);
  assert.deepEqual(got, ["a@col:e:1", "b@col:e:2"]);

  good.disconnect();
  world.clients.stop();
  await until("it is gone", () => world.broker.connections().length === 1);
  raise(world, ["c@col:e:3"]);
  delivery.poke();
  slow.release();
  await until("the one that hung has it", () => world.store.owedDeliveries === 0);
  await until("all came", () => new Set(slow.late).size === 3);
  await delivery.stop(1_000);
});

Deno.test("a subscriber that lets its queue fill holds up nobody who has room", async () => {
  await using world = await BusWorld.begin({ queue: { messages: 1, bytes: 1 << 20 } });
  world.store.useSinks([{ name: "bus", minSeverity: "info" }], []);
  using good = await BusCollector.join(world.socket, { collectorId: "good" });
  using away = await BusCollector.join(world.socket, { collectorId: "away" });
  const got = await heardBy(good);
  await heardBy(away);
  away.disconnect();
  await until("the end is noticed", () => world.broker.connections().length === 1);
  const events = { fault: () => {}, storeFault: () => {} };
  const delivery = new Delivery(open(world, { timeout_ms: 100 }), events, { firstRetryMs: 5 });
  delivery.attach(world.store);
  raise(world, ["a@col:e:1", "b@col:e:2", "c@col:e:3"]);
  delivery.poke();
  await until("nothing is owed", () => world.store.owedDeliveries === 0);
  assert.deepEqual(new Set(got), new Set(["a@col:e:1", "b@col:e:2", "c@col:e:3"]));
  assert.ok(world.clients.statuses().find(({ name }) => name === "away")!.lost > 0);
  await delivery.stop(1_000);
});

Deno.test("a subscriber whose connection breaks gets on the next one what it had not acknowledged", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const ids = await heardBy(collector);
  collector.disconnect();
  await until("the end is noticed", () => world.broker.connections().length === 0);
  const sink = open(world, { timeout_ms: 5_000 }), writing = sink.write([newAlert("a"), newAlert("b")]);
  await collector.connect();
  await writing;
  assert.deepEqual(ids, ["a", "b"]);
});

Deno.test("what a subscriber has no room for, or goes away with, is not delivered", async () => {
  await using world = await BusWorld.begin({ queue: { messages: 2, bytes: 1 << 20 } });
  using collector = await BusCollector.join(world.socket, { epoch: "e1" });
  const ids = await heardBy(collector), sink = open(world, { timeout_ms: 5_000 });
  collector.disconnect();
  await until("the end is noticed", () => world.broker.connections().length === 0);
  const writing = sink.write([newAlert("a"), newAlert("b"), newAlert("c", { severity: "critical" })]);
  writing.catch(() => {});
  await collector.connect();
  await assert.rejects(
    writing,
    (error) => error instanceof SinkError && error.remedy.kind === "retry" && /had no room/.test(error.message),
  );
  await until("those that there was room for came", () => ids.length === 2);

  collector.disconnect();
  await until("the end is noticed", () => world.broker.connections().length === 0);
  const lost = sink.write([newAlert("d")]);
  lost.catch(() => {});
  world.clients.stop(); // as when a minute has passed
  await assert.rejects(lost, (error) => isRetry(error) && /went before it had it/.test(error.message));
  await assert.rejects(
    sink.write([newAlert("d")]),
    (error) => isRetry(error) && /nobody subscribes/.test(error.message),
  );
});

Deno.test("set not to wait, the bus has what it published to whoever was there, though that was nobody", async () => {
  await using world = await BusWorld.begin();
  const sink = open(world, { wait_for_subscriber: "no" });
  await sink.write([newAlert("a")]);
  using collector = await BusCollector.join(world.socket);
  const ids = await heardBy(collector, "at-most-once");
  await sink.write([newAlert("b")]);
  await until("it came", () => ids.length === 1);
  assert.deepEqual(ids, ["b"]);
});

Deno.test("hostile alerts arrive with their texts, bytes that are no UTF-8 as replacement characters", async () => {
  await using world = await BusWorld.begin();
  using collector = await BusCollector.join(world.socket);
  const got = new Map<string, AlertPayload>();
  await collector.port.subscribe("alerts.#", ({ message }) => {
    const payload = fromBinary(AlertPayloadSchema, message.payload);
    got.set(payload.alertId, payload);
  }, { quality: "at-least-once" });
  const alerts = [...hostileAlerts(600, 10)], sink = open(world, { timeout_ms: 10_000 });
  for (let i = 0; i < alerts.length; i += 100) await sink.write(alerts.slice(i, i + 100));
  assert.equal(got.size, alerts.length);
  for (const { alertId, title, description, executablePath, pid } of alerts) {
    const payload = got.get(alertId)!;
    assert.deepEqual([payload.title, payload.description], [title.toWellFormed(), description.toWellFormed()]);
    assert.deepEqual(payload.affectedResources, [`process ${pid}`, executablePath!.toWellFormed()]);
  }
});

Deno.test("every alert arrives though the subscriber comes and goes and the deliverer is another each time", async () => {
  await using world = await BusWorld.begin();
  world.store.useSinks([{ name: "bus", minSeverity: "info" }], []);
  using collector = await BusCollector.join(world.socket);
  const ids = await heardBy(collector), expected: string[] = [];
  for (let life = 0; life < 10; life++) {
    const events = { fault: () => {}, storeFault: () => {} };
    const delivery = new Delivery(open(world, { timeout_ms: 1_000 }), events, { firstRetryMs: 5, isFresh: true });
    delivery.attach(world.store);
    const part = Array.from({ length: 40 }, (_, i) => `a${life}-${i}`);
    expected.push(...part);
    raise(world, part);
    delivery.poke();
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    if (life % 3 === 0) {
      collector.disconnect();
      await collector.connect();
    }
    if (life < 9) await delivery.retire(0);
    else {
      await until("nothing is owed", () => world.store.owedDeliveries === 0);
      await delivery.stop(1_000);
    }
  }
  await until("all came", () => new Set(ids).size === expected.length);
  assert.deepEqual(new Set(ids), new Set(expected));
  const states = rows(`${world.dir.path}/events.db`, "SELECT DISTINCT state FROM alert_deliveries");
  assert.deepEqual(states, [{ state: "done" }]);
});
