import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { CATALOG } from "../../../proto/catalog.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { joinArgv } from "../../../proto/argv.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import { openDatabase } from "../../../agent/store/database.ts";
import { Partitions, Reclaimer } from "../../../agent/store/partitions.ts";
import { DEFAULT_LIMITS, Retention, type StoreLimits } from "../../../agent/store/retention.ts";
import { MAX_SPEED, RetentionClock } from "../../../agent/store/retention_clock.ts";
import { Store } from "../../../agent/store/store.ts";
import { FULL_CONTEXT } from "../../support/event_samples.ts";
import { checkStore, commitEvents, execIdOf, openTestStream, rows, start, stop, TempDir } from "../support.ts";

const HOUR = 3_600_000, DAY = 24 * HOUR;
const NOW = 1_800_000_000_000;

/** A store's tables with clocks that the test turns. */
class World implements Disposable {
  readonly directory = new TempDir();
  readonly path = `${this.directory.path}/events.db`;
  readonly db = openDatabase(this.path);
  readonly partitions = new Partitions(this.db);
  wall = NOW;
  monotonic = 0;
  retention: Retention;
  #nextEvent = 2 ** 40 + 1;

  constructor(readonly limits: StoreLimits = DEFAULT_LIMITS) {
    this.db.exec(`UPDATE partitions SET opened_time = ${NOW}`);
    this.retention = this.restart();
  }

  restart(): Retention {
    this.partitions.rolledBack();
    return this.retention = new Retention(this.db, this.partitions, this.limits, this.wall, this.monotonic);
  }

  /** Both clocks go on. */
  pass(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }

  /** An hour's worth of steps goes by for each, so that a clock that jumped shows. */
  steps(count: number, every = 0, inUse: readonly number[] = []): void {
    for (let i = 0; i < count; i++) {
      this.pass(every);
      this.step(inUse);
    }
  }

  step(inUse: readonly number[] = []): boolean {
    this.db.exec("BEGIN");
    const more = this.retention.step(this.wall, this.monotonic, new Set(inUse));
    this.db.exec("COMMIT");
    return more;
  }

  /** Until nothing is left to do. */
  settle(): void {
    for (let i = 0; i < 100_000; i++) {
      this.monotonic += 10;
      if (!this.step() && !this.step()) {
        this.monotonic += 3_000;
        if (!this.step()) return;
      }
    }
    assert.fail("retention does not come to an end");
  }

  /** Events that arrive now, in a new partition when one is due. */
  arrive(count: number, more: Partial<ProcessEvent> = {}): void {
    this.db.exec("BEGIN");
    if (this.retention.isRotationDue(this.monotonic)) this.retention.rotate(this.wall, this.monotonic);
    for (let i = 0; i < count; i++) {
      const id = this.#nextEvent++,
        event = { ...start(id - 2 ** 40, { context: FULL_CONTEXT }), time: this.wall, ...more };
      this.partitions.insert(eventRow(event, id, "col"));
    }
    this.db.exec("COMMIT");
    this.partitions.committed();
  }

  one(sql: string): SqlValue {
    return Object.values(rows(this.path, sql)[0]!)[0]!;
  }

  get events(): number {
    return this.one("SELECT count(*) FROM process_events") as number;
  }

  [Symbol.dispose](): void {
    this.db.close();
    this.directory[Symbol.dispose]();
  }
}

