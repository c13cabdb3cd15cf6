import assert from "node:assert/strict";
import { signerOf } from "../../collector/ledger/keys.ts";
import { StorageSource } from "../../collector/ledger/storage_source.ts";
import { LedgerKeeper, type LedgerKeeperOptions } from "../../collector/ledger_keeper.ts";
import { WriteAheadLog } from "../../collector/wal/log.ts";
import { StorageError } from "../../collector/wal/storage.ts";
import { refusalRecord } from "../../collector/outbox.ts";
import { verifyLedger } from "../../proto/ledger/directory.ts";
import { decodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { decodeStatement, encodeStatement, isStated, type Statement } from "../../proto/ledger/statement.ts";
import type { LedgerHead, LedgerNote } from "../../proto/messages.ts";
import { encodeMessage } from "../../proto/wire.ts";
import { WireError } from "../../proto/wire_error.ts";
import { SimStorage } from "../support/sim_storage.ts";
import { USUAL_EVENT } from "../support/event_samples.ts";

/** A keeper with a log and a ledger on a simulated disk, and a clock that the test turns. */
class TestKeeper {
  now = 1_790_000_000_000;
  /** How far the clock of the day is set back. */
  backwards = 0;
  keepMs = 3_600_000;
  readonly notices: string[] = [];
  readonly shown: string[] = [];
  readonly heads: LedgerHead[] = [];
  readonly entered: number[] = [];
  keeper!: LedgerKeeper;
  log!: WriteAheadLog;

  constructor(
    readonly storage = new SimStorage(),
    readonly secrets = new SimStorage(),
    readonly logStorage = new SimStorage(),
  ) {}

  static async make(more: Partial<LedgerKeeperOptions> = {}): Promise<TestKeeper> {
    const world = new TestKeeper();
    await world.start(more);
    return world;
  }

  async start(more: Partial<LedgerKeeperOptions> = {}): Promise<void> {
    this.keeper = new LedgerKeeper({
      isOn: true,
      place: "/s/collector/ledger",
      storage: () => this.storage,
      secrets: () => this.secrets,
      hash: "blake3",
      keys: { current: signerOf(new Uint8Array(32).fill(1)), next: null },
      checkpointMs: 10_000,
      host: "a".repeat(32),
      bootId: new Uint8Array(16).fill(3),
      clock: { wallMs: () => this.now - this.backwards, monotonicNs: () => BigInt(this.now) * 1_000_000n },
      log: () => this.log,
      notice: (text) => this.notices.push(text),
      show: (lines) => this.shown.push(...lines),
      published: (head) => this.heads.push(head),
      entered: (id) => this.entered.push(id),
      ...more,
    });
    this.log = new WriteAheadLog({
      storage: this.logStorage,
      host: "h",
      collectorId: "c",
      segmentBytes: 1_048_576,
      totalBytes: 16_777_216,
      maxPendingBytes: 1_048_576,
      keepMs: this.keepMs,
      clock: () => this.now,
      gapRecord: refusalRecord,
      taken: this.keeper.taken,
      notice: (text) => this.notices.push(text),
    });
    await this.keeper.open();
    this.log.flush();
    await this.keeper.settle();
  }

  take(count: number): void {
    const events = Array.from({ length: count }, () => USUAL_EVENT);
    const payload = encodeMessage({ kind: "events", firstSequence: this.log.nextSequence, events });
    this.log.append({ kind: 1, itemClass: "start", count, time: this.now, lastTime: this.now, payload });
  }

  /** Some seconds of the collector's life. */
  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.now += 1_000;
      this.log.flush();
      this.keeper.tick();
    }
  }

  said(): Statement[] {
    using source = new StorageSource(this.storage);
    const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES), found: Statement[] = [];
    const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
    entries.open(0);
    payloads.open(0);
    for (let entry = entries.next(MIN_ENTRY_BYTES); entry !== null; entry = entries.next(MIN_ENTRY_BYTES)) {
      const { action } = decodeEntry(entry), payload = decodePayload(payloads.next(0)!);
      if (isStated(action)) found.push(decodeStatement(action, payload!.bytes));
    }
    return found;
  }

  ranges(): [number, number][] {
    return this.said().flatMap((said) => said.action === "events" ? [[said.value.first, said.value.last]] : []);
  }

  async verify(): Promise<void> {
    using source = new StorageSource(this.storage);
    const { fault } = await verifyLedger({ source, now: this.now });
    assert.equal(fault, null);
  }
}

