/** Responses on the collector's side: nothing without the ledger, everything in it, bounded; and the way to the helper. */
import assert from "node:assert/strict";
import { ResponderClient } from "../../collector/responder_client.ts";
import { decodeResponderMessage, encodeResponderMessage } from "../../collector/responder/protocol.ts";
import { Responses, type ResponsesOptions } from "../../collector/responses.ts";
import { decodeStatement, encodeStatement, type Statements } from "../../proto/ledger/statement.ts";
import { encodeFrame, FrameReader } from "../../proto/frame.ts";
import { refusal, type ResponseAnswer, type ResponseRequest } from "../../proto/response/action.ts";

const REQUEST: ResponseRequest = {
  ...{ action: "kill", process: "1a2b3c4d-812-99", tree: true, seconds: 0 } as const,
  ...{ rule: "odd", byRule: false, by: "user 1000 (alice)", reason: "it\nmines" },
};
const DONE: ResponseAnswer = { outcome: "done", text: "it is gone", processes: [REQUEST.process], place: "" };

/** A ledger that is on, or is not, and takes what it is told, or does not. */
class TestLedger {
  state = "on";
  takes = true;
  readonly said: [string, Statements["response"] | Statements["suppressed"]][] = [];
  #waiting: (() => void)[] = [];

  get status(): ResponsesOptions["ledger"]["status"] {
    return { state: this.state } as ResponsesOptions["ledger"]["status"];
  }
  say: ResponsesOptions["ledger"]["say"] = (action, value, entered) => {
    assert.ok(action === "response" || action === "suppressed");
    // What no ledger can hold throws
    decodeStatement(action, encodeStatement(action, value));
    this.said.push([action, value as Statements["response"]]);
    if (entered !== undefined) this.#waiting.push(entered);
  };
  tick(): void {
    if (this.takes) { for (const entered of this.#waiting.splice(0)) entered(); }
  }
  get outcomes(): string[] {
    return this.said.map(([, value]) => "outcome" in value ? value.outcome : `${value.count} ${value.what}`);
  }
}

class TestClient {
  readonly asked: ResponseRequest[] = [];
  readonly greeting = { sees: "all threads run as user 9", policy: "may kill", fault: "" };
  readonly mayBeAway = false;
  readonly fault = "";
  answer: ResponseAnswer = DONE;
  ask(request: ResponseRequest): Promise<ResponseAnswer> {
    this.asked.push(request);
    return Promise.resolve(this.answer);
  }
  run(): Promise<void> {
    return Promise.resolve();
  }
  stop(): void {}
}

Deno.test("a response is in the ledger before the helper is asked, and with what came of it, and by whom", async () => {
  const ledger = new TestLedger(), client = new TestClient();
  const ask = client.ask.bind(client);
  let before: string[] = [];
  client.ask = (request) => {
    before = ledger.outcomes;
    return ask(request);
  };
  const responses = new Responses({ client, ledger });
  assert.deepEqual(await responses.respond(REQUEST), DONE);
  assert.deepEqual(before, ["asked"]);
  const [, done] = ledger.said.map(([, value]) => value) as Statements["response"][];
  const { time, ...rest } = done!;
  assert.ok(time > 0);
  assert.deepEqual(rest, {
    what: "kill tree",
    process: REQUEST.process,
    by: "user 1000 (alice)",
    rule: "odd",
    reason: "it\\nmines",
    outcome: "done",
    detail: "it is gone",
    place: "",
  });
  client.answer = refusal("process 812 is protected");
  assert.equal((await responses.respond(REQUEST)).outcome, "refused");
  responses.ended({ ...REQUEST, action: "trace", seconds: 9 }, { ...DONE, place: "/s/responses/t" });
  assert.deepEqual(ledger.outcomes, ["asked", "done", "asked", "refused", "ended: done"]);
  assert.equal((ledger.said.at(-1)![1] as Statements["response"]).what, "trace tree 9 s");
  const { responses_done, responses_refused } = responses.counters();
  assert.deepEqual([responses_done, responses_refused], [1, 1]);
  assert.match(responses.status()!.detail, /^responds: may kill; all threads run as user 9$/);
});

Deno.test("nothing is asked of the helper that the ledger does not take, and a refusal is entered all the same", async () => {
  const ledger = new TestLedger(), client = new TestClient();
  const responses = new Responses({ client, ledger, ledgerMs: 5 });
  ledger.takes = false;
  const late = await responses.respond(REQUEST);
  assert.deepEqual([late.outcome, late.text], [
    "refused",
    "the audit ledger does not take it now, and nothing is done that it does not have",
  ]);
  ledger.state = "off";
  assert.match((await responses.respond(REQUEST)).text, /^the audit ledger is off, and nothing is done/);
  assert.deepEqual(ledger.outcomes, ["asked", "refused", "refused"]);
  assert.deepEqual(client.asked, []);
  const none = new Responses({ client: null, ledger });
  assert.match((await none.respond(REQUEST)).text, /^responses are off: there is no policy for them/);
  assert.deepEqual([none.status(), none.counters()], [null, {}]);
});

Deno.test("an agent that asks without end is refused, and the ledger has a count of it", async () => {
  const ledger = new TestLedger(), client = new TestClient();
  const responses = new Responses({ client, ledger });
  for (let i = 0; i < 60; i++) assert.equal((await responses.respond(REQUEST)).outcome, "done");
  for (let i = 0; i < 500; i++) assert.match((await responses.respond(REQUEST)).text, /^more than 60 responses/);
  assert.equal(client.asked.length, 60);
  assert.equal(ledger.said.length, 120);
  responses.stop();
  assert.equal(ledger.outcomes.at(-1), "500 responses that were asked for too fast, and refused");
});

Deno.test("the client has its answers by their numbers, is told of ends, and says when a connection broke", async () => {
  const directory = await Deno.makeTempDir(), socket = `${directory}/sock`;
  const listener = Deno.listen({ transport: "unix", path: socket });
  const ended: [ResponseRequest, ResponseAnswer][] = [], greeted: string[] = [];
  const client = new ResponderClient({
    socket,
    checkPeer: () => {},
    ended: (request, answer) => void ended.push([request, answer]),
    greeted: ({ policy }) => void greeted.push(policy),
    left: () => void greeted.push("it left"),
    notice: () => {},
  });
  assert.match(
    (await client.ask(REQUEST)).text,
    /^the response helper cannot be reached: it has not been reached yet$/,
  );
  const running = client.run();
  const served = await listener.accept();
  const send = (message: Parameters<typeof encodeResponderMessage>[0]): Promise<number> =>
    served.write(encodeFrame(encodeResponderMessage(message)));
  await send({ kind: "greeting", greeting: { sees: "a", policy: "may kill", fault: "" } });
  while (client.greeting === null) await new Promise((resolve) => setTimeout(resolve, 5));
  const trace: ResponseRequest = { ...REQUEST, action: "trace", seconds: 5 };
  const asked = [client.ask(REQUEST), client.ask(trace), client.ask(REQUEST)];
  const reader = new FrameReader(65_536), ids: number[] = [];
  while (ids.length < 3) {
    reader.filled((await served.read(reader.space()))!);
    for (let payload = reader.next(); payload !== null; payload = reader.next()) {
      const message = decodeResponderMessage(payload);
      assert.equal(message.kind, "request");
      ids.push((message as { id: number }).id);
    }
  }
  await send({ kind: "answer", id: ids[1]!, answer: { ...DONE, text: "begun" } });
  await send({ kind: "answer", id: ids[0]!, answer: DONE });
  assert.deepEqual([await asked[0], (await asked[1])!.text], [DONE, "begun"]);
  await send({ kind: "ended", id: ids[1]!, answer: { ...DONE, text: "over" } });
  await send({ kind: "ended", id: 4_711, answer: DONE }); // of a collector before this one
  while (ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(ended.map(([request, { text }]) => [request, text]), [[trace, "over"]]);
  served.close();
  const lost = await asked[2]!;
  assert.equal(lost.outcome, "failed");
  assert.match(lost.text, /^the connection to the response helper broke; it may have been done/);
  assert.deepEqual(greeted, ["may kill", "it left"]);
  client.stop();
  await running;
  listener.close();
  await Deno.remove(directory, { recursive: true });
});
