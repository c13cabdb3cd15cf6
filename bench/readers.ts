/**
 * What readers cost the agent: ten copies of the command line read the store as hard as they can while events are stored.
 *
 * Another process stores events with the agent's store and upkeep, once as fast as it can, with a backlog that it tells
 * as a collector does and readers give way to, and once at a steady rate, without one. In each, times without readers
 * (the baseline) and times with ten take turns, and which of them comes first does too. What an event costs grows by two
 * thirds while a partition fills, by more than readers cost: so, as fast as it can, each time lasts about as long as a
 * partition takes. The readers are what `deno task build --launcher` makes: each exports all events into nothing, again
 * and again. Printed are what the rate is of the baseline's beside it, what an event costs of CPU, and how long the
 * write-ahead log became: a reader that holds an old state of the store keeps it from being cleared.
 *
 * Usage: `deno task bench:readers [--readers 10] [--pairs 4] [--stored 300000] [--events 950000] [--rate 5000]
 * [--seconds 8]`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { lines } from "../deploy/lines.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { fillStore } from "./support/filled_store.ts";
import { installCli } from "./support/installed_cli.ts";
import { type Figure, median, report, table } from "./support/report.ts";

const { values } = parseArgs({
  options: {
    readers: { type: "string", default: "10" },
    pairs: { type: "string", default: "4" },
    stored: { type: "string", default: "300000" },
    // As fast as it can: about what a partition takes
    events: { type: "string", default: "950000" },
    rate: { type: "string", default: "5000" },
    seconds: { type: "string", default: "8" },
  },
});
const READERS = Number(values.readers), PAIRS = Number(values.pairs), RATE = Number(values.rate);
const MEGABYTE = 1e6;

const temporary = Deno.makeTempDirSync({ prefix: "daemoneye-bench-readers-" });
const layout = stateLayout(`${temporary}/state`);
/** What the process that stores has said last: when, how many events, and milliseconds of CPU. */
let said = { at: 0, stored: 0, cpuMs: 0 }, longestLog = 0;
let writer: Deno.ChildProcess | null = null;
try {
  for (const directory of [layout.agent, layout.collector]) Deno.mkdirSync(directory, { recursive: true });
  fillStore(layout.store, Number(values.stored));
  const launcher = await installCli(temporary, layout), figures: Figure[] = [];
  for (const [rate, events] of [[0, Number(values.events)], [RATE, RATE * Number(values.seconds)]] as const) {
    const what = rate === 0 ? "as fast as it can" : `${rate} events/s`;
    const child = storing(rate);
    let isOver = false;
    writer = child;
    void child.status.then(({ code }) => {
      if (!isOver) throw new Error(`What stores ended with ${code}`);
    });
    while (said.stored === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    // The first partition is cheaper than those behind it
    await measured(events);
    const shares: number[] = [], rows: string[][] = [], logs = { alone: 0, among: 0 };
    for (let pair = 1; pair <= PAIRS; pair++) {
      let exports = 0;
      const amongReaders = async (): Promise<Measured> => {
        const readers = Array.from({ length: READERS }, () => startReader(launcher)), found = await measured(events);
        exports = (await Promise.all(readers.map((reader) => reader.stop()))).reduce((a, b) => a + b, 0);
        return found;
      };
      const early = pair % 2 === 0 ? await amongReaders() : null;
      const alone = await measured(events), among = early ?? await amongReaders();
      shares.push(among.rate / alone.rate * 100);
      logs.alone = Math.max(logs.alone, alone.log / MEGABYTE);
      logs.among = Math.max(logs.among, among.log / MEGABYTE);
      rows.push([
        String(pair),
        ...[alone, among].flatMap((
          { rate, cpu, log },
        ) => [rate.toFixed(0), cpu.toFixed(1), (log / MEGABYTE).toFixed(0)]),
        shares.at(-1)!.toFixed(1),
        String(exports),
      ]);
    }
    table(`stored ${what}; ${READERS} readers`, [
      ...["pair", "alone events/s", "CPU us/event", "log MB"],
      ...["among readers events/s", "CPU us/event", "log MB", "%", "exports ended"],
    ], rows);
    figures.push({
      what: `stored among ${READERS} readers, ${what}, of what is stored without them`,
      ours: median(shares),
      unit: "%",
      peer: null,
      target: { least: 90 },
    }, {
      what: "the longest log",
      ours: logs.among,
      unit: "MB",
      peer: { name: "without readers", value: logs.alone },
      target: null,
    });
    isOver = true;
    child.kill("SIGTERM");
    await child.status;
    writer = null;
    said = { at: 0, stored: 0, cpuMs: 0 };
  }
  report("readers beside the agent's store", figures);
} finally {
  writer?.kill("SIGTERM");
  Deno.removeSync(temporary, { recursive: true });
}

/** The process that stores; what it says is kept. */
function storing(rate: number): Deno.ChildProcess {
  const program = new URL("support/busy_store.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", program, layout.state, String(rate)],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  void (async () => {
    for await (const line of lines(child.stdout)) {
      const [at, stored, log, cpuMs] = line.split(" ").map(Number) as [number, number, number, number];
      said = { at, stored, cpuMs };
      longestLog = Math.max(longestLog, log);
    }
  })();
  return child;
}

interface Measured {
  /** Events a second. */
  readonly rate: number;
  /** Microseconds of CPU an event. */
  readonly cpu: number;
  /** Bytes of the longest log. */
  readonly log: number;
}

/** While so many events are stored, between two moments of which the process that stores has said something. */
async function measured(events: number): Promise<Measured> {
  const before = said;
  longestLog = 0;
  while (said.stored - before.stored < events) await new Promise((resolve) => setTimeout(resolve, 50));
  const stored = said.stored - before.stored;
  const rate = stored / ((said.at - before.at) / 1_000), cpu = (said.cpuMs - before.cpuMs) * 1_000 / stored;
  return { rate, cpu, log: longestLog };
}

interface Reader {
  /** Ends it; how many exports came to their end. */
  readonly stop: () => Promise<number>;
}

/** Exports all events into nothing, again and again. */
function startReader(launcher: string): Reader {
  let child: Deno.ChildProcess | null = null, isOver = false;
  const run = async (): Promise<number> => {
    let ended = 0;
    while (!isOver) {
      child = new Deno.Command(launcher, { args: ["export", "events"], stdin: "null", stdout: "null", stderr: "null" })
        .spawn();
      const { code, signal } = await child.status;
      if (signal === null && code !== 3) throw new Error(`A reader ended with ${code}`);
      if (signal === null) ended += 1;
    }
    return ended;
  };
  const running = run();
  return {
    stop: () => {
      isOver = true;
      child?.kill("SIGTERM");
      return running;
    },
  };
}