Deno.test("a row of process_events comes out of a partition as it went in, whatever its texts hold", () => {
  using world = new World();
  const argvs = [
    null,
    [],
    [""],
    ["", ""],
    ["a"],
    ["sh", "-c", "echo  two  spaces"],
    [" "],
    ["a ", " b", ""],
    ["", "", "a"],
    [","],
    ["", ",", ""],
    ['"', "\\", '","'],
    ["a\u001fb", "c"],
    ["line\nbreak", "tab\t"],
    ["é", "日本", "\u{1f600}"],
    ["bad\udc80byte", "x"],
    ["\u2028", "'; DROP TABLE alerts; --"],
  ];
  const texts = ["-", "", "1:a", "12;", "null", "\u0001", "3:a-b"];
  const inserted: SqlValue[][] = [];
  argvs.forEach((args, i) => {
    for (const kind of ["start", "stop"] as const) {
      const made = kind === "start" ? start(i + 1) : stop(i + 1);
      const event: ProcessEvent = {
        ...made,
        argv: args === null ? null : joinArgv(args),
        name: texts[i % texts.length]!,
        userName: texts[(i + 1) % texts.length]!,
        executableHash: i % 3 === 0 ? null : texts[(i + 2) % texts.length]!,
        parentCommandLine: i % 2 === 0 ? null : texts[i % texts.length]!,
        context: kind === "stop" ? null : { ...FULL_CONTEXT, cwd: texts[i % texts.length]!, sessionId: i % 2 },
      };
      inserted.push(eventRow(event, 2 ** 40 + inserted.length + 1, "col"));
    }
  });
  for (const row of inserted) world.partitions.insert(row);
  const names = CATALOG.get("process_events")!.columns.map(({ name }) => name);
  const read = [...world.db.prepare("SELECT * FROM process_events ORDER BY event_id").iterate()];
  assert.deepEqual(read.map((row) => names.map((name) => row[name])), inserted);
  for (const column of ["argv", "command_line"]) {
    const types = new Set(read.map((row) => row[column] === null ? "null" : typeof row[column]));
    assert.deepEqual([...types].sort(), ["null", "string"]);
  }
});

Deno.test("what repeats is stored once in a partition, and different things never as one", () => {
  using world = new World();
  for (let i = 0; i < 500; i++) world.arrive(1, { name: i % 2 === 0 ? "a" : "b" });
  assert.equal(world.one("SELECT count(*) FROM stored_events_1_contexts"), 1);
  assert.equal(world.one("SELECT count(*) FROM stored_events_1_programs"), 2);
  // Cells that read alike one after the other
  world.arrive(1, { name: "ab", executablePath: "c" });
  world.arrive(1, { name: "a", executablePath: "bc" });
  assert.deepEqual(
    rows(world.path, "SELECT name, executable_path FROM process_events ORDER BY event_id DESC LIMIT 2"),
    [
      { name: "a", executable_path: "bc" },
      { name: "ab", executable_path: "c" },
    ],
  );
});

Deno.test("a transaction that is undone leaves no number of a row that is not there", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path), stream = openTestStream(store);
  const odd = start(2, { name: "odd", parentName: "odd parent", context: { ...FULL_CONTEXT, cwd: "/odd" } });
  commitEvents(store, stream, [start(1)]);
  const taken = eventRow(start(3), stream.number * 2 ** 40 + 1, "col");
  const row = eventRow(odd, stream.number * 2 ** 40 + 2, "col");
  const batch = { stream, lastSequence: 3, snapshots: [], gaps: [], sources: null, alerts: [] };
  assert.throws(() => store.commit({ ...batch, events: [row, taken] }, 1));
  commitEvents(store, stream, [odd]);
  assert.deepEqual(rows(path, "SELECT name, parent_name, cwd FROM process_events WHERE pid = 2"), [
    { name: "odd", parent_name: "odd parent", cwd: "/odd" },
  ]);
  store.close();
  checkStore(path);
});

Deno.test("partitions span an hour or more, and go when all in them is too old", () => {
  using world = new World({ ...DEFAULT_LIMITS, retentionMs: 4 * HOUR });
  for (let hour = 0; hour < 8; hour++) {
    world.arrive(10);
    for (let i = 0; i < 12; i++) {
      world.pass(HOUR / 12);
      world.settle();
    }
  }
  const left = rows(world.path, "SELECT partition, state FROM partitions ORDER BY partition");
  assert.ok(left.length >= 4 && left.length <= 6, JSON.stringify(left));
  assert.equal(left.at(-1)!["state"], "open");
  assert.equal(world.events, left.length * 10);
  const [removed] = rows(world.path, "SELECT table_name, from_time, to_time, count, reason FROM retention");
  assert.deepEqual(removed, {
    table_name: "process_events",
    from_time: NOW,
    to_time: removed!["to_time"]!,
    count: 80 - world.events,
    reason: "age",
  });
  assert.equal(world.retention.removedEvents.age, 80 - world.events);
  checkStore(world.path);
});

