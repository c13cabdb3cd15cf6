import assert from "node:assert/strict";
import { add, nothing, simulate } from "./simulation.ts";
import { BLAKE3 } from "./support.ts";

Deno.test("300 simulated lives on a bad disk: the ledger verifies after each crash and contradicts nothing", async () => {
  const sum = nothing();
  for (let seed = 1; seed <= 300; seed++) {
    add(sum, await simulate(seed, BLAKE3));
  }
  assert.ok(
    sum.crashes > 500 && sum.checkpoints > 1_000 && sum.rotations > 50 && sum.seals > 1_000,
    JSON.stringify(sum),
  );
});
