import assert from "node:assert/strict";
import { Broker, type BrokerOptions, listenAt, SocketError } from "../../../agent/broker/listener.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Ingest } from "../../../agent/ingest.ts";
import { Journal } from "../../../agent/journal.ts";
import { Store } from "../../../agent/store/store.ts";
import { Demands } from "../../../agent/demands.ts";
import type { Demand } from "../../../proto/demand.ts";
import { validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import type { ReplyBody, RequestBody } from "../../../proto/messages.ts";
import { encodeFrame } from "../../../proto/frame.ts";
import { HandshakeError } from "../../../proto/handshake.ts";
import { encodeMessage } from "../../../proto/wire.ts";
import { checkStore, rows, start, TempDir, until } from "../support.ts";
import { sendRaw, TestCollector, TOKEN } from "./test_collector.ts";

class World implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  readonly socket = `${this.dir.path}/broker.sock`;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly counters = newCounters();
  readonly store = new Store(this.path);
  broker!: Broker;
  #serving!: Promise<void>;

  static async begin(more: Partial<BrokerOptions> = {}, groupMs = 0): Promise<World> {
    const world = new World();
    const { store, counters, journal } = world;
    world.broker = new Broker(await listenAt(world.socket), {
      token: TOKEN,
      storeFailed: () => {},
      journal,
      counters,
      joined: () => {},
      maxConnections: 4,
      idleTimeoutMs: 5_000,
      ...more,
    });
    const detection = { judge: () => [], stored: () => {} };
    const ingest = new Ingest({ store, counters, detection, groupMs, alerted: () => {}, failed: () => {} });
    world.broker.take({ store, ingest });
    world.#serving = world.broker.serve();
    return world;
  }

  count(): number {
    return rows(this.path, "SELECT count(*) AS n FROM process_events")[0]!["n"] as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.broker.stop(2_000);
    await this.#serving;
    this.store.close();
    checkStore(this.path);
    this.dir[Symbol.dispose]();
  }
}

const pids = (from: number, count: number): ReturnType<typeof start>[] =>
  Array.from({ length: count }, (_, i) => start(from + i));

Deno.test("a collector that joins gets its watermark, and an acknowledgement for what is stored", async () => {
  await using world = await World.begin();
  {
    using collector = await TestCollector.join(world.socket);
    assert.equal(collector.welcome.lastSequence, 0);
    await collector.send(1, pids(1, 10));
    await until("it is acknowledged", () => collector.acknowledged === 10);
    assert.equal(world.count(), 10);
    assert.deepEqual(world.broker.connections().map((c) => [c.collectorId, c.lastSequence, c.lastEventTime]), [
      ["col", 10, start(10).time],
    ]);
  }
  await until("the end is noticed", () => world.broker.connections().length === 0);
  using again = await TestCollector.join(world.socket);
  assert.equal(again.welcome.lastSequence, 10);
});

Deno.test("what a collector sent before it was killed is stored", async () => {
  await using world = await World.begin();
  const collector = await TestCollector.join(world.socket);
  await collector.send(1, pids(1, 500));
  collector.channel.close();
  await until("the connection has ended", () => world.broker.connections().length === 0);
  assert.equal(world.count(), 500);
});

Deno.test("a newer connection of the same collector replaces the older one", async () => {
  await using world = await World.begin();
  using older = await TestCollector.join(world.socket);
  await older.send(1, pids(1, 5));
  await until("it is acknowledged", () => older.acknowledged === 5);
  using newer = await TestCollector.join(world.socket);
  assert.equal(newer.welcome.lastSequence, 5);
  await until("the older has ended", () => older.ended);
  assert.ok(older.received.some((message) => message.kind === "goodbye"));
  await newer.send(6, pids(6, 5));
  await until("it is acknowledged", () => newer.acknowledged === 10);
  assert.equal(world.broker.connections().length, 1);
  assert.equal(world.count(), 10);
});

