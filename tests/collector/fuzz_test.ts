/**
 * A short run of `deno task fuzz`, with the same inputs each time.
 */
import assert from "node:assert/strict";
import { fuzz } from "../fuzz/fuzz.ts";
import { targets } from "../fuzz/targets.ts";

/** For all targets together, by their shares. */
const INPUTS = 400_000;
const SEED = 1;
/** Groups of which `.ci/run` feeds these same inputs and many more: here a tenth of them. */
const FED_LONGER = ["wal", "frame", "bundle"];

for (const target of targets) {
  Deno.test(`fuzz: ${target.name} stands any input`, () => {
    const most = Math.min(20_000, Math.ceil(INPUTS * target.share / 1_000_000));
    const count = FED_LONGER.includes(target.name.split(":", 1)[0]!) ? Math.ceil(most / 10) : most;
    const { findings, inputs } = fuzz(target, { seed: SEED, count });
    const told = findings.map(({ index, what, input }) =>
      `deno task fuzz '${target.name}' --seed ${SEED} --from ${index} --count 1\n${what}\n${input}`
    );
    assert.deepEqual(told, []);
    assert.equal(inputs, count);
  });
}
