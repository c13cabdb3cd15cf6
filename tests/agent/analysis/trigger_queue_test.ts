import assert from "node:assert/strict";
import {
  type Asker,
  MAX_PENDING,
  MAX_REMEMBERED,
  TriggerQueue,
  type Verdict,
} from "../../../agent/analysis/trigger_queue.ts";
import type { Priority } from "../../../proto/analysis/trigger.ts";

const BY = { id: "trigger", perMinute: 600, againMs: 60_000 };

function newQueue(): { queue: TriggerQueue<string>; clock: { now: number }; lost: string[] } {
  const clock = { now: 0 }, lost: string[] = [];
  return { queue: new TriggerQueue((key) => void lost.push(key), () => clock.now), clock, lost };
}

/** What waits for a key is the key itself. */
function add(
  queue: TriggerQueue<string>,
  key: string,
  priority: Priority = "normal",
  by: Asker | null = BY,
): Verdict {
  return queue.add(key, priority, by, () => key);
}

Deno.test("TriggerQueue gives the most urgent first, of those the oldest", () => {
  const { queue } = newQueue();
  for (const [key, priority] of [["a", "low"], ["b", "normal"], ["c", "critical"], ["d", "normal"]] as const) {
    add(queue, key, priority);
  }
  const order: string[] = [];
  for (let next = queue.take(); next !== null; next = queue.take()) order.push(next.request);
  assert.deepEqual(order, ["c", "b", "d", "a"]);
});

Deno.test("TriggerQueue asks for the same once while it waits, and not again for its time", () => {
  const { queue, clock } = newQueue();
  assert.equal(add(queue, "a"), "taken");
  assert.equal(add(queue, "a"), "repeated");
  assert.deepEqual(queue.take(), { request: "a", hits: 2 });
  assert.equal(add(queue, "a"), "repeated");
  assert.equal(add(queue, "a", "normal", null), "taken", "a person is not held back");
  queue.take();
  clock.now = 60_001;
  assert.equal(add(queue, "a"), "taken");
  assert.equal(queue.counts.analysis_repeated, 2);
});

Deno.test("TriggerQueue holds each trigger to its limit, and says that it falls short", () => {
  const { queue, clock } = newQueue(), by = { id: "slow", perMinute: 2, againMs: 1_000 };
  const verdicts = ["a", "b", "c"].map((key) => add(queue, key, "normal", by));
  assert.deepEqual(verdicts, ["taken", "taken", "limited"]);
  assert.equal(add(queue, "other"), "taken", "another trigger has a limit of its own");
  assert.ok(queue.isShort);
  clock.now = 30_000;
  assert.equal(add(queue, "c", "normal", by), "taken", "what was not taken is not remembered");
  clock.now = 400_000;
  assert.ok(!queue.isShort);
});

Deno.test("TriggerQueue that is full lets go of the newest that is less urgent, or refuses", () => {
  const { queue, lost } = newQueue();
  for (let i = 0; i < MAX_PENDING; i++) add(queue, `n${i}`, "normal", { ...BY, id: `t${i}` });
  assert.equal(add(queue, "one more"), "dropped");
  assert.equal(add(queue, "urgent", "high"), "taken");
  assert.deepEqual(lost, [`n${MAX_PENDING - 1}`]);
  assert.equal(queue.size, MAX_PENDING);
  assert.equal(queue.counts.analysis_dropped, 2);
  assert.ok(queue.isShort);
  assert.equal(queue.take()!.request, "urgent");
  assert.equal(add(queue, lost[0]!), "taken", "what lost its place may be asked for again");
});

Deno.test("TriggerQueue makes nothing for what it does not take", () => {
  const { queue } = newQueue(), by = { id: "slow", perMinute: 2, againMs: 1_000 }, made: string[] = [];
  const ask = (key: string): Verdict => queue.add(key, "normal", by, () => (made.push(key), key));
  assert.deepEqual(["a", "a", "b", "c"].map(ask), ["taken", "repeated", "taken", "limited"]);
  assert.deepEqual(made, ["a", "b"]);
});

Deno.test("TriggerQueue stays bounded under a storm of other keys", () => {
  const { queue } = newQueue();
  for (let i = 0; i < 100_000; i++) add(queue, `k${i}`, "low", { ...BY, id: `t${i % 100}` });
  const { analysis_hits: hits, analysis_limited: limited, analysis_dropped: dropped } = queue.counts;
  assert.equal(hits, 100_000);
  assert.equal(limited + dropped + queue.size, hits);
  assert.equal(queue.size, MAX_PENDING);
  assert.ok(queue.remembered <= MAX_REMEMBERED);
});
