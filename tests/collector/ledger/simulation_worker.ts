/**
 * Runs simulated lives of the ledger on a thread of its own: `deno task test:crash:ledger` starts one for each processor.
 *
 * @module
 */
import type { SimulationResult } from "./simulation.ts";

export interface Job {
  readonly from: number;
  readonly count: number;
}

export interface Done {
  readonly sum: SimulationResult;
  readonly failed: readonly { readonly seed: number; readonly why: string }[];
}

async function runJob({ from, count }: Job): Promise<Done> {
  // Loaded here: these modules wait for WebAssembly, and a job that is posted meanwhile would find nobody listening.
  const { add, nothing, simulate } = await import("./simulation.ts");
  const { loadHash } = await import("../../../proto/ledger/hash.ts");
  const sum = nothing(), failed: { seed: number; why: string }[] = [], hash = await loadHash("blake3");
  for (let seed = from; seed < from + count; seed++) {
    try {
      add(sum, await simulate(seed, hash));
    } catch (error) {
      failed.push({ seed, why: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
    }
  }
  return { sum, failed };
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Job>) => void;
  postMessage: (done: Done) => void;
};
scope.onmessage = async ({ data }) => scope.postMessage(await runJob(data));
