/**
 * `deno task test:collectors [--seconds 60] [--most RATIO]`: five collector processes for a minute, each killed in turn, twice.
 *
 * The sensor, three collectors of another maker and a hostile one run under one supervisor, with events, tasks, calls and
 * changes of settings all the time. In the last two thirds of the time each is killed twice and comes back. Then what each sent
 * is held against what is stored: only what came between a kill and the next start may be missing, all of it is in gaps,
 * and nothing is stored twice. Prints how long the agent took for those that were not killed, while one was, against the
 * time just before (`disturbance.ts`); exits with 1 when something was lost or doubled, or with `--most` when that ratio is
 * above it. Wants root and eBPF.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { TWICE } from "./crash/collector_cycles.ts";
import { BundledProgram } from "./support/bundled_program.ts";
import { Bystanders } from "./support/collectors/bystanders.ts";
import { CLOCK_SETTING } from "./support/collectors/clock_service.ts";
import { readTimes, type TimeKind, TIMES } from "./support/collectors/clock_times.ts";
import {
  allRun,
  checkClock,
  CLOCKS,
  ClockSetting,
  killed,
  SENSOR,
  supervised,
} from "./support/collectors/clock_world.ts";
import { Disturbance, type Kill, LEAST_BETWEEN_MS, type Timed } from "./support/collectors/disturbance.ts";
import { PATIENCE_MS } from "./support/patience.ts";
import { OperatorWork } from "./support/collectors/operator_work.ts";
import { World } from "./support/world.ts";

const HOSTILE = "perfmond";
const ROUNDS = 2;
/** On a busy host a clock may not have come to look for so long before it was killed. */
const STARVED_MS = 5_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { seconds: { type: "string", default: "60" }, most: { type: "string", default: "Infinity" } },
  });
  const seconds = Number(values.seconds), most = Number(values.most);
  if (!(seconds >= 10) || !(most > 0)) throw new RangeError("--seconds takes 10 and more, --most a ratio");
  if (Deno.uid() !== 0) {
    console.error("The sensor sees every process only as root; run it as root");
    return 2;
  }
  await using setting = await ClockSetting.make();
  await using hostile = await BundledProgram.make("tests/support/hostile_collector.ts");
  setting.write(["--measure"], { id: HOSTILE, ...ClockSetting.command(hostile, "everything"), restarts: 20 });
  const { state } = setting;
  await using world = await World.start({ state, patienceMs: PATIENCE_MS });
  await allRun(world);
  await world.until(`${HOSTILE} runs`, () => world.agentStatus()!.lifecycle.state === "steadyState", PATIENCE_MS);
  console.log(`five collectors run on ${navigator.hardwareConcurrency} cores; ${seconds} s begin`);

  await using bystanders = await Bystanders.start();
  await using work = new OperatorWork(world.layout.requests);
  const end = Date.now() + seconds * 1_000;
  work.begin();
  await pause(seconds * 1_000 / 3);
  const first = Date.now(), kills: Kill[] = [], ids = Array(ROUNDS).fill([...CLOCKS, HOSTILE, SENSOR]).flat();
  for (const [i, id] of ids.entries()) {
    const due = first + (end - first) * i / ids.length;
    await pause(Math.max(due, (kills.at(-1)?.to ?? 0) + LEAST_BETWEEN_MS) - Date.now());
    const from = Date.now();
    if (id === HOSTILE) await killedHostile(world);
    else await killed(world, id);
    kills.push({ id, from, to: Date.now() });
    console.log(`${id} was killed, and was back after ${kills.at(-1)!.to - from} ms`);
  }
  await pause(end - Date.now());
  await work.end();
  const refused = refusals(world);
  await world.until("the sensor has sent everything", () => storedLaunches(world, work) > 0, PATIENCE_MS);
  assert.equal(await world.stop(), 0);

  console.log(`\n${work.words()}`);
  console.log(`of ${HOSTILE} was refused: ${refused}`);
  const faults = [...work.faults, ...lostOrDoubled(world, work, kills)];
  const ratio = printTimes(setting.logs, bystanders, kills);
  for (const fault of faults) console.log(`FAULT: ${fault}`);
  if (ratio > most) console.log(`FAULT: a ratio of ${ratio.toFixed(2)} is above ${most}`);
  const isRight = faults.length === 0 && ratio <= most;
  console.log(isRight ? "nothing was lost that is not in a gap, and nothing doubled" : "it does not hold");
  return isRight ? 0 : 1;
}

async function killedHostile(world: World): Promise<void> {
  const { pid } = supervised(world, HOSTILE)!;
  Deno.kill(pid, "SIGKILL");
  await world.until(`${HOSTILE} is back`, () => {
    const now = supervised(world, HOSTILE)!;
    return now.state === "running" && now.pid !== pid;
  }, PATIENCE_MS);
}

