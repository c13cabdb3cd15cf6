import assert from "node:assert/strict";
import { alertOf } from "../../../agent/alerts/alert_of.ts";
import { AlertDesk, DeskError } from "../../../agent/alerts/desk.ts";
import { Delivery } from "../../../agent/alerts/delivery.ts";
import { AlertManager } from "../../../agent/alerts/manager.ts";
import { failed, refused, type Sink } from "../../../agent/alerts/sink.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Store } from "../../../agent/store/store.ts";
import type { Alert } from "../../../proto/alert.ts";
import { eventRow } from "../../../proto/event_row.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import type { AlertPolicy } from "../../../proto/rules/alert_policy.ts";
import { execIdOf, newAlert, openTestStream, rows, start, TempDir, until } from "../support.ts";

class World implements Disposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  readonly store = new Store(this.path, ["test"]);
  readonly stream = openTestStream(this.store);
  monotonic = 0;
  readonly manager = new AlertManager({
    windowMs: 300_000,
    rulePerMinute: 1_000,
    perMinute: 1_000,
    counters: newCounters(),
    alerted: () => {},
    failed: (_, error) => {
      throw error;
    },
    notice: () => {},
    monotonic: () => this.monotonic,
    wall: () => 1_800_000_000_000 + this.monotonic,
  });

  constructor() {
    this.manager.attach(this.store);
  }

  /** Commits events, and hits of a rule on those of these pids. */
  commit(
    events: readonly ProcessEvent[],
    hits: readonly number[],
    rule: string,
    alert?: AlertPolicy,
  ): readonly Alert[] {
    const first = this.stream.lastSequence + 1, base = this.stream.number * 2 ** 40;
    const rule_ = {
      id: rule,
      hash: "ab".repeat(32),
      title: "t",
      description: "d",
      severity: "high",
      tags: [],
    } as const;
    const table = events.map((event, i) => eventRow(event, base + first + i, "col"));
    const alerts = table.filter((_, i) => hits.includes(events[i]!.pid))
      .map((row) => alertOf({ ...rule_, ...alert === undefined ? {} : { alert } }, row, {}, this.stream, 1));
    const lastSequence = first + events.length - 1;
    const batch = { stream: this.stream, lastSequence, snapshots: [], gaps: [], sources: null, taker: this.manager };
    return this.store.commit({ ...batch, events: table, alerts }, 2);
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.dir[Symbol.dispose]();
  }
}

/** A start below a parent. */
const child = (pid: number, parent: number): ProcessEvent =>
  start(pid, { ppid: parent, parentExecId: execIdOf(parent), name: `p${pid}` });

Deno.test("an alert names its ancestors to the first process, also those that came in the same batch", () => {
  using world = new World();
  world.commit([start(1, { name: "init" }), child(10, 1)], [], "odd");
  const [alert] = world.commit([child(20, 10), child(30, 20), child(40, 30)], [40], "odd");
  assert.deepEqual(alert!.ancestry.map(({ pid, name }) => `${name} ${pid}`), ["p30 30", "p20 20", "p10 10", "init 1"]);
  assert.equal(alert!.parentExecId, execIdOf(30));
  assert.deepEqual(alert!.causes, [alert!.eventId]);
});

Deno.test("ancestors that go in a circle, or without an end, are named up to a bound", () => {
  using world = new World();
  const ring = [start(1, { parentExecId: execIdOf(2) }), start(2, { parentExecId: execIdOf(1) })];
  world.commit(ring, [], "odd");
  const [circle] = world.commit([child(3, 1)], [3], "odd");
  assert.deepEqual(circle!.ancestry.map(({ pid }) => pid), [1, 2]);
  world.commit(Array.from({ length: 50 }, (_, i) => child(100 + i, 99 + i)), [], "odd");
  const [deep] = world.commit([child(500, 149)], [500], "odd");
  assert.equal(deep!.ancestry.length, 16);
});

Deno.test("what one shell starts is one group, what a service starts is not, and a group ends", () => {
  using world = new World();
  world.commit([start(1), child(5, 1), child(10, 5), child(11, 10), child(12, 10)], [], "odd");
  const group = (event: ProcessEvent, rule = "odd"): string => world.commit([event], [event.pid], rule)[0]!.groupId;
  const first = group(child(20, 10));
  assert.equal(first, "odd@col:epoch-1:6");
  assert.equal(group(child(21, 10), "other"), first, "a brother");
  assert.equal(group(child(22, 20)), first, "a child");
  assert.notEqual(group(child(30, 5)), first, "another child of the service");
  assert.notEqual(group(child(31, 5)), first);
  world.monotonic += 3_600_001;
  assert.notEqual(group(child(23, 10)), first, "an hour later");
});

Deno.test("a rule's own key makes hits of different processes one alert, and one of different users two", () => {
  using world = new World();
  const policy = { key: ["user_name"], windowMs: 10_000 };
  const by = (pid: number, userName: string) => start(pid, { userName });
  assert.equal(world.commit([by(1, "ann"), by(2, "ann"), by(3, "bob")], [1, 2, 3], "odd", policy).length, 2);
  assert.equal(world.commit([by(4, "ann")], [4], "odd").length, 1, "without a key it is the process");
});

Deno.test("operators have dead letters tried again, hasten a sink that waits, and test it", async () => {
  using world = new World();
  const got: string[] = [];
  let answer: "takes" | "refuses" | "fails" = "refuses";
  const sink: Sink = {
    name: "test",
    minSeverity: "info",
    write(alerts) {
      if (answer === "refuses") return Promise.reject(refused("too large"));
      if (answer === "fails") return Promise.reject(failed("connection refused"));
      got.push(...alerts.map(({ alertId }) => alertId));
      return Promise.resolve();
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
  const clock = { monotonic: () => 0, wall: () => 0, random: () => 1 };
  const delivery = new Delivery(sink, { fault: () => {}, storeFault: () => {} }, { clock });
  const desk = new AlertDesk({ store: () => world.store, manager: world.manager, deliveries: () => [delivery] });
  delivery.attach(world.store);
  const raise = (id: string): void => {
    world.store.addAlerts([newAlert(id)], undefined, 1);
    delivery.poke();
  };
  raise("a");
  await until("it is a dead letter", () => world.store.counters["alerts_dead"] === 1);
  answer = "takes";
  assert.throws(
    () => desk.retryDead("tset", null),
    (error) => error instanceof DeskError && /there are test/.test(error.message),
  );
  assert.equal(desk.retryDead("test", "a"), 1);
  await until("it is delivered", () => got.length === 1);
  assert.equal(world.store.counters["alerts_dead"], 0);

  answer = "fails";
  raise("b");
  await until("it waits", () => rows(world.path, "SELECT state FROM alert_sinks")[0]!["state"] === "retrying");
  await assert.rejects(desk.testSink("test", "ann"), /connection refused/);
  answer = "takes";
  await desk.testSink("test", "ann");
  assert.match(got.at(-1)!, /^test@/);
  desk.hasten("test");
  await until("it is delivered at once", () => got.includes("b"));
  const id = desk.silence({ fields: { rule: "odd" }, atMost: null }, "a test", 60_000, "ann");
  desk.endMute(id, "ann");
  desk.acknowledge("a", "ann", "seen");
  desk.close("a", "ann", "over");
  desk.reopen("a", "ann", "not over");
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM alert_history")[0]!["n"], 3);
  await delivery.stop(100);
});
