/** How rows of analyses get into the store: along with events, by themselves, and past a store that takes none. */
import assert from "node:assert/strict";
import { Executor } from "../../../agent/analysis/executor.ts";
import { Run } from "../../../agent/analysis/run.ts";
import { RunWriter } from "../../../agent/analysis/run_writer.ts";
import { targetOfPath } from "../../../agent/analysis/target.ts";
import { Store } from "../../../agent/store/store.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import { readChain } from "../../../proto/analysis/chain.ts";
import type { StageRows } from "../../../proto/analysis/stage.ts";
import { parseYaml } from "../../../proto/rules/located_yaml.ts";
import { commitEvents, openTestStream, rows, start, TempDir, until } from "../support.ts";

const CHAIN = readChain(parseYaml("chain: look\ntitle: t\nstages: [{ stage: hash, timeout: 1s }]\n"), "c.yml");

class World implements Disposable {
  readonly #dir = new TempDir();
  readonly path = `${this.#dir.path}/events.db`;
  readonly refused: string[] = [];
  readonly failures: unknown[] = [];
  store: Store | null = new Store(this.path);
  readonly stream = openTestStream(this.store!);
  readonly writer = new RunWriter({
    store: () => this.store,
    failed: (_, error) => this.failures.push(error),
    refused: (reason) => this.refused.push(reason),
  });
  #id = 0;

  constructor() {
    this.store!.carry(this.writer);
  }

  /** An analysis that has ended where it is asked for, since nobody can carry it out. */
  async run(hasEnded: boolean): Promise<Run> {
    const executor = new Executor({ analyzers: () => [], call: () => Promise.reject(new Error("nobody is asked")) });
    const target = targetOfPath("/opt/x"), id = ++this.#id;
    const order = {
      id,
      time: 1,
      chain: CHAIN,
      triggerId: null,
      actor: null,
      priority: "low",
      target,
      hits: 1,
    } as const;
    const run = new Run({ ...order, lineage: [] }, { executor, changed: (changed) => this.writer.changed(changed) });
    if (hasEnded) await run.carryOut();
    else this.writer.changed(run);
    return run;
  }

  states(): unknown[] {
    return rows(this.path, "SELECT state FROM analyses ORDER BY analysis_id").map(({ state }) => state);
  }

  [Symbol.dispose](): void {
    this.writer.stop();
    this.store?.close();
    this.#dir[Symbol.dispose]();
  }
}

Deno.test("RunWriter has what ended go along with the next batch, and what is under way go by itself", async () => {
  using world = new World();
  await world.run(true);
  await world.run(false);
  assert.deepEqual(world.states(), []);
  commitEvents(world.store!, world.stream, [start(1)]);
  assert.deepEqual(world.states(), ["failed"]);
  assert.equal(world.writer.isDue, false);
  await until("the other is written without a batch", () => world.states().length === 2);
  assert.deepEqual(world.states(), ["failed", "running"]);
});

/** An analysis whose rows break the schema of their table. */
function broken(run: Run): Run {
  const rows = (): StageRows => ({ analyses: [{ analysis_id: run.order.id, hits: "many" }] });
  return Object.defineProperty(run, "rows", { value: rows });
}

Deno.test("RunWriter: rows that the store refuses cost the batch nothing, and are counted", async () => {
  using world = new World();
  broken(await world.run(true));
  commitEvents(world.store!, world.stream, [start(1), start(2)]);
  assert.deepEqual(rows(world.path, "SELECT count(*) AS n FROM process_events"), [{ n: 2 }]);
  assert.deepEqual(world.states(), []);
  assert.equal(world.writer.unstored, 1);
  assert.match(world.refused.join(), /cannot store TEXT value/);
  // By itself too
  broken(await world.run(true));
  world.writer.settle();
  assert.equal(world.writer.unstored, 2);
  await world.run(true);
  world.writer.settle();
  assert.deepEqual(world.states(), ["failed"], "others are not held up");
});

Deno.test("RunWriter: what a store that is lost did not take is in the next one; the end without one counts it", async () => {
  using world = new World();
  const { path, store } = world;
  await world.run(true);
  store!.close();
  world.writer.settle();
  assert.ok(world.failures[0] instanceof StoreError);
  world.store = null;
  world.writer.settle();
  assert.equal(world.writer.unstored, 0);
  world.store = new Store(path);
  world.writer.settle();
  assert.deepEqual(world.states(), ["failed"]);
  await world.run(true);
  world.store.close();
  world.store = null;
  world.writer.stop();
  assert.equal(world.writer.unstored, 1);
});
