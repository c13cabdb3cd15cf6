import assert from "node:assert/strict";
import { alertOf } from "../../agent/alerts/alert_of.ts";
import { GROUP_EVENTS, WAITING_EVENTS } from "../../agent/batch_group.ts";
import { type Counters, newCounters } from "../../agent/counters.ts";
import { AgentDelays } from "../../agent/delays.ts";
import { Ingest, type IngestOptions, type Judge, type StreamMessage } from "../../agent/ingest.ts";
import { Store } from "../../agent/store/store.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { StoreError } from "../../agent/store/store_error.ts";
import { checkStore, openTestStream, rows, start, state, stop, TempDir, until } from "./support.ts";

const RULE = { id: "r1", hash: "12".repeat(32), title: "T", description: "D", severity: "high", tags: [] } as const;

/** A rule that hits every event of an even pid. */
const evenPids: Judge = {
  judge: (events, stream, now) =>
    events.filter((row) => (row[5] as number) % 2 === 0).map((row) =>
      alertOf(RULE, row, { pid: row[5]! }, stream, now)
    ),
  stored: () => {},
};

class World implements Disposable {
  readonly #dir = new TempDir();
  readonly path = `${this.#dir.path}/events.db`;
  readonly store = new Store(this.path, ["file"]);
  readonly counters: Counters = newCounters();
  readonly delays = new AgentDelays();
  readonly stream: Stream = openTestStream(this.store);
  readonly progress = { lastEventTime: 0 };
  readonly acknowledged: number[] = [];
  alerted = 0;
  readonly ingest: Ingest;

  readonly failures: unknown[] = [];

  constructor(detection: Judge = evenPids, groupMs = 0, more: Partial<IngestOptions> = {}) {
    const { store, counters, delays } = this, alerted = (): void => void this.alerted++;
    const failed = (_: Store, error: unknown): void => void this.failures.push(error);
    this.ingest = new Ingest({ store, detection, counters, delays, alerted, failed, groupMs, ...more });
  }

  readonly #committed = (): Promise<boolean> => {
    this.acknowledged.push(this.stream.lastSequence);
    return Promise.resolve(true);
  };

  async take(...messages: StreamMessage[]): Promise<void> {
    await this.ingest.take(this.stream, messages, this.progress, this.#committed);
  }

  query(sql: string): Record<string, SqlValue>[] {
    return rows(this.path, sql);
  }

  sequences(): number[] {
    const base = this.stream.number * SEQUENCES_PER_STREAM;
    return this.query("SELECT event_id FROM process_events ORDER BY 1").map((row) => row["event_id"] as number - base);
  }

  [Symbol.dispose](): void {
    this.ingest.drop();
    this.store.close();
    checkStore(this.path);
    this.#dir[Symbol.dispose]();
  }
}

function events(firstSequence: number, ...pids: number[]): StreamMessage {
  return { kind: "events", firstSequence, events: pids.map((pid): ProcessEvent => start(pid)) };
}

Deno.test("ingest stores what comes in one transaction and acknowledges it after", async () => {
  using world = new World();
  await world.take(
    events(1, 1, 2),
    {
      kind: "sources",
      sequence: 3,
      sources: [{ name: "ebpf", state: "active", detail: "d", misses: [], unknownColumns: [] }],
    },
    { kind: "snapshot", sequence: 4, time: 9, part: 0, last: true, processes: [state(40)] },
    { kind: "gap", sequence: 5, gap: { source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 7, reason: "full" } },
    events(6, 4),
  );
  assert.deepEqual(world.acknowledged, [6]);
  assert.deepEqual(world.sequences(), [1, 2, 6]);
  assert.deepEqual(world.query("SELECT source, count FROM gaps"), [{ source: "ebpf", count: 7 }]);
  assert.equal(world.query("SELECT * FROM sources").length, 1);
  assert.equal(world.query("SELECT * FROM processes WHERE pid = 40").length, 1);
  assert.deepEqual(world.query("SELECT alert_id FROM alerts ORDER BY 1"), [
    { alert_id: "r1@col:epoch-1:2" },
    { alert_id: "r1@col:epoch-1:6" },
  ]);
  assert.equal(world.alerted, 1);
  const { events: stored, gaps, snapshots, alerts, duplicates } = world.counters;
  assert.deepEqual({ stored, gaps, snapshots, alerts, duplicates }, {
    stored: 3,
    gaps: 1,
    snapshots: 1,
    alerts: 2,
    duplicates: 0,
  });
});

