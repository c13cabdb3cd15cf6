import assert from "node:assert/strict";
import type { Outbox } from "../../collector/outbox.ts";
import { Publisher } from "../../collector/publisher.ts";
import { answerRequest } from "../../collector/requests.ts";
import type { AttributeStanding, Demand } from "../../proto/demand.ts";
import { Channel } from "../../proto/channel.ts";
import { admitCollector } from "../../proto/handshake.ts";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";
import { TestLog } from "../support/test_log.ts";

const TOKEN = "5a".repeat(32);

function events(count: number): ProcessEvent[] {
  return Array.from({ length: count }, (_, i) => blankProcessEvent("start", i, `0badcafe-${i + 1}-1`, i + 1));
}

/** An agent that the test plays, and a publisher that connects to it. */
class Stage implements AsyncDisposable {
  readonly notices: string[] = [];
  readonly publisher: Publisher;
  readonly #listener: Deno.UnixListener;
  readonly #running: Promise<void>;
  readonly #channels: Channel[] = [];
  /** What a demand is answered by. */
  demanded: (demand: Demand) => readonly AttributeStanding[] = () => [];
  /** Of each handshake. */
  readonly epochs: string[] = [];

  constructor(readonly path: string, checkPeer: () => void, readonly log: TestLog) {
    this.#listener = Deno.listen({ transport: "unix", path });
    this.publisher = new Publisher(this.outbox, {
      connect: () => Deno.connect({ transport: "unix", path }),
      token: TOKEN,
      collectorId: "test",
      bootId: "boot",
      source: "proc",
      checkPeer,
      answer: (body) => answerRequest(body, "proc", (demand) => this.demanded(demand)),
      notice: (text) => this.notices.push(text),
    });
    this.#running = this.publisher.run();
  }

  get outbox(): Outbox {
    return this.log.outbox;
  }

  /** Adds events, has them on disk and offers them. */
  add(events: readonly ProcessEvent[]): void {
    this.outbox.addEvents(events);
    this.outbox.flush();
    this.publisher.poke();
  }

