/** Registrations over a real socket: who may have which name, and what becomes of collectors that contradict themselves. */
import assert from "node:assert/strict";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Broker, listenAt } from "../../../agent/broker/listener.ts";
import { Registry } from "../../../agent/collectors/registry.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Ingest } from "../../../agent/ingest.ts";
import { Journal } from "../../../agent/journal.ts";
import { Store } from "../../../agent/store/store.ts";
import { Channel } from "../../../proto/channel.ts";
import { CollectorSession } from "../../../proto/collector_session.ts";
import { encodeFrame } from "../../../proto/frame.ts";
import { EnvelopeSchema, RegistrationSchema, TableSchemaSchema } from "../../../proto/gen/ipc_pb.ts";
import { joinAgent, ownToken } from "../../../proto/handshake.ts";
import { processTables, type Registration } from "../../../proto/registration.ts";
import type { WireMessage } from "../../../proto/messages.ts";
import { encodeMessage } from "../../../proto/wire.ts";
import { TOKEN } from "../broker/test_collector.ts";
import { BOOT_ID, checkStore, rows, start, TempDir, until } from "../support.ts";

const REGISTRATION: Registration = {
  collectorType: "test",
  domains: ["process"],
  kernelLevel: false,
  realtime: true,
  systemWide: false,
  tables: processTables([]),
  heartbeatMs: 200,
  keepsLedger: false,
};

class World implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly socket = `${this.dir.path}/broker.sock`;
  readonly path = `${this.dir.path}/events.db`;
  readonly store = new Store(this.path);
  readonly counters = newCounters();
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly registry = new Registry({
    journal: this.journal,
    counters: this.counters,
    putGap: (gap, id, at) => this.store.putGap(gap, id, at),
    registered: () => {},
    failed: () => {},
  });
  #broker!: Broker;
  #serving!: Promise<void>;

  static async begin(groupMs = 0): Promise<World> {
    const world = new World(), { store, counters, journal, registry } = world;
    world.#broker = new Broker(await listenAt(world.socket), {
      ...{ token: TOKEN, journal, counters, registry },
      storeFailed: () => {},
      joined: () => {},
      maxConnections: 16,
      idleTimeoutMs: 5_000,
    });
    const ingest = new Ingest({
      ...{ store, counters, groupMs },
      detection: { judge: () => [], stored: () => {} },
      alerted: () => {},
      failed: () => {},
    });
    world.#broker.take({ store, ingest });
    world.#serving = world.#broker.serve();
    return world;
  }

  async connect(): Promise<Channel> {
    return new Channel(await Deno.connect({ transport: "unix", path: this.socket }));
  }

  async enter(options: {
    collectorId?: string;
    token?: string;
    epoch?: string;
    registration?: Partial<Registration>;
    answer?: () => never;
  } = {}): Promise<Client> {
    const { collectorId = "mine", epoch = "e1", token = ownToken(TOKEN, collectorId) } = options;
    const channel = await this.connect();
    const session = await CollectorSession.join(channel, {
      token,
      identity: { collectorId, epoch, bootId: BOOT_ID, softwareVersion: "1", source: "test" },
      registration: { ...REGISTRATION, ...options.registration },
    });
    return new Client(session, channel);
  }

  state(collectorId = "mine"): string {
    return this.registry.standings().find((each) => each.collectorId === collectorId)?.lifecycle.state ?? "none";
  }

  /** The agent stops; for collectors that do not end there is an hour. */
  async stop(): Promise<void> {
    this.#broker.stop(3_600_000);
    await this.#serving;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.store.close();
    checkStore(this.path);
    this.dir[Symbol.dispose]();
  }
}

class Client implements Disposable {
  hasEnded = false;
  constructor(readonly session: CollectorSession, readonly channel: Channel) {
    session.run().catch(() => {}).finally(() => this.hasEnded = true);
  }

  [Symbol.dispose](): void {
    this.session.close();
  }
}

Deno.test("a collector with a token of its own registers, sends, and is told what is stored", async () => {
  await using world = await World.begin();
  world.registry.begin();
  using mine = await world.enter();
  await until("it runs", () => world.state() === "running");
  await mine.session.send({ kind: "events", firstSequence: 1, events: [start(1), start(2)] });
  await until("it is stored", () => mine.session.acknowledged === 2);
  assert.ok(mine.session.mayReach > 1_000);
  assert.equal(world.counters.registrations, 1);
  await mine.session.leave("done");
  await until("it has left", () => world.state() === "stopped");
});