Deno.test("limits that change while the store is open hold from then on", () => {
  using world = new World({ ...DEFAULT_LIMITS, retentionMs: 100 * DAY });
  for (let hour = 0; hour < 6; hour++) {
    world.arrive(10);
    world.pass(HOUR);
    world.settle();
  }
  assert.equal(world.events, 60, "in one partition of four days");
  world.retention.limit({ ...DEFAULT_LIMITS, retentionMs: 2 * HOUR });
  for (let hour = 0; hour < 4; hour++) {
    world.arrive(10);
    world.pass(HOUR);
    world.settle();
  }
  assert.ok(world.events <= 40, `${world.events} are left`);
  assert.equal(world.retention.removedEvents.age, 100 - world.events);
  checkStore(world.path);
});

Deno.test("events of any time go into the open partition, and late ones bring no old one back", () => {
  using world = new World();
  world.arrive(1);
  world.pass(40 * HOUR);
  world.arrive(1, { time: NOW - 30 * DAY });
  world.arrive(1, { time: NOW + 30 * DAY });
  world.wall -= DAY;
  world.arrive(1);
  assert.deepEqual(rows(world.path, "SELECT partition, state, events FROM partitions"), [
    { partition: 1, state: "closed", events: 1 },
    { partition: 2, state: "open", events: null },
  ]);
  assert.equal(world.one("SELECT count(*) FROM stored_events_2"), 3);
  const times = rows(world.path, "SELECT time FROM process_events ORDER BY time DESC").map((row) => row["time"]);
  assert.deepEqual(times, [NOW + 30 * DAY, NOW + 16 * HOUR, NOW, NOW - 30 * DAY]);
});

Deno.test("a clock that is a year ahead for an hour costs half a day of the oldest events, not all", () => {
  using world = new World();
  for (let i = 0; i < 20; i++) {
    world.arrive(5);
    world.pass(31 * HOUR);
    world.settle();
  }
  const before = world.events;
  world.wall += 365 * DAY;
  world.steps(60, 60_000);
  world.settle();
  assert.equal(world.events, before, "nothing was within half a day of its end");
  world.restart();
  world.steps(60, 60_000);
  assert.equal(world.events, before, "a restart does not make it believe the clock");
  world.wall -= 365 * DAY;
  world.steps(60, 60_000);
  assert.equal(world.events, before);
  // A clock that stays there is right after all
  world.wall += 365 * DAY;
  world.steps(40 * 24, HOUR);
  world.settle();
  assert.ok(world.events <= 5, `${world.events} are left`);
});

Deno.test("RetentionClock follows a wall clock that goes back at once, and one that runs away slowly", () => {
  const clock = new RetentionClock(NOW, 0);
  assert.equal(clock.at(NOW + DAY, 0), NOW);
  assert.equal(clock.at(NOW + DAY, 1_000), NOW + 1_000 * MAX_SPEED);
  assert.equal(clock.at(NOW - DAY, 2_000), NOW - DAY);
  assert.equal(clock.at(NOW + DAY, 1_500), NOW - DAY, "a clock that does not jump does not go back either");
  assert.equal(clock.at(NOW - DAY + 10, 3_000), NOW - DAY + 10);
});

Deno.test("the size holds without any clock, the oldest goes first, and the file shrinks", () => {
  using world = new World({ ...DEFAULT_LIMITS, maxBytes: 12 << 20 });
  let highest = 0;
  for (let i = 0; i < 400; i++) {
    world.arrive(300);
    world.monotonic += 1;
    while (world.step()) highest = Math.max(highest, world.retention.usedBytes);
  }
  world.settle();
  assert.ok(highest <= 12 << 20, `${highest} bytes in use`);
  world.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const size = Deno.statSync(world.path).size;
  assert.ok(size <= 12 << 20, `the file has ${size} bytes`);
  const { low, n } = rows(world.path, "SELECT min(event_id) AS low, count(*) AS n FROM process_events")[0] as {
    low: number;
    n: number;
  };
  assert.equal(low - 2 ** 40 - 1 + n, 400 * 300, "what is left is the newest, without a hole");
  assert.ok(n > 10_000, `${n} are left`);
  assert.deepEqual(rows(world.path, "SELECT count, reason FROM retention"), [{ count: 400 * 300 - n, reason: "size" }]);
  checkStore(world.path);
});

