/** Heartbeats, states and refusals of the registry, on a clock that the test moves. */
import assert from "node:assert/strict";
import { FAILED_AFTER, type Link } from "../../../agent/collectors/entry.ts";
import { ASK_AGAIN_MS, AWAY_MS, MAX_ENTRIES, Registry, TICK_MS } from "../../../agent/collectors/registry.ts";
import { calledRegistry } from "../../../agent/rpc/registry.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Journal } from "../../../agent/journal.ts";
import { AgentLifecycle } from "../../../agent/lifecycle.ts";
import { COLLECTOR_TRANSITIONS } from "../../../proto/lifecycle_states.ts";
import type { Gap } from "../../../proto/process_event.ts";
import { processTables, type Registration } from "../../../proto/registration.ts";
import type { CollectorStanding } from "../../../proto/status.ts";
import type { Hello } from "../../../proto/messages.ts";
import { until } from "../support.ts";

const BEAT_MS = 1_000;
const SENSOR: Registration = {
  collectorType: "process-monitor",
  domains: ["process"],
  kernelLevel: true,
  realtime: true,
  systemWide: true,
  tables: processTables([]),
  heartbeatMs: BEAT_MS,
  keepsLedger: false,
};

class World {
  mono = 0;
  isBusy = false;
  readonly lines: string[] = [];
  readonly counters = newCounters();
  readonly gaps = new Map<number, Gap>();
  readonly failed: string[] = [];
  readonly stopped = new Set<string>();
  registered = 0;
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly registry = new Registry({
    journal: this.journal,
    counters: this.counters,
    putGap: (gap, _, id) => {
      this.gaps.set(id ?? this.gaps.size + 1, gap);
      return id ?? this.gaps.size;
    },
    registered: () => this.registered += 1,
    isStopped: (id) => this.stopped.has(id),
    failed: (id) => this.failed.push(id),
    clock: () => this.mono,
    wall: () => 1_000_000 + this.mono,
  });

  /** Time passes, and the registry looks as often as it does. */
  pass(ms: number, isServing = true): void {
    for (const end = this.mono + ms; this.mono < end;) {
      this.mono = Math.min(end, this.mono + TICK_MS);
      this.registry.tick(isServing);
    }
  }

  join(collectorId = "a", epoch = "e1"): Link & { told: string[] } {
    const told: string[] = [], tell = ({ kind }: { kind: string }): void => void told.push(kind);
    const link = { epoch, told, tell, isBusy: () => this.isBusy };
    const nonce = new Uint8Array(32);
    const hello: Hello = {
      ...{ kind: "hello", version: 1, collectorId, epoch, bootId: "b", softwareVersion: "1", source: "ebpf" },
      ...{ nonce, proof: nonce },
    };
    const conflict = this.registry.conflict(hello);
    if (conflict !== null) throw new Error(conflict);
    this.registry.joined(hello, link);
    return link;
  }

  enter(collectorId = "a", registration: Partial<Registration> = {}, epoch = "e1"): Link & { told: string[] } {
    const link = this.join(collectorId, epoch);
    assert.equal(this.registry.register(collectorId, link, { ...SENSOR, ...registration }), null);
    return link;
  }

  of(collectorId = "a"): CollectorStanding {
    return this.registry.standings().find((each) => each.collectorId === collectorId)!;
  }

  get state(): string {
    return this.of().lifecycle.state;
  }
}

