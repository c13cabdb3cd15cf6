import { fromBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { Bus } from "../../../agent/bus/bus.ts";
import { LocalPort } from "../../../agent/bus/local_port.ts";
import { Publications } from "../../../agent/bus/publications.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Ingest, type Judge } from "../../../agent/ingest.ts";
import { Store } from "../../../agent/store/store.ts";
import type { Alert } from "../../../proto/alert.ts";
import { CATALOGUE, topicOfEvent } from "../../../proto/bus/catalogue.ts";
import type { Delivery } from "../../../proto/bus/message.ts";
import { readEventBatch } from "../../../proto/event_codec.ts";
import { BusHealthSchema } from "../../../proto/gen/bus_pb.ts";
import { AlertPayloadSchema, GapSchema } from "../../../proto/gen/eventbus_pb.ts";
import type { Gap, ProcessEvent } from "../../../proto/process_event.ts";
import { newAlert, openTestStream, rows, start, stop, TempDir, until } from "../support.ts";

class World implements Disposable {
  readonly dir = new TempDir();
  readonly bus = new Bus();
  readonly publications = new Publications(new LocalPort(this.bus, "agent", assert.fail));
  readonly came: Delivery[] = [];
  readonly path = `${this.dir.path}/events.db`;
  readonly store = new Store(this.path);
  readonly ingest: Ingest;
  readonly stream = openTestStream(this.store);
  /** Rows that were stored when a message came. */
  readonly stored: number[] = [];
  #last = 0;

  constructor(judge: () => Alert[] = () => [], groupMs = 0) {
    const detection: Judge = { judge, stored: () => {} };
    this.ingest = new Ingest({
      store: this.store,
      detection,
      counters: newCounters(),
      alerted: (alerts) => this.publications.alerts(alerts),
      failed: () => {},
      publications: this.publications,
      groupMs,
    });
  }

  async subscribe(pattern: string): Promise<void> {
    await new LocalPort(this.bus, "test", assert.fail).subscribe(pattern, (delivery) => {
      this.came.push(delivery);
      this.stored.push(rows(this.path, "SELECT count(*) AS n FROM process_events")[0]!["n"] as number);
    });
  }

  async take(events: readonly ProcessEvent[], gap: Gap | null = null): Promise<void> {
    const firstSequence = this.#last + 1;
    this.#last += events.length + (gap === null ? 0 : 1);
    await this.ingest.take(
      this.stream,
      [
        { kind: "events", firstSequence, events },
        ...gap === null ? [] : [{ kind: "gap" as const, sequence: firstSequence + events.length, gap }],
      ],
      { lastEventTime: 0 },
      () => Promise.resolve(true),
    );
  }

  topics(): string[] {
    return this.came.map(({ message }) => message.topic);
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.dir[Symbol.dispose]();
  }
}

const modify = (pid: number, ...modifiedFields: string[]): ProcessEvent => ({
  ...start(pid),
  kind: "modify",
  modifiedFields,
});

Deno.test("events are published when they are stored, by what they are, neighbours together, with their place", async () => {
  using world = new World();
  await world.subscribe("events.process.#");
  const events = [
    start(1),
    stop(1),
    start(2),
    modify(2, "cwd"),
    modify(2, "executable_hash"),
    { ...start(3), kind: "suspicious" as const },
    stop(2),
  ];
  await world.take(events);
  await until("all came", () => world.came.length === 5);
  assert.deepEqual(world.topics(), [
    "events.process.anomaly", // goes first
    "events.process.lifecycle",
    "events.process.metadata",
    "events.process.integrity",
    "events.process.lifecycle",
  ]);
  assert.deepEqual(world.stored, [7, 7, 7, 7, 7], "stored before anybody hears of it");
  const batches = world.came.map(({ message }) => readEventBatch(message.payload));
  const bySequence = batches.flatMap(({ firstSequence, events }) =>
    events.map((event, i) => [firstSequence + i, event] as const)
  ).sort(([a], [b]) => a - b);
  assert.deepEqual(bySequence.map(([sequence]) => sequence), [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(bySequence.map(([, event]) => event), events);
  assert.equal(world.came[1]!.message.correlation!.id, "col:epoch-1:1");
});

Deno.test("what is sent again and known already is not published again", async () => {
  using world = new World();
  await world.subscribe("events.process.#");
  await world.take([start(1), start(2)]);
  const again = { kind: "events" as const, firstSequence: 1, events: [start(1), start(2), start(3)] };
  await world.ingest.take(world.stream, [again], { lastEventTime: 0 }, () => Promise.resolve(true));
  await until("the new one came", () => world.came.length === 2);
  assert.equal(readEventBatch(world.came[1]!.message.payload).firstSequence, 3);
});

Deno.test("a batch that is too long for a message comes in several", async () => {
  using world = new World();
  await world.subscribe("events.#");
  const events = Array.from({ length: 200 }, (_, i) => start(i + 1, { parentCommandLine: "日".repeat(10_000) }));
  await world.take(events);
  await until("all came", () => {
    return world.came.reduce((sum, { message }) => sum + readEventBatch(message.payload).events.length, 0) === 200;
  });
  assert.ok(world.came.length > 3);
});

Deno.test("an event that no message can hold is stored, and counted as not published", async () => {
  using world = new World();
  await world.subscribe("events.#");
  await world.take([start(1), modify(1, ...Array.from({ length: 15 }, () => "x".repeat(65_000))), start(2)]);
  await until("the others came", () => world.came.length === 2);
  assert.deepEqual([world.stream.lastSequence, world.bus.counters.bus_unpublished], [3, 1]);
});

Deno.test("events and gaps that wait to be stored are published when they are", async () => {
  using world = new World(undefined, 60_000);
  await world.subscribe("events.#");
  await world.take([start(1)]); // the first after a quiet time does not wait
  await until("it came", () => world.came.length === 1);
  const gap = { source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 3, reason: "lost" };
  await world.take([start(2)], gap);
  await world.take([stop(2)]);
  assert.deepEqual([world.stream.lastSequence, world.bus.counters.bus_published], [1, 1]);
  world.ingest.settle();
  await until("all came", () => world.came.length === 4);
  assert.deepEqual(world.stored, [1, 3, 3, 3]);
});

Deno.test("an alert that is one more of the same is not published", async () => {
  using world: World = new World(() => [newAlert("odd@col:epoch-1:1", { eventId: world.stream.number * 2 ** 40 + 1 })]);
  await world.subscribe("alerts.#");
  await world.take([start(1)]);
  await world.take([start(2)]); // told again
  await until("it came", () => world.came.length === 1);
  assert.equal(world.bus.counters.bus_published, 1);
});

Deno.test("gaps, alerts and health are published with what they say", async () => {
  const alert = newAlert("odd@col:epoch-1:1", { severity: "critical" });
  using world: World = new World(() => [{ ...alert, eventId: world.stream.number * 2 ** 40 + 1 }]);
  await world.subscribe("events.coverage.gap");
  await world.subscribe("alerts.#");
  await world.subscribe("control.health.status");
  const gap = { source: "ebpf", recordKind: "exec", from: 1, to: 2, count: null, reason: "lost" };
  await world.take([start(1)], gap);
  world.publications.health("running", () => ({ events: 1 }));
  await until("all came", () => world.came.length === 3);
  const by = new Map(world.came.map(({ message }) => [message.topic, message]));
  const told = fromBinary(AlertPayloadSchema, by.get("alerts.critical")!.payload);
  assert.deepEqual([told.alertId, told.severity, told.title], [alert.alertId, 4, alert.title]);
  const { correlation, priority } = by.get("alerts.critical")!;
  assert.deepEqual([correlation!.id, correlation!.rootId, priority], [alert.alertId, "col:epoch-1:1", "critical"]);
  const lost = fromBinary(GapSchema, by.get("events.coverage.gap")!.payload);
  assert.deepEqual([lost.source, lost.count, lost.reason], ["ebpf", undefined, "lost"]);
  const health = fromBinary(BusHealthSchema, by.get("control.health.status")!.payload);
  assert.deepEqual([health.state, health.counters], ["running", { events: 1 }]);
});

Deno.test("nothing is made that nobody wants", async () => {
  using world: World = new World(() => [newAlert("odd@col:epoch-1:1", { eventId: world.stream.number * 2 ** 40 + 1 })]);
  await world.subscribe("alerts.low");
  assert.equal(world.publications.wantsEvents, false);
  await world.take([start(1)], { source: "", recordKind: "all", from: 1, to: 2, count: 1, reason: "" });
  world.publications.health("running", () => assert.fail("it is asked for nobody"));
  assert.equal(world.bus.counters.bus_published, 0);
});

Deno.test("every topic that the agent is said to publish is one that it publishes", () => {
  const published = new Set<string>([
    ...(["start", "stop", "suspicious"] as const).map((kind) => topicOfEvent(kind, [])),
    topicOfEvent("modify", ["cwd"]),
    topicOfEvent("modify", ["cwd", "executable_path"]),
    "events.coverage.gap",
    ...["info", "low", "medium", "high", "critical"].map((severity) => `alerts.${severity}`),
    "control.health.status",
  ]);
  const said = Object.entries(CATALOGUE).filter(([, { by }]) => by === "agent").map(([topic]) => topic);
  assert.deepEqual(said.sort(), [...published].sort());
});
