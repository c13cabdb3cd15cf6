import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Checkpointer } from "../../../agent/store/checkpoint.ts";

const MAX_LOG = 1 << 20;

/** Reads again and again, each time for a moment, until told to end. */
const READER = `import { DatabaseSync } from "node:sqlite";
onmessage = ({ data: { path, shared } }) => {
  const flags = new Int32Array(shared), db = new DatabaseSync(path, { readOnly: true });
  postMessage("reads");
  while (Atomics.load(flags, 0) === 0) {
    db.exec("BEGIN");
    db.prepare("SELECT count(*) FROM t").get();
    Atomics.wait(flags, 1, 0, 20);
    db.exec("ROLLBACK");
  }
  db.close();
  postMessage("ended");
};`;

class CountingDatabase extends DatabaseSync {
  changesOfTimeout = 0;
  override exec(sql: string): void {
    if (sql.startsWith("PRAGMA busy_timeout")) this.changesOfTimeout += 1;
    super.exec(sql);
  }
}

interface World extends Disposable {
  readonly path: string;
  readonly db: CountingDatabase;
  readonly log: Checkpointer;
  readonly commit: () => void;
}

function makeWorld(): World {
  const directory = Deno.makeTempDirSync(),
    path = `${directory}/t.db`,
    db = new CountingDatabase(path, { timeout: 1_000 });
  db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
  db.exec("CREATE TABLE t (x)");
  const insert = db.prepare("INSERT INTO t VALUES (zeroblob(100000))"), log = new Checkpointer(db, MAX_LOG);
  return {
    path,
    db,
    log,
    commit: () => {
      insert.run();
      log.committed(performance.now(), 1);
    },
    [Symbol.dispose]: () => {
      db.close();
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

Deno.test("Checkpointer begins the log anew although readers that come and go are in it at every moment", async () => {
  using world = makeWorld();
  const shared = new SharedArrayBuffer(8),
    readers = Array.from({ length: 4 }, () => {
      const worker = new Worker(`data:text/javascript,${encodeURIComponent(READER)}`, { type: "module" });
      worker.postMessage({ path: world.path, shared });
      return worker;
    });
  const heard = (): Promise<unknown> =>
    Promise.all(readers.map((worker) => new Promise((resolve) => worker.onmessage = resolve)));
  await heard();
  let longest = 0, now = performance.now(), size = 0;
  // Each megabyte with a tick that is forced
  for (let i = 0; i < 2_000 && (longest < 3 * MAX_LOG || size >= 2 * MAX_LOG); i++) {
    world.commit();
    if (i % 10 !== 9) continue;
    world.log.tick(now += 1_001);
    size = world.log.logBytes;
    longest = Math.max(longest, size);
  }
  const ended = heard();
  Atomics.store(new Int32Array(shared), 0, 1);
  await ended;
  for (const worker of readers) worker.terminate();
  assert.ok(size < 2 * MAX_LOG, `${size} of ${longest}`);
});

Deno.test("Checkpointer goes by what is in the log, whose file stays as long as it once was", () => {
  using world = makeWorld();
  const sizes = new Set<number>();
  let now = performance.now(), moves = 0;
  for (let i = 0; i < 120; i++) {
    world.commit();
    if (world.log.tick(now += 1_001) !== "moved") continue;
    if (++moves > 1) sizes.add(Deno.statSync(`${world.path}-wal`).size);
  }
  // Some eleven commits fill it: a file that stays long makes no more of them a move, and none has to cut it
  assert.ok(moves >= 8 && moves <= 14, `${moves} moves`);
  assert.equal(sizes.size, 1);
  assert.ok(world.log.logBytes < 2 * MAX_LOG);
});

Deno.test("Checkpointer cuts a long log while nothing else is to do, and no commit has to", () => {
  using world = makeWorld();
  const size = (): number => Deno.statSync(`${world.path}-wal`).size;
  for (let i = 0; i < 30; i++) world.commit();
  world.db.exec("PRAGMA wal_checkpoint(RESTART)");
  world.commit();
  assert.ok(size() > 2 * MAX_LOG, "the commit that began it anew left it");
  for (let i = 0; i < 18; i++) world.commit();
  assert.equal(world.log.tick(performance.now() + 10_001), "moved");
  assert.equal(size(), 0);
});

Deno.test("Checkpointer leaves a long log that a reader is in, and does not wait for it", () => {
  using world = makeWorld();
  const reader = new DatabaseSync(world.path, { readOnly: true });
  for (let i = 0; i < 18; i++) world.commit();
  reader.exec("BEGIN");
  reader.prepare("SELECT count(*) FROM t").get();
  world.commit();
  const before = performance.now();
  // The quickest, as this thread may not run for a while
  const took = Array.from({ length: 5 }, (_, i) => {
    const began = performance.now();
    assert.equal(world.log.tick(before + 10_001 * (i + 1)), "partly");
    return performance.now() - began;
  });
  assert.ok(Math.min(...took) < 400, `${took}: the timeout of other commits is a second`);
  assert.equal(world.db.prepare("PRAGMA busy_timeout").get()!["timeout"], 1_000);
  reader.exec("ROLLBACK");
  assert.equal(world.log.tick(before + 60_006), "moved");
  assert.equal(Deno.statSync(`${world.path}-wal`).size, 0);
  reader.close();
});

Deno.test("Checkpointer waits for a reader that stays once in a while, not at every tick", () => {
  using world = makeWorld();
  const reader = new DatabaseSync(world.path, { readOnly: true });
  world.commit();
  reader.exec("BEGIN");
  reader.prepare("SELECT count(*) FROM t").get();
  for (let i = 0; i < 30; i++) world.commit();
  let now = performance.now();
  const waits = Array.from({ length: 16 }, () => {
    const before = world.db.changesOfTimeout;
    assert.equal(world.log.tick(now += 1_001), "partly");
    return world.db.changesOfTimeout > before;
  });
  // After one, two, four and eight seconds
  assert.deepEqual(waits.flatMap((waited, i) => waited ? [i] : []), [0, 1, 3, 7, 15]);
  assert.equal(world.db.prepare("PRAGMA busy_timeout").get()!["timeout"], 1_000);
  reader.exec("ROLLBACK");
  assert.equal(world.log.tick(now += 16_000), "moved");
  reader.close();
});