  async accept(lastSequence: number, credit: number, token: string = TOKEN): Promise<Channel> {
    const channel = new Channel(await this.#listener.accept());
    this.#channels.push(channel);
    await admitCollector(channel, token, ({ epoch }) => {
      this.epochs.push(epoch);
      return { lastSequence, credit };
    });
    return channel;
  }

  async until(holds: () => boolean): Promise<void> {
    for (let i = 0; i < 500 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(holds());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of this.#channels) channel.close();
    this.#listener.close();
    await this.publisher.stop(0, "the test is over");
    await this.#running;
  }
}

async function stage(checkPeer: () => void = () => {}, log: TestLog = new TestLog()): Promise<Stage> {
  return new Stage(`${await Deno.makeTempDir()}/broker.sock`, checkPeer, log);
}

/** Sequence numbers of events, until `count` have come. */
async function receive(channel: Channel, count: number): Promise<number[]> {
  const sequences: number[] = [];
  while (sequences.length < count) {
    for (const message of (await channel.receive())!) {
      if (message.kind === "events") message.events.forEach((_, i) => sequences.push(message.firstSequence + i));
    }
  }
  return sequences;
}

Deno.test("Publisher sends again, on a new connection, what was not acknowledged", async () => {
  await using s = await stage();
  s.add(events(600));
  const first = await s.accept(0, 1_000);
  assert.equal((await receive(first, 600)).length, 600);
  await first.send({ kind: "ack", sequence: 500, credit: 1_000 });
  await s.until(() => s.outbox.acknowledged === 500);
  first.close();
  s.add(events(10));
  const second = await s.accept(500, 1_000);
  // A frame is sent whole again; the agent drops by their numbers what it has of it.
  const again: number[] = [];
  while (again.at(-1) !== 610) again.push(...(await receive(second, 1)).filter((sequence) => sequence > 500));
  assert.deepEqual(again, Array.from({ length: 110 }, (_, i) => 501 + i));
});

Deno.test("Publisher keeps no more in flight than the credit", async () => {
  await using s = await stage();
  for (let i = 0; i < 10; i++) s.add(events(10));
  const channel = await s.accept(0, 25);
  assert.equal((await receive(channel, 20)).at(-1), 20);
  const more = receive(channel, 10);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await channel.send({ kind: "ack", sequence: 10, credit: 25 });
  assert.deepEqual(await more, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
});

Deno.test("Publisher leaves an agent that acknowledges what it was not sent", async () => {
  await using s = await stage();
  s.add(events(5));
  const channel = await s.accept(0, 100);
  await receive(channel, 5);
  await channel.send({ kind: "ack", sequence: 6, credit: 100 });
  await s.until(() => s.notices.some((text) => text.includes("acknowledges what it was not sent")));
  assert.equal(s.outbox.acknowledged, 0);
  await s.accept(0, 100);
});

Deno.test("Publisher begins another epoch for an agent that knows more than the log, once, and loses nothing", async () => {
  await using s = await stage();
  s.add(events(5));
  await s.accept(99, 100);
  const second = await s.accept(0, 100);
  assert.deepEqual(await receive(second, 5), [1, 2, 3, 4, 5]);
  assert.notEqual(s.epochs[0], s.epochs[1]);
  assert.ok(s.log.notices.some((text) => /has stored up to 99 of it, while it ends at 5/.test(text)));
  second.close();
  await s.accept(1_000, 100);
  await s.until(() => s.notices.some((text) => text.includes("acknowledges 1000, but the last one on disk is 5")));
  const fourth = await s.accept(0, 100);
  assert.equal(s.epochs[2], s.epochs[3], "an agent that does it again is left");
  assert.deepEqual(await receive(fourth, 5), [1, 2, 3, 4, 5]);
});

Deno.test("Publisher sends again, from disk, to an agent whose store was set back", async () => {
  await using s = await stage();
  s.add(events(20));
  const first = await s.accept(0, 100);
  await receive(first, 20);
  await first.send({ kind: "ack", sequence: 20, credit: 100 });
  await s.until(() => s.outbox.acknowledged === 20);
  first.close();
  const second = await s.accept(3, 2);
  assert.deepEqual(await receive(second, 20), Array.from({ length: 20 }, (_, i) => i + 1));
  assert.ok(s.notices.some((text) => /has stored up to 3 and had acknowledged up to 20/.test(text)));
  s.add(events(1));
  await second.send({ kind: "ack", sequence: 20, credit: 2 });
  assert.deepEqual(await receive(second, 1), [21]);
});

Deno.test("Publisher takes the word of an agent that has what an earlier run sent, also while the disk is full", async () => {
  const log = new TestLog();
  for (let i = 0; i < 10; i++) {
    log.outbox.addEvents(events(10));
    log.outbox.flush();
  }
  const { epoch } = log.outbox;
  log.home.kill();
  log.home.capacity = 0;
  log.restart();
  assert.equal(log.outbox.flush(), false, "the end of the log is written again, or would be");
  await using s = await stage(undefined, log);
  const channel = await s.accept(100, 50);
  await s.until(() => s.publisher.connected);
  assert.ok(log.outbox.durable < 100);
  log.home.capacity = Infinity;
  log.now += 60_000;
  s.add(events(1));
  assert.deepEqual(await receive(channel, 1), [101]);
  assert.deepEqual(s.epochs, [epoch]);
});

Deno.test("Publisher sends what follows lost records, whatever the credit", async () => {
  const log = new TestLog();
  for (let i = 0; i < 10; i++) {
    log.outbox.addEvents(events(10));
    log.outbox.flush();
  }
  log.home.kill();
  const storage = log.home.logs.get("1")!;
  const bytes = storage.bytes(storage.list().find(({ name }) => name.endsWith(".wal"))!.name);
  // All records but the last, which shows by its numbers that the others are lost.
  const size = (bytes.length - 512) / 10;
  bytes.fill(0xff, 512, bytes.length - size);
  log.restart();
  log.outbox.flush();
  await using s = await stage(undefined, log);
  assert.deepEqual(await receive(await s.accept(0, 1), 10), Array.from({ length: 10 }, (_, i) => 91 + i));
});

Deno.test("Publisher answers questions about capabilities, and says what it does not do", async () => {
  await using s = await stage();
  const channel = await s.accept(0, 100);
  const receiving = (async () => {
    while (await channel.receive() !== null);
  })();
  const answer = await channel.request({
    kind: "capabilities",
    clientId: "agent",
    domains: ["process"],
    clientVersion: null,
  });
  assert.ok(answer.kind === "capabilities" && answer.success && !answer.kernelLevel && answer.systemWide);
  const task = {
    taskId: "1",
    taskType: "enumerate_processes",
    processFilter: null,
    hashCheck: null,
    metadata: null,
  } as const;
  const refused = await channel.request({ kind: "task", ...task });
  assert.ok(refused.kind === "error" && /given by a call/.test(refused.reason));
  assert.equal(answer.kind === "capabilities" && answer.demandVersion, 1);
  const demands: Demand[] = [];
  const standing = { attribute: "environment.A", state: "demanded", reason: "", since: 5 } as const;
  s.demanded = (demand) => (demands.push(demand), [standing]);
  const demand = { hashes: true, variables: ["A"] };
  assert.deepEqual(await channel.request({ kind: "demand", demand }), { kind: "demand", attributes: [standing] });
  assert.deepEqual(demands, [demand]);
  channel.close();
  await receiving;
});

Deno.test("Publisher sends nothing to a listener that is not the agent", async () => {
  await using s = await stage(() => {
    throw new Error("the listener is user 666");
  });
  s.add(events(5));
  await assert.rejects(s.accept(0, 100));
  await s.until(() => s.notices.some((text) => text.includes("user 666")));
});
