import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelFullError,
  type ChannelOptions,
  ChannelTimeoutError,
} from "../../proto/channel.ts";
import { encodeFrame, FrameError, MAX_FRAME_BYTES } from "../../proto/frame.ts";
import type { ReplyBody, RequestBody, WireMessage } from "../../proto/messages.ts";
import { encodeMessage } from "../../proto/wire.ts";
import { WireError } from "../../proto/wire_error.ts";
import { pipe, type PipeEnd, type PipeOptions } from "../support/pipe.ts";
import { MESSAGES } from "../support/wire_samples.ts";
import { USUAL_EVENT } from "../support/event_samples.ts";

const QUESTION: RequestBody = { kind: "capabilities", clientId: "a", domains: [], clientVersion: null };
const ANSWER: ReplyBody = { kind: "error", reason: "none" };
const BEAT: WireMessage = { kind: "heartbeat", time: 1 };

/** Two channels, joined. */
function pair(options: ChannelOptions = {}, pipeOptions: PipeOptions = {}): [Channel, Channel, PipeEnd, PipeEnd] {
  const [left, right] = pipe(pipeOptions);
  return [new Channel(left, options), new Channel(right, options), left, right];
}

/** A channel and the bare other end. */
function against(options: ChannelOptions = {}, pipeOptions: PipeOptions = {}): [Channel, PipeEnd] {
  const [left, right] = pipe(pipeOptions);
  return [new Channel(left, options), right];
}

function frameOf(message: WireMessage): Uint8Array<ArrayBuffer> {
  return encodeFrame(encodeMessage(message));
}

async function receiveAll(channel: Channel, count: number): Promise<WireMessage[]> {
  const messages: WireMessage[] = [];
  while (messages.length < count) {
    const some = await channel.receive();
    if (some === null) break;
    messages.push(...some);
  }
  return messages;
}

function timesOut(waitedFor: ChannelTimeoutError["waitedFor"]): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof ChannelTimeoutError, String(error));
    assert.equal(error.waitedFor, waitedFor);
    return true;
  };
}

const WITHOUT_REPLIES = MESSAGES.filter((message) => message.kind !== "reply");

Deno.test("Channel carries every kind of message, in order", async () => {
  const [left, right] = pair({ maxRequests: 64 });
  const sending = (async () => {
    for (const message of WITHOUT_REPLIES) await left.send(message);
  })();
  assert.deepEqual(await receiveAll(right, WITHOUT_REPLIES.length), WITHOUT_REPLIES);
  await sending;
  left.close();
  assert.equal(await right.receive(), null);
});

Deno.test("Channel carries messages in pieces of any size", async () => {
  for (const [maxRead, maxWrite] of [[1, 7], [7, 1], [1_000, 300], [3, 3]] as const) {
    const [left, right] = pair({ maxRequests: 64 }, { maxRead, maxWrite });
    const messages = WITHOUT_REPLIES.filter((message) => encodeMessage(message).length < 1_000);
    const sending = Promise.all(messages.map((message) => left.send(message)));
    assert.deepEqual(await receiveAll(right, messages.length), messages);
    await sending;
    left.close();
    right.close();
  }
});

Deno.test("receive() gives all messages of one read, with one read", async () => {
  const [channel, peer] = against();
  const frames = new Array(100).fill([...frameOf(BEAT)]).flat();
  await peer.write(Uint8Array.from(frames));
  assert.equal((await channel.receive())!.length, 100);
  assert.equal(peer.peer.reads, 1);
  channel.close();
});

Deno.test("receiveOne() leaves what came with the message for the next call", async () => {
  const [channel, peer] = against();
  await peer.write(Uint8Array.of(...frameOf(BEAT), ...frameOf({ kind: "goodbye", reason: "x" }), ...frameOf(BEAT)));
  assert.equal((await channel.receiveOne())!.kind, "heartbeat");
  assert.deepEqual((await channel.receive())!.map((message) => message.kind), ["goodbye", "heartbeat"]);
  channel.close();
});

Deno.test("messages that were received stay as they are when more come", async () => {
  const [left, right] = pair();
  const batch: WireMessage = { kind: "events", firstSequence: 1, events: [USUAL_EVENT] };
  await left.send(batch);
  const [first] = (await right.receive())!;
  for (let i = 0; i < 50; i++) {
    await left.send({ kind: "goodbye", reason: "y".repeat(3_000) });
    await right.receive();
  }
  assert.deepEqual(first, batch);
  left.close();
  right.close();
});

Deno.test("receive() refuses a damaged frame, and the channel is closed", async () => {
  const damaged = frameOf(BEAT);
  damaged[9]! ^= 1;
  const [channel, peer] = against();
  await peer.write(damaged);
  await assert.rejects(channel.receive(), (error) => error instanceof FrameError && error.reason === "checksum");
  assert.ok(channel.closed);
  assert.equal(await channel.receive(), null);
  await assert.rejects(channel.send(BEAT), ChannelClosedError);
});

