import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { Channel } from "../../proto/channel.ts";
import { encodeFrame, FrameError, MAX_FRAME_BYTES } from "../../proto/frame.ts";
import { type Admission, admitCollector, HandshakeError, joinAgent, ownToken } from "../../proto/handshake.ts";
import type { Challenge, Hello, Welcome, WireMessage } from "../../proto/messages.ts";
import { encodeMessage } from "../../proto/wire.ts";
import { pipe, type PipeEnd } from "../support/pipe.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const IDENTITY = {
  collectorId: "procmond",
  epoch: "6f0c4c1e-8f2e-4f4e-9d8c-0123456789ab",
  bootId: "a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
  softwareVersion: "0.1.0",
  source: "ebpf",
};
const ADMISSION: Admission = { lastSequence: 41, credit: 1_000 };

function fails(reason: HandshakeError["reason"], text: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof HandshakeError, String(error));
    assert.equal(error.reason, reason);
    assert.match(error.message, text);
    return true;
  };
}

/** One side as it is, the other played by hand. */
function play(): { real: Channel; actor: Channel; wire: PipeEnd } {
  const [left, right] = pipe();
  return { real: new Channel(left), actor: new Channel(right), wire: right };
}

/** What the next message is, which must be of this kind. */
async function next<K extends WireMessage["kind"]>(
  channel: Channel,
  kind: K,
): Promise<Extract<WireMessage, { kind: K }>> {
  const message = await channel.receiveOne();
  assert.equal(message?.kind, kind);
  return message as Extract<WireMessage, { kind: K }>;
}

function hmac(token: string, ...parts: (string | Uint8Array)[]): Uint8Array {
  const mac = createHmac("sha256", token);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
}

/** The hello of a collector that knows `token`, made without the code under test. */
function helloTo(challenge: Challenge, token = TOKEN, change: Partial<Hello> = {}): Hello {
  const nonce = change.nonce ?? new Uint8Array(32).fill(9);
  const proof = hmac(
    token,
    "daemoneye collector\0",
    challenge.nonce,
    nonce,
    IDENTITY.collectorId,
    "\0",
    IDENTITY.epoch,
  );
  return { kind: "hello", version: 1, ...IDENTITY, nonce, proof, ...change };
}

function welcomeTo(hello: Hello, challenge: Challenge, token = TOKEN): Welcome {
  return {
    kind: "welcome",
    proof: hmac(token, "daemoneye agent\0", hello.nonce, challenge.nonce),
    lastSequence: 0,
    credit: 1,
  };
}

const CHALLENGE: Challenge = { kind: "challenge", nonce: new Uint8Array(32).fill(5), versionMin: 1, versionMax: 1 };

Deno.test("both sides come to know each other, and what they said", async () => {
  for (const token of [TOKEN, new TextEncoder().encode(TOKEN)]) {
    const { real: agent, actor: collector } = play();
    const asked: Hello[] = [];
    const admitting = admitCollector(agent, token, (hello) => {
      asked.push(hello);
      return ADMISSION;
    });
    const welcome = await joinAgent(collector, token, IDENTITY);
    const hello = await admitting;
    assert.deepEqual(asked, [hello]);
    const { collectorId, epoch, bootId, softwareVersion, source } = hello;
    assert.deepEqual({ collectorId, epoch, bootId, softwareVersion, source }, IDENTITY);
    assert.deepEqual([welcome.lastSequence, welcome.credit], [41, 1_000]);
    agent.close();
    collector.close();
  }
});

Deno.test("the proofs are the HMACs that ipc.proto names", async () => {
  const agentSide = play();
  const admitting = admitCollector(agentSide.real, TOKEN, () => ADMISSION);
  const challenge = await next(agentSide.actor, "challenge");
  const hello = helloTo(challenge);
  await agentSide.actor.send(hello);
  const welcome = await next(agentSide.actor, "welcome");
  assert.deepEqual(welcome.proof, welcomeTo(hello, challenge).proof);
  await admitting;
  agentSide.real.close();
  agentSide.actor.close();

  const collectorSide = play();
  const joining = joinAgent(collectorSide.real, TOKEN, IDENTITY);
  await collectorSide.actor.send(CHALLENGE);
  const answer = await next(collectorSide.actor, "hello");
  assert.deepEqual(answer.proof, helloTo(CHALLENGE, TOKEN, { nonce: answer.nonce }).proof);
  await collectorSide.actor.send(welcomeTo(answer, CHALLENGE));
  await joining;
  collectorSide.real.close();
  collectorSide.actor.close();
});