Deno.test("a heartbeat is missed after 110 % of the interval; one degrades, three fail, and a gap says since when", () => {
  const world = new World();
  world.registry.begin();
  const link = world.enter();
  assert.equal(world.state, "running");
  world.pass(BEAT_MS);
  assert.equal(world.state, "running", "within the grace");
  world.pass(250);
  assert.equal(world.state, "degraded");
  world.pass(1_100);
  assert.deepEqual([world.state, world.of().missed], ["degraded", 2]);
  assert.deepEqual(world.gaps.size, 0);
  world.pass(1_100);
  assert.deepEqual([world.state, world.of().missed], ["failed", FAILED_AFTER]);
  world.pass(TICK_MS);
  assert.deepEqual(world.failed, ["a"]);
  assert.equal(world.counters.heartbeats_missed, 3);
  assert.deepEqual([world.gaps.get(1)!.from, world.gaps.get(1)!.count], [1_000_000, null]);
  assert.match(world.gaps.get(1)!.reason, /collector a was not heard from/);
  world.pass(60_000);
  assert.deepEqual([world.gaps.size, world.failed.length], [1, 1], "it fails once");
  world.pass(ASK_AGAIN_MS);
  assert.deepEqual(world.failed.length, 2, "what was asked did not help, or was refused");
  world.pass(ASK_AGAIN_MS);
  assert.deepEqual(world.failed.length, 2);
  world.pass(ASK_AGAIN_MS);
  assert.deepEqual([world.gaps.size, world.failed.length], [1, 3]);

  // Heard from again: the gap ends with that, and stays one.
  world.registry.heard("a", link);
  assert.equal(world.state, "running");
  assert.deepEqual([world.gaps.size, world.gaps.get(1)!.to], [1, 1_000_000 + world.mono]);
  assert.deepEqual(world.of().lifecycle.history.map(({ event }) => event), [
    ...["joined", "registered", "begun", "missed", "gaveUp", "heard", "begun"],
  ]);
});

Deno.test("a collector that went without a goodbye owes its heartbeats; one that said it does not", () => {
  const world = new World(), link = world.enter();
  world.registry.left("a", link, false);
  assert.deepEqual([world.state, world.of().connected], ["registered", false]);
  world.pass(5_000);
  assert.equal(world.state, "failed");
  assert.match(world.of().lifecycle.reason, /it is not connected since/);
  assert.deepEqual(world.failed, [], "it is its supervisor's to start again");
  world.pass(AWAY_MS);
  assert.deepEqual(world.failed, ["a"], "which did not help");
  const again = world.enter();
  assert.deepEqual([world.state, world.of().registrations], ["registered", 2]);
  world.registry.left("a", again, true);
  world.pass(5_000);
  assert.equal(world.state, "stopped");
  world.registry.left("a", world.join(), false);
  world.pass(5_000);
  assert.equal(world.state, "failed", "between its welcome and its registration it owes them as before");
});

Deno.test("one that its supervisor was asked to stop is stopped, also when no goodbye was read", () => {
  const world = new World(), link = world.enter();
  world.stopped.add("a");
  world.pass(500);
  assert.equal(world.state, "registered", "what it sent is still read");
  world.registry.left("a", link, false);
  world.pass(AWAY_MS + 5_000);
  assert.deepEqual([world.state, world.failed, world.gaps.size], ["stopped", [], 0]);
  assert.match(world.of().lifecycle.reason, /its supervisor was asked to stop it/);
  world.stopped.clear();
  world.enter();
  assert.equal(world.state, "registered");
});

Deno.test("nobody is blamed for silence while the agent takes nothing, or stood still itself", () => {
  const world = new World();
  world.enter();
  world.pass(20_000, false);
  assert.equal(world.of().missed, 0);
  world.mono += 20_000; // no look in all that time
  world.registry.tick(true);
  assert.equal(world.of().missed, 0);
  world.isBusy = true; // with what came before
  world.pass(20_000);
  world.isBusy = false;
  assert.equal(world.of().missed, 0);
  world.pass(BEAT_MS + 500);
  assert.equal(world.of().missed, 1);
});

Deno.test("a second process under a name is refused while the first is alive, and taken when it is not", () => {
  const world = new World(), first = world.enter("a", {}, "e1");
  assert.throws(() => world.join("a", "e2"), /Another collector a is registered and alive \(epoch e1\)/);
  assert.deepEqual([world.counters.refused_duplicate, world.of().refused], [1, 1]);
  assert.match(world.of().refusal, /a name of its own/);
  world.join("a", "e1"); // the same log: its former connection is dead
  world.registry.heard("a", first); // which says nothing any more
  assert.equal(world.state, "joined");
  world.enter("a", {}, "e1");
  world.pass(1_250);
  assert.equal(world.state, "degraded");
  world.enter("a", {}, "e2");
  assert.deepEqual([world.state, world.of().epoch], ["registered", "e2"]);
});

