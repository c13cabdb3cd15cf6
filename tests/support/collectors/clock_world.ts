/**
 * The sensor and three clock collectors under one supervisor, as processes, with what a test asks of them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type OtherCollector, otherCollectorsFile } from "../../../deploy/other_collectors.ts";
import type { CollectorStanding, SupervisedProcess } from "../../../proto/status.ts";
import { BundledProgram } from "../bundled_program.ts";
import { PATIENCE_MS } from "../patience.ts";
import { newStateDirectory, type World } from "../world.ts";

export const CLOCKS = ["clock-a", "clock-b", "clock-c"], SENSOR = "procmond";
const PERIOD_MS = 20;
/** As root each runs as a user of its own. */
export const FIRST_USER = 64_301;

const DENO_FLAGS = ["run", "-A", "-q", "--no-config", "--no-lock", "--no-npm", "--no-code-cache"];

export class ClockSetting implements AsyncDisposable {
  readonly first = Date.now();
  readonly isRoot = Deno.uid() === 0;

  private constructor(readonly state: string, readonly logs: string, readonly program: BundledProgram) {}

  static async make(): Promise<ClockSetting> {
    const logs = await Deno.makeTempDir({ prefix: "daemoneye-clocks-" });
    await Deno.chmod(logs, 0o777);
    const program = await BundledProgram.make("tests/support/collectors/clock_collector.ts");
    return new ClockSetting(await newStateDirectory(), logs, program);
  }

  /** The words by which a bundled program is run, and its environment. */
  static command(
    { deno, path, directory }: BundledProgram,
    ...args: string[]
  ): Pick<OtherCollector, "command" | "env"> {
    return {
      command: [deno, ...DENO_FLAGS, path, ...args],
      env: { DENO_DIR: `${directory}/deno_dir`, DENO_NO_UPDATE_CHECK: "1" },
    };
  }

  clock(id: string, ...args: string[]): Record<string, unknown> {
    const own = [`${this.logs}/${id}`, String(this.first), String(PERIOD_MS), ...args];
    return { id, ...ClockSetting.command(this.program, ...own), restarts: 20 };
  }

  /** Writes which collectors there are: the clocks with these arguments, and what else. */
  write(args: readonly string[], ...more: Record<string, unknown>[]): void {
    const all = [...CLOCKS.map((id) => this.clock(id, ...args)), ...more];
    const collectors = all.map((each, i) => this.isRoot ? { ...each, user: FIRST_USER + i } : each);
    Deno.writeTextFileSync(otherCollectorsFile(this.state), JSON.stringify({ collectors }), { mode: 0o644 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    for (const path of [this.state, this.logs]) await Deno.remove(path, { recursive: true });
  }
}

export const standing = (world: World, id: string): CollectorStanding | undefined =>
  world.agentStatus()?.registry.find(({ collectorId }) => collectorId === id);
export const supervised = (world: World, id: string): SupervisedProcess | undefined =>
  world.agentStatus()?.supervised.find(({ name }) => name === id);
export const stateOf = (world: World, id: string): string | undefined => standing(world, id)?.lifecycle.state;
export const allRun = (world: World): Promise<void> =>
  world.until(
    "all four have registered and run",
    () => [SENSOR, ...CLOCKS].every((id) => stateOf(world, id) === "running" && standing(world, id)!.connected),
    PATIENCE_MS,
  );

/** Kills the process of a collector, and waits until another one has taken its place. */
export async function killed(world: World, id: string): Promise<void> {
  const { pid, restarts } = supervised(world, id)!, before = standing(world, id)!.registrations;
  Deno.kill(pid, "SIGKILL");
  await world.until(`${id} is back`, () => {
    const now = supervised(world, id)!;
    return now.state === "running" && now.pid !== pid && now.restarts > restarts &&
      stateOf(world, id) === "running" && standing(world, id)!.registrations === before + 1;
  }, PATIENCE_MS);
}

/** Every number of a clock is stored once, or is in one of its gaps. */
export function checkClock(world: World, id: string): { stored: number; missed: number } {
  const found = world.query("SELECT name FROM process_events WHERE collector_id = ?", id)
    .map(({ name }) => Number(String(name).slice(id.length + 1)));
  const numbers = [...found];
  let missed = 0;
  for (const { reason, count } of world.query("SELECT reason, count FROM gaps WHERE collector_id = ?", id)) {
    const range = /^events (\d+) to (\d+) came while it did not run$/.exec(String(reason));
    if (range === null) continue; // the agent's own, which says when it heard nothing
    const [from, to] = [Number(range[1]), Number(range[2])];
    assert.equal(count, to - from + 1);
    missed += to - from + 1;
    for (let number = from; number <= to; number++) numbers.push(number);
  }
  numbers.sort((a, b) => a - b);
  assert.equal(new Set(found).size, found.length, `${id}: nothing is stored twice`);
  assert.deepEqual(numbers.filter((number, at) => number !== at).slice(0, 5), [], `${id}: each number is there once`);
  return { stored: found.length, missed };
}
