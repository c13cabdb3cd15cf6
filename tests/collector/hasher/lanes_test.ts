import assert from "node:assert/strict";
import { hashFile } from "../../../collector/hasher/file_hasher.ts";
import { HashCache } from "../../../collector/hasher/hash_cache.ts";
import { Lanes, MAX_QUEUED, type Work } from "../../../collector/hasher/lanes.ts";
import type { HashAnswer, HashRequest } from "../../../collector/hasher/protocol.ts";
import { needs } from "../../support/needs.ts";
import { StuckProcess } from "../../support/stuck_process.ts";

function request(id: number, more: Partial<HashRequest> = {}): HashRequest {
  return { id, path: "/bin/sh", device: null, inode: null, changeTime: null, isForeign: false, ...more };
}

const ask = (lanes: Lanes, wanted: HashRequest): Promise<HashAnswer> =>
  new Promise((resolve) => lanes.ask(wanted, resolve));

const done = (id: number): HashAnswer => ({
  id,
  state: "hashed",
  hash: "",
  fuzzyHash: null,
  changeTime: null,
  isSettled: true,
});

/** Work that ends when the test says so: for each id a way to end it. */
function heldWork(): { work: Work; begun: Map<number, () => void>; givenUp: Map<number, () => boolean> } {
  const begun = new Map<number, () => void>(), givenUp = new Map<number, () => boolean>();
  const work: Work = ({ id }, _calls, isGivenUp) => {
    givenUp.set(id, isGivenUp);
    return new Promise((resolve) => begun.set(id, () => resolve(done(id))));
  };
  return { work, begun, givenUp };
}

Deno.test("Lanes works at two files at a time and answers every one", async () => {
  let now = 0, most = 0;
  const lanes = new Lanes(async ({ id }) => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
    return done(id);
  }, 60_000);
  const ids = Array.from({ length: 50 }, (_, id) => id);
  const answers = await Promise.all(ids.map((id) => ask(lanes, request(id))));
  assert.deepEqual(answers.map(({ id }) => id), ids);
  assert.deepEqual([most, lanes.hanging], [2, 0]);
});

Deno.test("Lanes refuses what finds no room in the queue as busy", async () => {
  const { work, begun } = heldWork(), lanes = new Lanes(work, 60_000);
  const answers = Array.from({ length: MAX_QUEUED + 3 }, (_, id) => ask(lanes, request(id)));
  assert.equal((await answers[MAX_QUEUED + 2]!).state, "busy");
  for (let id = 0; id < MAX_QUEUED + 2; id++) {
    begun.get(id)!();
    assert.equal((await answers[id]!).state, "hashed");
    await new Promise<void>((resolve) => queueMicrotask(resolve));
  }
});

Deno.test("Lanes gives up what is late and goes on; a device where files hang is left alone until they do not", async () => {
  const { work, begun, givenUp } = heldWork(), lanes = new Lanes(work, 20);
  const late = await Promise.all([1, 2].map((id) => ask(lanes, request(id, { device: 7, inode: id }))));
  assert.deepEqual(late.map(({ state }) => state), ["timed_out", "timed_out"]);
  assert.deepEqual([lanes.hanging, givenUp.get(1)!()], [2, true]);
  assert.equal((await ask(lanes, request(3, { device: 7, inode: 3 }))).state, "timed_out");
  assert.ok(!begun.has(3), "it was not even begun");
  const other = ask(lanes, request(4, { device: 8, inode: 4 }));
  begun.get(4)!();
  assert.equal((await other).state, "hashed");
  begun.get(1)!(), begun.get(2)!();
  while (lanes.hanging > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const again = ask(lanes, request(5, { device: 7, inode: 5 }));
  begun.get(5)!();
  assert.equal((await again).state, "hashed");
});

Deno.test("Lanes begins nothing more when as many hang as may", async () => {
  const { work, begun } = heldWork(), lanes = new Lanes(work, 5);
  for (let id = 0; id < 16; id++) assert.equal((await ask(lanes, request(id, { device: id }))).state, "timed_out");
  assert.equal(lanes.hanging, 16);
  assert.equal((await ask(lanes, request(16, { device: 99 }))).state, "busy");
  for (const end of begun.values()) end();
});

Deno.test({
  name: "a file whose file system does not answer is timed out, and does not hold up the others",
  ...needs({ root: true, mount: true, programs: ["gcc"] }),
  async fn() {
    await using stuck = await StuckProcess.start();
    const options = { cache: new HashCache(), maxBytes: 1 << 30, maxFuzzyBytes: 0 };
    const lanes = new Lanes((wanted, calls, isGivenUp) => hashFile(wanted, calls, options, isGivenUp), 300);
    const hung = [1, 2].map((id) => ask(lanes, request(id, { path: stuck.hangingFile })));
    const others = [3, 4, 5].map((id) => ask(lanes, request(id, { path: Deno.realPathSync("/bin/sh") })));
    assert.deepEqual((await Promise.all(hung)).map(({ state }) => state), ["timed_out", "timed_out"]);
    assert.deepEqual((await Promise.all(others)).map(({ state }) => state), ["hashed", "hashed", "hashed"]);
    assert.equal(lanes.hanging, 2);
    await stuck.release();
    while (lanes.hanging > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  },
});
