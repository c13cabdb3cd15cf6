import assert from "node:assert/strict";
import { CollectorDelays } from "../../collector/delays.ts";
import { readDelays } from "../../proto/delay_meter.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";

function event(time: number, kind: ProcessEvent["kind"] = "start", reason: string | null = null): ProcessEvent {
  return { kind, time, reason } as ProcessEvent;
}

Deno.test("CollectorDelays measures from the drain and from the event until it is on disk", () => {
  let now = 0;
  const delays = new CollectorDelays(() => now, () => 5_000 + now);
  delays.drained(4);
  delays.offered(3, now, [event(4_996), event(4_996, "stop"), event(0, "modify"), event(0, "start", "fork")]);
  now = 10;
  delays.offered(5, now, [event(5_006)]);
  delays.flushed(2);
  assert.equal(readDelays(delays.counters(), "flushed"), null, "the drain is not on disk as a whole");
  delays.flushed(3);
  assert.deepEqual(readDelays(delays.counters(), "flushed"), { p50: 10, p99: 10, max: 10 });
  assert.deepEqual(readDelays(delays.counters(), "durable"), { p50: 14, p99: 14, max: 14 });
  assert.deepEqual(readDelays(delays.counters(), "drained"), { p50: 4, p99: 4, max: 4 });
  now = 50;
  delays.flushed(9);
  assert.equal(readDelays(delays.counters(), "flushed")!.max, 40);
});

Deno.test("CollectorDelays forgets what waited when the numbers become others", () => {
  const delays = new CollectorDelays(() => 0, () => 0);
  delays.offered(3, 0, [event(0)]);
  delays.forget();
  delays.flushed(100);
  assert.equal(readDelays(delays.counters(), "flushed"), null);
});

Deno.test("CollectorDelays remembers a bounded number of drains while the disk takes nothing", () => {
  let now = 0;
  const delays = new CollectorDelays(() => now, () => now);
  for (let i = 1; i <= 10_000; i++) delays.offered(i, now, [event(0)]);
  now = 1;
  delays.flushed(10_000);
  delays.offered(10_001, now, [event(now)]);
  now = 3;
  delays.flushed(10_001);
  assert.equal(readDelays(delays.counters(), "flushed")!.max, 2);
});
