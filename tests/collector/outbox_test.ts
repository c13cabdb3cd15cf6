import assert from "node:assert/strict";
import { Contexts } from "../../collector/contexts.ts";
import { Redactor } from "../../collector/images.ts";
import type { RawContext } from "../../collector/sources/source.ts";
import { BLANK_STATE } from "../support/wire_samples.ts";
import { MAX_WAITING_BYTES, Outbox } from "../../collector/outbox.ts";
import { FrameReader } from "../../proto/frame.ts";
import { blankProcessEvent, MAX_ARGV_BYTES, type ProcessEvent } from "../../proto/process_event.ts";
import { decodeMessage, type WireMessage } from "../../proto/wire.ts";

function events(count: number, from = 0, argvBytes = 8): ProcessEvent[] {
  return Array.from({ length: count }, (_, i) => {
    const event = blankProcessEvent("start", 1_000 + from + i, `0badcafe-${from + i + 1}-7`, from + i + 1);
    event.argv = new Uint8Array(argvBytes).fill(0x61);
    event.argvLength = argvBytes;
    event.source = "ebpf";
    return event;
  });
}

/** Everything that waits after `sequence`, decoded. */
function waiting(outbox: Outbox, sequence = outbox.acknowledged): WireMessage[] {
  const messages: WireMessage[] = [];
  for (let frame = outbox.frameAfter(sequence); frame !== null; frame = outbox.frameAfter(frame.last)) {
    const reader = new FrameReader();
    for (let at = 0; at < frame.bytes.length;) {
      const space = reader.space();
      const piece = frame.bytes.subarray(at, at + space.length);
      space.set(piece);
      reader.filled(piece.length);
      at += piece.length;
    }
    for (let payload = reader.next(); payload !== null; payload = reader.next()) messages.push(decodeMessage(payload));
  }
  return messages;
}

Deno.test("Outbox numbers everything without a hole and splits batches", () => {
  const outbox = new Outbox(10_000);
  outbox.addEvents(events(1_200));
  outbox.addGap({ source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 3, reason: "test" });
  assert.equal(outbox.addSnapshot([], 5), true);
  let next = 1;
  for (const message of waiting(outbox)) {
    if (message.kind === "events") {
      assert.equal(message.firstSequence, next);
      next += message.events.length;
    } else {
      assert.ok(message.kind === "gap" || message.kind === "snapshot");
      assert.equal(message.sequence, next++);
    }
  }
  assert.equal(next - 1, outbox.lastSequence);
  assert.equal(outbox.lastSequence, 1_202);
});

Deno.test("Outbox keeps frames small when arguments and paths are long", () => {
  const outbox = new Outbox(10_000);
  const path = "/" + "é".repeat(2_047);
  outbox.addEvents(
    events(200, 0, MAX_ARGV_BYTES).map((event) => ({ ...event, executablePath: path, parentExecutablePath: path })),
  );
  for (let frame = outbox.frameAfter(0); frame !== null; frame = outbox.frameAfter(frame.last)) {
    assert.ok(frame.bytes.length < 600_000);
  }
  assert.equal(waiting(outbox).reduce((sum, m) => sum + (m.kind === "events" ? m.events.length : 0), 0), 200);
});

/** The worst that a source may say of a process: the longest of everything, and numbers at their ends. */
function worstContext(units: number): RawContext {
  const text = "\uffff".repeat(units);
  return {
    cwd: text,
    savedUserId: 2 ** 32 - 1,
    effectiveGroupId: 2 ** 32 - 1,
    savedGroupId: 0,
    loginUserId: 2 ** 32 - 2,
    sessionId: 2 ** 32 - 1,
    tty: text,
    effectiveCapabilities: 2 ** 64,
    userNamespace: 2 ** 32 - 1,
    pidNamespace: 2 ** 32 - 1,
    mountNamespace: 2 ** 32 - 1,
    networkNamespace: 2 ** 32 - 1,
    cgroupPath: `/docker/${"a".repeat(64)}/${text}`,
    cgroupId: 2 ** 64,
    interpreterPath: text,
    scriptPath: text,
    stdinKind: "anonymous",
    stdoutKind: "directory",
    // Control characters are the longest in JSON, and bytes that are not UTF-8 the longest in text
    environment: Array.from({ length: 500 }, (_, i) => `V${i}=${"\x01\xff".repeat(2_000)}`),
    environmentCut: true,
  };
}