function note(id: number): LedgerNote {
  const value = { what: "a backup", name: `n${id}`, time: 1, userId: 1_000 };
  return { id, action: "exported", payload: encodeStatement("exported", value, id) };
}

Deno.test("LedgerKeeper enters a digest when the log has it on disk, and nothing while nothing happens", async () => {
  const world = await TestKeeper.make();
  world.take(20);
  world.pass(12);
  assert.deepEqual(world.ranges(), [[1, 20]]);
  assert.equal(world.keeper.status.signed, world.keeper.status.size);
  const steps = world.storage.steps + world.secrets.steps, { size } = world.keeper.status;
  world.pass(600);
  assert.equal(world.keeper.status.size, size);
  assert.equal(world.storage.steps + world.secrets.steps, steps, "an idle ledger touches its disk");
  world.logStorage.faults.capacity = 0;
  world.take(5);
  world.pass(10);
  assert.deepEqual(world.ranges(), [[1, 20]]);
  world.logStorage.faults.capacity = Infinity;
  world.pass(60);
  assert.deepEqual(world.ranges(), [[1, 20], [21, 25]]);
  await world.verify();
});

Deno.test("LedgerKeeper enters after a start what the last run put into the log and did not enter", async () => {
  const world = await TestKeeper.make();
  world.take(20);
  world.pass(4);
  world.take(7);
  world.log.flush();
  // Killed here: neither log nor ledger is closed.
  const next = new TestKeeper(world.storage, world.secrets, world.logStorage);
  next.now = world.now + 5_000;
  await next.start();
  assert.deepEqual(next.shown, []);
  next.take(3);
  next.pass(4);
  assert.deepEqual(next.ranges(), [[1, 20], [21, 27], [28, 30]]);
  next.keeper.close("it was told to stop");
  await next.verify();
});

Deno.test("LedgerKeeper enters a note once, says so when it is on disk, and holds the agent to a rate", async () => {
  const world = await TestKeeper.make();
  world.keeper.receive({ kind: "ledgerNotes", notes: [note(5), note(9)] });
  world.storage.faults.capacity = 0;
  world.pass(3);
  assert.deepEqual(world.entered, []);
  world.storage.faults.capacity = Infinity;
  world.pass(1);
  assert.deepEqual(world.entered, [9]);
  // The answer was lost, and the collector killed.
  const next = new TestKeeper(world.storage, world.secrets, world.logStorage);
  next.now = world.now + 1_000;
  await next.start();
  next.keeper.receive({ kind: "ledgerNotes", notes: [note(5), note(9), note(11)] });
  next.pass(2);
  assert.deepEqual(next.entered, [11]);
  const notes = next.said().flatMap(({ note }) => note === null ? [] : [note]);
  assert.deepEqual(notes, [5, 9, 11]);
  assert.throws(() => next.keeper.receive({ kind: "ledgerNotes", notes: [{ ...note(12), id: 13 }] }), WireError);
  assert.throws(
    () => next.keeper.receive({ kind: "ledgerNotes", notes: [{ ...note(12), action: "alert" }] }),
    WireError,
  );
  const { size } = next.keeper.status;
  for (let id = 100; id < 10_000; id += 32) {
    const long = Array.from({ length: 32 }, (_, at): LedgerNote => {
      const value = { what: "x".repeat(900), name: "y".repeat(900), time: 1, userId: null };
      return { id: id + at, action: "exported", payload: encodeStatement("exported", value, id + at) };
    });
    next.keeper.receive({ kind: "ledgerNotes", notes: long });
    next.pass(1);
  }
  const bytes = (next.keeper.status.size - size) * 2_000;
  assert.ok(bytes > 2_000_000 && bytes < 4_194_304 + 4_096 * 400, `${bytes} bytes were taken`);
});

