/**
 * A short run of `deno task fuzz`, with the same inputs each time.
 */
import assert from "node:assert/strict";
import { fuzz } from "../fuzz/fuzz.ts";
import { targets } from "../fuzz/targets.ts";

/** For all targets together, by their shares. */
const INPUTS = 400_000;
const SEED = 1;

for (const target of targets) {
  Deno.test(`fuzz: ${target.name} stands any input`, () => {
    const count = Math.min(20_000, Math.ceil(INPUTS * target.share / 1_000_000));
    const { findings, inputs } = fuzz(target, { seed: SEED, count });
    const told = findings.map(({ index, what, input }) =>
      `deno task fuzz '${target.name}' --seed ${SEED} --from ${index} --count 1\n${what}\n${input}`
    );
    assert.deepEqual(told, []);
    assert.equal(inputs, count);
  });
}
