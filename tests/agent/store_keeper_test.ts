import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { alertOf } from "../../agent/alerts/alert_of.ts";
import { Delivery } from "../../agent/alerts/delivery.ts";
import type { Sink } from "../../agent/alerts/sink.ts";
import { newCounters } from "../../agent/counters.ts";
import { Ingest, type StreamMessage } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import type { Batch } from "../../agent/store/batch.ts";
import { Store } from "../../agent/store/store.ts";
import { StoreError, storeError } from "../../agent/store/store_error.ts";
import { StoreKeeper } from "../../agent/store_keeper.ts";
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { checkStore, openTestStream, rows, start, TempDir, until } from "./support.ts";

const RULE = { id: "r1", hash: "12".repeat(32), title: "T", description: "D", severity: "high", tags: [] } as const;

/** The agent without its socket: what collectors send goes in by hand. */
class World implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly counters = newCounters();
  readonly delivered: string[] = [];
  readonly reasons: string[] = [];
  hits = 0;
  room: number | null = null;
  now = 0;
  ingest: Ingest | null = null;
  #hold: Promise<void> = Promise.resolve();
  readonly sink: Sink = {
    name: "file",
    minSeverity: "info",
    write: async (alerts) => {
      await this.#hold;
      this.delivered.push(...alerts.map((alert) => alert.alertId));
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
  readonly delivery = new Delivery(this.sink, {
    fault: () => {},
    storeFault: (store, error) => this.keeper.failed(store, error),
  }, { firstRetryMs: 10 });
  readonly keeper = new StoreKeeper({
    path: this.path,
    open: () => new Store(this.path, ["file"]),
    journal: this.journal,
    probeMs: 10,
    room: () => this.room,
    clock: () => this.now,
  });

  begin(): this {
    this.keeper.begin();
    this.keeper.use({
      opened: (store) => {
        this.delivery.attach(store);
        this.ingest = new Ingest({
          store,
          counters: this.counters,
          detection: {
            judge: (events, stream, now) =>
              events.filter((row) => (row[5] as number) % 2 === 0).map((row) => alertOf(RULE, row, {}, stream, now)),
            stored: (alerts) => void (this.hits += alerts.length),
          },
          alerted: () => this.delivery.poke(),
          failed: (failed, error) => this.keeper.failed(failed, error),
        });
      },
      closing: (reason) => {
        this.reasons.push(reason);
        this.delivery.detach();
        this.ingest = null;
      },
    });
    return this;
  }

  /** Sends from the watermark on, as a collector does on a new connection; false when the store takes nothing. */
  async send(last: number): Promise<boolean> {
    const { store } = this.keeper;
    if (store === null) return false;
    const stream = openTestStream(store), first = stream.lastSequence + 1;
    const events = Array.from({ length: last - first + 1 }, (_, i) => start(first + i));
    const message: StreamMessage = { kind: "events", firstSequence: first, events };
    try {
      await this.ingest!.take(stream, [message], { lastEventTime: 0 }, () => Promise.resolve(true));
      return true;
    } catch (error) {
      assert.ok(error instanceof StoreError);
      return false;
    }
  }

  /** The sink takes its time until the function that is returned is called. */
  holdSink(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hold = promise;
    return () => {
      this.#hold = Promise.resolve();
      resolve();
    };
  }

  state(): unknown {
    const { events, alerts, gaps, duplicates, snapshots } = this.counters;
    const store = this.keeper.store!;
    return { events, alerts, gaps, duplicates, snapshots, hits: this.hits, last: openTestStream(store).lastSequence };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery.stop(1_000);
    this.keeper.stop();
    this.dir[Symbol.dispose]();
  }
}

/** Lets the last statement of the next commit fail as SQLite does, after all others have had their effect. */
function failCommit(store: Store, words: string, errcode: number): void {
  const close = store.close.bind(store), commit = store.commit.bind(store);
  store.commit = (given, now) => {
    const batches = [given].flat() as Batch[], batch = batches.pop()!, advance = batch.lastSequence;
    // The watermark is bound last: a value that cannot be bound fails the transaction at its very end.
    try {
      return commit([...batches, { ...batch, lastSequence: Symbol(String(advance)) as unknown as number }], now);
    } catch {
      throw storeError("The store did not take a batch", "p", Object.assign(new Error(words), { errcode }));
    }
  };
  store.close = close;
}

const FULL = ["database or disk is full", 13] as const;

Deno.test("a commit that fails changes nothing that is remembered, and its alerts come again once", async () => {
  for (const [words, code] of [FULL, ["disk I/O error", 10], ["attempt to write a readonly database", 8]] as const) {
    await using world = new World().begin();
    assert.ok(await world.send(10));
    await until("the alerts are delivered", () => world.delivered.length === 5);
    const before = world.state();
    failCommit(world.keeper.store!, words, code);
    assert.equal(await world.send(20), false);
    assert.equal(world.keeper.store, null);
    assert.match(world.keeper.outage!.reason, new RegExp(words));
    assert.match(world.lines.at(-1)!, /degraded: nothing is stored or judged, and collectors keep what they see: /);
    await until("the store is open again", () => world.keeper.store !== null);
    assert.deepEqual(world.state(), before);
    assert.equal(world.keeper.store!.owedDeliveries, 0);
    assert.match(world.lines.at(-1)!, /the store takes batches again/);
    assert.ok(await world.send(20));
    await until("the alerts are delivered", () => world.delivered.length === 10);
    assert.deepEqual(world.delivered, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20].map((n) => `r1@col:epoch-1:${n}`));
    assert.equal(world.hits, 10);
    assert.equal(world.counters.store_faults, 1);
    checkStore(world.path);
  }
});