Deno.test("nonces are never the same twice", async () => {
  const nonces = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const { real: agent, actor: collector } = play();
    const admitting = admitCollector(agent, TOKEN, (hello) => {
      nonces.add(hello.nonce.toHex());
      return ADMISSION;
    });
    const challenge = await next(collector, "challenge");
    nonces.add(challenge.nonce.toHex());
    // Given to a collector of its own, so that its nonce is seen as well.
    const relay = play();
    const joining = joinAgent(relay.real, TOKEN, IDENTITY);
    await relay.actor.send(challenge);
    await collector.send(await next(relay.actor, "hello"));
    await relay.actor.send(await next(collector, "welcome"));
    await Promise.all([admitting, joining]);
    for (const channel of [agent, collector, relay.real, relay.actor]) channel.close();
  }
  assert.equal(nonces.size, 40);
});

Deno.test("admitCollector() refuses a collector with another token, before it looks it up", async () => {
  const { real: agent, actor: collector } = play();
  const admitting = admitCollector(agent, TOKEN, () => assert.fail("looked up a collector that proved nothing"));
  const rejected = assert.rejects(admitting, fails("proof", /does not know the token/));
  await assert.rejects(joinAgent(collector, "another token altogether", IDENTITY), fails("refused", /the token/));
  await rejected;
  assert.ok(agent.closed && collector.closed);
});

Deno.test("joinAgent() refuses an agent with another token", async () => {
  const { real: collector, actor: agent } = play();
  const rejected = assert.rejects(joinAgent(collector, TOKEN, IDENTITY), fails("proof", /agent does not know/));
  await agent.send(CHALLENGE);
  const hello = await next(agent, "hello");
  await agent.send(welcomeTo(hello, CHALLENGE, "another token altogether"));
  await rejected;
  assert.ok(collector.closed);
  agent.close();
});

Deno.test("a proof with any one bit changed proves nothing", async () => {
  for (let bit = 0; bit < 256; bit += 5) {
    const { real: agent, actor: collector } = play();
    const rejected = assert.rejects(admitCollector(agent, TOKEN, () => ADMISSION), fails("proof", /token/));
    const hello = helloTo(await next(collector, "challenge"));
    hello.proof[bit >>> 3]! ^= 1 << (bit & 7);
    await collector.send(hello);
    await rejected;
    collector.close();
  }
});

Deno.test("admitCollector() refuses a hello that another connection saw", async () => {
  const first = play();
  const admitted = admitCollector(first.real, TOKEN, () => ADMISSION);
  const hello = helloTo(await next(first.actor, "challenge"));
  await first.actor.send(hello);
  await admitted;

  const second = play();
  const rejected = assert.rejects(admitCollector(second.real, TOKEN, () => ADMISSION), fails("proof", /token/));
  await next(second.actor, "challenge");
  await second.actor.send(hello);
  await rejected;
  for (const channel of [first.real, first.actor, second.actor]) channel.close();
});

Deno.test("joinAgent() refuses a welcome that another connection saw", async () => {
  const first = play();
  const joined = joinAgent(first.real, TOKEN, IDENTITY);
  await first.actor.send(CHALLENGE);
  const welcome = welcomeTo(await next(first.actor, "hello"), CHALLENGE);
  await first.actor.send(welcome);
  await joined;

  const second = play();
  const rejected = assert.rejects(joinAgent(second.real, TOKEN, IDENTITY), fails("proof", /agent/));
  await second.actor.send(CHALLENGE);
  await next(second.actor, "hello");
  await second.actor.send(welcome);
  await rejected;
  for (const channel of [first.real, first.actor, second.actor]) channel.close();
});

Deno.test("admitCollector() refuses its own nonce and proof sent back", async () => {
  const echo = play();
  const reflected = assert.rejects(admitCollector(echo.real, TOKEN, () => ADMISSION), fails("reflected", /own nonce/));
  const { nonce } = await next(echo.actor, "challenge");
  await echo.actor.send(helloTo({ ...CHALLENGE, nonce }, TOKEN, { nonce }));
  await reflected;
  echo.actor.close();

  // An agent as oracle: what it proves to one must not do as a collector's proof to another.
  const oracle = play(), target = play();
  const admitted = admitCollector(oracle.real, TOKEN, () => ADMISSION);
  const rejected = assert.rejects(admitCollector(target.real, TOKEN, () => ADMISSION), fails("proof", /token/));
  const wanted = await next(target.actor, "challenge");
  const own = helloTo(await next(oracle.actor, "challenge"), TOKEN, { nonce: wanted.nonce });
  await oracle.actor.send(own);
  const { proof } = await next(oracle.actor, "welcome");
  await target.actor.send({ ...own, nonce: new Uint8Array(32).fill(9), proof });
  await rejected;
  await admitted;
  for (const channel of [oracle.real, oracle.actor, target.actor]) channel.close();
});

