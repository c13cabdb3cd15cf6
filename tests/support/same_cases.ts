/**
 * Loaded before the tests: properties are tried with the same cases in each run, so that a run fails for what was changed.
 * New cases are looked for by `deno task test:properties`.
 *
 * @module
 */
import fc from "fast-check";

fc.configureGlobal({ seed: 20_261_122 });
