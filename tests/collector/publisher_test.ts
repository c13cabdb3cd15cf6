import assert from "node:assert/strict";
import { Outbox } from "../../collector/outbox.ts";
import { Publisher } from "../../collector/publisher.ts";
import { answerRequest } from "../../collector/requests.ts";
import { Channel } from "../../proto/channel.ts";
import { admitCollector } from "../../proto/handshake.ts";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";

const TOKEN = "5a".repeat(32);

function events(count: number): ProcessEvent[] {
  return Array.from({ length: count }, (_, i) => blankProcessEvent("start", i, `0badcafe-${i + 1}-1`, i + 1));
}

/** An agent that the test plays, and a publisher that connects to it. */
class Stage implements AsyncDisposable {
  readonly outbox: Outbox = new Outbox(10_000);
  readonly notices: string[] = [];
  readonly publisher: Publisher;
  readonly #listener: Deno.UnixListener;
  readonly #running: Promise<void>;
  readonly #channels: Channel[] = [];

  constructor(readonly path: string, checkPeer: () => void = () => {}) {
    this.#listener = Deno.listen({ transport: "unix", path });
    this.publisher = new Publisher(this.outbox, {
      socket: path,
      token: TOKEN,
      collectorId: "test",
      epoch: "epoch-1",
      bootId: "boot",
      source: "proc",
      checkPeer,
      answer: (body) => answerRequest(body, "proc"),
      notice: (text) => this.notices.push(text),
    });
    this.#running = this.publisher.run();
  }

  async accept(lastSequence: number, credit: number, token: string = TOKEN): Promise<Channel> {
    const channel = new Channel(await this.#listener.accept());
    this.#channels.push(channel);
    await admitCollector(channel, token, () => ({ lastSequence, credit }));
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

async function stage(checkPeer?: () => void): Promise<Stage> {
  return new Stage(`${await Deno.makeTempDir()}/broker.sock`, checkPeer);
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
  s.outbox.addEvents(events(600));
  const first = await s.accept(0, 1_000);
  assert.equal((await receive(first, 600)).length, 600);
  await first.send({ kind: "ack", sequence: 500, credit: 1_000 });
  await s.until(() => s.outbox.acknowledged === 500);
  first.close();
  s.outbox.addEvents(events(10));
  const second = await s.accept(500, 1_000);
  // A frame is sent whole again; the agent drops by their numbers what it has of it.
  const again: number[] = [];
  while (again.at(-1) !== 610) again.push(...(await receive(second, 1)).filter((sequence) => sequence > 500));
  assert.deepEqual(again, Array.from({ length: 110 }, (_, i) => 501 + i));
});

Deno.test("Publisher keeps no more in flight than the credit", async () => {
  await using s = await stage();
  for (let i = 0; i < 10; i++) s.outbox.addEvents(events(10));
  const channel = await s.accept(0, 25);
  assert.equal((await receive(channel, 20)).at(-1), 20);
  const more = receive(channel, 10);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await channel.send({ kind: "ack", sequence: 10, credit: 25 });
  assert.deepEqual(await more, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
});

Deno.test("Publisher leaves an agent that acknowledges what it was not sent", async () => {
  await using s = await stage();
  s.outbox.addEvents(events(5));
  const channel = await s.accept(0, 100);
  await receive(channel, 5);
  await channel.send({ kind: "ack", sequence: 6, credit: 100 });
  await s.until(() => s.notices.some((text) => text.includes("acknowledges what it was not sent")));
  assert.equal(s.outbox.acknowledged, 0);
  await s.accept(0, 100);
});

Deno.test("Publisher leaves an agent that claims to have stored what was never numbered", async () => {
  await using s = await stage();
  s.outbox.addEvents(events(5));
  await s.accept(99, 100);
  await s.until(() => s.notices.some((text) => text.includes("acknowledges 99")));
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
  assert.ok(refused.kind === "error" && /does not take tasks/.test(refused.reason));
  channel.close();
  await receiving;
});

Deno.test("Publisher sends nothing to a listener that is not the agent", async () => {
  await using s = await stage(() => {
    throw new Error("the listener is user 666");
  });
  s.outbox.addEvents(events(5));
  await assert.rejects(s.accept(0, 100));
  await s.until(() => s.notices.some((text) => text.includes("user 666")));
});