Deno.test("Outbox takes every event, whatever a source says of the process, and counts what it cuts", () => {
  for (const units of [4_096, 4_097, 1_000_000]) {
    const name = "n".repeat(units);
    const contexts = new Contexts(
      { userName: () => name, groupName: () => name },
      new Redactor({ kind: "unkeyed", reason: "test" }),
    );
    const context = contexts.of(worstContext(units), { userId: 0, effectiveUserId: 1, groupId: 2 });
    const long = events(30, 0, MAX_ARGV_BYTES).map((event): ProcessEvent => ({
      ...event,
      name,
      userName: name,
      executablePath: name,
      parentExecutablePath: name,
      parentName: name,
      context,
    }));
    const outbox = new Outbox(10_000);
    outbox.addEvents(long);
    assert.equal(outbox.refused, 0);
    assert.equal(outbox.lastSequence, 30);
    const sent = waiting(outbox).flatMap((message) => message.kind === "events" ? message.events : []);
    assert.equal(sent.length, 30);
    // A control group's path is a little longer than the rest
    assert.equal(outbox.cutTexts > 30, units > 4_096, `${units}: ${outbox.cutTexts}`);
    const { cwd, effectiveCapabilities, cgroupId, environment } = sent[0]!.context!;
    assert.equal(cwd!.length, 4_096);
    assert.equal(cwd!.endsWith("…"), units > 4_096);
    assert.deepEqual([effectiveCapabilities, cgroupId], [null, null], "more than a double holds");
    assert.equal((JSON.parse(environment!) as Record<string, unknown>)["=cut"], true);
  }
});

Deno.test("Outbox counts what it cuts in a process table", () => {
  const outbox = new Outbox(10_000);
  const state = { ...BLANK_STATE, executablePath: "/".repeat(5_000), userName: "u".repeat(5_000) };
  assert.ok(outbox.addSnapshot([state, BLANK_STATE], 1));
  assert.equal(outbox.cutTexts, 2);
});

Deno.test("Outbox forgets what is acknowledged, and a frame only as a whole", () => {
  const outbox = new Outbox(10_000);
  outbox.addEvents(events(1_000));
  outbox.acknowledge(250);
  assert.equal(outbox.waiting, 750);
  assert.equal(outbox.frameAfter(250)!.first, 1, "the agent drops the first 250 by their numbers");
  outbox.acknowledge(1_000);
  assert.equal(outbox.frameAfter(1_000), null);
  assert.equal(outbox.waitingBytes, 0);
  outbox.acknowledge(10);
  assert.equal(outbox.acknowledged, 1_000, "an old acknowledgement changes nothing");
  assert.throws(() => outbox.acknowledge(1_001), RangeError);
});

Deno.test("Outbox turns what has no room into one gap with its exact count", () => {
  const outbox = new Outbox(1_000);
  outbox.addEvents(events(900));
  outbox.addEvents(events(200, 900)); // begins with room, so it is taken
  outbox.addEvents(events(50, 1_100));
  outbox.addEvents(events(25, 1_150));
  assert.equal(outbox.addSnapshot([], 1), false);
  assert.equal(outbox.refused, 75);
  outbox.acknowledge(1_100);
  const [gap, ...rest] = waiting(outbox);
  assert.ok(gap?.kind === "gap");
  assert.deepEqual(rest, []);
  assert.deepEqual([gap.sequence, gap.gap.count, gap.gap.from, gap.gap.to], [1_101, 75, 2_100, 2_174]);
});

Deno.test("Outbox is bounded in bytes whatever the number of events", () => {
  const outbox = new Outbox(1_000_000);
  for (let i = 0; i < 200; i++) outbox.addEvents(events(50, i * 50, MAX_ARGV_BYTES));
  assert.ok(outbox.waitingBytes < MAX_WAITING_BYTES + 1_000_000, String(outbox.waitingBytes));
  assert.ok(outbox.refused > 0);
  assert.equal(outbox.lastSequence + outbox.refused, 10_000);
});