Deno.test("joinAgent() refuses its own proof sent back", async () => {
  const { real: collector, actor: agent } = play();
  const rejected = assert.rejects(joinAgent(collector, TOKEN, IDENTITY), fails("proof", /agent/));
  await agent.send(CHALLENGE);
  const { proof } = await next(agent, "hello");
  await agent.send({ kind: "welcome", proof, lastSequence: 0, credit: 1 });
  await rejected;
  agent.close();
});

Deno.test("the proof covers who the collector is", async () => {
  for (const change of [{ collectorId: "other" }, { epoch: "other" }, { collectorId: "procmond6", epoch: "f0c4c1e" }]) {
    const { real: agent, actor: collector } = play();
    const rejected = assert.rejects(admitCollector(agent, TOKEN, () => ADMISSION), fails("proof", /token/));
    await collector.send({ ...helloTo(await next(collector, "challenge")), ...change });
    await rejected;
    collector.close();
  }
});

Deno.test("versions that do not meet end the handshake on either side", async () => {
  const future = play();
  const joining = assert.rejects(joinAgent(future.real, TOKEN, IDENTITY), fails("version", /versions 2 to 3/));
  await future.actor.send({ ...CHALLENGE, versionMin: 2, versionMax: 3 });
  await joining;
  assert.ok(future.real.closed);
  future.actor.close();

  const past = play();
  const admitting = assert.rejects(admitCollector(past.real, TOKEN, () => ADMISSION), fails("version", /version 2/));
  await past.actor.send(helloTo(await next(past.actor, "challenge"), TOKEN, { version: 2 }));
  await next(past.actor, "refused");
  await admitting;
  past.actor.close();
});

Deno.test("joinAgent() takes an agent that speaks more versions", async () => {
  const { real: collector, actor: agent } = play();
  const joining = joinAgent(collector, TOKEN, IDENTITY);
  await agent.send({ ...CHALLENGE, versionMin: 0, versionMax: 9 });
  const hello = await next(agent, "hello");
  assert.equal(hello.version, 1);
  await agent.send(welcomeTo(hello, CHALLENGE));
  await joining;
  collector.close();
  agent.close();
});