Deno.test("a batch that is at fault itself does not close the store to others", async () => {
  await using world = new World().begin();
  const { store } = world.keeper;
  failCommit(store!, "Provided value cannot be bound to SQLite parameter 1", 20);
  assert.equal(await world.send(5), false);
  assert.equal(world.keeper.store, store);
  assert.equal(world.keeper.outage, null);
});

Deno.test("a disk that was full must have room again before the store is opened", async () => {
  await using world = new World().begin();
  world.room = 100_000;
  failCommit(world.keeper.store!, ...FULL);
  await world.send(5);
  // Several looks, each of which finds too little.
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(world.keeper.store, null);
  assert.equal(world.lines.length, 1, "said once");
  world.room = 1 << 30;
  await until("it is open again", () => world.keeper.store !== null);
  assert.ok(await world.send(5));
});

Deno.test("an alert that was being written while the store went is noted in the next one, not written again", async () => {
  await using world = new World().begin();
  const release = world.holdSink();
  await world.send(4);
  failCommit(world.keeper.store!, ...FULL);
  await world.send(6);
  release();
  await until("the store is open again", () => world.keeper.store !== null);
  await until("both are noted", () => world.keeper.store?.owedDeliveries === 0);
  assert.deepEqual(world.delivered, ["r1@col:epoch-1:2", "r1@col:epoch-1:4"]);
});

Deno.test("a damaged store is not taken again as it is, nor replaced; another in its place is", async () => {
  await using world = new World().begin();
  await world.send(10);
  failCommit(world.keeper.store!, "database disk image is malformed", 11);
  await world.send(20);
  const before = contents(world.dir.path);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(world.keeper.store, null);
  assert.deepEqual(contents(world.dir.path), before);
  for (const suffix of ["", "-wal", "-shm"]) Deno.renameSync(world.path + suffix, `${world.path}.away${suffix}`);
  await until("there is a new store", () => world.keeper.store !== null);
  assert.ok(await world.send(20));
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM process_events")[0]!["n"], 20);
  assert.equal(rows(`${world.path}.away`, "SELECT count(*) AS n FROM process_events")[0]!["n"], 10);
});

Deno.test("a store that is moved away under the agent is noticed, and what it held stays whole", async () => {
  await using world = new World().begin();
  await world.send(10);
  for (const suffix of ["", "-wal", "-shm"]) Deno.renameSync(world.path + suffix, `${world.path}.away${suffix}`);
  await until("it is noticed", () => world.reasons.length > 0);
  assert.match(world.reasons[0]!, /was moved away or replaced while the agent used it; stop the agent before/);
  await until("there is a new store", () => world.keeper.store !== null);
  assert.ok(await world.send(3));
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM process_events")[0]!["n"], 3);
  assert.equal(rows(`${world.path}.away`, "SELECT count(*) AS n FROM process_events")[0]!["n"], 10);
});