Deno.test("receive() refuses a claim of 4 GiB at its fourth byte", async () => {
  const [channel, peer] = against();
  await peer.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  await assert.rejects(channel.receive(), (error) => error instanceof FrameError && error.reason === "length");
});

Deno.test("receive() refuses random bytes in a good frame", async () => {
  const [channel, peer] = against();
  await peer.write(encodeFrame(Uint8Array.of(0xde, 0xad, 0xbe, 0xef)));
  await assert.rejects(channel.receive(), WireError);
  assert.ok(channel.closed);
});

Deno.test("receive() refuses a stream that ends within a frame", async () => {
  const [channel, peer] = against();
  await peer.write(frameOf(BEAT).subarray(0, 10));
  peer.close();
  await assert.rejects(channel.receive(), (error) => error instanceof FrameError && error.reason === "truncated");
});

Deno.test("receive() takes no frame above the limit of the moment", async () => {
  const [channel, peer] = against();
  channel.maxReceivedBytes = 32;
  await peer.write(frameOf({ kind: "goodbye", reason: "x".repeat(50) }));
  await assert.rejects(channel.receive(), (error) => error instanceof FrameError && error.reason === "length");
});

Deno.test("receive() ends by time when half a frame is followed by silence", async () => {
  const [channel, peer] = against({ frameTimeoutMs: 20, idleTimeoutMs: 60_000 });
  await peer.write(frameOf(BEAT).subarray(0, 10));
  await assert.rejects(channel.receive(), timesOut("frame"));
  assert.ok(channel.closed && peer.peer.closed);
});

Deno.test("receive() ends by time when a frame drips, however steadily", async () => {
  const [channel, peer] = against({ frameTimeoutMs: 60, idleTimeoutMs: 60_000 });
  const frame = frameOf({ kind: "goodbye", reason: "x".repeat(1_000) });
  let at = 0;
  const dripping = setInterval(() => {
    if (!peer.peer.closed) peer.write(frame.subarray(at, ++at));
  }, 5);
  await assert.rejects(channel.receive(), timesOut("frame"));
  clearInterval(dripping);
  assert.ok(at > 1 && at < 1_000, `${at} bytes came`);
});

Deno.test("receive() gives every frame its whole time", async () => {
  const [channel, peer] = against({ frameTimeoutMs: 400, idleTimeoutMs: 60_000 });
  const frame = frameOf(BEAT);
  // Each frame is half there for 50 ms: far less than its time, but together more than one's.
  for (let i = 0; i < 10; i++) {
    await peer.write(frame.subarray(0, 9));
    const pending = channel.receive();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await peer.write(frame.subarray(9));
    assert.deepEqual(await pending, [BEAT]);
  }
  channel.close();
});

Deno.test("receive() does not count time in which this side did not listen", async () => {
  const [channel, peer] = against({ frameTimeoutMs: 100, idleTimeoutMs: 100 });
  await peer.write(frameOf(BEAT));
  await channel.receive();
  await new Promise((resolve) => setTimeout(resolve, 150));
  await peer.write(frameOf(BEAT));
  assert.deepEqual(await channel.receive(), [BEAT]);
  channel.close();
});

Deno.test("receive() ends by time when the peer says nothing", async () => {
  const [channel, peer] = against({ idleTimeoutMs: 20 });
  await assert.rejects(channel.receive(), timesOut("idle"));
  assert.ok(peer.peer.closed);
});

Deno.test("receive() gives null when this side closes", async () => {
  const [channel] = against();
  const receiving = channel.receive();
  channel.close();
  channel.close();
  assert.equal(await receiving, null);
});

Deno.test("receive() says when the connection broke", async () => {
  const broken = new Error("reset");
  const channel = new Channel({
    read: () => Promise.reject(broken),
    write: () => Promise.reject(broken),
    close: () => {},
  });
  await assert.rejects(channel.receive(), (error) => error instanceof ChannelClosedError && error.cause === broken);
});

Deno.test("a connection that never ends its read after close() holds nobody", async () => {
  const channel = new Channel({
    read: () => new Promise(() => {}),
    write: () => new Promise(() => {}),
    close: () => {},
  }, { idleTimeoutMs: 10 });
  await assert.rejects(channel.receive(), timesOut("idle"));
  const other = new Channel({
    read: () => new Promise(() => {}),
    write: () => new Promise(() => {}),
    close: () => {},
  });
  const receiving = other.receive(), sending = other.sendFrame(frameOf(BEAT));
  other.close();
  assert.equal(await receiving, null);
  await assert.rejects(sending, ChannelClosedError);
});

