import assert from "node:assert/strict";
import { Delivery } from "../../../agent/alerts/delivery.ts";
import { disabled, refused, type Sink, SinkError } from "../../../agent/alerts/sink.ts";
import { Store } from "../../../agent/store/store.ts";
import { commitEvents, fileSink, newAlert, openTestStream, rows, start, TempDir, until } from "../support.ts";

const CLOCK = { monotonic: () => performance.now(), wall: () => Date.now() };

/** A sink that keeps ids and fails when told to. */
class TestSink implements Sink {
  readonly name: string = "file";
  readonly minSeverity = "info";
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
    const delivery = new Delivery(sink, events, { firstRetryMs: 20, clock: { ...CLOCK, random: () => 1 } });
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

Deno.test("a sink that takes a backlog at once leaves other work its turn", async () => {
  using world = new World();
  const sink = new TestSink();
  world.raise(...ids(2_000));
  const delivery = world.deliver(sink);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(sink.ids.length < 2_000, "all of it went before a timer that was due");
  await until("all are delivered", () => world.store.owedDeliveries === 0);
  assert.deepEqual(sink.ids, ids(2_000));
  await delivery.stop(100);
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
  sink.faults = [disabled("gone")];
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
    const sink = fileSink(path);
    await sink.write([newAlert("a"), newAlert("b")]);
    await sink.close();
  }
  const delivery = world.deliver(fileSink(path));
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
  const late = Promise.withResolvers<string>(), timer = setTimeout(() => late.resolve("it hung"), 2_000);
  assert.equal(await Promise.race([delivery.stop(50).then(() => "it stopped"), late.promise]), "it stopped");
  clearTimeout(timer);
  assert.equal(world.store.owedDeliveries, 1);
  resolve();
  await until("the write that hung has ended", () => world.store.owedDeliveries === 0);
});

/** A sink that takes one at a time, and refuses some for good. */
class PickySink extends TestSink {
  constructor(private readonly never: ReadonlySet<string>) {
    super();
  }
  override async write(alerts: Parameters<Sink["write"]>[0]): Promise<void> {
    await this.hold;
    for (const [i, { alertId }] of alerts.entries()) {
      if (this.never.has(alertId)) throw refused(`${alertId} is too large`, i);
      this.ids.push(alertId);
    }
  }
}

const state = (world: World, sink = "file") => ({
  ...rows(`${world.dir.path}/events.db`, "SELECT * FROM alert_sinks WHERE sink = ?", sink)[0],
});

Deno.test("what a sink refuses for good is a dead letter with its reason, and holds up nothing behind it", async () => {
  using world = new World();
  const sink = new PickySink(new Set(["a1", "a3"])), delivery = world.deliver(sink);
  world.raise(...ids(5));
  delivery.poke();
  await until("nothing is owed", () => world.store.owedDeliveries === 0);
  assert.deepEqual(sink.ids, ["a0", "a2", "a4"]);
  const dead = rows(
    `${world.dir.path}/events.db`,
    "SELECT alert_id, reason FROM alert_deliveries WHERE state = 'dead'",
  );
  assert.deepEqual(dead, [
    { alert_id: "a1", reason: "a1 is too large" },
    { alert_id: "a3", reason: "a3 is too large" },
  ]);
  const { delivered, refused: count, state: how } = state(world);
  assert.deepEqual([delivered, count, how], [3, 2, "ready"]);

  // An operator has one tried again, the other given up
  assert.equal(world.store.delivering("test", (outbox) => outbox.retryDead("file", "a1")), 1);
  assert.equal(world.store.delivering("test", (outbox) => outbox.dropDead("file", null, "of no use")), 1);
  assert.equal(world.store.owedDeliveries, 1);
  await delivery.stop(100);
});

Deno.test("the most severe goes first, of those the oldest", async () => {
  using world = new World();
  const stream = openTestStream(world.store), base = stream.number * 2 ** 40;
  const severities = ["low", "critical", "info", "high", "critical", "medium"] as const;
  const alerts = severities.map((severity, i) => newAlert(`${i}-${severity}`, { severity, eventId: base + i + 1 }));
  commitEvents(world.store, stream, alerts.map((_, i) => start(i + 1)), { alerts });
  const sink = new TestSink(), delivery = world.deliver(sink);
  await until("nothing is owed", () => world.store.owedDeliveries === 0);
  assert.deepEqual(sink.ids, ["1-critical", "4-critical", "3-high", "5-medium", "0-low", "2-info"]);
  await delivery.stop(100);
});