/** Everything in the directory, so that a test can say that none of it was touched. */
function contents(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, isFile, isSymlink } of Deno.readDirSync(directory)) {
    if (name.endsWith(".lock")) continue;
    const path = `${directory}/${name}`;
    // SQLite's index is its own to rebuild: nothing is in it that is not in the log. An empty log is no log.
    if (name.endsWith("-shm") || name.endsWith("-wal") && isFile && Deno.statSync(path).size === 0) continue;
    const hash = (): string => createHash("sha256").update(Deno.readFileSync(path)).digest("hex");
    found.set(name, isSymlink ? Deno.readLinkSync(path) : isFile ? hash() : "directory");
  }
  return found;
}

/** A store with ten events in it and ten more in its log, as a killed agent leaves it. */
function killedStore(path: string): void {
  const made = `${path}.made`;
  const store = new Store(made), stream = openTestStream(store);
  const commit = (first: number): void =>
    void store.commit({
      stream,
      lastSequence: first + 9,
      events: [],
      snapshots: [],
      gaps: Array.from({ length: 10 }, (_, i) => ({
        sequence: first + i,
        gap: { source: "s", recordKind: "all" as const, from: 1, to: 2, count: null, reason: "r".repeat(2_000) },
      })),
      sources: null,
      alerts: [],
    }, 1);
  commit(1);
  using db = new DatabaseSync(made);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  commit(11);
  for (const suffix of ["", "-wal"]) Deno.copyFileSync(made + suffix, path + suffix);
  store.close();
  for (const suffix of ["", "-wal", "-shm", ".lock"]) Deno.removeSync(made + suffix);
}

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(bytes);
}

const GARBAGE = new Uint8Array(64).fill(0xa5);

const BAD: readonly [string, (path: string) => void, RegExp][] = [
  ["a text", (p) => Deno.writeTextFileSync(p, "no database".repeat(100)), /events\.db is not a database/],
  ["damaged from its first byte on", (p) => overwrite(p, 0, GARBAGE), /events\.db is not a database/],
  ["damaged in its schema", (p) => {
    Deno.truncateSync(p + "-wal", 0); // it held the same page whole
    overwrite(p, 100, GARBAGE);
  }, /malformed|damaged/],
  ["cut off", (p) => {
    Deno.truncateSync(p + "-wal", 0);
    Deno.truncateSync(p, 40_960);
  }, /was cut off: it has 40960 of its \d+ bytes/],
  ["cut off under its log", (p) => Deno.truncateSync(p, 8_192), /malformed|damaged/],
  ["without a byte beside its log", (p) => Deno.truncateSync(p, 0), /was cut off: it has no bytes, but its log/],
  ["gone, its log is there", (p) => Deno.removeSync(p), /is missing, but its log .*-wal \(\d+ bytes\) is there/],
  ["with a damaged log", (p) => overwrite(p + "-wal", 8, GARBAGE), /log .*-wal .* is damaged in its first 32 bytes/],
  ["with a log of garbage", (p) => Deno.writeFileSync(p + "-wal", new Uint8Array(5_000).fill(7)), /is damaged in its/],
  [
    "a backup beside an old log",
    (p) => overwrite(p, 18, Uint8Array.of(1, 1)),
    /is not of the store .* move .*-wal and/,
  ],
  ["a directory", (p) => {
    Deno.removeSync(p);
    Deno.mkdirSync(p);
  }, /events\.db is a directory/],
  ["a link", (p) => {
    Deno.renameSync(p, p + ".real");
    Deno.symlinkSync(p + ".real", p);
  }, /events\.db is a symbolic link/],
  ["with a directory as its log", (p) => {
    Deno.removeSync(p + "-wal");
    Deno.mkdirSync(p + "-wal");
  }, /events\.db-wal is a directory/],
  ["with a link as its index", (p) => Deno.symlinkSync("/etc/passwd", p + "-shm"), /-shm is a symbolic link/],
  ["of a later version", (p) => {
    using db = new DatabaseSync(p);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
  }, /schema version \d+, and this agent knows \d+; run the agent that made it/],
  ["of another program", (p) => {
    using db = new DatabaseSync(p);
    db.exec("PRAGMA application_id = 17");
  }, /database of another program \(application id 17\)/],
];

