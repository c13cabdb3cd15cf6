import assert from "node:assert/strict";
import { Coverage } from "../../../collector/ledger/coverage.ts";
import { encodeMessage } from "../../../proto/wire.ts";
import { BLAKE3 } from "./support.ts";

/** A log whose disk is the test's, and a coverage of it. */
class World {
  epoch = "one";
  durable = 0;
  readonly coverage = new Coverage();
  #last = 0;

  constructor() {
    this.coverage.begin(BLAKE3);
  }

  /** Takes so many records of one number each. */
  write(count: number): void {
    for (let i = 0; i < count; i++) {
      const sequence = ++this.#last;
      this.coverage.taken(this.epoch, sequence, 1, encodeMessage({ kind: "sources", sequence, sources: [] }));
    }
  }

  renew(): void {
    this.epoch = "two";
    this.durable = this.#last = 0;
  }

  take(): string[] {
    return this.coverage.take(this.#log).map(({ epoch, first, last }) => `${epoch} ${first}-${last}`);
  }

  ready(): string[] {
    return this.coverage.ready(this.#log).map(({ epoch, first, last }) => `${epoch} ${first}-${last}`);
  }

  get #log(): { identity: { host: string; collectorId: string; epoch: string }; durable: number } {
    return { identity: { host: "host", collectorId: "procmond", epoch: this.epoch }, durable: this.durable };
  }
}

Deno.test("Coverage gives a digest of what is on disk at once", () => {
  const world = new World();
  world.write(3);
  world.durable = 3;
  assert.deepEqual(world.take(), ["one 1-3"]);
  assert.deepEqual(world.take(), []);
});

Deno.test("Coverage gives a digest when all of it is on disk, also where something new never is", () => {
  const world = new World();
  world.write(3);
  world.durable = 2;
  assert.deepEqual(world.take(), []);
  world.write(2);
  world.durable = 4;
  assert.deepEqual(world.ready(), ["one 1-3"]);
  assert.deepEqual(world.take(), []);
  world.durable = 5;
  assert.deepEqual(world.take(), ["one 4-5"]);
});

Deno.test("Coverage makes no second digest while one waits, and leaves nothing out", () => {
  const world = new World();
  for (let i = 0; i < 4; i++) {
    world.write(2);
    assert.deepEqual(world.take(), []);
  }
  world.durable = 8;
  assert.deepEqual(world.take(), ["one 1-2", "one 3-8"]);
});

Deno.test("Coverage gives what waits of a log that was replaced, in its order", () => {
  const world = new World();
  world.write(2);
  assert.deepEqual(world.take(), []);
  world.write(2);
  world.renew();
  world.write(1);
  assert.deepEqual(world.ready(), ["one 1-2", "one 3-4"]);
  world.durable = 1;
  assert.deepEqual(world.take(), ["two 1-1"]);
});
