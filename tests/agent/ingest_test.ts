import assert from "node:assert/strict";
import { alertOf } from "../../agent/alerts/alert_of.ts";
import { type Counters, newCounters } from "../../agent/counters.ts";
import { AgentDelays } from "../../agent/delays.ts";
import { Ingest, type Judge, MAX_SLICE_EVENTS, type StreamMessage } from "../../agent/ingest.ts";
import { SEQUENCES_PER_STREAM, Store, type Stream } from "../../agent/store/store.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { checkStore, openTestStream, rows, start, state, TempDir } from "./support.ts";

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

  constructor(detection: Judge = evenPids) {
    const { store, counters, delays } = this;
    this.ingest = new Ingest({ store, detection, counters, delays, alerted: () => this.alerted++, failed: () => {} });
  }

  async take(...messages: StreamMessage[]): Promise<void> {
    await this.ingest.take(this.stream, messages, this.progress, () => {
      this.acknowledged.push(this.stream.lastSequence);
      return Promise.resolve(true);
    });
  }

  query(sql: string): Record<string, SqlValue>[] {
    return rows(this.path, sql);
  }

  sequences(): number[] {
    const base = this.stream.number * SEQUENCES_PER_STREAM;
    return this.query("SELECT event_id FROM process_events ORDER BY 1").map((row) => row["event_id"] as number - base);
  }

  [Symbol.dispose](): void {
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
  assert.deepEqual(world.acknowledged, [MAX_SLICE_EVENTS, 2 * MAX_SLICE_EVENTS, 2_504]);
  assert.equal(world.sequences().length, 2_503);
  assert.equal(world.counters.events, 2_503);
});

Deno.test("a slice that ends exactly with a message does not lose or repeat the next", async () => {
  using world = new World({ judge: () => [], stored: () => {} });
  const pids = Array.from({ length: MAX_SLICE_EVENTS }, (_, i) => i + 1);
  await world.take(events(1, ...pids), events(MAX_SLICE_EVENTS + 1, ...pids));
  assert.equal(world.sequences().length, 2 * MAX_SLICE_EVENTS);
  assert.deepEqual(world.acknowledged, [MAX_SLICE_EVENTS, 2 * MAX_SLICE_EVENTS]);
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
  assert.equal(world.stream.lastSequence, MAX_SLICE_EVENTS);
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