Deno.test("one is alive whose heartbeats wait while the agent itself stands still", () => {
  const world = new World();
  world.enter("a", {}, "e1");
  world.mono += 20_000; // no look in all that time, and nothing was read
  assert.throws(() => world.join("a", "e2"), /Another collector a is registered and alive \(epoch e1\)/);
  world.pass(2 * BEAT_MS);
  world.enter("a", {}, "e2");
  assert.equal(world.of().epoch, "e2");
});

Deno.test("a registration that cannot be true is refused, and so is a second one", () => {
  const world = new World(), link = world.join();
  const refuse = (registration: Partial<Registration>, reason: RegExp): void => {
    assert.match(world.registry.register("a", link, { ...SENSOR, ...registration }) ?? "", reason);
    assert.equal(world.state, "joined");
  };
  const table = { name: "process_events", version: 4, columns: ["pid"] };
  refuse({ domains: [] }, /fills process_events and does not see the domain process/);
  refuse({ tables: [{ ...table, name: "alerts" }] }, /no table alerts that a collector fills/);
  refuse({ tables: [{ ...table, name: "constructor" }] }, /no table constructor/);
  refuse({ tables: [{ ...table, columns: ["pid", "colour"] }] }, /has no column colour/);
  refuse({ tables: [table, table] }, /names the table process_events twice/);
  refuse({ tables: [{ ...table, version: 0 }] }, /has no version/);
  assert.equal(world.counters.refused_capabilities, 6);
  // A later version may have columns that this one does not read.
  const later = { ...table, version: 999, columns: ["pid", "colour"] };
  assert.equal(world.registry.register("a", link, { ...SENSOR, tables: [later] }), null);
  assert.deepEqual(link.told, ["registered"]);
  assert.match(world.registry.register("a", link, SENSOR) ?? "", /registers twice/);
  assert.deepEqual([world.counters.refused_duplicate, world.counters.registrations], [1, 1]);
});

Deno.test("what a collector does is held against what it registered", () => {
  const world = new World(), source = { detail: "", misses: [], unknownColumns: [] };
  world.enter("net", { domains: ["network"], tables: [], kernelLevel: false });
  assert.match(world.registry.eventsFault("net") ?? "", /did not register to see/);
  assert.equal(world.registry.sourcesFault("net", [{ name: "proc", state: "active", ...source }]), null);
  world.enter("a");
  assert.equal(world.registry.eventsFault("a"), null);
  assert.equal(world.registry.sourcesFault("a", [{ name: "proc", state: "unavailable", ...source }]), null);
  assert.match(
    world.registry.sourcesFault("a", [{ name: "proc", state: "active", ...source }]) ?? "",
    /source is proc/,
  );
  assert.equal(world.registry.capabilitiesFault("a", { domains: ["process"], kernelLevel: true }), null);
  assert.match(
    world.registry.capabilitiesFault("a", { domains: ["process", "network"], kernelLevel: true }) ?? "",
    /registered process from the kernel, and answers network, process/,
  );
  assert.equal(world.counters.refused_capabilities, 3);
  // Of one that never registered nothing is known to be false.
  world.join("old");
  assert.equal(world.registry.eventsFault("old"), null);
});

