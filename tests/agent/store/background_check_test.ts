import assert from "node:assert/strict";
import { BackgroundCheck, type CheckResult } from "../../../agent/store/background_check.ts";
import { Store } from "../../../agent/store/store.ts";
import { commitEvents, openTestStream, rows, start, TempDir, until } from "../support.ts";

function filled(path: string): Store {
  const store = new Store(path), stream = openTestStream(store);
  for (let at = 0; at < 5_000; at += 500) {
    commitEvents(store, stream, Array.from({ length: 500 }, (_, i) => start(1_000 + at + i)));
  }
  return store;
}

async function checked(path: string, sliceMs: number, during: () => void = () => {}): Promise<CheckResult> {
  let result: CheckResult | null = null;
  const options = { firstMs: 0, pauseMs: 0, sliceMs, ended: (found: CheckResult) => result = found };
  const check = new BackgroundCheck(path, options);
  await until("it has ended", () => {
    during();
    return result !== null;
  }, 60_000);
  check.stop();
  return result!;
}

Deno.test("BackgroundCheck finds nothing in a sound store, also while it grows and its log is moved", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = filled(path), stream = openTestStream(store);
  const { verdict, time } = await checked(path, 0, () => {
    commitEvents(store, stream, Array.from({ length: 50 }, (_, i) => start(i)));
    store.tick();
  });
  assert.equal(verdict, "ok");
  assert.ok(time > 0);
  store.close();
});

Deno.test("BackgroundCheck waits while the store is busy, but not for ever", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  filled(path).close();
  let asked = 0, ended = 0;
  const waiting = { firstMs: 0, pauseMs: 0, lookAgainMs: 5, longestWaitMs: 20, ended: (): void => void ended++ };
  const check = new BackgroundCheck(path, { ...waiting, isBusy: () => ++asked > 0 });
  await until("it has ended", () => ended === 1, 60_000);
  check.stop();
  assert.equal(asked, 4);
});

Deno.test("BackgroundCheck finds every page that is zeroed or garbage, and names what it belongs to", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  filled(path).close();
  const whole = Deno.readFileSync(path), pages = whole.length / 4_096;
  const free = Number(rows(path, "PRAGMA freelist_count")[0]!["freelist_count"]);
  assert.equal(free, 0);
  for (let round = 0; round < 24; round++) {
    const page = 2 + (round * 97) % (pages - 2), damaged = whole.slice();
    if (round % 2 === 0) damaged.fill(0, page * 4_096, (page + 1) * 4_096);
    else damaged.fill(0xa5, page * 4_096, page * 4_096 + 64);
    Deno.writeFileSync(path, damaged);
    const { verdict } = await checked(path, 1_000);
    assert.match(
      verdict,
      // Where the schema itself is damaged, it cannot be read to whom anything belongs.
      /^\w+: (page \d+ is damaged|page \d+ belongs to it twice|it cannot be read after)|^database disk image is malformed$/,
      `${page}`,
    );
  }
});

Deno.test("BackgroundCheck that is stopped within its walk lets go of the store", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = filled(path);
  const check = new BackgroundCheck(path, { firstMs: 0, pauseMs: 0, sliceMs: 0, ended: () => assert.fail() });
  await new Promise((resolve) => setTimeout(resolve, 20));
  check.stop();
  commitEvents(store, openTestStream(store), [start(1)]);
  store.close();
  assert.equal(Deno.statSync(`${path}-wal`).size, 0, "no reader pins the log");
});