for (const [what, harm, words] of BAD) {
  Deno.test(`a store that is ${what} is told, not touched, and waited for`, async () => {
    await using world = new World();
    killedStore(world.path);
    harm(world.path);
    const before = contents(world.dir.path);
    world.begin();
    assert.equal(world.keeper.store, null);
    assert.match(world.keeper.outage!.reason, words);
    assert.equal(world.lines.length, 1);
    await new Promise((resolve) => setTimeout(resolve, 50)); // a few more looks
    assert.equal(world.lines.length, 1, world.lines.join("\n"));
    assert.deepEqual(contents(world.dir.path), before);
    for (const { name } of [...Deno.readDirSync(world.dir.path)]) {
      if (name !== "events.db.lock") Deno.removeSync(`${world.dir.path}/${name}`, { recursive: true });
    }
    await until("it goes on by itself", () => world.keeper.store !== null);
    assert.ok(await world.send(3));
  });
}

Deno.test("a store with an index of garbage, or none, loses nothing", async () => {
  for (const harm of [(p: string) => Deno.writeFileSync(p, new Uint8Array(32_768).fill(9)), () => {}]) {
    await using world = new World();
    killedStore(world.path);
    harm(`${world.path}-shm`);
    world.begin();
    assert.equal(openTestStream(world.keeper.store!).lastSequence, 20);
    assert.equal(rows(world.path, "SELECT count(*) AS n FROM gaps")[0]!["n"], 20);
  }
});

Deno.test("an empty file with nothing beside it is a store to be made; a crash while one was made is no hindrance", async () => {
  await using world = new World();
  Deno.writeFileSync(world.path, new Uint8Array());
  Deno.writeFileSync(`${world.path}.new`, new Uint8Array(5_000));
  world.begin();
  assert.notEqual(world.keeper.store, null);
  checkStore(world.path);
});

Deno.test("what no waiting mends ends the start at once", async () => {
  await using world = new World();
  Deno.removeSync(world.dir.path);
  assert.throws(() => world.keeper.begin(), /cannot be locked: .*; make .* and let the agent's user write it/);
  Deno.mkdirSync(world.dir.path);
  const other = new Store(world.path);
  assert.throws(() => world.keeper.begin(), /Another agent uses the store/);
  other.close();
});

Deno.test("a wall clock that jumps a day changes nothing: an outage ends, a store stays open", async () => {
  const real = Date.now;
  try {
    for (const jump of [86_400_000, -86_400_000]) {
      await using world = new World().begin();
      await world.send(10);
      Date.now = () => real() + jump;
      assert.ok(await world.send(20));
      failCommit(world.keeper.store!, ...FULL);
      await world.send(30);
      Date.now = real;
      await until("it is open again", () => world.keeper.store !== null);
      Date.now = () => real() + jump;
      assert.ok(await world.send(30));
      await until("all is delivered", () => world.delivered.length === 15);
      assert.match(world.lines.at(-1)!, /takes batches again, after 0 s/);
      Date.now = real;
    }
  } finally {
    Date.now = real;
  }
});

Deno.test("a store whose lock another program holds is waited for, and its batch comes again", async () => {
  await using world = new World().begin();
  await world.send(4);
  {
    using shell = new DatabaseSync(world.path);
    shell.exec("BEGIN IMMEDIATE");
    assert.equal(await world.send(8), false);
    assert.match(world.keeper.outage!.reason, /database is locked; another program writes to it; end that program/);
    shell.exec("ROLLBACK");
  }
  await until("it is open again", () => world.keeper.store !== null);
  assert.ok(await world.send(8));
  checkStore(world.path);
});