Deno.test("a collector that comes back may see something else, and what it says must be that, whatever it says first", () => {
  const world = new World(), polling = { domains: ["process"], kernelLevel: false } as const;
  const source = { name: "proc", state: "active", detail: "", misses: [], unknownColumns: [] } as const;
  world.enter("a");
  const again = world.join("a");
  assert.equal(world.registry.capabilitiesFault("a", polling), null);
  assert.equal(world.registry.sourcesFault("a", [source]), null);
  assert.equal(world.registry.register("a", again, { ...SENSOR, kernelLevel: false }), null);
  const liar = world.join("a");
  assert.equal(world.registry.capabilitiesFault("a", polling), null);
  assert.match(
    world.registry.register("a", liar, SENSOR) ?? "",
    /^It registered process from the kernel, and answers process$/,
  );
  assert.equal(world.counters.refused_capabilities, 1);
});

Deno.test("rules lack what no registered collector fills, and what one of them does not", () => {
  const world = new World();
  const reading = (hashes: boolean, ...variables: string[]) =>
    world.registry.lacks({ attributes: { hashes, variables, otherVariables: false } });
  const look = () => (world.pass(TICK_MS), [reading(false), reading(true), reading(false, "A")]);
  assert.deepEqual(look(), [[], [], []]);
  world.enter("net", { domains: ["network"], tables: [] });
  const none = "no registered collector fills process_events";
  assert.deepEqual(look(), [[none], [none], [none]]);
  world.enter("a", { tables: processTables(["executable_hash"]) });
  assert.deepEqual(look(), [[], ["collector a does not fill executable_hash"], []]);
  world.enter("b", { tables: processTables(["environment"]) });
  assert.deepEqual(look()[2], ["collector b does not fill environment"]);
  world.pass(3_500);
  assert.match(reading(false)[0]!, /^collector a has failed: nothing comes from it since/);
});

Deno.test("names are remembered up to a limit, connected ones before others", () => {
  const world = new World();
  world.registry.left("gone", world.enter("gone"), true);
  for (let i = 1; i < MAX_ENTRIES; i++) world.enter(`c${i}`);
  world.enter("one-more");
  assert.equal(world.of("gone"), undefined);
  assert.throws(() => world.join("too-many"), /The registry is full/);
  assert.equal(world.registry.standings().length, MAX_ENTRIES);
});

Deno.test("the start waits for those that are expected, fails without them, and is made up for", async () => {
  const world = new World();
  world.registry.expect(["a", "b"]);
  const lifecycle = new AgentLifecycle(world.registry, world.journal, 20);
  const first = world.enter("a");
  lifecycle.check();
  assert.equal(lifecycle.state, "loading", "its store is not in use yet");
  lifecycle.inUse();
  assert.match(lifecycle.status().reason, /waits for b/);
  await until("the time has passed", () => lifecycle.state === "startupFailed");
  assert.match(lifecycle.status().reason, /b did not register within 0.02 s/);
  assert.deepEqual([world.of("b").lifecycle.state, first.told], ["failed", ["registered"]]);
  world.enter("b");
  lifecycle.check();
  assert.equal(lifecycle.state, "steadyState");
  assert.deepEqual(first.told, ["registered", "begin"]);
  assert.deepEqual(lifecycle.status().history.map(({ state }) => state), ["startupFailed", "ready", "steadyState"]);
  assert.deepEqual(world.enter("late").told, ["registered", "begin"]);
  lifecycle.stop();
  lifecycle.check();
  assert.equal(lifecycle.state, "shuttingDown");
});

