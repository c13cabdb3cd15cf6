/**
 * `deno task test:crash`: nothing that was acknowledged is lost, nothing comes twice, whatever dies when.
 *
 * `--seeds N`: simulated lives of the write-ahead log on a bad disk, from `--from` on; `--seed S` runs one and tells its
 * steps. `--pipelines N`: the whole pipeline, from the log to the delivered alert, simulated on virtual time with every
 * fault between and below its parts, from `--from` on; `--pipeline-seed S` tells one. `--cycles N`: SIGKILLs of a real
 * writer and a real agent, as `--kill-seed` has it. `--collectors N`: SIGKILLs of the real collector of a whole system
 * under a storm of processes, where eBPF is to be had. 0 leaves a part out. Each part prints what was acknowledged, found
 * again, doubled and lost; what breaks a promise is printed with the command that does it again.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { add, nothing, simulate } from "./collector/wal/simulation.ts";
import { collectorCycles } from "./crash/collector_cycles.ts";
import { killCycles } from "./crash/cycles.ts";
import * as pipeline from "./crash/pipeline.ts";
import * as pipelineResult from "./crash/pipeline_result.ts";
import { runSeeds } from "./crash/seeds.ts";
import { needs } from "./support/needs.ts";
import { whole } from "./support/whole_number.ts";

const FAILURES_SHOWN = 20;

/** Simulated lives of the log. Returns whether all promises were kept. */
async function logs(from: number, seeds: number): Promise<boolean> {
  const began = performance.now(), worker = new URL("./collector/wal/simulation_worker.ts", import.meta.url);
  const { sum, failed } = await runSeeds(worker, from, seeds, nothing(), add);
  console.log(
    `${seeds} simulated lives of the write-ahead log in ${since(began)}: ${sum.crashes} power cuts, ` +
      `${sum.kills} kills, ${sum.closes} clean ends, ${sum.steps} calls of the disk`,
  );
  sayCounts(sum);
  console.log(
    `refused ${sum.refused}, all told; torn before they were promised ${sum.torn}, all told; broken promises ` +
      `${failed.length}`,
  );
  for (const { seed, why } of failed.slice(0, FAILURES_SHOWN)) {
    console.log(`${why}\n  deno task test:crash --seed ${seed}`);
  }
  return failed.length === 0;
}

/** Simulated lives of the whole pipeline. Returns whether all promises were kept. */
async function pipelines(from: number, seeds: number): Promise<boolean> {
  const began = performance.now(), worker = new URL("./crash/pipeline_worker.ts", import.meta.url);
  const { sum, failed } = await runSeeds(worker, from, seeds, pipelineResult.nothing(), pipelineResult.add);
  console.log(
    `${seeds} simulated lives of the pipeline in ${since(began)}: ${sum.collectors} deaths of collectors, ` +
      `${sum.agents} of agents, ${sum.cuts} of ${sum.connections} connections cut, ${sum.stalls} stalled, ` +
      `${sum.flips} bits turned, disk of the store full ${sum.full} times, ${sum.steps} steps`,
  );
  sayCounts(sum);
  console.log(
    `on disk ${sum.durable}, arrived ${sum.arrived}; refused for want of room ${sum.told}, torn ${sum.torn}, all told; ` +
      `${sum.alerts} alerts, each once, delivered, and entered into the ledger once (${sum.entered}); events under no ` +
      `digest, of logs that were replaced, ${sum.bare}; broken promises ${failed.length}`,
  );
  for (const { seed, why } of failed.slice(0, FAILURES_SHOWN)) {
    console.log(`${why}\n  deno task test:crash --pipeline-seed ${seed}`);
  }
  return failed.length === 0;
}

/** SIGKILL cycles on real processes. Returns whether all promises were kept. */
async function kills(cycles: number, seed: number, isVerbose: boolean): Promise<boolean> {
  const began = performance.now();
  const result = await killCycles(cycles, seed, isVerbose ? console.log : () => {});
  const { killed, durable, arrived, told, alerts, again, recoveryMs, faults, state } = result;
  console.log(
    `${cycles} SIGKILL cycles in ${since(began)}: the writer was killed ${killed.writer} times, the agent ` +
      `${killed.agent} times; longest recovery ${(recoveryMs / 1_000).toFixed(1)} s`,
  );
  sayCounts(result);
  console.log(
    `on disk ${durable}, arrived ${arrived}; refused for want of room ${told}, all told; ${alerts} alerts, each once ` +
      `in the store, ${again} delivered again; broken promises ${faults.length}`,
  );
  for (const fault of faults.slice(0, FAILURES_SHOWN)) console.log(fault);
  if (faults.length > 0) {
    const alone = "--seeds 0 --pipelines 0 --collectors 0";
    console.log(`  deno task test:crash ${alone} --cycles ${cycles} --kill-seed ${seed} --verbose; it left ${state}`);
  }
  return faults.length === 0;
}

/** SIGKILLs of the real collector. Returns whether all promises were kept. */
async function collectors(cycles: number, seed: number, isVerbose: boolean): Promise<boolean> {
  if (needs({ root: true, bpf: true }).ignore) return true; // said why
  const began = performance.now();
  const { killed, left, lost, doubled, holes, stored, gaps } = await collectorCycles(
    cycles,
    seed,
    isVerbose ? console.log : () => {},
  );
  console.log(
    `${killed} SIGKILLs of the collector in a storm in ${
      since(began)
    }: their logs held ${left} events, ${lost} of them ` +
      `lost; ${stored} stored, ${doubled} doubled, ${holes} numbers missing, ${gaps} gaps for the times without a collector`,
  );
  const isKept = lost + doubled + holes === 0 && gaps >= killed;
  if (!isKept) {
    console.log(`  deno task test:crash --seeds 0 --pipelines 0 --cycles 0 --collectors ${cycles} --kill-seed ${seed}`);
  }
  return isKept;
}

function sayCounts(counts: { acknowledged: number; present: number; doubled: number; lost: number }): void {
  const { acknowledged, present, doubled, lost } = counts;
  console.log(
    `acknowledged ${acknowledged}, present ${present}, doubled ${doubled}, lost after acknowledgement ${lost}`,
  );
}

function since(began: number): string {
  return `${((performance.now() - began) / 1_000).toFixed(1)} s`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      pipelines: { type: "string", default: "500" },
      "pipeline-seed": { type: "string" },
      cycles: { type: "string", default: "200" },
      collectors: { type: "string", default: "20" },
      "kill-seed": { type: "string", default: "1" },
      verbose: { type: "boolean", default: false },
    },
  });
  if (values.seed !== undefined) {
    console.log(await simulate(whole(values.seed, "seed"), console.log));
    return 0;
  }
  if (values["pipeline-seed"] !== undefined) {
    const seed = whole(values["pipeline-seed"], "pipeline-seed");
    console.log(await pipeline.simulate(seed, pipeline.prepare(), console.log));
    return 0;
  }
  const seeds = whole(values.seeds, "seeds"), from = whole(values.from, "from");
  const lives = whole(values.pipelines, "pipelines");
  const cycles = whole(values.cycles, "cycles"), kernels = whole(values.collectors, "collectors");
  const killSeed = whole(values["kill-seed"], "kill-seed");
  const kept: boolean[] = [];
  if (seeds > 0) kept.push(await logs(from, seeds));
  if (lives > 0) kept.push(await pipelines(from, lives));
  if (cycles > 0) kept.push(await kills(cycles, killSeed, values.verbose));
  if (kernels > 0) kept.push(await collectors(kernels, killSeed, values.verbose));
  return kept.every((each) => each) ? 0 : 1;
}

Deno.exit(await main());