Deno.test("what collectors sent when the agent stops is stored, and their goodbyes are read", async () => {
  // So long a time to store together as no test has
  await using world = await World.begin(3_600_000);
  using a = await world.enter({ collectorId: "a" });
  using b = await world.enter({ collectorId: "b" });
  using c = await world.enter({ collectorId: "c" });
  await until("all are registered", () => ["a", "b", "c"].every((id) => world.state(id) === "registered"));
  const events = (pid: number): WireMessage => ({ kind: "events", firstSequence: 1, events: [start(pid), start(pid)] });
  const sent = [a, b, c].map((client, i) => client.channel.send(events(i + 1)));
  const left = [a.session.leave("it stops too"), b.session.leave("it stops too")];
  const stopped = world.stop();
  await Promise.all(sent);
  c.channel.close(); // without a word
  await Promise.all([...left, stopped]);
  assert.deepEqual(["a", "b", "c"].map((id) => world.state(id)), ["stopped", "stopped", "registered"]);
  assert.equal(rows(world.path, "SELECT * FROM process_events").length, 6);
  assert.deepEqual([a.session.acknowledged, b.session.acknowledged], [2, 2]);
  assert.equal(world.counters.connections_failed, 0);
});

Deno.test("an agent that stops waits for no collector that neither leaves nor closes", async () => {
  await using world = await World.begin();
  const channel = await world.connect();
  const identity = { collectorId: "deaf", epoch: "e1", bootId: BOOT_ID, softwareVersion: "1", source: "test" };
  await joinAgent(channel, ownToken(TOKEN, "deaf"), identity);
  await until("it is connected", () => world.registry.standings()[0]?.connected === true);
  await world.stop();
  assert.equal(world.registry.standings()[0]!.connected, false);
  channel.close();
});

Deno.test("nobody takes another's name: not with a token of its own, not by a handshake that was seen before", async () => {
  await using world = await World.begin();
  using mine = await world.enter();
  await until("it is registered", () => world.state() === "registered");
  await assert.rejects(
    world.enter({ collectorId: "mine", token: ownToken(TOKEN, "other") }),
    /does not know the token/,
  );
  assert.equal(world.counters.refused_identity, 1);
  const { refused, refusal } = world.registry.standings()[0]!;
  assert.deepEqual([refused, refusal], [1, "The collector that calls itself mine does not know the token"]);

  // An honest hello, recorded and sent again.
  let recorded: WireMessage | null = null;
  const honest = await world.connect();
  const send = honest.send.bind(honest);
  honest.send = (message) => {
    if (message.kind === "hello") recorded = message;
    return send(message);
  };
  const again = await CollectorSession.join(honest, {
    token: ownToken(TOKEN, "seen"),
    identity: { collectorId: "seen", epoch: "e1", bootId: BOOT_ID, softwareVersion: "1", source: "test" },
    registration: REGISTRATION,
  });
  again.close();
  const replaying = await world.connect();
  assert.equal((await replaying.receiveOne())!.kind, "challenge");
  await replaying.sendFrame(encodeFrame(encodeMessage(recorded!)));
  assert.equal((await replaying.receiveOne())!.kind, "refused");
  replaying.close();
  await until("it is counted", () => world.counters.refused_identity === 2);
  assert.equal(mine.hasEnded, false);
  assert.equal(world.registry.standings().length, 2, "no entry for a name that nobody has proven");
});

Deno.test("a second process under a name is refused while the first lives, which goes on", async () => {
  await using world = await World.begin();
  using mine = await world.enter();
  await until("it is registered", () => world.state() === "registered");
  await assert.rejects(world.enter({ epoch: "e2" }), /refused: Another collector mine is registered and alive/);
  assert.equal(world.counters.refused_duplicate, 1);
  await mine.session.send({ kind: "events", firstSequence: 1, events: [start(1)] });
  await until("it is stored", () => mine.session.acknowledged === 1);
  mine.session.close();
  await until("its end is noticed", () => !world.registry.standings()[0]!.connected);
  using _ = await world.enter({ epoch: "e2" });
  await until("the other has the name", () => world.registry.standings()[0]!.epoch === "e2");
});