Deno.test("what waits to be stored is stored before a newer connection is told its watermark, and before a goodbye", async () => {
  await using world = await World.begin({}, 3_600_000);
  using older = await TestCollector.join(world.socket);
  await older.send(1, pids(1, 5));
  await until("the first is stored at once", () => older.acknowledged === 5);
  await older.send(6, pids(6, 5));
  const taken = (): number => world.broker.connections()[0]!.lastEventTime;
  await until("the second is judged", () => taken() === start(10).time);
  assert.equal(world.count(), 5, "and waits");
  using newer = await TestCollector.join(world.socket);
  assert.equal(newer.welcome.lastSequence, 10);
  await newer.send(11, pids(11, 5));
  await newer.channel.send({ kind: "goodbye", reason: "the test ends" });
  await until("it has ended", () => newer.ended);
  assert.equal(world.count(), 15);
  assert.deepEqual([world.counters.events, world.counters.duplicates], [15, 0]);
});

Deno.test("collectors of different names are served side by side", async () => {
  await using world = await World.begin();
  using a = await TestCollector.join(world.socket, { collectorId: "a" });
  using b = await TestCollector.join(world.socket, { collectorId: "b" });
  await Promise.all([a.send(1, pids(1, 1_500)), b.send(1, pids(5_000, 1_500))]);
  await until("both are acknowledged", () => a.acknowledged === 1_500 && b.acknowledged === 1_500);
  assert.equal(world.count(), 3_000);
});

Deno.test("hostile clients end alone, each with a reason, while an honest collector goes on", async () => {
  await using world = await World.begin({ maxConnections: 20 });
  using honest = await TestCollector.join(world.socket, { collectorId: "honest" });
  const frame = encodeFrame(encodeMessage({ kind: "heartbeat", time: 1 }));
  const damaged = frame.slice();
  damaged[damaged.length - 1]! ^= 1;
  const huge = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
  const random = new Uint8Array(3_000);
  crypto.getRandomValues(random);
  random.set([200, 0, 0, 0]); // a length that is allowed, so that it comes to the checksum
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [huge, /4294967295 bytes; 1 to 4096 are allowed/],
    [damaged, /checksum/],
    [random, /checksum/],
    [frame.slice(0, frame.length - 1), /ended \d+ bytes into a frame/],
    [frame, /sent heartbeat instead of hello/],
    [new Uint8Array(8), /0 bytes/],
    [new Uint8Array(0), /closed the connection instead/],
  ];
  let sent = 0;
  for (const [bytes, reason] of cases) {
    const before = world.counters.connections_refused;
    await sendRaw(world.socket, bytes);
    await until(`${reason} is counted`, () => world.counters.connections_refused === before + 1);
    assert.match(world.journal.log.notices.at(-1)!.text, reason);
    await honest.send(sent + 1, pids(sent + 1, 3));
    sent += 3;
  }
  await until("the honest one is acknowledged", () => honest.acknowledged === sent);
  assert.equal(world.count(), sent);
});

Deno.test("a wrong token is refused with the name that the client claims", async () => {
  await using world = await World.begin();
  const attempt = TestCollector.join(world.socket, { token: "cd".repeat(32), collectorId: "evil" });
  await assert.rejects(attempt, (error) => error instanceof HandshakeError && error.reason === "refused");
  await until("it is counted", () => world.counters.connections_refused === 1);
  assert.match(world.lines.at(-1)!, /calls itself .*evil.* does not know the token/);
  assert.equal(rows(world.path, "SELECT * FROM collectors").length, 0, "no stream for who has not proven itself");
});

Deno.test("a collector whose boot id cannot be one is refused", async () => {
  await using world = await World.begin();
  for (const bootId of ["zz", "0123", "0123ABCD-0000"]) {
    await assert.rejects(TestCollector.join(world.socket, { bootId }), /boot id .* is not one/);
  }
  assert.equal(rows(world.path, "SELECT * FROM collectors").length, 0);
});

