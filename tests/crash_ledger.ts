/**
 * `deno task test:crash:ledger [--seeds N] [--from SEED] [--seed SEED]`: simulated lives of the audit ledger on a bad disk.
 *
 * Prints what was promised, found again and signed. A seed that breaks a promise is printed with the command that runs it
 * alone, which tells every step of it.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { loadHash } from "../proto/ledger/hash.ts";
import { add, nothing, simulate } from "./collector/ledger/simulation.ts";
import type { Done, Job } from "./collector/ledger/simulation_worker.ts";
import { whole } from "./support/whole_number.ts";

/** Seeds that a worker takes at once. */
const PIECE = 250;

async function runAll(from: number, count: number): Promise<Done> {
  const sum = nothing(), failed: { seed: number; why: string }[] = [];
  let next = from;
  const workers = Array.from({ length: Math.min(navigator.hardwareConcurrency, 16) }, async () => {
    const worker = new Worker(new URL("./collector/ledger/simulation_worker.ts", import.meta.url), { type: "module" });
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
    console.log(await simulate(whole(values.seed, "seed"), await loadHash("blake3"), console.log));
    return 0;
  }
  const seeds = whole(values.seeds, "seeds"), began = performance.now();
  const { sum, failed } = await runAll(whole(values.from, "from"), seeds);
  const seconds = (performance.now() - began) / 1_000;
  console.log(
    `${seeds} simulated lives of the ledger in ${
      seconds.toFixed(1)
    } s: ${sum.crashes} power cuts, ${sum.kills} kills, ` +
      `${sum.closes} clean ends, ${sum.steps} calls of the disk`,
  );
  console.log(
    `entries promised ${sum.promised}, payloads found again ${sum.present}; checkpoints seen ${sum.checkpoints}, held ` +
      `against later ledgers ${sum.anchored} times; seals ${sum.seals}, changes of keys ${sum.rotations}, entries ` +
      `refused ${sum.refused}; broken promises ${failed.length}`,
  );
  for (const { seed, why } of failed.slice(0, 20)) console.log(`${why}\n  deno task test:crash:ledger --seed ${seed}`);
  return failed.length === 0 ? 0 : 1;
}

Deno.exit(await main());
