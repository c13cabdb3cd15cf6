import assert from "node:assert/strict";
import { Delivery } from "../../../agent/alerts/delivery.ts";
import { FileSink } from "../../../agent/alerts/file_sink.ts";
import { type Sink, SinkClosedError } from "../../../agent/alerts/sink.ts";
import { Store } from "../../../agent/store/store.ts";
import { commitEvents, newAlert, openTestStream, start, TempDir, until } from "../support.ts";

/** A sink that keeps ids and fails when told to. */
class TestSink implements Sink {
  readonly name = "file";
  readonly ids: string[] = [];
  faults: Error[] = [];
  already = new Set<string>();
  closed = 0;
  hold: Promise<void> = Promise.resolve();

  async write(alerts: Parameters<Sink["write"]>[0]): Promise<void> {
    await this.hold;
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    this.ids.push(...alerts.map((alert) => alert.alertId));
  }
  written(): Promise<ReadonlySet<string>> {
    return Promise.resolve(this.already);
  }
  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

class World implements Disposable {
  readonly dir = new TempDir();
  readonly store: Store;
  readonly faults: string[] = [];
  readonly delivered: { ms: number; count: number }[] = [];
  #pid = 0;

  constructor(sinks = ["file"]) {
    this.store = new Store(`${this.dir.path}/events.db`, sinks);
  }

  raise(...ids: string[]): void {
    const stream = openTestStream(this.store);
    const events = ids.map(() => start(++this.#pid));
    const base = stream.number * 2 ** 40 + stream.lastSequence + 1;
    const alerts = ids.map((id, i) => newAlert(id, { eventId: base + i }));
    commitEvents(this.store, stream, events, { alerts });
  }

  deliver(sink: Sink): Delivery {
    const events = {
      fault: (text: string) => this.faults.push(text),
      storeFault: () => {},
      delivered: (ms: number, count: number) => void this.delivered.push({ ms, count }),
    };
    const delivery = new Delivery(sink, events, 20);
    delivery.attach(this.store);
    return delivery;
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.dir[Symbol.dispose]();
  }
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `a${i}`);

Deno.test("Delivery writes each alert once, in order, however often it is poked", async () => {
  using world = new World();
  const sink = new TestSink(), delivery = world.deliver(sink);
  world.raise(...ids(450));
  for (let i = 0; i < 5; i++) delivery.poke();
  world.raise("late");
  delivery.poke();
  await until("all are delivered", () => world.store.owedDeliveries === 0);
  assert.deepEqual(sink.ids, [...ids(450), "late"]);
  await delivery.stop(100);
  assert.equal(sink.closed, 1);
});

Deno.test("Delivery tries again after a fault and loses nothing", async () => {
  using world = new World();
  const sink = new TestSink(), delivery = world.deliver(sink);
  sink.faults = [new Error("disk full"), new Error("disk full")];
  world.raise("a", "b");
  delivery.poke();
  await until("all are delivered", () => world.store.owedDeliveries === 0);
  assert.deepEqual(sink.ids, ["a", "b"]);
  assert.deepEqual(world.faults, ["alerts to file: disk full", "alerts to file: disk full"]);
  await delivery.stop(100);
});

Deno.test("Delivery says how long each alert was owed, through faults and behind others", async () => {
  using world = new World();
  const sink = new TestSink(), delivery = world.deliver(sink);
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.hold = promise;
  sink.faults = [new Error("disk full")];
  const began = performance.now();
  world.raise(...ids(250));
  delivery.poke();
  await until("the sink is asked again", () => {
    resolve();
    return world.store.owedDeliveries === 0;
  });
  assert.deepEqual(world.delivered.map(({ count }) => count), [100, 100, 50]);
  // Twenty milliseconds lie between two tries; those behind have waited no less.
  const times = world.delivered.map(({ ms }) => ms);
  assert.ok(times[0]! >= 15 && times[0]! <= performance.now() - began, String(times));
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  await delivery.stop(100);
});

Deno.test("Delivery leaves what a closed sink did not take to the next start", async () => {
  using world = new World();
  const sink = new TestSink(), delivery = world.deliver(sink);
  sink.faults = [new SinkClosedError("gone")];
  world.raise("a");
  delivery.poke();
  await until("the fault is known", () => world.faults.length === 1);
  world.raise("b");
  delivery.poke();
  await delivery.stop(100);
  assert.deepEqual(sink.ids, []);
  assert.equal(world.store.owedDeliveries, 2);
  const next = new TestSink(), again = world.deliver(next);
  await again.stop(1_000);
  assert.deepEqual(next.ids, ["a", "b"]);
});

Deno.test("a sink that fails does not hold up another", async () => {
  using world = new World(["file", "stdout"]);
  const broken = new TestSink(), fine = Object.assign(new TestSink(), { name: "stdout" });
  broken.faults = Array.from({ length: 1_000 }, () => new Error("no"));
  const deliveries = [world.deliver(broken), world.deliver(fine)];
  world.raise("a", "b");
  deliveries.forEach((delivery) => delivery.poke());
  await until("the fine sink has them", () => fine.ids.length === 2);
  assert.equal(world.store.owedDeliveries, 2);
  await Promise.all(deliveries.map((delivery) => delivery.stop(100)));
  assert.deepEqual(broken.ids, []);
});

Deno.test("a delivery that a crash left written but not noted is noted, not written again", async () => {
  using world = new World();
  const path = `${world.dir.path}/alerts.jsonl`;
  world.raise("a", "b", "c");
  {
    // What a crash leaves: two lines of the write, none noted.
    const sink = new FileSink(path);
    await sink.write([newAlert("a"), newAlert("b")]);
    await sink.close();
  }
  const delivery = world.deliver(new FileSink(path));
  await until("all are noted", () => world.store.owedDeliveries === 0);
  await delivery.stop(100);
  const lines = Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line).alertId);
  assert.deepEqual(lines, ["a", "b", "c"]);
});

Deno.test("Delivery stops at its deadline though a sink hangs", async () => {
  using world = new World();
  const sink = new TestSink(), delivery = world.deliver(sink);
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.hold = promise;
  world.raise("a");
  delivery.poke();
  const began = performance.now();
  await delivery.stop(50);
  assert.ok(performance.now() - began < 2_000);
  assert.equal(world.store.owedDeliveries, 1);
  resolve();
  await until("the write that hung has ended", () => world.store.owedDeliveries === 0);
});
