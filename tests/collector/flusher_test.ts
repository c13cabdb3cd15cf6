import assert from "node:assert/strict";
import { Flusher, QUICK_MS } from "../../collector/flusher.ts";

/** A flusher whose disk and clock are the test's. */
class World {
  now = 0;
  /** What a flush takes that is waited for. */
  diskMs = 1;
  begun = 0;
  done = 0;
  atOnce = 0;
  timer: { act: () => void; at: number } | null = null;
  #end = Promise.withResolvers<boolean>();
  readonly flusher = new Flusher({
    flush: () => {
      this.atOnce++;
      this.now += this.diskMs;
      return true;
    },
    flushBeside: () => {
      this.begun++;
      this.#end = Promise.withResolvers();
      return this.#end.promise;
    },
    flushed: () => this.done++,
    clock: () => this.now,
    setTimer: (act, ms) => {
      assert.equal(this.timer, null, "there is one timer");
      this.timer = { act, at: this.now + ms };
      return 1 as unknown as ReturnType<typeof setTimeout>;
    },
    clearTimer: () => this.timer = null,
  });

  /** One whose disk has just taken so long that it is not waited for again. */
  static slow(ms = QUICK_MS + 4): World {
    const world = new World();
    world.diskMs = ms;
    world.flusher.soon();
    assert.deepEqual([world.begun, world.atOnce], [0, 1]);
    world.done = world.atOnce = 0;
    return world;
  }

  /** The disk has taken it, so long after it was asked. */
  async take(ms: number): Promise<void> {
    this.now += ms;
    this.#end.resolve(true);
    await settled();
  }

  async fail(error: unknown): Promise<void> {
    this.#end.reject(error);
    await settled();
  }

  /** The timer is due. */
  ring(): void {
    const { act, at } = this.timer!;
    this.timer = null;
    this.now = Math.max(this.now, at);
    act();
  }
}

async function settled(): Promise<void> {
  for (let turns = 0; turns < 8; turns++) await Promise.resolve();
}

Deno.test("Flusher waits for a quick disk, and leaves it alone for as long as it took", () => {
  const world = new World();
  world.flusher.soon();
  assert.deepEqual([world.begun, world.atOnce, world.done], [0, 1, 1]);
  world.flusher.soon();
  world.flusher.soon();
  assert.equal(world.atOnce, 2, "the first one has no other to be compared with");
  assert.equal(world.timer?.at, world.now + 1);
  world.ring();
  assert.deepEqual([world.begun, world.atOnce, world.timer], [0, 3, null]);
});

Deno.test("Flusher does not wait for a slow disk, and does again when it is quick", async () => {
  const world = World.slow();
  world.flusher.soon();
  assert.deepEqual([world.begun, world.done], [1, 0]);
  await world.take(QUICK_MS);
  assert.equal(world.done, 1);
  world.flusher.soon();
  world.ring();
  assert.deepEqual([world.begun, world.atOnce], [1, 1]);
});

Deno.test("Flusher has one flush under way, and one more for all that came meanwhile", async () => {
  const world = World.slow(100);
  world.flusher.soon();
  for (let i = 0; i < 5; i++) world.flusher.soon();
  assert.equal(world.begun, 1);
  await world.take(30);
  assert.equal(world.timer!.at, world.now + 30);
  world.ring();
  assert.deepEqual([world.begun, world.timer], [2, null]);
  await world.take(1);
  assert.deepEqual([world.begun, world.atOnce, world.done, world.timer], [2, 0, 2, null]);
});

Deno.test("Flusher does not wait for a disk that stalled once", async () => {
  const world = new World();
  world.flusher.soon();
  world.diskMs = 500;
  world.flusher.soon();
  world.flusher.soon();
  assert.equal(world.timer!.at, world.now + 1, "the quicker of the last two counts");
  world.ring();
  assert.equal(world.begun, 1);
  await world.take(20);
  world.flusher.soon();
  assert.equal(world.timer!.at, world.now + 20);
});

Deno.test("Flusher pauses a second at most", async () => {
  const world = World.slow(30_000);
  world.flusher.soon();
  await world.take(30_000);
  world.flusher.soon();
  assert.equal(world.timer!.at, world.now + 1_000);
});

Deno.test("Flusher flushes at once when it must, also while one is under way", async () => {
  const world = World.slow();
  world.flusher.soon();
  world.flusher.now();
  assert.deepEqual([world.begun, world.atOnce, world.done], [1, 1, 1]);
  await world.take(1);
  assert.equal(world.done, 2);
});

Deno.test("Flusher throws what is no fault of the disk in the next call", async () => {
  const world = World.slow(), error = new TypeError("a mistake");
  world.flusher.soon();
  await world.fail(error);
  assert.throws(() => world.flusher.soon(), error);
});

Deno.test("Flusher begins nothing after it was stopped", async () => {
  const world = World.slow();
  world.flusher.soon();
  world.flusher.soon();
  world.flusher.stop();
  await world.take(QUICK_MS + 4);
  assert.equal(world.begun, 1);
  world.flusher.soon();
  assert.ok(world.timer !== null);
  world.flusher.stop();
  assert.equal(world.timer, null);
});
