import assert from "node:assert/strict";
import fc from "fast-check";
import { CountedLosses } from "../../collector/counted_losses.ts";

const S = 1e9;

Deno.test("CountedLosses explains as many records of a kind and time as were lost, and no more", () => {
  const losses = new CountedLosses();
  losses.add(0, 10 * S, 10.1 * S, 2);
  losses.add(0, 10.1 * S, 10.2 * S, 1);
  assert.equal(losses.explain(1, 10 * S), false, "of another kind");
  assert.equal(losses.explain(0, 8.9 * S), false, "from before");
  assert.equal(losses.explain(0, 15.3 * S), false, "from after");
  assert.deepEqual([10, 10.1, 10.2, 10.2].map((at) => losses.explain(0, at * S)), [true, true, true, false]);
});

Deno.test("CountedLosses forgets a loss after four rounds", () => {
  const losses = new CountedLosses();
  losses.add(2, 10 * S, 11 * S, 3);
  assert.equal(losses.explain(2, 10 * S), true);
  for (let round = 0; round < 3; round++) losses.endRound();
  assert.equal(losses.explain(2, 10 * S), true);
  losses.endRound();
  assert.equal(losses.explain(2, 10 * S), false);
});

Deno.test("CountedLosses never explains more than was counted, in whatever pieces it came", () => {
  const loss = fc.record({ from: fc.integer({ min: 0, max: 5_000 }), length: fc.integer({ min: 0, max: 400 }) });
  fc.assert(
    fc.property(fc.array(loss, { maxLength: 30 }), fc.array(fc.nat(6_000), { maxLength: 60 }), (lost, asked) => {
      const losses = new CountedLosses();
      lost.sort((a, b) => a.from - b.from);
      for (const { from, length } of lost) losses.add(1, from * 1e6, (from + length) * 1e6, 1);
      const explained = asked.filter((at) => losses.explain(1, at * 1e6)).length;
      // All of it is within the seconds by which the two may lie apart, but for what was made too soon.
      assert.ok(explained <= lost.length);
      const within = asked.filter((at) => lost.every(({ from }) => at >= from - 1_000 && at <= from + 5_000)).length;
      assert.ok(explained >= Math.min(lost.length, within));
    }),
  );
});