Deno.test("LedgerKeeper that opens late knows what the last run entered, and enters nothing new before the rest of that", async () => {
  const world = await TestKeeper.make();
  world.take(20);
  world.keeper.receive({ kind: "ledgerNotes", notes: [note(5)] });
  world.pass(4);
  world.take(7);
  world.log.flush();
  // Killed here; the next one finds a disk that takes nothing.
  const next = new TestKeeper(world.storage, world.secrets, world.logStorage);
  next.now = world.now + 5_000;
  let isSick = true;
  await next.start({
    storage: () => {
      if (isSick) throw new StorageError("other", "Input/output error");
      return next.storage;
    },
  });
  assert.equal(next.keeper.status.state, "waiting");
  next.keeper.receive({ kind: "ledgerNotes", notes: [note(5), note(6)] });
  next.take(3);
  next.pass(5);
  // However far back the clock of the day is set, it is tried again.
  next.backwards = 86_400_000;
  isSick = false;
  for (let i = 0; i < 60 && next.entered.length === 0; i++) {
    next.pass(1);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  next.pass(4);
  assert.deepEqual(next.entered, [6]);
  assert.deepEqual(next.ranges(), [[1, 20], [21, 27], [28, 30]]);
  assert.deepEqual(next.said().flatMap(({ note }) => note === null ? [] : [note]), [5, 6]);
  next.keeper.close("it was told to stop");
  await next.verify();
});

Deno.test("LedgerKeeper says which numbers the log lost before anything was under a digest", async () => {
  const world = await TestKeeper.make({ isOn: false });
  world.take(20);
  world.log.flush();
  const next = new TestKeeper(world.storage, world.secrets, world.logStorage);
  next.now = world.now + 5_000;
  await next.start();
  next.pass(3);
  assert.deepEqual(next.ranges(), [[1, 20]]);
  // Of a run that was killed before its first digest, the log has nothing any more.
  const later = new TestKeeper(new SimStorage(), new SimStorage(), world.logStorage);
  later.now = next.now + 5_000;
  next.log.acknowledge(15);
  later.keepMs = 0;
  await later.start();
  later.pass(3);
  const covered = later.ranges().reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const told = later.said().flatMap(({ action, value }) => action === "suppressed" ? [value.count] : []);
  assert.equal(covered + told.reduce((sum, count) => sum + count, 0), 20);
});

Deno.test("LedgerKeeper says that a statement is entered when it is on disk, and once a minute that the agent was set back", async () => {
  const world = await TestKeeper.make();
  let entered = 0;
  world.storage.faults.capacity = 0;
  world.keeper.say("exported", { what: "w", name: "n", time: 1, userId: null }, () => entered++);
  world.pass(3);
  assert.equal(entered, 0);
  world.storage.faults.capacity = Infinity;
  world.pass(2);
  assert.equal(entered, 1);
  for (let second = 0; second < 100; second++) {
    world.keeper.agentSetBack(3, 10);
    world.pass(1);
  }
  const told = world.said().flatMap(({ action, value }) => action === "suppressed" ? [value] : []);
  assert.deepEqual(told.map(({ count }) => count), [7, 7]);
  assert.match(told[0]!.what, /set back: it has 3 of the log and had acknowledged 10/);
  const broken = await TestKeeper.make({ keys: { fault: "no key" } });
  broken.keeper.say("exported", { what: "w", name: "n", time: 1, userId: null }, () => entered++);
  broken.pass(3);
  assert.equal(entered, 1);
});

Deno.test("LedgerKeeper leaves a ledger of another host or hash alone, says so, and counts what it cannot enter", async () => {
  for (
    const [more, words] of [
      [{ host: "b".repeat(32) }, /is of the host a+, and this is b+; move the directory away/],
      [{ hash: "sha256" as const }, /set collector\.ledger_hash to blake3/],
      [{ keys: { fault: "The key file ledger.key is missing" } }, /ledger\.key is missing/],
      [{ keys: { current: signerOf(new Uint8Array(32).fill(2)), next: null } }, /restore its key file/],
    ] as const
  ) {
    const world = await TestKeeper.make();
    world.keeper.close("it was told to stop");
    const before = contents(world.storage);
    const next = new TestKeeper(world.storage, world.secrets, world.logStorage);
    await next.start(more);
    next.take(3);
    next.keeper.say("suppressed", { what: "x", count: 1, from: 1, to: 1 });
    next.pass(20);
    const { state, trouble, refused } = next.keeper.status;
    assert.equal(state, "broken");
    assert.match(trouble, words);
    assert.equal(refused, 1);
    assert.deepEqual(contents(world.storage), before);
  }
});

Deno.test("LedgerKeeper waits for a disk that takes no ledger, and enters what happened meanwhile", async () => {
  const world = new TestKeeper();
  world.storage.faults.capacity = 0;
  await world.start();
  assert.equal(world.keeper.status.state, "waiting");
  world.keeper.say("tierStarted", { tier: "collector", version: "1", pid: 1, source: "ebpf", time: 1 });
  world.take(9);
  world.pass(5);
  world.storage.faults.capacity = Infinity;
  for (let i = 0; i < 100 && (world.keeper.status.state as string) !== "on"; i++) {
    world.pass(10);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.equal(world.keeper.status.state, "on");
  world.pass(1);
  await new Promise((resolve) => setTimeout(resolve, 0)); // what the last run left is looked for
  world.pass(12);
  assert.deepEqual(world.said().map(({ action }) => action), ["tierStarted", "events"]);
  await world.verify();
});

Deno.test("LedgerKeeper that is turned off enters nothing and lets the agent forget", async () => {
  const world = await TestKeeper.make({ isOn: false });
  world.keeper.receive({ kind: "ledgerNotes", notes: [note(5)] });
  world.take(3);
  world.pass(3);
  assert.deepEqual(world.entered, [5]);
  assert.equal(world.keeper.status.state, "off");
  assert.equal(world.storage.list().length, 0);
});

Deno.test("LedgerKeeper enters gaps, changes of the hasher, and what was suppressed once a minute", async () => {
  const world = await TestKeeper.make();
  const gap = { source: "ebpf", recordKind: "exec", from: 1.4, to: 2, count: 3, reason: "lost" };
  const payload = encodeMessage({ kind: "gap", sequence: world.log.nextSequence, gap: { ...gap, from: 1 } });
  world.log.append({ kind: 6, itemClass: "note", count: 1, time: 1, lastTime: 2, payload });
  for (const pid of [null, 7, 7, 8, null]) world.keeper.hasher(pid);
  for (let i = 1; i <= 130; i++) {
    world.keeper.suppressed(i);
    world.pass(1);
  }
  const said = world.said();
  assert.equal(said.filter(({ action }) => action === "gap").length, 1);
  assert.deepEqual(
    said.flatMap((each) =>
      each.action === "tierStarted" || each.action === "tierStopped" ? [[each.action, each.value.pid]] : []
    ),
    [["tierStarted", 7], ["tierStopped", 7], ["tierStarted", 8], ["tierStopped", 8]],
  );
  const counts = said.flatMap((each) => each.action === "suppressed" ? [each.value.count] : []);
  assert.equal(counts.length, 2);
});

function contents(storage: SimStorage): Map<string, Uint8Array> {
  return new Map(
    storage.list().map(({ name, size }) => {
      const file = storage.open(name), bytes = new Uint8Array(size);
      file.readAt(0, bytes);
      file.close();
      return [name, bytes];
    }),
  );
}
