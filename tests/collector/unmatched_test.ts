import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_UNMATCHED, NEAR_NS, UnmatchedRecords } from "../../collector/unmatched.ts";

Deno.test("UnmatchedRecords matches as a list of everything would, in any order", () => {
  const record = fc.record({
    source: fc.constantFrom(0, 1),
    kind: fc.constantFrom(0, 1, 2),
    pid: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 0x3f_ffff })),
  });
  const step = fc.oneof({ weight: 20, arbitrary: record }, { weight: 1, arbitrary: fc.constant("round" as const) });
  fc.assert(fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
    const table = new UnmatchedRecords();
    let waiting: { source: number; kind: number; pid: number; time: number; round: number }[] = [], round = 0;
    steps.forEach((step, time) => {
      if (step === "round") {
        const due = waiting.filter((one) => one.round < round);
        waiting = waiting.filter((one) => one.round >= round);
        round++;
        const plain = due.map(({ round: _, ...one }) => one);
        assert.deepEqual(table.expire(), { matched: 0, alone: plain });
        return;
      }
      const { source, kind, pid } = step;
      const at = waiting.findIndex((one) => one.source !== source && one.kind === kind && one.pid === pid);
      assert.equal(table.take(source, kind, pid, time), at < 0 ? "waits" : "matched");
      if (at < 0) waiting.push({ source, kind, pid, time, round });
      else waiting.splice(at, 1);
      assert.equal(table.size, waiting.length);
    });
  }));
});

Deno.test("UnmatchedRecords holds so many and no more, and finds each again", () => {
  const table = new UnmatchedRecords();
  for (let pid = 1; pid <= MAX_UNMATCHED; pid++) assert.equal(table.take(0, 0, pid, pid), "waits");
  assert.equal(table.take(0, 0, MAX_UNMATCHED + 1, 0), "full");
  assert.equal(table.take(0, 0, 0x40_0000, 0), "full", "no pid");
  for (let pid = MAX_UNMATCHED; pid > 0; pid--) assert.equal(table.take(1, 0, pid, 0), "matched");
  assert.equal(table.size, 0);
});

Deno.test("UnmatchedRecords hands out what waited for a round, and takes it back for another two", () => {
  const table = new UnmatchedRecords();
  table.take(1, 2, 77, 5);
  assert.deepEqual(table.expire().alone, []);
  const { alone } = table.expire();
  assert.deepEqual(alone, [{ source: 1, kind: 2, pid: 77, time: 5 }]);
  table.putBack(alone[0]!);
  assert.deepEqual(table.expire().alone, []);
  assert.deepEqual(table.expire().alone, alone);
  assert.equal(table.size, 0);
  table.take(0, 0, 1, 1);
  table.clear();
  assert.equal(table.size, 0);
});

Deno.test("UnmatchedRecords leaves a pid's next process its own counterpart when one was lost", () => {
  const table = new UnmatchedRecords(), lives = [1, 2, 3, 4].map((life) => life * 4e9);
  table.take(1, 0, 77, lives[0]!);
  for (const time of lives.slice(1)) {
    assert.equal(table.take(0, 0, 77, time + 1e6), "waits");
    assert.equal(table.take(1, 0, 77, time), "matched");
  }
  table.expire();
  assert.deepEqual(table.expire(), { matched: 0, alone: [{ source: 1, kind: 0, pid: 77, time: lives[0]! }] });
});

Deno.test("UnmatchedRecords matches what the kernel told long apart, when nothing nearer can come", () => {
  const table = new UnmatchedRecords(), begun = 1e9, told = begun + 3 * NEAR_NS;
  table.take(0, 1, 77, begun);
  assert.equal(table.take(1, 1, 77, told), "waits");
  table.expire();
  assert.deepEqual(table.expire(), { matched: 1, alone: [] });
  // The second comes a round later: the first waits for it, as its own counterpart may yet come.
  table.take(0, 1, 78, begun);
  table.expire();
  table.take(1, 1, 78, told);
  assert.deepEqual(table.expire(), { matched: 0, alone: [] });
  assert.deepEqual(table.expire(), { matched: 1, alone: [] });
  assert.equal(table.size, 0);
  // And is alone when that one was another process'.
  table.take(0, 1, 79, begun);
  table.expire();
  table.take(1, 1, 79, told);
  assert.deepEqual(table.expire().alone, []);
  assert.equal(table.take(0, 1, 79, told), "matched");
  assert.deepEqual(table.expire().alone, [{ source: 0, kind: 1, pid: 79, time: begun }]);
});