Deno.test("an agent that does not want a collector says why, and what it says is harmless", async () => {
  const { real: agent, actor: collector } = play();
  const rejected = assert.rejects(
    admitCollector(agent, TOKEN, () => ({ refuse: "already \x1b[31mconnected" })),
    fails("refused", /already/),
  );
  await assert.rejects(joinAgent(collector, TOKEN, IDENTITY), fails("refused", /refused: already \\x1b\[31mconnected/));
  await rejected;
});

Deno.test("a message out of turn ends the handshake", async () => {
  const early = play();
  const admitting = assert.rejects(
    admitCollector(early.real, TOKEN, () => ADMISSION),
    fails("unexpected", /sent goodbye instead of hello/),
  );
  await early.actor.send({ kind: "goodbye", reason: "" });
  await admitting;
  early.actor.close();

  const wrong = play();
  const joining = assert.rejects(
    joinAgent(wrong.real, TOKEN, IDENTITY),
    fails("unexpected", /ack instead of challenge/),
  );
  await wrong.actor.send({ kind: "ack", sequence: 1, credit: 1 });
  await joining;
  wrong.actor.close();
});

Deno.test("a peer that goes ends the handshake", async () => {
  const { real: agent, actor: collector } = play();
  const rejected = assert.rejects(
    admitCollector(agent, TOKEN, () => ADMISSION),
    fails("closed", /instead of sending hello/),
  );
  await next(collector, "challenge");
  collector.close();
  await rejected;
});

Deno.test("a silent peer, and one that drips, end the handshake by time", async () => {
  const silent = play();
  await assert.rejects(
    admitCollector(silent.real, TOKEN, () => ADMISSION, { timeoutMs: 20 }),
    fails("timeout", /in time/),
  );
  silent.actor.close();

  const dripping = play();
  const frame = encodeFrame(encodeMessage(CHALLENGE));
  let at = 0;
  const timer = setInterval(() => {
    if (!dripping.real.closed) dripping.wire.write(frame.subarray(at, ++at));
  }, 5);
  await assert.rejects(joinAgent(dripping.real, TOKEN, IDENTITY, { timeoutMs: 40 }), fails("timeout", /in time/));
  clearInterval(timer);
  dripping.actor.close();
});

Deno.test("frames are small until the handshake is done, and then not", async () => {
  const stranger = play();
  const rejected = assert.rejects(
    admitCollector(stranger.real, TOKEN, () => ADMISSION),
    (error) => error instanceof FrameError && error.reason === "length",
  );
  await stranger.wire.write(encodeFrame(new Uint8Array(4_097)));
  await rejected;
  stranger.wire.close();

  const { real: agent, actor: collector } = play();
  const admitting = admitCollector(agent, TOKEN, () => ADMISSION);
  await joinAgent(collector, TOKEN, IDENTITY);
  await admitting;
  const reply: WireMessage = {
    kind: "reply",
    id: 1,
    body: { kind: "error", reason: "x".repeat(MAX_FRAME_BYTES - 10) },
  };
  const asked = agent.request({ kind: "capabilities", clientId: "a", domains: [], clientVersion: null });
  await collector.receive();
  const sending = collector.send(reply);
  assert.deepEqual(await agent.receive(), []);
  await sending;
  assert.deepEqual(await asked, reply.body);
  agent.close();
  collector.close();
});

Deno.test("what the agent sends right behind its welcome is not lost", async () => {
  const { real: collector, actor: agent, wire } = play();
  const joining = joinAgent(collector, TOKEN, IDENTITY);
  await agent.send(CHALLENGE);
  const hello = await next(agent, "hello");
  const behind: WireMessage = {
    kind: "request",
    id: 1,
    body: { kind: "capabilities", clientId: "x".repeat(5_000), domains: [], clientVersion: null },
  };
  const frames = [welcomeTo(hello, CHALLENGE), behind].flatMap((message) => [...encodeFrame(encodeMessage(message))]);
  await wire.write(Uint8Array.from(frames));
  await joining;
  assert.deepEqual(await collector.receive(), [behind]);
  collector.close();
  agent.close();
});

Deno.test("a token that is hardly one is refused on both sides", async () => {
  for (const token of ["", "short", new Uint8Array(15)]) {
    const { real, actor } = play();
    await assert.rejects(admitCollector(real, token, () => ADMISSION), RangeError);
    await assert.rejects(joinAgent(actor, token, IDENTITY), RangeError);
  }
});

Deno.test("a collector's own token lets it in under its own name, and under no other", async () => {
  const own = ownToken(TOKEN, IDENTITY.collectorId);
  assert.equal(own, hmac(TOKEN, `daemoneye collector token\0${IDENTITY.collectorId}`).toHex());
  for (const token of [own, ownToken(TOKEN, "other"), ownToken(TOKEN, ""), ownToken(own, IDENTITY.collectorId)]) {
    const { real: agent, actor: collector } = play();
    const admitting = admitCollector(agent, TOKEN, () => ADMISSION);
    const joining = joinAgent(collector, token, IDENTITY);
    if (token === own) assert.deepEqual([(await admitting).collectorId, (await joining).credit], ["procmond", 1_000]);
    else {
      const refused = assert.rejects(joining, fails("refused", /does not know the token/));
      await assert.rejects(admitting, (error) => {
        assert.ok(fails("proof", /calls itself procmond/)(error));
        assert.equal((error as HandshakeError).claimed, "procmond");
        return true;
      });
      await refused;
    }
    agent.close();
    collector.close();
  }
});

Deno.test("joinAgent() registers at an agent that takes registrations, and at no other", async () => {
  const registration = {
    ...{ collectorType: "x", domains: [], kernelLevel: false, realtime: false, systemWide: false, tables: [] },
    ...{ heartbeatMs: 5_000, keepsLedger: false },
  };
  for (const registrationVersion of [undefined, 1, 2]) {
    const { real, actor } = play();
    const joining = joinAgent(real, TOKEN, IDENTITY, { registration });
    const challenge = registrationVersion === undefined ? CHALLENGE : { ...CHALLENGE, registrationVersion };
    await actor.send(challenge);
    await actor.send(welcomeTo(await next(actor, "hello"), challenge));
    await joining;
    await real.send({ kind: "heartbeat", time: 1 });
    const following = await actor.receiveOne();
    assert.equal(following!.kind, registrationVersion === undefined ? "heartbeat" : "registration");
    real.close();
    actor.close();
  }
});
