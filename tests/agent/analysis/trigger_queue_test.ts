import assert from "node:assert/strict";
import { MAX_PENDING, MAX_REMEMBERED, type QueueRequest, TriggerQueue } from "../../../agent/analysis/trigger_queue.ts";
import type { Priority } from "../../../proto/analysis/trigger.ts";

const BY = { id: "trigger", perMinute: 600, againMs: 60_000 };

function newQueue(): { queue: TriggerQueue<QueueRequest>; clock: { now: number }; lost: string[] } {
  const clock = { now: 0 }, lost: string[] = [];
  return { queue: new TriggerQueue(({ key }) => void lost.push(key), () => clock.now), clock, lost };
}

function request(key: string, priority: Priority = "normal", by: QueueRequest["by"] = BY): QueueRequest {
  return { key, priority, by };
}

Deno.test("TriggerQueue gives the most urgent first, of those the oldest", () => {
  const { queue } = newQueue();
  for (const [key, priority] of [["a", "low"], ["b", "normal"], ["c", "critical"], ["d", "normal"]] as const) {
    queue.add(request(key, priority));
  }
  const order: string[] = [];
  for (let next = queue.take(); next !== null; next = queue.take()) order.push(next.request.key);
  assert.deepEqual(order, ["c", "b", "d", "a"]);
});

Deno.test("TriggerQueue asks for the same once while it waits, and not again for its time", () => {
  const { queue, clock } = newQueue();
  assert.equal(queue.add(request("a")), "taken");
  assert.equal(queue.add(request("a")), "repeated");
  assert.deepEqual(queue.take(), { request: request("a"), hits: 2 });
  assert.equal(queue.add(request("a")), "repeated");
  assert.equal(queue.add(request("a", "normal", null)), "taken", "a person is not held back");
  queue.take();
  clock.now = 60_001;
  assert.equal(queue.add(request("a")), "taken");
  assert.equal(queue.counts.analysis_repeated, 2);
});

Deno.test("TriggerQueue holds each trigger to its limit, and says that it falls short", () => {
  const { queue, clock } = newQueue(), by = { id: "slow", perMinute: 2, againMs: 1_000 };
  const verdicts = ["a", "b", "c"].map((key) => queue.add(request(key, "normal", by)));
  assert.deepEqual(verdicts, ["taken", "taken", "limited"]);
  assert.equal(queue.add(request("other")), "taken", "another trigger has a limit of its own");
  assert.ok(queue.isShort);
  clock.now = 30_000;
  assert.equal(queue.add(request("c", "normal", by)), "taken", "what was not taken is not remembered");
  clock.now = 400_000;
  assert.ok(!queue.isShort);
});

Deno.test("TriggerQueue that is full lets go of the newest that is less urgent, or refuses", () => {
  const { queue, lost } = newQueue();
  for (let i = 0; i < MAX_PENDING; i++) queue.add(request(`n${i}`, "normal", { ...BY, id: `t${i}` }));
  assert.equal(queue.add(request("one more")), "dropped");
  assert.equal(queue.add(request("urgent", "high")), "taken");
  assert.deepEqual(lost, [`n${MAX_PENDING - 1}`]);
  assert.equal(queue.size, MAX_PENDING);
  assert.equal(queue.counts.analysis_dropped, 2);
  assert.ok(queue.isShort);
  assert.equal(queue.take()!.request.key, "urgent");
  assert.equal(queue.add(request(lost[0]!)), "taken", "what lost its place may be asked for again");
});

Deno.test("TriggerQueue stays bounded under a storm of other keys", () => {
  const { queue } = newQueue();
  for (let i = 0; i < 100_000; i++) queue.add(request(`k${i}`, "low", { ...BY, id: `t${i % 100}` }));
  const { analysis_hits: hits, analysis_limited: limited, analysis_dropped: dropped } = queue.counts;
  assert.equal(hits, 100_000);
  assert.equal(limited + dropped + queue.size, hits);
  assert.equal(queue.size, MAX_PENDING);
  assert.ok(queue.remembered <= MAX_REMEMBERED);
});