Deno.test("ingest notes how long each event took, and how old were those that are told at once", async () => {
  using world = new World();
  const time = Date.now() - 60_000;
  const told = [start(1, { time }), start(2, { time: 0, reason: "fork" }), start(3, { kind: "modify", time: 0 })];
  const message: StreamMessage = { kind: "events", firstSequence: 1, events: told };
  await world.take(message);
  await world.take(message);
  const { received, judged, committed } = world.delays, old = received.read()!;
  assert.equal(old.count, 1, "the others were not told at once, and none comes twice");
  assert.ok(old.max >= 60_000 && old.max < 600_000, String(old.max));
  assert.deepEqual([judged.read()!.count, committed.read()!.count], [3, 3]);
});

Deno.test("what comes again is dropped by its number, also when it overlaps, and raises nothing", async () => {
  using world = new World();
  await world.take(events(1, 1, 2, 3));
  await world.take(events(1, 1, 2, 3));
  await world.take(events(2, 2, 3, 4, 5));
  assert.deepEqual(world.sequences(), [1, 2, 3, 4, 5]);
  assert.equal(world.counters.duplicates, 5);
  assert.equal(world.counters.alerts, 2);
  assert.equal(world.query("SELECT * FROM alert_deliveries").length, 2);
  assert.deepEqual(world.acknowledged, [3, 3, 5], "also a batch of duplicates is acknowledged: its ack was lost");
});

Deno.test("numbers that are skipped are a gap of their count, and do not come back", async () => {
  using world = new World();
  await world.take(events(1, 1));
  await world.take(events(11, 2));
  await world.take(events(5, 9));
  assert.deepEqual(world.sequences(), [1, 11]);
  const [gap] = world.query("SELECT gap_id, source, record_kind, count, reason, from_time FROM gaps");
  assert.deepEqual(gap, {
    gap_id: world.stream.number * SEQUENCES_PER_STREAM + 2,
    source: "transport",
    record_kind: "all",
    count: 9,
    reason: "sequence 2 to 10 never came",
    from_time: start(1).time,
  });
  assert.equal(world.counters.gaps, 1);
  assert.equal(world.counters.duplicates, 1);
});

Deno.test("many events are stored in slices, each acknowledged, none lost at the seams", async () => {
  using world = new World({ judge: () => [], stored: () => {} });
  const pids = Array.from({ length: 2_500 }, (_, i) => i + 1);
  await world.take(events(1, ...pids), events(2_501, 1, 2, 3), {
    kind: "gap",
    sequence: 2_504,
    gap: { source: "ebpf", recordKind: "exit", from: 1, to: 2, count: null, reason: "r" },
  });
  assert.deepEqual(world.acknowledged, [GROUP_EVENTS, 2 * GROUP_EVENTS, 2_504]);
  assert.equal(world.sequences().length, 2_503);
  assert.equal(world.counters.events, 2_503);
});

Deno.test("a slice that ends exactly with a message does not lose or repeat the next", async () => {
  using world = new World({ judge: () => [], stored: () => {} });
  const pids = Array.from({ length: GROUP_EVENTS }, (_, i) => i + 1);
  await world.take(events(1, ...pids), events(GROUP_EVENTS + 1, ...pids));
  assert.equal(world.sequences().length, 2 * GROUP_EVENTS);
  assert.deepEqual(world.acknowledged, [GROUP_EVENTS, 2 * GROUP_EVENTS]);
});