Deno.test("sendFrame() keeps the order and does not mix frames of senders that do not wait", async () => {
  const [left, right] = pair({}, { maxWrite: 100, capacity: 1_000 });
  const sent: WireMessage[] = Array.from({ length: 50 }, (_, i) => ({
    kind: "goodbye",
    reason: String(i) + "x".repeat((i * 97) % 700),
  }));
  const sending = Promise.all(sent.map((message) => left.send(message)));
  assert.deepEqual(await receiveAll(right, sent.length), sent);
  await sending;
  left.close();
  right.close();
});

Deno.test("sendFrame() is as slow as the peer, and refuses to store for it", async () => {
  const [channel, peer] = against({ maxUnsentBytes: 10_000 }, { capacity: 2_000 });
  const frame = encodeFrame(new Uint8Array(4_000));
  let done = 0;
  const sending = [channel.sendFrame(frame), channel.sendFrame(frame)].map((sent) => sent.then(() => done++));
  await assert.rejects(channel.sendFrame(frame), ChannelFullError);
  assert.equal(channel.closed, false);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(done, 0);
  assert.equal(peer.waiting, 2_000);
  const into = new Uint8Array(10_000);
  for (let got = 0; got < 2 * frame.length;) got += (await peer.read(into))!;
  await Promise.all(sending);
  // All was taken, so there is room again.
  const again = Promise.all([channel.sendFrame(frame), channel.sendFrame(frame)]);
  for (let got = 0; got < 2 * frame.length;) got += (await peer.read(into))!;
  await again;
  channel.close();
});

Deno.test("sendFrame() ends by time when the peer takes nothing, also for those behind", async () => {
  const [channel, peer] = against({ idleTimeoutMs: 20 }, { capacity: 100 });
  const sends = [1, 2, 3].map(() => channel.sendFrame(encodeFrame(new Uint8Array(200))));
  const results = await Promise.allSettled(sends);
  const errors = results.map((result) => result.status === "rejected" ? result.reason : null);
  assert.ok(errors[0] instanceof ChannelTimeoutError && errors[0].waitedFor === "send");
  assert.ok(errors[1] instanceof ChannelClosedError && errors[2] instanceof ChannelClosedError);
  assert.ok(peer.peer.closed);
});

Deno.test("sendFrame() says that the peer is gone", async () => {
  const [channel, peer] = against();
  peer.close();
  await assert.rejects(channel.sendFrame(frameOf(BEAT)), ChannelClosedError);
  assert.ok(channel.closed);
});

Deno.test("receive() reads what a peer sent before it went, though nothing more can be sent to it", async () => {
  const [channel, peer] = against();
  await peer.write(frameOf(BEAT));
  await peer.write(frameOf({ kind: "goodbye", reason: "told to stop" }));
  peer.close();
  await assert.rejects(channel.sendFrame(frameOf(BEAT)), ChannelClosedError);
  channel.failed();
  assert.ok(channel.closed);
  await assert.rejects(channel.sendFrame(frameOf(BEAT)), ChannelClosedError);
  assert.deepEqual(await receiveAll(channel, 2), [BEAT, { kind: "goodbye", reason: "told to stop" }]);
  assert.equal(await channel.receive(), null);
  assert.ok(peer.peer.closed);
});

Deno.test("send() refuses a message that cannot be, and the channel stays open", async () => {
  const [channel, peer] = against();
  await assert.rejects(channel.send({ kind: "heartbeat", time: -1 }), WireError);
  await channel.send(BEAT);
  assert.equal(peer.waiting, frameOf(BEAT).length);
  channel.close();
});

Deno.test("request() gets the answer of its own number", async () => {
  const [left, right] = pair();
  const receiving = receiveAll(left, Infinity);
  const asked = [1, 2, 3].map(() => left.request(QUESTION));
  const requests = await receiveAll(right, 3);
  assert.deepEqual(requests.map((message) => message.kind === "request" && message.id), [1, 2, 3]);
  for (const id of [2, 3, 1]) await right.send({ kind: "reply", id, body: { kind: "error", reason: `to ${id}` } });
  const answers = await Promise.all(asked);
  assert.deepEqual(answers, [1, 2, 3].map((id) => ({ kind: "error", reason: `to ${id}` })));
  left.close();
  right.close();
  assert.deepEqual(await receiving, []);
});

Deno.test("request() works both ways at once", async () => {
  const [left, right] = pair();
  const serve = async (channel: Channel, reason: string) => {
    for (let messages = await channel.receive(); messages !== null; messages = await channel.receive()) {
      for (const message of messages) {
        if (message.kind === "request") {
          await channel.send({ kind: "reply", id: message.id, body: { kind: "error", reason } });
        }
      }
    }
  };
  const serving = [serve(left, "left"), serve(right, "right")];
  const answers = await Promise.all([left.request(QUESTION), right.request(QUESTION)]);
  assert.deepEqual(answers, [{ kind: "error", reason: "right" }, { kind: "error", reason: "left" }]);
  left.close();
  await Promise.all(serving);
});