Deno.test("one partition that is too large by its texts alone goes too", () => {
  using world = new World({ ...DEFAULT_LIMITS, maxBytes: 8 << 20 });
  for (let i = 0; i < 300; i++) {
    world.arrive(20, { parentCommandLine: `${i} ${"x".repeat(40_000)}`, parentName: `p${i}` });
    world.monotonic += 1;
    while (world.step());
  }
  world.settle();
  assert.ok(world.retention.usedBytes <= 8 << 20);
  assert.ok(world.events > 0);
  checkStore(world.path);
});

Deno.test("a store that was killed between two steps of a removal goes on with it", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  {
    const db = openDatabase(path), partitions = new Partitions(db);
    db.exec("BEGIN");
    for (let i = 0; i < 5_000; i++) partitions.insert(eventRow(start(i + 1), 2 ** 40 + i + 1, "col"));
    partitions.rotate(NOW);
    partitions.insert(eventRow(start(9_000), 2 ** 41, "col"));
    partitions.hideOldest();
    db.exec("COMMIT");
    const reclaimer = new Reclaimer(db);
    for (let steps = 0; reclaimer.pending; steps++) {
      db.exec("BEGIN");
      reclaimer.step();
      db.exec("COMMIT");
      // Whatever is left of it, the store opens as it is
      Deno.copyFileSync(path, `${path}.copy`);
      Deno.copyFileSync(`${path}-wal`, `${path}.copy-wal`);
      const copy = new Store(`${path}.copy`);
      assert.equal(rows(`${path}.copy`, "SELECT count(*) AS n FROM process_events")[0]!["n"], 1, `step ${steps}`);
      while (copy.maintain(Date.now()).more);
      copy.close();
      assert.deepEqual(rows(`${path}.copy`, "SELECT partition FROM partitions"), [{ partition: 2 }]);
      checkStore(`${path}.copy`);
      Deno.removeSync(`${path}.copy-shm`);
    }
    db.close();
  }
  checkStore(path);
});

Deno.test("processes, snapshots and numbers of streams go with the events of their time, alerts and gaps do not", () => {
  using world = new World({ ...DEFAULT_LIMITS, retentionMs: 4 * HOUR, alertRetentionMs: 100 * DAY });
  const at = NOW;
  const put = world.db.prepare(
    `INSERT INTO processes (process_id, exec_id, pid, start_time, end_time, collection_time) VALUES (?, ?, ?, ?, ?, ?)`,
  );
  for (let pid = 1; pid <= 1_000; pid++) put.run(execIdOf(pid), execIdOf(pid), pid, at, pid % 10 === 0 ? null : at, at);
  world.db.exec(`
    INSERT INTO scan_metadata VALUES (${2 ** 40 + 7}, ${at}, 3, 'col'), (${2 ** 41 + 7}, ${at + 90 * HOUR}, 3, 'col');
    INSERT INTO collectors (stream, collector_id, epoch, last_seen, last_sequence)
      VALUES (1, 'col', 'a', ${at}, 10), (2, 'col', 'b', ${at + 90 * HOUR}, 10), (3, 'col', 'c', ${at}, 10),
        (4, 'col', 'd', ${at}, 10);
    INSERT INTO gaps VALUES (${3 * 2 ** 40 + 9}, 'ebpf', 'exec', ${at}, ${at}, 1, 'r', 'col');
    INSERT INTO alerts (alert_id, time, detected_time, event_id)
      VALUES ('x', 5, ${at}, ${4 * 2 ** 40 + 1}), ('y', 5, ${at}, ${2 ** 41 + 1});
    INSERT INTO alert_deliveries (alert_id, sink, state, severity, bytes, delivered_time)
      VALUES ('x', 'file', 'done', 3, 9, ${at}), ('y', 'file', 'pending', 3, 9, NULL)`);
  for (let hour = 0; hour < 30; hour++) {
    world.arrive(1);
    world.pass(HOUR + 1);
    world.settle();
  }
  const living = rows(world.path, "SELECT count(*) AS n, count(end_time) AS ended FROM processes");
  assert.deepEqual(living, [{ n: 100, ended: 0 }]);
  assert.deepEqual(rows(world.path, "SELECT count FROM retention WHERE table_name = 'processes'")[0], { count: 900 });
  assert.equal(world.one("SELECT count(*) FROM scan_metadata"), 1);
  // 1 held the event ids of partitions that are gone, 3 has a gap still, 4 an alert
  const streams = () => rows(world.path, "SELECT stream FROM collectors").map((row) => row["stream"]);
  assert.deepEqual([world.one("SELECT count(*) FROM gaps"), world.one("SELECT count(*) FROM alerts")], [1, 2]);
  assert.ok(streams().includes(3) && streams().includes(4) && streams().includes(2));

  for (let day = 0; day < 120; day++) {
    world.pass(DAY);
    world.settle();
  }
  assert.equal(world.one("SELECT count(*) FROM gaps"), 0);
  assert.deepEqual(rows(world.path, "SELECT alert_id FROM alerts"), [{ alert_id: "y" }], "it is owed still");
  assert.deepEqual(rows(world.path, "SELECT alert_id FROM alert_deliveries"), [{ alert_id: "y" }]);
  assert.ok(!streams().includes(3) && !streams().includes(4));
  const told = rows(world.path, "SELECT table_name, sum(count) AS n FROM retention GROUP BY 1 ORDER BY 1");
  assert.deepEqual(told.map((row) => row["table_name"]), ["alerts", "gaps", "process_events", "processes"]);
});