Deno.test("collectors that contradict themselves are cut off, each with a reason, and nothing of it is stored", async () => {
  await using world = await World.begin();
  using honest = await world.enter({ collectorId: "honest" });
  const cases: [string, Partial<Registration>, WireMessage | null, RegExp][] = [
    ["lies", { tables: [{ name: "alerts", version: 4, columns: [] }] }, null, /no table alerts/],
    ["twice", {}, { kind: "registration", ...REGISTRATION }, /registers twice/],
    [
      "net",
      { domains: ["network"], tables: [] },
      { kind: "events", firstSequence: 1, events: [start(7)] },
      /sends events of processes/,
    ],
    [
      "poller",
      { kernelLevel: true },
      {
        kind: "sources",
        sequence: 1,
        sources: [{ name: "ps", state: "active", detail: "", misses: [], unknownColumns: [] }],
      },
      /its source is ps/,
    ],
  ];
  for (const [collectorId, registration, message, reason] of cases) {
    using client = await world.enter({ collectorId, registration });
    if (message !== null) await client.channel.send(message).catch(() => {});
    await until(`${collectorId} is cut off`, () => client.hasEnded);
    const standing = world.registry.standings().find((each) => each.collectorId === collectorId)!;
    assert.equal(standing.refused, 1);
    assert.match(standing.refusal, reason);
    assert.match(world.lines.join("\n"), reason);
  }
  const { refused_capabilities: lies, refused_duplicate: duplicates } = world.counters;
  assert.deepEqual([lies, duplicates], [3, 1]);
  assert.equal(rows(world.path, "SELECT * FROM process_events").length, 0);
  await honest.session.send({ kind: "events", firstSequence: 1, events: [start(1)] });
  await until("the honest one is stored", () => honest.session.acknowledged === 1);
});

Deno.test("a registration that is no message ends its connection alone", async () => {
  await using world = await World.begin();
  using honest = await world.enter({ collectorId: "honest" });
  const good = { version: 1, collectorType: "x", heartbeatMs: 500 };
  const table = create(TableSchemaSchema, { name: "process_events", version: 4 });
  const bad: [MessageInitShape<typeof RegistrationSchema>, RegExp][] = [
    [{ ...good, version: 2 }, /no registrations of version 2/],
    [{ ...good, heartbeatMs: 50 }, /every 100 to 60000 ms, not 50/],
    [{ ...good, heartbeatMs: 4_000_000_000 }, /not 4000000000/],
    [{ ...good, collectorType: "a b" }, /collector's type/],
    [{ ...good, collectorType: "" }, /collector's type/],
    [{ ...good, tables: Array.from({ length: 40 }, () => table) }, /more than 32 fields/],
    [{ ...good, tables: Array.from({ length: 17 }, () => table) }, /17 tables/],
    [{ ...good, tables: [{ ...table, name: "x; DROP" }] }, /table's name/],
    [{ ...good, tables: [{ ...table, columns: ["a".repeat(65)] }] }, /column's name/],
    [{ ...good, tables: [{ ...table, columns: Array.from({ length: 257 }, () => "pid") }] }, /257 columns/],
    [{ ...good, capabilities: { supportedDomains: [7 as never] } }, /no monitoring domain 7/],
  ];
  for (const [registration, reason] of bad) {
    const channel = await world.connect();
    const identity = { collectorId: "bad", epoch: "e1", bootId: BOOT_ID, softwareVersion: "1", source: "test" };
    await joinAgent(channel, ownToken(TOKEN, "bad"), identity);
    const body = { case: "registration", value: create(RegistrationSchema, registration) } as const;
    await channel.sendFrame(encodeFrame(toBinary(EnvelopeSchema, create(EnvelopeSchema, { body }))));
    await until("it is cut off", () => world.lines.some((line) => reason.test(line)));
    channel.close();
  }
  assert.equal(world.counters.registrations, 1);
  assert.equal(honest.hasEnded, false);
});

Deno.test("notes for the audit ledger are not given to a collector that keeps none, and wait for one that does", async () => {
  await using world = await World.begin();
  using mine = await world.enter();
  await until("it is registered", () => world.state() === "registered");
  const time = Date.now();
  world.store.note({ action: "request", value: { what: "x", by: null, time, outcome: null } }, time);
  await mine.session.send({ kind: "events", firstSequence: 1, events: [start(1)] });
  await until("it is stored", () => mine.session.acknowledged === 1);
  assert.equal(world.store.counters["ledger_notes_waiting"], 1);
});
