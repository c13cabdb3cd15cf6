/**
 * Runs simulated lives on a thread of its own: `deno task test:crash` starts one for each processor.
 *
 * @module
 */
import { add, nothing, simulate, type SimulationResult } from "./simulation.ts";

export interface Job {
  readonly from: number;
  readonly count: number;
}

export interface Done {
  readonly sum: SimulationResult;
  readonly failed: readonly { readonly seed: number; readonly why: string }[];
}

function runJob({ from, count }: Job): Done {
  const sum = nothing(), failed: { seed: number; why: string }[] = [];
  for (let seed = from; seed < from + count; seed++) {
    try {
      add(sum, simulate(seed));
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
scope.onmessage = ({ data }) => scope.postMessage(runJob(data));
