import assert from "node:assert/strict";
import { Contexts } from "../../collector/contexts.ts";
import { Redactor } from "../../collector/images.ts";
import type { RawContext } from "../../collector/sources/source.ts";
import { BLANK_STATE } from "../support/event_samples.ts";
import type { Outbox } from "../../collector/outbox.ts";
import { blankProcessEvent, MAX_ARGV_BYTES, type ProcessEvent } from "../../proto/process_event.ts";
import type { WireMessage } from "../../proto/messages.ts";
import { frames, messages, TestLog } from "../support/test_log.ts";

function events(count: number, from = 0, argvBytes = 8): ProcessEvent[] {
  return Array.from({ length: count }, (_, i) => {
    const event = blankProcessEvent("start", 1_000 + from + i, `0badcafe-${from + i + 1}-7`, from + i + 1);
    event.argv = new Uint8Array(argvBytes).fill(0x61);
    event.argvLength = argvBytes;
    event.source = "ebpf";
    return event;
  });
}

function newOutbox(): Outbox {
  return new TestLog({ totalBytes: 67_108_864, segmentBytes: 8_388_608, memoryBytes: 33_554_432 }).outbox;
}

/** Everything that can be sent once it is on disk. */
function waiting(outbox: Outbox): WireMessage[] {
  outbox.flush();
  return messages(outbox);
}

Deno.test("Outbox numbers everything without a hole and splits batches", () => {
  const outbox = newOutbox();
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
  const outbox = newOutbox();
  const path = "/" + "é".repeat(2_047);
  outbox.addEvents(
    events(200, 0, MAX_ARGV_BYTES).map((event) => ({ ...event, executablePath: path, parentExecutablePath: path })),
  );
  outbox.flush();
  for (const { bytes } of frames(outbox)) assert.ok(bytes!.length < 600_000);
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
    const outbox = newOutbox();
    outbox.addEvents(long);
    assert.equal(outbox.status.refused, 0);
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
  const outbox = newOutbox();
  const state = { ...BLANK_STATE, executablePath: "/".repeat(5_000), userName: "u".repeat(5_000) };
  assert.ok(outbox.addSnapshot([state, BLANK_STATE], 1));
  assert.equal(outbox.cutTexts, 2);
});

