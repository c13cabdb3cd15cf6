import assert from "node:assert/strict";
import { findDamage, keepDamagedLog } from "../../../agent/store/log_damage.ts";
import { Store } from "../../../agent/store/store.ts";
import { commitEvents, openTestStream, rows, start, TempDir } from "../support.ts";

const FRAME = 24 + 4_096;

/** The store of a killed agent: some commits, none of them moved out of the log. */
function killed(path: string, commits: number): Uint8Array {
  const store = new Store(`${path}.live`), stream = openTestStream(store);
  for (let i = 0; i < commits; i++) commitEvents(store, stream, [start(i + 1)]);
  for (const suffix of ["", "-wal"]) Deno.copyFileSync(`${path}.live${suffix}`, path + suffix);
  store.close();
  return Deno.readFileSync(`${path}-wal`);
}

Deno.test("findDamage() takes every cut and every unfinished end for a crash, and damage before the last two commits for damage", () => {
  using dir = new TempDir();
  const log = killed(`${dir.path}/events.db`, 12), frames = (log.length - 32) / FRAME;
  assert.equal(findDamage(log), null);
  for (let length = 0; length <= log.length; length += 509) assert.equal(findDamage(log.subarray(0, length)), null);
  const commitFrames = Array.from({ length: frames }, (_, i) => i)
    .filter((i) => new DataView(log.buffer).getUint32(32 + i * FRAME + 4) !== 0);
  let found = 0;
  for (let frame = 0; frame < frames; frame++) {
    const damaged = log.slice();
    damaged[32 + frame * FRAME + 24 + 1_000]! ^= 0x10;
    const behind = commitFrames.filter((at) => at >= frame).length, damage = findDamage(damaged);
    if (behind < 2) assert.equal(damage, null, `frame ${frame} of ${frames}`);
    else {
      assert.deepEqual(damage, { frames: frame, commits: behind }, `frame ${frame} of ${frames}`);
      found += 1;
    }
  }
  assert.ok(found > 0);
});

Deno.test("findDamage() is not misled by rounds before this one, and by commits that failed", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path), stream = openTestStream(store);
  for (let i = 0; i < 40; i++) commitEvents(store, stream, [start(i + 1)]);
  // A commit that failed leaves its frames; a shorter one then lies over their begin.
  const long = Deno.readFileSync(`${path}-wal`);
  const failed = long.slice(), end = long.length - 6 * FRAME;
  // Commits of this round, of which none follows the one before it.
  for (const [i, frame] of [9, 5, 0].entries()) {
    failed.set(long.subarray(32 + frame * FRAME, 32 + (frame + 1) * FRAME), end + i * FRAME);
    failed[end + i * FRAME + 7] = 20;
  }
  assert.equal(findDamage(failed.subarray(0, end + 3 * FRAME)), null);
  store.close();
  const again = new Store(path), next = openTestStream(again);
  const log = Deno.readFileSync(`${path}-wal`);
  commitEvents(again, next, [start(99)]);
  const short = Deno.readFileSync(`${path}-wal`);
  const mixed = long.slice(); // as where the log was not made shorter
  mixed.set(short);
  assert.equal(findDamage(mixed), null);
  assert.ok(log.length <= short.length);
  again.close();
});

Deno.test("keepDamagedLog() keeps the whole log before SQLite takes its begin, and the store goes on", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, log = killed(path, 12);
  log[32 + 20 * FRAME + 500]! ^= 1;
  Deno.writeFileSync(`${path}-wal`, log);
  const said = keepDamagedLog(path, new Date("2026-11-21T06:40:47.931Z"));
  const copy = `${path}-wal.damaged-20261121T064047Z`;
  assert.match(said!, /is damaged after frame 20: at least \d+ commits behind it cannot be read; a copy is kept as/);
  assert.deepEqual(Deno.readFileSync(copy), log);
  const store = new Store(path), last = openTestStream(store).lastSequence;
  assert.ok(last > 0 && last < 12);
  commitEvents(store, openTestStream(store), [start(50)]);
  store.close();
  assert.equal(rows(path, "SELECT count(*) AS n FROM process_events")[0]!["n"], last + 1);
  assert.equal(keepDamagedLog(path, new Date()), null);
  assert.equal(keepDamagedLog(`${dir.path}/none.db`, new Date()), null);
});
