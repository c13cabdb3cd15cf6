/**
 * The store under a wall clock that jumps by hours, days and years, back and forward: whatever retention removes is the
 * oldest and is told with its count, nothing goes before its time but by what the clock may run ahead, and the order in
 * which things came stays.
 */
import assert from "node:assert/strict";
import { MAX_SPEED } from "../../../agent/store/retention_clock.ts";
import { Store } from "../../../agent/store/store.ts";
import { eventRow } from "../../../proto/event_row.ts";
import { Random } from "../../fuzz/random.ts";
import { newAlert, openTestStream, rows, start, TempDir } from "../support.ts";

const HOUR = 3_600_000, DAY = 24 * HOUR, YEAR = 365 * DAY;
const NOW = 1_800_000_000_000;
const LIMITS = { retentionMs: 3 * DAY, alertRetentionMs: 400 * DAY, maxBytes: 1 << 30 };
/** Events and hours of one step of a test. */
const BATCH = 5, STEP_MS = HOUR;
/** Hours between two looks at everything. */
const CHECK_EVERY = 5;

/** Both clocks of this thread, until the end of the scope. */
class Clocks implements Disposable {
  wall = NOW;
  monotonic = 1_000;
  readonly #real = { date: Date.now, performance: performance.now.bind(performance) };

  constructor() {
    Date.now = () => this.wall;
    performance.now = () => this.monotonic;
  }

  pass(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }

  [Symbol.dispose](): void {
    Date.now = this.#real.date;
    performance.now = this.#real.performance;
  }
}

interface Life {
  readonly left: number;
  readonly removed: number;
  readonly jumps: number;
}

/** So many hours of a store that takes events all the time, while the wall clock does what `jump` says. */
function live(hours: number, jump: (hour: number) => number, isRestarted: (hour: number) => boolean): Life {
  using directory = new TempDir(), clocks = new Clocks();
  const path = `${directory.path}/events.db`;
  let store = new Store(path, [], LIMITS), stream = openTestStream(store), jumps = 0;
  /** When each event came, by the clock that does not jump. */
  const came: number[] = [];
  try {
    for (let hour = 0; hour < hours; hour++) {
      const by = jump(hour);
      if (by !== 0) jumps += 1;
      clocks.wall += by;
      if (isRestarted(hour)) {
        store.close();
        store = new Store(path, [], LIMITS);
        stream = openTestStream(store);
      }
      const first = stream.lastSequence + 1, gapAt = first + BATCH, base = stream.number * 2 ** 40;
      const events = Array.from(
        { length: BATCH },
        (_, i) => eventRow({ ...start(first + i), time: clocks.wall }, base + first + i, "col"),
      );
      const gap = { source: "ebpf", recordKind: "exec", from: clocks.wall, to: clocks.wall, count: 1, reason: "lost" };
      const alert = newAlert(`alert-${hour}`, { eventId: base + first, time: clocks.wall, detectedTime: clocks.wall });
      store.commit({
        stream,
        lastSequence: gapAt,
        events,
        snapshots: [],
        gaps: [{ sequence: gapAt, gap }],
        sources: null,
        alerts: [alert],
      }, clocks.wall);
      for (let i = 0; i <= BATCH; i++) came[first + i] = clocks.monotonic;
      for (let step = 0; step < 3; step++) {
        clocks.pass(STEP_MS / 3);
        while (store.maintain(clocks.wall).more);
      }
      if (hour % CHECK_EVERY === 0 || by !== 0) check(path, came, clocks.monotonic, hour + 1);
    }
    assert.equal(openTestStream(store).lastSequence, hours * (BATCH + 1), "the watermark is where it was");
    const [{ n }] = rows(path, "SELECT count(*) AS n FROM process_events") as [{ n: number }];
    return { left: n, removed: hours * BATCH - n, jumps };
  } finally {
    store.close();
    // Alerts outlive their events, so of what holds of every store only this.
    assert.deepEqual(rows(path, "PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  }
}

/** What must hold at any time. */
function check(path: string, came: readonly number[], monotonic: number, hours: number): void {
  const [{ n, low, high }] = rows(
    path,
    `SELECT count(*) AS n, min(event_id) % ${2 ** 40} AS low, max(event_id) % ${2 ** 40} AS high FROM process_events`,
  ) as [{ n: number; low: number; high: number }];
  const [{ told, others }] = rows(
    path,
    `SELECT coalesce(sum(count) FILTER (WHERE table_name = 'process_events'), 0) AS told,
       coalesce(sum(count) FILTER (WHERE table_name IN ('alerts', 'gaps')), 0) AS others FROM retention`,
  ) as [{ told: number; others: number }];
  const total = hours * BATCH;
  assert.equal(n + told, total, `hour ${hours}: what is not there any more is told`);
  assert.equal(high, hours * (BATCH + 1) - 1, "the newest is there");
  // One number of each batch is the gap's.
  const batches = Math.ceil((high - low + 1) / (BATCH + 1));
  assert.equal(n, high - low + 1 - (batches - 1), "what is left are the newest, without a hole");
  if (low > 1) {
    // A partition's events wait for its last one, so no event is younger than that.
    const age = monotonic - came[low - 2]!;
    assert.ok(age >= LIMITS.retentionMs / MAX_SPEED, `hour ${hours}: an event went after ${age / HOUR} hours`);
  }
  for (const table of ["alerts", "gaps"]) {
    const [{ n: rest }] = rows(path, `SELECT count(*) AS n FROM ${table}`) as [{ n: number }];
    if (others === 0) assert.equal(rest, hours, `hour ${hours}: nothing of ${table} goes before its time`);
    else assert.ok(rest <= hours);
  }
  assert.equal(others, 0, `hour ${hours}: 400 days have not passed, whatever the clock says`);
}

const never = (): boolean => false;

Deno.test("the store removes by age as it should while the clock is right", () => {
  const { left, removed } = live(96, () => 0, never);
  assert.ok(left >= 72 * BATCH && left <= 80 * BATCH && removed > 0, `${left} are left`);
});

for (const [what, by] of [["forward", YEAR], ["back", -YEAR]] as const) {
  Deno.test(`a clock that jumps a year ${what} and returns after three hours costs nothing before its time`, () => {
    const jump = (hour: number): number => (hour === 60 ? by : hour === 63 ? -by : 0);
    const right = live(66, () => 0, never), { left, removed } = live(66, jump, never);
    assert.equal(left + removed, 66 * BATCH);
    // Ahead, retention may have run three hours at its highest speed.
    assert.ok(left >= right.left - 3 * (MAX_SPEED + 1) * BATCH, `${left} are left of ${right.left}`);
  });
}

Deno.test("a clock that jumps about, over restarts, loses nothing silently and mixes nothing up", () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = new Random(seed);
    const life = live(
      120,
      () => random.chance(0.1) ? random.pick([YEAR, -YEAR, DAY, -DAY, HOUR, -HOUR, 1_000]) : 0,
      () => random.chance(0.05),
    );
    assert.ok(life.jumps > 4 && life.left > 0, JSON.stringify(life));
  }
});
