/**
 * `deno task test:crash [--seeds N] [--from SEED] [--seed SEED]`: simulated lives of the write-ahead log on a bad disk.
 *
 * Prints what was acknowledged, found again, doubled and lost. A seed that breaks a promise is printed with the command
 * that runs it alone, which tells every step of it.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { add, nothing, simulate } from "./collector/wal/simulation.ts";
import type { Done, Job } from "./collector/wal/simulation_worker.ts";

/** Seeds that a worker takes at once. */
const PIECE = 250;

async function runAll(from: number, count: number): Promise<Done> {
  const sum = nothing(), failed: { seed: number; why: string }[] = [];
  let next = from;
  const workers = Array.from({ length: Math.min(navigator.hardwareConcurrency, 16) }, async () => {
    const worker = new Worker(new URL("./collector/wal/simulation_worker.ts", import.meta.url), { type: "module" });
    try {
      while (next < from + count) {
        const job: Job = { from: next, count: Math.min(PIECE, from + count - next) };
        next += job.count;
        const done = await new Promise<Done>((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => reject(event.error ?? new Error(event.message));
          worker.postMessage(job);
        });
        add(sum, done.sum);
        failed.push(...done.failed);
      }
    } finally {
      worker.terminate();
    }
  });
  await Promise.all(workers);
  return { sum, failed };
}

function whole(text: string, flag: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`--${flag} takes a whole number, not ${text}`);
  return number;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
    },
  });
  if (values.seed !== undefined) {
    console.log(simulate(whole(values.seed, "seed"), console.log));
    return 0;
  }
  const seeds = whole(values.seeds, "seeds"), began = performance.now();
  const { sum, failed } = await runAll(whole(values.from, "from"), seeds);
  const seconds = (performance.now() - began) / 1_000;
  console.log(
    `${seeds} simulated lives of the write-ahead log in ${seconds.toFixed(1)} s: ${sum.crashes} power cuts, ` +
      `${sum.kills} kills, ${sum.closes} clean ends, ${sum.steps} calls of the disk`,
  );
  console.log(
    `acknowledged ${sum.acknowledged}, present ${sum.present}, doubled ${sum.doubled}, ` +
      `lost after acknowledgement ${sum.lost}`,
  );
  console.log(
    `refused ${sum.refused}, all told; torn before they were promised ${sum.torn}, all told; broken promises ` +
      `${failed.length}`,
  );
  for (const { seed, why } of failed.slice(0, 20)) console.log(`${why}\n  deno task test:crash --seed ${seed}`);
  return failed.length === 0 ? 0 : 1;
}

Deno.exit(await main());
