/**
 * A suite that any collector runs against itself: does its source keep to what {@linkcode EventSource} says?
 *
 * It runs the source in the real runtime, against an agent in this process that is told to be away, slow, hostile or
 * killed. No socket and no agent is needed, only a directory that may be written.
 *
 * @module
 */
import { rowFault } from "../../proto/table_descriptor.ts";
import { Collector } from "./collector.ts";
import type { EventSource } from "./event_source.ts";
import { SourceRunner } from "./source_runner.ts";
import { type Misdeed, TestAgent } from "./test_agent.ts";

/** How a source is to be tried. */
export interface ConformanceOptions {
  /** An empty directory that may be written; what is made in it is removed. */
  readonly directory: string;
  /** Makes the source see something, at least one row each time; nothing for a source that sees something by itself. */
  readonly stimulate?: () => Promise<void> | void;
  /** How long to wait for what must happen, in milliseconds; 10,000. */
  readonly patienceMs?: number;
  /** Grants that are no fault, such as `run` for a source that starts a program; none. */
  readonly allows?: readonly Deno.PermissionName[];
}

/** What one check found. */
export interface ConformanceResult {
  /** Its name. */
  readonly check: string;
  /** Why it failed; `null` when it passed. */
  readonly fault: string | null;
}

/** A source does not keep to the contract; every fault is in the message. */
export class ConformanceError extends Error {
  /** As of every error. */
  override name = "ConformanceError";
  /** `results`: of all checks that were made. */
  constructor(readonly results: readonly ConformanceResult[]) {
    const faults = results.filter(({ fault }) => fault !== null).map(({ check, fault }) => `${check}: ${fault}`);
    super(`The source does not conform:\n  ${faults.join("\n  ")}`);
  }
}

const HOSTILE: readonly Misdeed[] = ["slam", "garbage", "other-token", "forged-ack", "wrong-kind"];

/**
 * Tries a source; `make` gives a new one each time, over the same thing to watch.
 *
 * The checks: description, lifecycle (start, rows, health, stop, again), schema, backpressure, crash (what was on disk is
 * delivered by the next run, once), an agent that is killed, a hostile agent, permissions.
 *
 * @returns every check, all passed
 * @throws ConformanceError when any failed
 */
export async function testCollector(
  make: () => EventSource,
  options: ConformanceOptions,
): Promise<readonly ConformanceResult[]> {
  const suite = new Suite(make, options), results: ConformanceResult[] = [];
  const checks: readonly (readonly [string, () => Promise<void>])[] = [
    ["description", () => suite.description()],
    ["lifecycle", () => suite.lifecycle()],
    ["schema", () => suite.schema()],
    ["backpressure", () => suite.backpressure()],
    ["crash", () => suite.crash()],
    ["agent killed", () => suite.agentKilled()],
    ["hostile agent", () => suite.hostileAgent()],
    ["permissions", () => suite.permissions()],
  ];
  for (const [check, run] of checks) {
    let fault: string | null = null;
    try {
      await run();
    } catch (error) {
      fault = error instanceof Error ? error.message : String(error);
    }
    results.push({ check, fault });
    // A source that cannot be described or started would only fail the others again
    if (fault !== null && results.length <= 2) break;
  }
  if (results.some(({ fault }) => fault !== null)) throw new ConformanceError(results);
  return results;
}

class Suite {
  #worlds = 0;

  constructor(readonly make: () => EventSource, readonly options: ConformanceOptions) {}

  async description(): Promise<void> {
    const [one, two] = [this.make(), this.make()];
    must(one !== two, "make() must give a new source each time");
    must(one.tables.length > 0, "the source fills no table");
    await using world = this.#world();
    must(world.collector.statuses().length === 1, "the source has no status");
  }

  async lifecycle(): Promise<void> {
    await using world = this.#world();
    await world.collector.start();
    await this.#until("a row comes", () => world.agent.rows.length > 0, true);
    const [status] = world.collector.statuses();
    must(status!.state === "active", `the source sees rows, and its health is ${status!.state}: ${status!.detail}`);
    must(status!.detail !== "", "health().detail says nothing");
    must(world.agent.registration !== null, "the collector did not register");
    await world.collector.stop();
    const seen = world.agent.rows.length;
    await this.options.stimulate?.();
    await pause(300);
    must(world.agent.rows.length === seen, "rows came after stop()");
    await using again = this.#world(world.directory);
    await again.collector.start();
    await this.#until("a row comes after stop and start", () => again.agent.rows.length > 0, true);
  }

  async schema(): Promise<void> {
    await using world = this.#world();
    const tables = new Map(this.make().tables.map((table) => [table.name, table]));
    await world.collector.start();
    await this.#until("a row comes", () => world.agent.rows.length > 0, true);
    const { refused } = world.collector.counts;
    must(
      refused === 0,
      `${refused} rows were none of their tables: ${world.notices.find((each) => /none of/.test(each))}`,
    );
    for (const { table, row } of world.agent.rows) {
      const descriptor = tables.get(table);
      const fault = descriptor === undefined ? "no such table" : rowFault(descriptor.columns, row, Date.now());
      must(fault === null, `a row of ${table}: ${fault}`);
    }
  }

