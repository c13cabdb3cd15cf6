import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_UNMATCHED, UnmatchedRecords } from "../../collector/unmatched.ts";

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
        assert.deepEqual(table.expire().sort((a, b) => a.time - b.time), plain);
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
  assert.deepEqual(table.expire(), []);
  const expired = table.expire();
  assert.deepEqual(expired, [{ source: 1, kind: 2, pid: 77, time: 5 }]);
  table.putBack(expired[0]!);
  assert.deepEqual(table.expire(), []);
  assert.deepEqual(table.expire(), expired);
  assert.equal(table.size, 0);
  table.take(0, 0, 1, 1);
  table.clear();
  assert.equal(table.size, 0);
});