Deno.test("half a frame and then silence ends the connection, before and after the handshake", async () => {
  await using world = await World.begin({ idleTimeoutMs: 200 });
  const frame = encodeFrame(encodeMessage({ kind: "heartbeat", time: 1 }));
  await sendRaw(world.socket, frame.slice(0, 5), true);
  await until("it is counted", () => world.counters.connections_refused === 1);
  using collector = await TestCollector.join(world.socket);
  await until("its answer about capabilities has gone", () => collector.answered);
  await collector.channel.sendFrame(frame.slice(0, 9));
  await until("the agent ends it", () => collector.ended);
  await until("it is counted", () => world.counters.connections_failed === 1);
  assert.match(world.lines.join("\n"), /collector col ended: The peer left a frame unfinished/);
});

Deno.test("a collector that says what only an agent may say is cut off; what it sent before stays", async () => {
  await using world = await World.begin();
  using collector = await TestCollector.join(world.socket);
  await collector.send(1, pids(1, 3));
  await until("it is acknowledged", () => collector.acknowledged === 3);
  await collector.channel.send({ kind: "ack", sequence: 1, credit: 1 });
  await until("the agent ends it", () => collector.ended);
  assert.match(world.lines.join("\n"), /sent ack, which only an agent may send/);
  assert.equal(world.count(), 3);
});

Deno.test("a client that connects and says nothing does not hold up another", async () => {
  await using world = await World.begin({ idleTimeoutMs: 1_000 });
  const connection = await Deno.connect({ transport: "unix", path: world.socket });
  using honest = await TestCollector.join(world.socket, { collectorId: "honest" });
  await honest.send(1, pids(1, 100));
  await until("the honest one is acknowledged", () => honest.acknowledged === 100);
  connection.close();
});

Deno.test("connections beyond the limit are closed and noticed", async () => {
  await using world = await World.begin({ maxConnections: 1 });
  using first = await TestCollector.join(world.socket);
  await assert.rejects(TestCollector.join(world.socket, { collectorId: "second" }));
  assert.match(world.lines.join("\n"), /refused: 1 are open; raise agent\.max_connections/);
  assert.equal(first.ended, false);
  assert.equal(world.counters.connections_refused, 1);
});

Deno.test("a store that fails ends the connection with the reason, unacknowledged", async () => {
  await using world = await World.begin();
  using collector = await TestCollector.join(world.socket);
  await collector.send(1, pids(1, 2));
  await until("it is acknowledged", () => collector.acknowledged === 2);
  const commit = world.store.commit;
  world.store.commit = () => {
    throw new Error("The store did not take a batch: database or disk is full; free space on its disk");
  };
  await collector.send(3, pids(3, 2));
  await until("the agent ends it", () => collector.ended);
  assert.equal(collector.acknowledged, 2);
  assert.match(world.lines.join("\n"), /free space on its disk/);
  world.store.commit = commit;
  using again = await TestCollector.join(world.socket);
  assert.equal(again.welcome.lastSequence, 2);
  await again.send(3, pids(3, 2));
  await until("it is acknowledged", () => again.acknowledged === 4);
  assert.equal(world.count(), 4);
});