Deno.test("every way between states of a collector is one that the registry goes", () => {
  const gone = new Set<string>();
  const note = (world: World): void => {
    let before = "expected";
    for (const { event, state } of world.of().lifecycle.history) {
      gone.add(`${before} ${event} ${state}`);
      before = state;
    }
  };
  const expected = (): World => {
    const world = new World();
    world.registry.expect(["a"]);
    return world;
  };
  // From each state: another connection, a goodbye, silence, and a word.
  const reach: Record<string, (world: World) => void> = {
    expected: () => {},
    joined: (world) => void world.join(),
    registered: (world) => void world.enter(),
    running: (world) => (world.enter(), world.registry.begin()),
    degraded: (world) => (world.enter(), world.registry.begin(), world.pass(1_250)),
    failed: (world) => (world.enter(), world.pass(4_000)),
    stopped: (world) => world.registry.left("a", world.enter(), true),
  };
  const acts: ((world: World) => void)[] = [
    (world) => void world.join("a", "e1"),
    (world) => world.registry.giveUp(["a"]),
    (world) => world.registry.begin(),
    (world) => world.pass(1_250),
    (world) => world.pass(5_000),
  ];
  for (const go of Object.values(reach)) {
    for (const act of acts) {
      const world = expected();
      go(world);
      act(world);
      note(world);
    }
    // With the connection in hand.
    for (const end of ["heard", "left"]) {
      const world = expected();
      let link: Link | null = null;
      const join = world.join.bind(world);
      world.join = (...args) => link = join(...args) as Link & { told: string[] };
      go(world);
      if (link !== null && end === "heard") world.registry.heard("a", link);
      if (link !== null && end === "left") world.registry.left("a", link, true);
      note(world);
    }
  }
  // Silence between the welcome and the registration, of one that has registered before.
  const world = expected();
  world.enter();
  world.join();
  world.pass(1_250);
  note(world);
  assert.deepEqual(
    COLLECTOR_TRANSITIONS.map(({ from, event, to }) => `${from} ${event} ${to}`).filter((way) => !gone.has(way)),
    [],
  );
});

Deno.test("a goodbye of one that was not heard from ends its gap, and tells it to begin nothing", () => {
  const world = new World();
  world.registry.begin();
  const link = world.enter();
  world.pass(4 * BEAT_MS);
  assert.equal(world.state, "failed");
  const told = link.told.length;
  world.pass(10_000);
  world.registry.left("a", link, true);
  assert.deepEqual([world.state, link.told.length], ["stopped", told]);
  assert.deepEqual([world.gaps.size, world.gaps.get(1)!.to], [1, 1_000_000 + world.mono]);
  const { to } = world.gaps.get(1)!;
  world.pass(60_000);
  world.enter();
  assert.equal(world.gaps.get(1)!.to, to, "what came after it is no part of that gap");
});

Deno.test("a collector registers by a call, takes that back and registers anew", async () => {
  const world = new World(), calls = calledRegistry(world.registry);
  const called = {
    collectorType: "process-monitor",
    version: "1",
    capabilities: ["process", "system_wide"],
    heartbeatIntervalMs: BEAT_MS,
  };
  const refused = async (change: Partial<typeof called>): Promise<string> => {
    const { accepted, detail } = await calls.register("a", { ...called, ...change });
    assert.equal(accepted, false);
    return detail;
  };
  assert.equal(await refused({}), "It is not connected");
  const link = world.join();
  assert.deepEqual(await calls.deregister("a", "why"), { accepted: false, detail: "It is not registered" });
  assert.match(await refused({ capabilities: ["process", "teleport"] }), /^A capability is one of .*, not teleport$/);
  assert.match(await refused({ heartbeatIntervalMs: 1 }), /^Heartbeats come every/);
  assert.equal((await calls.register("a", called)).accepted, true);
  assert.equal(await refused({}), "It registers twice");
  const standing = (): CollectorStanding => world.registry.standings()[0]!;
  const { domains, tables, heartbeatMs, kernelLevel } = standing().registration!;
  assert.deepEqual([domains, heartbeatMs, kernelLevel], [["process"], BEAT_MS, false]);
  assert.deepEqual(tables.map(({ name }) => name), ["process_events", "processes"]);

  assert.equal((await calls.deregister("a", "done")).accepted, true);
  assert.deepEqual([standing().lifecycle.state, standing().registration], ["stopped", null]);
  world.pass(10 * BEAT_MS);
  assert.deepEqual([world.counters.heartbeats_missed, world.gaps.size], [0, 0], "it owes no heartbeat");
  assert.equal((await calls.register("a", called)).accepted, true);
  assert.deepEqual([standing().lifecycle.state, standing().registrations], ["registered", 2]);
  assert.deepEqual(link.told, ["registered", "registered"]);
});