Deno.test("an open stream keeps its number, however old", () => {
  using world = new World({ ...DEFAULT_LIMITS, retentionMs: HOUR });
  world.db.exec(`INSERT INTO collectors (stream, collector_id, epoch, last_seen, last_sequence)
    VALUES (1, 'col', 'a', 1, 10), (7, 'col', 'b', 1, 10), (8, 'col', 'c', 1, 10)`);
  for (let hour = 0; hour < 4; hour++) {
    world.arrive(1);
    world.pass(2 * HOUR);
    world.steps(2_000, 10, [7]);
  }
  const left = rows(world.path, "SELECT stream FROM collectors").map((row) => row["stream"]);
  assert.ok(left.includes(7) && !left.includes(8), JSON.stringify(left));
});

Deno.test("a view of many partitions gives what one table gives, in order, and by its indexes", () => {
  using world = new World({ ...DEFAULT_LIMITS, retentionMs: 24 * HOUR });
  for (let hour = 0; hour < 20; hour++) {
    world.arrive(50);
    world.pass(HOUR);
  }
  using db = new DatabaseSync(world.path, { readOnly: true });
  const plan = (sql: string): string =>
    [...db.prepare(`EXPLAIN QUERY PLAN ${sql}`).iterate()].map((row) => row["detail"]).join("\n");
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM partitions")[0]!["n"], 20);
  const sorted = /USE TEMP B-TREE FOR ORDER BY/;
  assert.doesNotMatch(plan("SELECT * FROM process_events ORDER BY event_id DESC LIMIT 100"), sorted);
  const byTime = plan("SELECT * FROM process_events ORDER BY time DESC, event_id DESC LIMIT 100");
  assert.doesNotMatch(byTime, sorted);
  assert.equal(byTime.match(/USING (COVERING )?INDEX stored_events_\d+_time/g)?.length, 20);
  const one = plan("SELECT * FROM process_events WHERE exec_id = 'x'");
  assert.equal(one.match(/SEARCH e USING INDEX stored_events_\d+_exec_id/g)?.length, 20);
  const recent = plan("SELECT name, count(*) FROM process_events WHERE time > 5 GROUP BY name");
  assert.equal(recent.match(/SEARCH e USING INDEX stored_events_\d+_time/g)?.length, 20);
  const times = rows(world.path, "SELECT time FROM process_events ORDER BY time DESC LIMIT 500").map((r) => r["time"]);
  assert.deepEqual(times, times.toSorted((a, b) => (b as number) - (a as number)));
});