  async backpressure(): Promise<void> {
    const source = this.make(), bufferRows = 4;
    let hasRoom = true;
    const runner = new SourceRunner(source, {
      ...{ bufferRows, position: null, wake: () => {}, notice: () => {} },
      hasRoom: () => hasRoom,
    });
    await runner.start();
    try {
      await this.#until("the source puts a row", () => runner.waiting > 0, true);
      hasRoom = false;
      for (let i = 0; i < 4; i++) await this.options.stimulate?.();
      await pause(500);
      must(runner.waiting <= 2 * bufferRows, `${runner.waiting} rows wait where ${2 * bufferRows} may`);
      if (source.capabilities.resumes) {
        must(runner.dropped === 0, `${runner.dropped} rows were dropped: a source that resumes waits for ready()`);
      }
      hasRoom = true;
      runner.take();
      await this.#until("the source goes on once there is room", () => runner.waiting > 0, true);
    } finally {
      await runner.stop();
    }
  }

  async crash(): Promise<void> {
    await using world = this.#world();
    world.agent.acknowledges = false;
    await world.collector.start();
    await this.#until("a row is on disk", () => world.collector.counts.rows > 0, true);
    await this.#until("it is offered", () => world.agent.rows.length > 0);
    // What a crash leaves: the directory as it is in the midst of the run
    const copy = copied(world.directory, `${this.options.directory}/after-crash`), before = world.agent.rows.length;
    await using after = this.#world(copy);
    await after.collector.start();
    await this.#until(
      `the ${before} rows that were on disk come from the next run`,
      () =>
        after.agent.rows.length >= before && rowsOf(world).slice(0, before).every((row) => rowsOf(after).includes(row)),
    );
  }

  async agentKilled(): Promise<void> {
    await using world = this.#world();
    await world.collector.start();
    await this.#until("a row comes", () => world.agent.rows.length > 0, true);
    const seen = world.agent.connections, rows = world.agent.rows.length;
    world.agent.drop();
    await this.#until("the collector connects again", () => world.agent.connections > seen);
    await this.#until("rows come again", () => world.agent.rows.length > rows, true);
  }

  async hostileAgent(): Promise<void> {
    await using world = this.#world();
    world.agent.misdeed = HOSTILE[0]!;
    await world.collector.start();
    for (const misdeed of HOSTILE) {
      const seen = world.agent.connections;
      world.agent.misdeed = misdeed;
      world.agent.drop();
      await this.#until(`the collector stands ${misdeed}`, () => world.agent.connections > seen);
      await this.options.stimulate?.();
    }
    world.agent.misdeed = "none";
    world.agent.drop();
    await this.#until("rows come once the agent is honest", () => world.agent.rows.length > 0, true);
  }

  permissions(): Promise<void> {
    const { allows = [] } = this.options;
    const wide = (["run", "ffi", "net", "read", "write", "env", "sys"] as const).filter((name) =>
      !allows.includes(name) && Deno.permissions.querySync({ name }).state === "granted"
    );
    must(
      wide.length === 0,
      `granted without bounds: ${wide.join(", ")}; run the test under the collector's own grants`,
    );
    return Promise.resolve();
  }

  #world(directory: string = `${this.options.directory}/state-${++this.#worlds}`): World {
    return new World(this.make(), directory);
  }

  /** Waits for what must become true; `stimulates` again and again meanwhile. */
  async #until(what: string, is: () => boolean, stimulates = false): Promise<void> {
    const { patienceMs = 10_000, stimulate } = this.options, end = performance.now() + patienceMs;
    for (let turn = 0; !is(); turn++) {
      if (performance.now() > end) throw new Error(`${what}: not within ${patienceMs} ms`);
      if (stimulates && turn % 20 === 0) await stimulate?.();
      await pause(25);
    }
  }
}

/** One collector and its agent. */
class World implements AsyncDisposable {
  readonly agent = new TestAgent();
  readonly notices: string[] = [];
  readonly collector: Collector;

  constructor(source: EventSource, readonly directory: string) {
    const { connect, token } = this.agent;
    this.collector = new Collector({
      ...{ id: "conformance", type: "conformance", version: "1", sources: [source], stateDirectory: directory },
      ...{ connect, token, batchMs: 20, retryMs: 150, notice: (text) => void this.notices.push(text) },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.acknowledges = true;
    await this.collector.stop();
    this.agent.drop();
    try {
      Deno.removeSync(this.directory, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // two worlds had it, one after the other
    }
  }
}

function rowsOf({ agent }: World): string[] {
  return agent.rows.map(({ table, row }) => JSON.stringify([table, row.time, row.values]));
}

function copied(from: string, to: string): string {
  Deno.mkdirSync(to, { mode: 0o700 });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copied(`${from}/${name}`, `${to}/${name}`);
    else Deno.writeFileSync(`${to}/${name}`, Deno.readFileSync(`${from}/${name}`), { mode: 0o600 });
  }
  return to;
}

function must(is: boolean, fault: string): void {
  if (!is) throw new Error(fault);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
