import assert from "node:assert/strict";
import { AbsenceQueue } from "../../../proto/rules/absence_queue.ts";
import { SETTLE_MS } from "../../../proto/rules/correlation_plan.ts";

const WINDOW_MS = 1_000;

/** When an event of that time is due. */
function due(time: number): number {
  return time + WINDOW_MS + SETTLE_MS;
}

Deno.test("AbsenceQueue gives what is due, in the order of time, by group", () => {
  const queue = new AbsenceQueue(WINDOW_MS);
  assert.equal(queue.due, Infinity);
  for (const [key, time] of [["a", 30], ["b", 10], ["a", 20], ["b", 40]] as const) queue.put(key, time, false);
  assert.equal(queue.due, due(10));
  assert.deepEqual([...queue.take(due(10) - 1)], []);
  assert.deepEqual([...queue.take(due(30))], [["b", [10]], ["a", [20, 30]]]);
  assert.equal(queue.due, due(40));
});

Deno.test("AbsenceQueue gives back what was taken when the batch is undone, and not when it is kept", () => {
  const queue = new AbsenceQueue(WINDOW_MS);
  queue.put("a", 10, false);
  queue.put("b", 20, false);
  queue.take(due(10));
  queue.undo();
  assert.equal(queue.due, due(10));
  queue.take(due(10));
  queue.keep();
  queue.undo();
  assert.equal(queue.due, due(20));
  queue.remove("b", 20);
  assert.equal(queue.due, Infinity);
});

Deno.test("AbsenceQueue leaves out, after a restart, what was told before it", () => {
  const queue = new AbsenceQueue(WINDOW_MS);
  queue.put("a", 5, false);
  queue.clear(due(10));
  queue.put("a", 10, true);
  assert.equal(queue.due, Infinity);
  queue.put("a", 11, true);
  queue.put("b", 10, false);
  assert.deepEqual([...queue.take(due(11))], [["b", [10]], ["a", [11]]]);
});

Deno.test("AbsenceQueue forgets up to a time, and beyond one", () => {
  const queue = new AbsenceQueue(WINDOW_MS);
  for (const time of [10, 20, 30]) queue.put("a", time, false);
  queue.evict(10);
  queue.evictAfter(20);
  assert.deepEqual([...queue.take(due(30))], [["a", [20]]]);
});