Deno.test("a breaker that is open stays open over a restart, whatever the clock of the day says", async () => {
  using world = new World();
  let monotonic = 0, wall = 1_800_000_000_000;
  const clock = { monotonic: () => monotonic, wall: () => wall, random: () => 1 };
  const events = { fault: () => {}, storeFault: () => {} };
  const failing = (tries: { count: number }): Sink =>
    Object.assign(new TestSink(), {
      write: () => {
        tries.count += 1;
        return Promise.reject(new SinkError("busy", { kind: "retryAfter", ms: 600_000 }));
      },
    });
  const first = { count: 0 };
  world.raise("a");
  const delivery = new Delivery(failing(first), events, { clock });
  delivery.attach(world.store);
  for (let i = 1; i < 5; i++) {
    await until("it is tried", () => first.count === i && state(world)["failures"] === i);
    assert.equal(state(world)["state"], "retrying");
    delivery.hasten();
  }
  await until("the breaker is open", () => state(world)["state"] === "open");
  assert.deepEqual([state(world)["failed"], state(world)["last_error"]], [5, "busy"]);
  await delivery.stop(10);

  // An hour back, and it waits no longer than it had left; a day ahead, and it is tried.
  for (const [jump, tried] of [[-3_600_000, 0], [86_400_000, 1]] as const) {
    wall += jump;
    monotonic += 1_000_000;
    const tries = { count: 0 }, next = new Delivery(failing(tries), events, { clock });
    next.attach(world.store);
    if (tried === 1) await until("it is tried", () => tries.count === 1);
    else {
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(tries.count, 0);
      monotonic += 600_001;
      next.hasten();
      await until("it is tried when its time is up", () => tries.count === 1);
    }
    await next.stop(10);
  }
});

Deno.test("a full backlog gives up the least severe, the oldest first, counted for each sink and told to the ledger", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  using store = Object.assign(new Store(path, ["file"], undefined, { rows: 10, bytes: 1 << 20 }), {
    [Symbol.dispose](): void {},
  });
  const stream = openTestStream(store), base = stream.number * 2 ** 40;
  const alerts = Array.from(
    { length: 15 },
    (_, i) =>
      newAlert(`${i}`, { severity: i % 3 === 0 ? "critical" : i % 3 === 1 ? "low" : "high", eventId: base + i + 1 }),
  );
  commitEvents(store, stream, alerts.map((_, i) => start(i + 1)), { alerts });
  assert.equal(store.owedDeliveries, 10);
  const of = (state: string) =>
    rows(path, "SELECT alert_id FROM alert_deliveries WHERE state = ? ORDER BY delivery_id", state)
      .map(({ alert_id }) => alert_id);
  assert.deepEqual(of("dropped"), ["1", "4", "7", "10", "13"]);
  assert.equal(rows(path, "SELECT dropped FROM alert_sinks")[0]!["dropped"], 5);
  assert.equal(rows(path, "SELECT count(*) AS n FROM ledger_notes WHERE action = 8")[0]!["n"], 5);
  store.close();
  const again = new Store(path, ["file"]);
  assert.equal(again.owedDeliveries, 10);
  again.close();
});

Deno.test("what is owed to a sink that is not configured any more becomes dead letters, and is owed again when it is", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const opened = (sinks: string[]): { store: Store; buried: unknown } => {
    const store = new Store(path, sinks, { retentionMs: 1_000, alertRetentionMs: 1_000, maxBytes: 1 << 30 });
    return { store, buried: store.delivering("no", (outbox) => outbox.present()) };
  };
  const states = (): string[] =>
    rows(path, "SELECT sink, state, alert_id FROM alert_deliveries ORDER BY sink, alert_id").map((row) =>
      `${row["sink"]} ${row["alert_id"]} ${row["state"]}`
    );
  const standing = (sink: string): unknown[] => {
    const [row] = rows(path, `SELECT state, last_error FROM alert_sinks WHERE sink = '${sink}'`);
    return [row!["state"], row!["last_error"]];
  };
  const first = opened(["file", "siem"]);
  assert.deepEqual(first.buried, []);
  first.store.addAlerts([newAlert("a"), newAlert("b")], undefined, 1);
  first.store.delivering("no", (outbox) => outbox.bury("siem", outbox.heads("siem", 1)[0]!.deliveryId, "too large"));
  first.store.close();

  const second = opened(["file"]);
  assert.deepEqual(second.buried, [{ sink: "siem", count: 1 }]);
  assert.deepEqual(states(), ["file a pending", "file b pending", "siem a dead", "siem b dead"]);
  const reason = "its sink is not configured any more; once it is, this is tried again";
  assert.deepEqual(
    rows(path, "SELECT reason FROM alert_deliveries WHERE state = 'dead' ORDER BY alert_id").map((row) =>
      row["reason"]
    ),
    ["too large", reason],
  );
  assert.deepEqual(standing("siem"), ["disabled", reason]);
  assert.deepEqual([second.store.owedDeliveries, second.store.counters["alerts_dead"]], [2, 2]);
  second.store.close();

  const third = opened(["file", "siem"]);
  assert.deepEqual(third.buried, []);
  assert.deepEqual(
    states(),
    ["file a pending", "file b pending", "siem a dead", "siem b pending"],
    "what it refused is",
  );
  assert.deepEqual(standing("siem"), ["ready", null]);
  assert.deepEqual([third.store.owedDeliveries, third.store.counters["alerts_dead"]], [3, 1]);
  third.store.close();

  // What holds no delivery that anybody makes goes with its time
  const last = opened([]);
  for (let steps = 0; steps < 20 && last.store.maintain(Date.now()).more; steps++);
  assert.deepEqual([states(), rows(path, "SELECT 1 FROM alerts").length], [[], 0]);
  last.store.close();
});
