/**
 * Runs simulated lives on a thread of its own: `deno task test:crash` starts one for each processor.
 *
 * @module
 */
import { serveSeeds } from "../../crash/seeds.ts";
import { add, nothing, simulate } from "./simulation.ts";

serveSeeds(nothing, add, (seed) => simulate(seed));
