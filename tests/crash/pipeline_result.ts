/** What one simulated life of the pipeline showed, in counts that add up over many. */
import type { Tally } from "./stored.ts";

/** Counts of one life, or of several together. */
export interface PipelineResult extends Tally {
  /** Alerts of which the audit ledger knows. */
  entered: number;
  /** Events of logs that were replaced which no digest covers. */
  bare: number;
  /** Deaths of either side. */
  collectors: number;
  agents: number;
  connections: number;
  cuts: number;
  flips: number;
  stalls: number;
  /** Times that the store found its disk full. */
  full: number;
  steps: number;
}

/** Counts of no life. */
export function nothing(): PipelineResult {
  return {
    acknowledged: 0,
    present: 0,
    doubled: 0,
    lost: 0,
    durable: 0,
    arrived: 0,
    torn: 0,
    told: 0,
    alerts: 0,
    entered: 0,
    bare: 0,
    collectors: 0,
    agents: 0,
    connections: 0,
    cuts: 0,
    flips: 0,
    stalls: 0,
    full: 0,
    steps: 0,
  };
}

/** Adds what one life showed to what others did. */
export function add(sum: PipelineResult, one: PipelineResult): void {
  for (const key of Object.keys(sum) as (keyof PipelineResult)[]) sum[key] += one[key];
}
