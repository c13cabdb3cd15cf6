/**
 * What readers cost the agent: ten copies of the command line read the store as hard as they can while events are stored.
 *
 * Another process stores events with the agent's store and upkeep, once as fast as it can, with a backlog that it tells
 * as a collector does and readers give way to, and once at a steady rate, without one. In
 * each, times without readers (the baseline) and times with ten take turns. The readers are what `deno task build
 * --launcher` makes: each exports all events into nothing, again and again. Printed are the rate beside the baseline's,
 * and how long the write-ahead log became: a reader that holds an old state of the store keeps it from being cleared.
 *
 * Usage: `deno task bench:readers [--readers 10] [--seconds 8] [--pairs 3] [--stored 300000] [--rate 5000]`.
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
    seconds: { type: "string", default: "8" },
    pairs: { type: "string", default: "3" },
    stored: { type: "string", default: "300000" },
    rate: { type: "string", default: "5000" },
  },
});
const READERS = Number(values.readers), SECONDS = Number(values.seconds), PAIRS = Number(values.pairs);
const MEGABYTE = 1e6;

const temporary = Deno.makeTempDirSync({ prefix: "daemoneye-bench-readers-" });
const layout = stateLayout(`${temporary}/state`);
/** What the process that stores has said last. */
let stored = 0, longestLog = 0;
let writer: Deno.ChildProcess | null = null;
try {
  for (const directory of [layout.agent, layout.collector]) Deno.mkdirSync(directory, { recursive: true });
  fillStore(layout.store, Number(values.stored));
  const launcher = await installCli(temporary, layout), figures: Figure[] = [];
  for (const rate of [0, Number(values.rate)]) {
    const what = rate === 0 ? "as fast as it can" : `${rate} events/s`;
    const child = storing(rate);
    let isOver = false;
    writer = child;
    void child.status.then(({ code }) => {
      if (!isOver) throw new Error(`What stores ended with ${code}`);
    });
    while (stored === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    const quiet: number[] = [], read: number[] = [], rows: string[][] = [];
    for (let pair = 1; pair <= PAIRS; pair++) {
      const alone = await measured(), readers = Array.from({ length: READERS }, () => startReader(launcher));
      const among = await measured();
      const exports = (await Promise.all(readers.map((reader) => reader.stop()))).reduce((a, b) => a + b, 0);
      quiet.push(alone.rate);
      read.push(among.rate);
      rows.push([
        String(pair),
        ...[alone, among].flatMap(({ rate, log }) => [rate.toFixed(0), (log / MEGABYTE).toFixed(1)]),
        String(exports),
      ]);
    }
    table(`stored ${what}; ${READERS} readers`, [
      ...["pair", "alone events/s", "longest log MB", "among readers events/s", "longest log MB", "exports ended"],
    ], rows);
    figures.push({
      what: `stored among ${READERS} readers, ${what}`,
      ours: median(read),
      unit: "events/s",
      peer: { name: "without readers", value: median(quiet) },
      target: { least: 0.9 * median(quiet) },
    }, {
      what: "the longest log",
      ours: Math.max(...rows.map((row) => Number(row[4]))),
      unit: "MB",
      peer: { name: "without readers", value: Math.max(...rows.map((row) => Number(row[2]))) },
      target: null,
    });
    isOver = true;
    child.kill("SIGTERM");
    await child.status;
    writer = null;
    stored = 0;
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
      const [count, log] = line.split(" ").map(Number) as [number, number];
      stored = count;
      longestLog = Math.max(longestLog, log);
    }
  })();
  return child;
}

/** Events a second over a time, and the longest log in it. */
async function measured(): Promise<{ rate: number; log: number }> {
  const before = stored, began = performance.now();
  longestLog = 0;
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000));
  return { rate: (stored - before) / ((performance.now() - began) / 1_000), log: longestLog };
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