/** What an agent of these messages would have: each number once, in order; what is lost as `[first-last]`. */
function received(outbox: Outbox, after = outbox.acknowledged): (number | string)[] {
  return frames(outbox, after).flatMap((frame): (number | string)[] => {
    if (frame.bytes === null) return [`[${frame.first}-${frame.last}]`];
    return Array.from({ length: frame.last - frame.first + 1 }, (_, i) => frame.first + i);
  });
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Names of the events that can be sent, whatever their numbers. */
function told(outbox: Outbox, after = outbox.acknowledged): string[] {
  return messages(outbox, after).flatMap((message) =>
    message.kind === "events" ? message.events.map((event) => event.execId) : []
  );
}

Deno.test("Outbox gives nothing out before it is on disk", () => {
  const log = new TestLog(), { outbox } = log;
  outbox.addEvents(events(10));
  assert.equal(outbox.frameAfter(0), null);
  assert.equal(outbox.durable, 0);
  assert.ok(outbox.flush());
  assert.deepEqual(received(outbox), range(1, 10));
  outbox.addEvents(events(5, 10));
  log.home.logs.get("1")!.faults.io = 1;
  assert.equal(outbox.flush(), false);
  assert.deepEqual(received(outbox), range(1, 10), "what a failed flush left in doubt is not given out");
  assert.throws(() => outbox.acknowledge(11), RangeError);
  log.home.logs.get("1")!.faults.io = 0;
  log.now += 60_000;
  assert.ok(outbox.flush());
  assert.deepEqual(received(outbox), range(1, 15));
});

Deno.test("Outbox gives the same bytes from memory and, after a restart, from disk", () => {
  const log = new TestLog();
  for (let i = 0; i < 20; i++) {
    log.outbox.addEvents(events(50, i * 50, 200));
    log.outbox.flush();
  }
  // As text: comparing bytes one by one would take long to say how they differ.
  const text = (): string => frames(log.outbox, 0).map(({ bytes }) => bytes!.toHex()).join("\n");
  const before = text();
  const { epoch } = log.outbox;
  log.home.kill();
  log.restart();
  assert.equal(log.outbox.epoch, epoch);
  log.outbox.flush(); // what nothing proves to be on disk is written again first
  assert.ok(text() === before);
  log.outbox.addEvents(events(1, 1_000));
  log.outbox.flush();
  assert.deepEqual(received(log.outbox, 999), [...range(951, 1_000), 1_001], "numbers go on");
});

Deno.test("Outbox reads from disk what its memory has forgotten, and comes back to it", () => {
  const { outbox } = new TestLog({ totalBytes: 67_108_864, segmentBytes: 8_388_608, memoryBytes: 33_554_432 });
  for (let i = 0; i < 400; i++) {
    outbox.addEvents(events(50, i * 50, 600));
    outbox.flush();
  }
  assert.ok(outbox.status.bytes > 8_388_608, "more than the memory keeps");
  assert.deepEqual(received(outbox, 0), range(1, 20_000));
  assert.deepEqual(received(outbox, 19_000), range(19_001, 20_000));
});

Deno.test("Outbox forgets what is acknowledged, and a frame only as a whole", () => {
  const { outbox } = new TestLog();
  outbox.addEvents(events(1_000));
  outbox.flush();
  outbox.acknowledge(250);
  assert.equal(outbox.waiting, 750);
  assert.equal(outbox.frameAfter(250)!.first, 1, "the agent drops the first 250 by their numbers");
  outbox.acknowledge(1_000);
  assert.equal(outbox.frameAfter(1_000), null);
  outbox.acknowledge(10);
  assert.equal(outbox.acknowledged, 1_000, "an old acknowledgement changes nothing");
  assert.throws(() => outbox.acknowledge(1_001), RangeError);
});

Deno.test("Outbox gives up by value what the log has no room for, and tells the exact numbers", () => {
  const log = new TestLog({ totalBytes: 1_048_576, segmentBytes: 65_536 }), { outbox } = log;
  const kinds = ["stop", "modify", "suspicious", "start"] as const;
  const taken = new Map<string, number>(kinds.map((kind) => [kind, 0]));
  for (let i = 0; i < 600; i++) {
    const mixed = events(8, i * 8, 400).map((event, at) => ({ ...event, kind: kinds[at % 4]! }));
    outbox.addEvents(mixed);
    outbox.addSnapshot([], i);
    outbox.flush();
  }
  const { refused } = outbox.status;
  assert.ok(outbox.status.bytes <= 1_048_576, String(outbox.status.bytes));
  const drained: WireMessage[] = [];
  for (let round = 0; round < 100 && (round === 0 || outbox.waiting > 0); round++) {
    drained.push(...messages(outbox));
    outbox.acknowledge(outbox.durable);
    outbox.flush();
  }
  let told = 0;
  for (const message of drained) {
    if (message.kind === "gap") {
      assert.match(message.gap.reason, /^the write-ahead log had no room for /);
      told += message.gap.count!;
    } else if (message.kind === "events") {
      for (const { kind } of message.events) taken.set(kind, taken.get(kind)! + 1);
    }
  }
  assert.ok(refused > 0);
  assert.equal(told, refused, "each refused item is in a gap");
  const snapshots = drained.filter(({ kind }) => kind === "snapshot").length;
  const all = [...taken.values()].reduce((sum, count) => sum + count, 0) + snapshots;
  assert.equal(all + refused, 600 * 9, "and each other one was sent");
  const counts = kinds.map((kind) => taken.get(kind)!);
  assert.deepEqual(counts, counts.toSorted((a, b) => a - b), "the more an event is worth, the more of it is kept");
  assert.ok(snapshots < counts[0]!);
});

Deno.test("Outbox keeps a bounded amount in memory while the disk takes nothing, and goes on by itself", () => {
  const log = new TestLog(), { outbox } = log;
  outbox.addEvents(events(10));
  outbox.flush();
  log.home.logs.get("1")!.faults.capacity = log.home.logs.get("1")!.used();
  for (let i = 0; i < 400; i++) {
    outbox.addEvents(events(10, 10 + i * 10, 500));
    outbox.flush();
  }
  const { pendingBytes, refused, fault } = outbox.status;
  assert.ok(pendingBytes <= 1_048_576 && pendingBytes > 500_000, String(pendingBytes));
  assert.ok(refused > 0);
  assert.match(fault, /^the disk is full/);
  assert.ok(outbox.load > 0.7, String(outbox.load));
  assert.deepEqual(received(outbox), range(1, 10));
  assert.equal(outbox.safeTime(5_000_000) < 5_000_000, true, "a restart would lose what waits");
  log.home.logs.get("1")!.faults.capacity = Infinity;
  log.now += 60_000;
  outbox.flush();
  outbox.flush();
  assert.equal(outbox.status.fault, "");
  const gaps = messages(outbox).filter((message) => message.kind === "gap");
  assert.equal(gaps.reduce((sum, { gap }) => sum + gap.count!, 0), refused);
  assert.equal(told(outbox).length + refused, 4_010);
});

Deno.test("Outbox leaves environments out while it is to be economical, and says so", () => {
  const { outbox } = new TestLog();
  const context = new Contexts(
    { userName: () => "u", groupName: () => "g" },
    new Redactor({ kind: "unkeyed", reason: "test" }),
  ).of(worstContext(10), { userId: 0, effectiveUserId: 0, groupId: 0 });
  outbox.isEconomical = true;
  outbox.addEvents(events(1).map((event) => ({ ...event, context })));
  outbox.addSnapshot([{ ...BLANK_STATE, context }], 1);
  const [first, second] = waiting(outbox);
  assert.ok(first?.kind === "events" && second?.kind === "snapshot");
  assert.equal(first.events[0]!.context!.environment, '{"=cut":true}');
  assert.equal(first.events[0]!.context!.cwd, context!.cwd);
  assert.equal(second.processes[0]!.context!.environment, '{"=cut":true}');
});

Deno.test("Outbox gives again what an agent that was set back lacks, as far as it is kept", () => {
  const log = new TestLog({ segmentBytes: 65_536, keepMs: 60_000 });
  const { outbox } = log;
  for (let i = 0; i < 40; i++) {
    outbox.addEvents(events(50, i * 50, 200));
    outbox.flush();
  }
  outbox.acknowledge(2_000);
  assert.deepEqual(received(outbox, 0), range(1, 2_000), "all of it is kept for a while");
  log.now += 120_000;
  outbox.flush();
  const left = received(outbox, 0);
  assert.match(String(left[0]), /^\[1-\d+\]$/);
  assert.equal(left.at(-1), 2_000);
  assert.equal(outbox.status.missing, 0, "that is no damage");
  assert.ok(log.notices.some((text) => text.includes("were acknowledged and are not kept")));
});

Deno.test("Outbox sends nothing for damaged records, so that the numbers show the hole", () => {
  const log = new TestLog();
  for (let i = 0; i < 10; i++) {
    log.outbox.addEvents(events(10, i * 10, 100));
    log.outbox.flush();
  }
  log.home.kill();
  const storage = log.home.logs.get("1")!;
  const [segment] = storage.list().filter(({ name }) => name.endsWith(".wal"));
  storage.bytes(segment!.name).fill(0xff, 5_000, 5_100);
  log.restart();
  log.outbox.flush();
  const [before, hole, after] = [
    received(log.outbox, 0).findIndex((each) => typeof each === "string"),
    received(log.outbox, 0).find((each) => typeof each === "string"),
    received(log.outbox, 0).at(-1),
  ];
  assert.ok(before > 0);
  assert.match(String(hole), /^\[\d+-\d+\]$/);
  assert.equal(after, 100);
  assert.equal(log.outbox.status.missing, 10);
  assert.ok(log.notices.some((text) => /numbers \d+ to \d+ are lost/.test(text)));
});
