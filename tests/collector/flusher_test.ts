import assert from "node:assert/strict";
import { Flusher } from "../../collector/flusher.ts";

/** A flusher whose disk and clock are the test's. */
class World {
  now = 0;
  begun = 0;
  done = 0;
  atOnce = 0;
  timer: { act: () => void; at: number } | null = null;
  #end = Promise.withResolvers<boolean>();
  readonly flusher = new Flusher({
    flush: () => {
      this.atOnce++;
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

Deno.test("Flusher begins at once, and says when it is done", async () => {
  const world = new World();
  world.flusher.soon();
  assert.deepEqual([world.begun, world.done], [1, 0]);
  await world.take(3);
  assert.deepEqual([world.begun, world.done, world.timer], [1, 1, null]);
});

Deno.test("Flusher has one flush under way, and one more for all that came meanwhile", async () => {
  const world = new World();
  world.flusher.soon();
  for (let i = 0; i < 5; i++) world.flusher.soon();
  assert.equal(world.begun, 1);
  await world.take(10);
  assert.equal(world.begun, 2, "the first that took long is no slow disk");
  await world.take(1);
  assert.deepEqual([world.begun, world.done], [2, 2]);
});

Deno.test("Flusher leaves a slow disk alone for as long as it took, and does not wait for one that stalled once", async () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    world.flusher.soon();
    await world.take(20);
  }
  world.flusher.soon();
  world.flusher.soon();
  assert.deepEqual([world.begun, world.timer?.at], [2, 60]);
  world.ring();
  await world.take(1);
  world.flusher.soon();
  assert.deepEqual([world.begun, world.timer?.at], [3, 62], "the quicker of two counts");
  world.ring();
  await world.take(500);
  world.flusher.soon();
  assert.equal(world.timer?.at, 563);
});

Deno.test("Flusher pauses a second at most", async () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    world.flusher.soon();
    if (world.timer !== null) world.ring();
    await world.take(30_000);
  }
  world.flusher.soon();
  assert.equal(world.timer!.at, world.now + 1_000);
});

Deno.test("Flusher flushes at once when it must, also while one is under way", async () => {
  const world = new World();
  world.flusher.soon();
  world.flusher.now();
  assert.deepEqual([world.begun, world.atOnce, world.done], [1, 1, 1]);
  await world.take(1);
  assert.equal(world.done, 2);
});

Deno.test("Flusher throws what is no fault of the disk in the next call", async () => {
  const world = new World(), error = new TypeError("a mistake");
  world.flusher.soon();
  await world.fail(error);
  assert.throws(() => world.flusher.soon(), error);
});

Deno.test("Flusher begins nothing after it was stopped", async () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    world.flusher.soon();
    await world.take(20);
  }
  world.flusher.soon();
  world.flusher.stop();
  assert.equal(world.timer, null);
  world.now = 1_000;
  world.flusher.soon();
  world.flusher.soon();
  world.flusher.stop();
  await world.take(1);
  assert.equal(world.begun, 3);
});