Deno.test("two connections of one stream that send the same store it once", async () => {
  using world = new World();
  const pids = Array.from({ length: 3_000 }, (_, i) => i + 1);
  await Promise.all([world.take(events(1, ...pids)), world.take(events(1, ...pids))]);
  assert.equal(world.sequences().length, 3_000);
  assert.equal(world.counters.duplicates, 3_000);
  assert.equal(world.counters.alerts, 1_500);
});

Deno.test("a connection that ended leaves the rest of its messages for the next", async () => {
  using world = new World();
  const pids = Array.from({ length: 3_000 }, (_, i) => i + 1);
  await world.ingest.take(world.stream, [events(1, ...pids)], world.progress, () => Promise.resolve(false));
  assert.equal(world.stream.lastSequence, GROUP_EVENTS);
  await world.take(events(1, ...pids));
  assert.equal(world.sequences().length, 3_000);
});

Deno.test("a batch that the store refuses is counted, not acknowledged, and can come again", async () => {
  using world = new World();
  // An event whose number is taken without the watermark knowing: as after a hand in the store.
  await world.take(events(1, 1, 2));
  world.stream.lastSequence = 0;
  await assert.rejects(world.take(events(1, 1)), /did not take a batch/);
  world.stream.lastSequence = 2;
  assert.equal(world.counters.store_faults, 1);
  assert.equal(world.counters.events, 2);
  assert.deepEqual(world.acknowledged, [2]);
  await world.take(events(3, 3));
  assert.deepEqual(world.sequences(), [1, 2, 3]);
});

Deno.test("a batch whose connection ended while it was judged is left for the next, and batches do not mix", async () => {
  let release = (): void => {}, judging = 0, most = 0;
  const waiting = new Promise<void>((resolve) => release = resolve);
  using world = new World({
    judge: async () => {
      most = Math.max(most, ++judging);
      await waiting;
      judging -= 1;
      return [];
    },
    stored: () => {},
  });
  let isCurrent = true;
  const progress = { lastEventTime: 0 }, yes = (): Promise<boolean> => Promise.resolve(true);
  const first = world.ingest.take(world.stream, [events(1, 1, 2, 3)], progress, yes, () => isCurrent);
  const second = world.take(events(1, 1, 2, 3, 4));
  await new Promise((resolve) => setTimeout(resolve, 0));
  isCurrent = false;
  release();
  await Promise.all([first, second]);
  assert.deepEqual(world.sequences(), [1, 2, 3, 4]);
  assert.equal(world.counters.duplicates, 0, "nothing of the first was stored");
  assert.equal(most, 1);
});

/** Longer than any test. */
const FOR_EVER = 3_600_000;

Deno.test("what events set going is found while they are judged, and goes once they are stored", async () => {
  const told: string[] = [];
  const triggers = async (batch: readonly SqlValue[][]): Promise<() => void> => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    told.push(`found in ${batch.length}`);
    return () => void told.push(`set going by ${batch.length}`);
  };
  using world = new World(evenPids, 60_000, { triggers });
  await world.take(events(1, 1));
  assert.deepEqual(told.splice(0), ["found in 1", "set going by 1"], "the first is stored at once");
  await world.take(events(2, 3, 5));
  assert.deepEqual(told.splice(0), ["found in 2"], "it waits to be stored");
  world.ingest.settle();
  assert.deepEqual(told.splice(0), ["set going by 2"]);
  await world.take(events(4, 7));
  world.ingest.drop();
  await world.take(events(4, 8));
  assert.deepEqual(told, ["found in 1", "found in 1", "set going by 1"], "what was not stored sets nothing going");
});

