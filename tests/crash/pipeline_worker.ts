/**
 * Runs simulated lives of the whole pipeline on a thread of its own: `deno task test:crash` starts one for each
 * processor.
 *
 * @module
 */
import { prepare, simulate } from "./pipeline.ts";
import { add, nothing } from "./pipeline_result.ts";
import { serveSeeds } from "./seeds.ts";

const ground = prepare();
serveSeeds(nothing, add, (seed) => simulate(seed, ground));
