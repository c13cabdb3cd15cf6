/** The agent's side of what it may ask of its supervisor. */
import assert from "node:assert/strict";
import { SupervisorPipe } from "../../agent/supervision.ts";
import { MAX_SUPERVISOR_LINE, readRequestLine, readSupervisorLine } from "../../proto/supervisor_lines.ts";
import { until } from "./support.ts";

const NONCE = "ab".repeat(16);

class World {
  readonly asked: string[] = [];
  readonly pipe = new SupervisorPipe((line) => this.asked.push(line));
  readonly #said = new TransformStream<Uint8Array, Uint8Array>();
  readonly #writer = this.#said.writable.getWriter();

  constructor() {
    this.pipe.listen(this.#said.readable);
  }

  async say(text: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(text));
  }

  async end(): Promise<void> {
    await this.#writer.close();
  }
}

const hello = (...collectors: string[]): string => `${JSON.stringify({ kind: "hello", nonce: NONCE, collectors })}\n`;
const reply = (id: number, detail: string): string =>
  `${JSON.stringify({ kind: "reply", id, accepted: true, detail })}\n`;

Deno.test("the agent asks by name, is answered by number, and knows what its supervisor runs", async () => {
  const world = new World();
  await world.say(hello("a", "b").slice(0, 20));
  await world.say(hello("a", "b").slice(20));
  assert.deepEqual(await world.pipe.collectors(), ["a", "b"]);
  const first = world.pipe.request("restart", "a"), second = world.pipe.request("stop", "b");
  assert.deepEqual(world.asked, [`supervise ${NONCE} 1 restart a`, `supervise ${NONCE} 2 stop b`]);
  await world.say(`${reply(2, "two")}nonsense\n{"kind":"reply"}\n${reply(7, "none")}${reply(1, "one")}`);
  assert.deepEqual(await first, { accepted: true, detail: "one" });
  assert.deepEqual(await second, { accepted: true, detail: "two" });
  const process = { name: "a", state: "running", pid: 7, restarts: 1, budget: 4, lastEnd: "", nextStart: 0 };
  await world.say(`${JSON.stringify({ kind: "processes", processes: [process] })}\n`);
  await until("it knows", () => world.pipe.processes.length === 1);
  assert.deepEqual(world.pipe.processes, [process]);
  // The supervisor goes: what waits is told so.
  const third = world.pipe.request("start", "a");
  await world.end();
  assert.deepEqual(await third, { accepted: false, detail: "the supervisor has gone" });
  assert.deepEqual(world.pipe.processes, []);
  assert.match((await world.pipe.request("start", "a")).detail, /nobody supervises this agent/);
});

Deno.test("an agent that nobody speaks to has no collectors to wait for, and is told that nobody supervises it", async () => {
  const world = new World();
  await world.end();
  assert.deepEqual(await world.pipe.collectors(), []);
  assert.deepEqual(world.asked, []);
  assert.equal((await world.pipe.request("restart", "a")).accepted, false);
});

Deno.test("requests that wait are bounded, and a line without end is not read", async () => {
  const world = new World();
  await world.say(hello());
  await world.pipe.collectors();
  const waiting = Array.from({ length: 16 }, () => world.pipe.request("start", "a"));
  assert.match((await world.pipe.request("start", "a")).detail, /16 requests wait/);
  await world.say("x".repeat(MAX_SUPERVISOR_LINE + 1));
  for (const reply of await Promise.all(waiting)) assert.equal(reply.detail, "the supervisor has gone");
});

Deno.test("readRequestLine() takes the closed set under the right number, and nothing else", () => {
  const take = (line: string) => readRequestLine(NONCE, line);
  assert.deepEqual(take(`supervise ${NONCE} 9 stop net-1.x`), { id: 9, action: "stop", collectorId: "net-1.x" });
  for (
    const line of [
      `supervise ${"cd".repeat(16)} 9 stop a`,
      ` supervise ${NONCE} 9 stop a`,
      `agent: supervise ${NONCE} 9 stop a`,
      `supervise ${NONCE} 0 stop a`,
      `supervise ${NONCE} 1234567890 stop a`,
      `supervise ${NONCE} 9 kill a`,
      `supervise ${NONCE} 9 stop ../a`,
      `supervise ${NONCE} 9 stop a b`,
      `supervise ${NONCE} 9 stop a\n`,
      `supervise ${NONCE} 9 stop ${"a".repeat(65)}`,
      `supervise  9 stop a`,
    ]
  ) assert.equal(take(line), null, line);
  assert.equal(readRequestLine("", "supervise  9 stop a"), null);
});

Deno.test("readSupervisorLine() refuses what no supervisor writes", () => {
  for (
    const line of [
      "",
      "null",
      "1",
      "[]",
      '{"kind":"hello","nonce":1,"collectors":[]}',
      '{"kind":"hello","nonce":"a","collectors":[1]}',
      '{"kind":"reply","id":1,"accepted":1,"detail":""}',
      '{"kind":"processes","processes":[{}]}',
      '{"kind":"processes","processes":[{"name":"a","state":"b","lastEnd":"","pid":-1,"restarts":0,"budget":0,"nextStart":0}]}',
      '{"kind":"other"}',
    ]
  ) assert.equal(readSupervisorLine(line), null, line);
});