function refusals(world: World): string {
  const { counters } = world.agentStatus()!;
  const names = ["bus_refused_rate", "bus_refused_rights", "bus_refused_malformed", "refused_capabilities"];
  return names.map((name) => `${name} ${counters[name] ?? 0}`).join(", ");
}

function storedLaunches(world: World, { tag, launches }: OperatorWork): number {
  const last = launches.at(-1)!;
  return world.count(
    "SELECT count(*) FROM process_events WHERE event_type = 'start' AND command_line LIKE ?",
    `% ${tag}-${last.number}`,
  );
}

/** What does not hold of what was sent and what is stored. */
function lostOrDoubled(world: World, work: OperatorWork, kills: readonly Kill[]): string[] {
  const faults: string[] = [];
  const hold = (what: string, check: () => void): void => {
    try {
      check();
    } catch (error) {
      faults.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  for (const id of CLOCKS) {
    hold(id, () => {
      const { stored, missed } = checkClock(world, id), own = kills.filter((each) => each.id === id);
      // The other one is of the time before its first start.
      const gaps = world.query(
        "SELECT from_time, to_time FROM gaps WHERE collector_id = ? AND reason LIKE 'events %' AND reason NOT LIKE 'events 0 %' ORDER BY from_time",
        id,
      ).map((row) => ({ from: Number(row["from_time"]), to: Number(row["to_time"]) }));
      const areOfKills = gaps.length === own.length && gaps.every(({ from, to }, i) => {
        const kill = own[i]!;
        return from > kill.from - STARVED_MS && from <= kill.to && to <= kill.to;
      });
      assert.ok(areOfKills, `it has one gap of each kill, and that from its kill to its next start`);
      const tagged = world.count(
        "SELECT count(*) FROM process_events WHERE collector_id = ? AND command_line LIKE ?",
        id,
        `% ${work.lastTag}`,
      );
      assert.ok(work.lastTag === "" || tagged > 0, `its setting ${CLOCK_SETTING} took effect`);
      console.log(`${id}: ${stored} events stored, ${missed} came while it did not run, each in a gap`);
    });
  }
  hold(SENSOR, () => {
    const gaps = world.query(
      "SELECT from_time, to_time FROM gaps WHERE collector_id = ? AND source != 'transport'",
      SENSOR,
    )
      .map((row) => ({ from: Number(row["from_time"]), to: Number(row["to_time"]) }));
    const found = world.query(
      "SELECT command_line FROM process_events WHERE event_type = 'start' AND command_line LIKE ?",
      `%${work.tag}-%`,
    ).map((row) => Number(String(row["command_line"]).split("-").at(-1)));
    const stored = new Set(found);
    assert.equal(found.length, stored.size, "nothing is stored twice");
    const missing = work.launches.filter(({ number }) => !stored.has(number));
    const unexplained = missing.filter(({ before, after }) =>
      !gaps.some(({ from, to }) => before <= to && after >= from)
    );
    assert.deepEqual(unexplained.map(({ number }) => number), [], "what is missing lies in a gap");
    console.log(`${SENSOR}: ${stored.size} of ${work.launches.length} programs stored, ${missing.length} in a gap`);
  });
  hold("all", () => {
    assert.deepEqual(world.query(TWICE), [], "nothing is stored twice");
    assert.equal(
      world.count("SELECT coalesce(sum(count), 0) FROM gaps WHERE source = 'transport'"),
      0,
      "no number lacks",
    );
    assert.equal(
      world.count("SELECT count(*) FROM process_events WHERE collector_id = ?", HOSTILE),
      0,
      "nothing hostile",
    );
  });
  return faults;
}

/** Prints both kinds of times, and the same of who has nothing to do with it; returns the worst ratio. */
function printTimes(logs: string, bystanders: Bystanders, kills: readonly Kill[]): number {
  const print = (what: string, of: readonly Timed[]): number => {
    const disturbance = new Disturbance(of, kills);
    console.log(`${what}, ${disturbance.words()}`);
    return disturbance.ratio;
  };
  const ratios = TIMES.map((kind) =>
    print(WORDS[kind], CLOCKS.map((id) => ({ id, times: readTimes(`${logs}/${id}.times`, kind) })))
  );
  print("of two processes beside it that ask each other", [{ id: "", times: bystanders.times() }]);
  return Math.max(...ratios);
}

const WORDS: Readonly<Record<TimeKind, string>> = {
  acknowledged: "from an event's sending to its acknowledgement",
  answered: "from a call to its answer",
};

Deno.exit(await main());