Deno.test("batches without an alert wait for each other, and are acknowledged when they are stored", async () => {
  const judged: number[] = [];
  using world = new World({ ...evenPids, stored: (alerts) => judged.push(alerts.length) }, FOR_EVER);
  await world.take(events(1, 1));
  assert.deepEqual(world.acknowledged, [1], "the first after a quiet time is stored at once");
  await world.take(events(2, 3));
  await world.take(events(3, 5), events(2, 3), events(6, 7));
  assert.deepEqual([world.sequences(), world.acknowledged, world.counters.events], [[1], [1], 1]);
  assert.deepEqual(judged, [0, 0, 0], "the rules know what waits");
  world.ingest.settle();
  assert.deepEqual([world.sequences(), world.acknowledged], [[1, 2, 3, 6], [1, 6]]);
  const { events: stored, duplicates, gaps } = world.counters;
  assert.deepEqual({ stored, duplicates, gaps }, { stored: 4, duplicates: 1, gaps: 1 });
  assert.equal(world.delays.committed.read()!.count, 4);
  world.ingest.settle();
  assert.deepEqual(world.acknowledged, [1, 6], "nothing waits");
});

Deno.test("what waits is stored by itself in time", async () => {
  using world = new World(evenPids, 30);
  await world.take(events(1, 1));
  await world.take(events(2, 3));
  await until("it is stored", () => world.acknowledged.at(-1) === 2);
  assert.deepEqual(world.sequences(), [1, 2]);
});

Deno.test("an alert, a process table and many events are not waited for, and take along what waits", async () => {
  using world = new World(evenPids, FOR_EVER);
  await world.take(events(1, 1));
  await world.take(events(2, 3));
  await world.take(events(3, 4));
  assert.deepEqual([world.sequences(), world.acknowledged, world.alerted], [[1, 2, 3], [1, 3], 1]);
  await world.take(events(4, 5));
  await world.take({ kind: "snapshot", sequence: 5, time: 9, part: 0, last: true, processes: [state(40)] });
  assert.deepEqual(world.acknowledged, [1, 3, 5]);
  await world.take(events(6, 7));
  const many = Array.from({ length: GROUP_EVENTS }, (_, i) => 101 + 2 * i);
  await world.take(events(7, ...many));
  assert.deepEqual(world.acknowledged, [1, 3, 5, 5 + GROUP_EVENTS], "the last one waits anew");
  const before = 5 + GROUP_EVENTS, half = Array.from({ length: WAITING_EVENTS / 2 }, (_, i) => 5_001 + 2 * i);
  await world.take(events(before + 2, ...half));
  assert.equal(world.acknowledged.at(-1), before, "there is room for one more");
  await world.take(events(before + 2 + half.length, ...half));
  assert.equal(world.acknowledged.at(-1), before + 1 + WAITING_EVENTS, "an alert would wait for them");
  assert.equal(world.sequences().length, before + WAITING_EVENTS, "one number was the table's");
});

Deno.test("when what waits is not stored, the store is at fault, and nothing may follow", async () => {
  using world = new World(evenPids, FOR_EVER);
  await world.take(events(1, 1));
  await world.take(events(2, 3));
  const { commit } = world.store;
  world.store.commit = () => {
    throw new StoreError("Provided value cannot be bound");
  };
  await assert.rejects(world.take(events(3, 4)), StoreError);
  world.store.commit = commit;
  assert.deepEqual(world.failures.map((error) => (error as StoreError).kind), ["io"]);
  await assert.rejects(world.take(events(4, 5)), StoreError, "sequences 2 and 3 would be lost");
  await assert.rejects(world.take(events(4, 6)), StoreError);
  assert.deepEqual([world.sequences(), world.acknowledged, world.alerted], [[1], [1], 0]);
  assert.deepEqual([world.counters.events, world.counters.store_faults], [1, 1]);
});

Deno.test("a process that begins and ends while its batches wait is in the table of processes as if they did not", async () => {
  const tables = [0, FOR_EVER].map(async (groupMs) => {
    using world = new World({ judge: () => [], stored: () => {} }, groupMs);
    await world.take(events(1, 1));
    await world.take({ kind: "events", firstSequence: 2, events: [start(2), start(3)] });
    await world.take({ kind: "events", firstSequence: 4, events: [stop(2), start(3, { kind: "modify", userId: 7 })] });
    world.ingest.settle();
    return world.query("SELECT * FROM processes ORDER BY process_id");
  });
  const [single, grouped] = await Promise.all(tables);
  assert.equal(single!.length, 3);
  assert.deepEqual(grouped, single);
});
