import assert from "node:assert/strict";
import { type Candidate, type Placement, Placing } from "../../../agent/tasks/placement.ts";

function taken(placement: Placement, candidates: readonly Candidate[], times: number): string {
  const placing = new Placing();
  return Array.from({ length: times }, () => placing.choose(candidates, placement).collectorId).join("");
}

const of = (...list: [string, number, number][]): Candidate[] =>
  list.map(([collectorId, load, weight]) => ({ collectorId, load, weight }));

Deno.test("round-robin takes each in turn, whatever their order", () => {
  assert.equal(taken("round-robin", of(["c", 9, 1], ["a", 0, 1], ["b", 0, 1]), 7), "abcabca");
});

Deno.test("least-loaded takes the one with the fewest calls, and equals in turn", () => {
  assert.equal(taken("least-loaded", of(["a", 2, 1], ["b", 1, 1], ["c", 1, 1]), 5), "bcbcb");
  assert.equal(taken("least-loaded", of(["a", 0, 1]), 2), "aa");
});

Deno.test("weighted gives each its share, spread evenly", () => {
  const all = taken("weighted", of(["a", 0, 3], ["b", 0, 1], ["c", 0, 1]), 50);
  assert.deepEqual(["a", "b", "c"].map((name) => all.split(name).length - 1), [30, 10, 10]);
  assert.doesNotMatch(all, /aaa/);
});

Deno.test("who has gone is not waited for", () => {
  const placing = new Placing(), one = of(["a", 0, 1], ["b", 0, 1]);
  assert.equal(placing.choose(one, "round-robin").collectorId, "a");
  assert.equal(placing.choose(of(["a", 0, 1]), "round-robin").collectorId, "a");
  assert.equal(placing.choose(of(["0", 0, 1], ["b", 0, 1]), "round-robin").collectorId, "b");
});