Deno.test("listenAt() takes the place of a socket that nobody listens on, and of nothing else", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/broker.sock`;
  const listener = await listenAt(path);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o660);
  await assert.rejects(listenAt(path), (error) => {
    assert.ok(error instanceof SocketError);
    assert.match(error.message, /Another agent listens on .*; stop it/);
    return true;
  });
  // As a killed agent leaves it: the file, and nobody behind it.
  Deno.linkSync(path, `${path}.kept`);
  listener.close();
  Deno.renameSync(`${path}.kept`, path);
  (await listenAt(path)).close();
  Deno.writeTextFileSync(path, "a file");
  await assert.rejects(listenAt(path), /is not a socket; move it away/);
  assert.equal(Deno.readTextFileSync(path), "a file");
  await assert.rejects(listenAt(`${dir.path}/no/broker.sock`), /let the agent's user write .*\/no/);
});

const reading = (...names: string[]) =>
  names.map((name) =>
    validateRule(parseRule(
      `id: reads-${name.toLowerCase()}\ntitle: T\ndescription: D\nseverity: low\nsql: |\n  SELECT pid FROM process_events WHERE environment ->> '${name}' = 'x'\n`,
      "r.yml",
    ))
  );

/** A collector's answers: its capabilities with this version of demands, and to demands what the test says. */
function answering(demandVersion: number, demanded: (demand: Demand) => ReplyBody): (body: RequestBody) => ReplyBody {
  return (body) => {
    if (body.kind === "demand") return demanded(body.demand);
    assert.equal(body.kind, "capabilities");
    const seen = { kernelLevel: true, realtime: true, systemWide: true };
    const rest = { domains: ["process"] as const, errorMessage: null, serverVersion: "1" };
    return { kind: "capabilities", success: true, ...seen, ...rest, demandVersion, rpcVersion: 0 };
  };
}

Deno.test("a collector is told what the rules read when it joins, when that changes, and when it joins again", async () => {
  const demands = new Demands(), seen: string[] = [];
  demands.take(reading("A"));
  await using world = await World.begin({ demands });
  const answer = answering(1, ({ variables }) => {
    seen.push(variables.join());
    const states = variables.map((name) => ({
      attribute: `environment.${name}`,
      state: "demanded",
      reason: "",
      since: 7,
    }));
    return { kind: "demand", attributes: states as never };
  });
  {
    using _ = await TestCollector.join(world.socket, { answer });
    await until("it is told", () => seen.length === 1);
    await until("its answer counts", () => demands.lacks(reading("A")[0]!, 7, "col").length === 0);
    world.broker.demand();
    demands.take(reading("A", "B"));
    world.broker.demand();
    await until("it is told of the change alone", () => seen.length === 2);
  }
  await until("the end is noticed", () => world.broker.connections().length === 0);
  using _ = await TestCollector.join(world.socket, { answer });
  await until("it is told again", () => seen.length === 3);
  assert.deepEqual(seen, ["A", "A,B", "A,B"]);
});

Deno.test("a demand that changes while its answer is awaited is told after it", async () => {
  const demands = new Demands(), seen: string[] = [];
  demands.take(reading("A"));
  await using world = await World.begin({ demands });
  using _ = await TestCollector.join(world.socket, {
    answer: answering(1, ({ variables }) => {
      seen.push(variables.join());
      if (seen.length === 1) {
        demands.take(reading("C"));
        world.broker.demand();
      }
      return { kind: "demand", attributes: [] };
    }),
  });
  await until("both are told", () => seen.length === 2);
  assert.deepEqual(seen, ["A", "C"]);
});

Deno.test("a collector that takes no demand is never asked, stays connected, and is known for it", async () => {
  const demands = new Demands();
  demands.take(reading("A"));
  await using world = await World.begin({ demands });
  using collector = await TestCollector.join(world.socket, {
    // The reading of an older one ends its connection at the first request that it does not know
    answer: answering(0, () => assert.fail("it was asked")),
  });
  await until("it is known", () => demands.lacks(reading("A")[0]!, 0, "col").join().includes("takes no demand"));
  demands.take(reading("B"));
  world.broker.demand();
  await collector.send(1, pids(1, 3));
  await until("it is served", () => collector.acknowledged === 3);
  assert.deepEqual([collector.ended, collector.fault], [false, null]);
});

Deno.test("a collector that refuses a demand as a whole stays connected, and the reason is known", async () => {
  const demands = new Demands();
  demands.take(reading("A"));
  await using world = await World.begin({ demands });
  using collector = await TestCollector.join(world.socket, {
    answer: answering(2, () => ({ kind: "error", reason: "too fast" })),
  });
  await until("it is known", () => demands.lacks(reading("A")[0]!, 0, "col").join().includes("too fast"));
  assert.equal(world.lines.filter((line) => line.includes("too fast")).length, 1);
  await collector.send(1, pids(1, 3));
  await until("it is served", () => collector.acknowledged === 3);
});
