import assert from "node:assert/strict";
import { ForkBalance } from "../../collector/fork_balance.ts";

Deno.test("ForkBalance tells tasks that only the kernel counted, once, when they show twice", () => {
  const balance = new ForkBalance();
  assert.equal(balance.compare(0, 1_000, 0), 0);
  assert.equal(balance.compare(10, 1_010, 10), 0);
  assert.equal(balance.compare(10, 1_012, 10), 0, "they may be under way");
  assert.equal(balance.compare(20, 1_022, 20), 2);
  assert.equal(balance.compare(20, 1_022, 20), 0);
});

Deno.test("ForkBalance passes over what moved, what is under way and what is unknown", () => {
  const balance = new ForkBalance();
  assert.equal(balance.compare(5, 1_006, 5), 0, "one is under way at the first look");
  assert.equal(balance.compare(6, 1_006, 6), 0);
  assert.equal(balance.compare(6, 1_007, 6), 0, "one is under way");
  assert.equal(balance.compare(7, 1_007, 7), 0);
  assert.equal(balance.compare(7, 1_009, 8), 0, "the source moved meanwhile");
  assert.equal(balance.compare(9, null, 9), 0);
  assert.equal(balance.compare(9, 1_009, 9), 0);
  balance.reset();
  assert.equal(balance.compare(9, 5_000, 9), 0, "the source lost some");
  assert.equal(balance.compare(9, 5_000, 9), 0);
});