Deno.test("request() ends by time, and its late answer is dropped", async () => {
  const [left, right] = pair({ requestTimeoutMs: 20 });
  await assert.rejects(left.request(QUESTION), timesOut("reply"));
  assert.equal(left.closed, false);
  await right.receive();
  await right.send({ kind: "reply", id: 1, body: ANSWER });
  assert.deepEqual(await left.receive(), []);
  left.close();
  right.close();
});

Deno.test("request() takes a time and a signal of its own, and tells the peer of a call that nobody waits for it", async () => {
  const [left, right] = pair({ requestTimeoutMs: 60_000, maxRequests: 2 });
  const call = {
    operation: "pause",
    target: "a",
    timeoutMs: 5,
    correlation: null,
    payload: { kind: "reason", text: "" },
  } as const;
  await assert.rejects(left.request({ kind: "rpc", call }, { timeoutMs: 5 }), timesOut("reply"));
  const abort = new AbortController(), pending = left.request({ kind: "rpc", call }, { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(pending, /enough/);
  assert.deepEqual((await receiveAll(right, 4)).map(({ kind }) => kind).sort(), [
    "request",
    "request",
    "rpcCancel",
    "rpcCancel",
  ]);
  await assert.rejects(left.request(QUESTION), ChannelFullError, "the peer has work with both");
  await right.send({ kind: "reply", id: 1, body: ANSWER });
  await left.receive();
  assert.equal(left.lateReplies, 1);
  const third = left.request(QUESTION);
  await receiveAll(right, 1);
  await right.send({ kind: "reply", id: 3, body: ANSWER });
  await left.receive();
  assert.deepEqual(await third, ANSWER);
  left.close();
  right.close();
});

Deno.test("request() is refused when too many wait", async () => {
  const [left, right] = pair({ maxRequests: 2 });
  const waiting = [left.request(QUESTION), left.request(QUESTION)];
  await assert.rejects(left.request(QUESTION), ChannelFullError);
  await receiveAll(right, 2);
  await right.send({ kind: "reply", id: 1, body: ANSWER });
  await left.receive();
  assert.deepEqual(await waiting[0], ANSWER);
  const third = left.request(QUESTION);
  left.close();
  await assert.rejects(waiting[1]!, ChannelClosedError);
  await assert.rejects(third, ChannelClosedError);
  right.close();
});

Deno.test("request() rejects when the peer goes", async () => {
  const [left, right] = pair();
  const asked = left.request(QUESTION);
  const rejected = assert.rejects(asked, ChannelClosedError);
  await right.receive();
  right.close();
  assert.equal(await left.receive(), null);
  await rejected;
  await assert.rejects(left.request(QUESTION), ChannelClosedError);
});

Deno.test("receive() refuses the answer to a request that was not sent", async () => {
  const [channel, peer] = against();
  await peer.write(frameOf({ kind: "reply", id: 1, body: ANSWER }));
  await assert.rejects(channel.receive(), /answers request 1, which was not sent/);
  assert.ok(channel.closed);
});

Deno.test("receive() refuses more requests than may wait, and one that comes twice", async () => {
  const ask = (id: number) => frameOf({ kind: "request", id, body: QUESTION });
  const [busy, asker] = against({ maxRequests: 3 });
  for (const id of [1, 2, 3]) await asker.write(ask(id));
  assert.equal((await receiveAll(busy, 3)).length, 3);
  await busy.send({ kind: "reply", id: 2, body: ANSWER });
  await asker.write(ask(4));
  assert.equal((await busy.receive())!.length, 1);
  await asker.write(ask(5));
  await assert.rejects(busy.receive(), /more than 3 requests/);

  const [channel, peer] = against();
  await peer.write(ask(7));
  await channel.receive();
  await peer.write(ask(7));
  await assert.rejects(channel.receive(), /request 7 twice/);
});

Deno.test("Channel carries the longest frame", async () => {
  const [left, right] = pair({}, { capacity: 1 << 21, maxRead: 10_000 });
  const big: WireMessage = {
    kind: "reply",
    id: 1,
    body: { kind: "error", reason: "x".repeat(MAX_FRAME_BYTES - 10) },
  };
  assert.equal(encodeMessage(big).length, MAX_FRAME_BYTES);
  const asked = left.request(QUESTION);
  await right.receive();
  await right.send(big);
  assert.deepEqual(await left.receive(), []);
  assert.deepEqual(await asked, big.body);
  left.close();
  right.close();
});
