import assert from "node:assert/strict";
import { delayCounters, DelayMeter, isDelay, readDelays, SPAN_MS } from "../../proto/delay_meter.ts";

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= expected * 0.06, `${actual} is not near ${expected}`);
}

Deno.test("DelayMeter gives the usual, the rare and the longest time", () => {
  const meter = new DelayMeter(() => 0);
  assert.equal(meter.read(), null);
  for (let ms = 1; ms <= 1_000; ms++) meter.add(ms);
  const { count, p50, p99, max } = meter.read()!;
  near(p50, 500);
  near(p99, 990);
  assert.deepEqual([count, max], [1_000, 1_000]);
});

Deno.test("DelayMeter counts a time several times over, and one below zero as none", () => {
  const meter = new DelayMeter(() => 0);
  meter.add(0.004, 99);
  meter.add(-5);
  meter.add(80, 100);
  const { count, p50, p99 } = meter.read()!;
  assert.equal(count, 200);
  near(p50, 0.004);
  near(p99, 80);
});

Deno.test("DelayMeter says no more than was measured, and keeps what has no class", () => {
  const meter = new DelayMeter(() => 0);
  meter.add(3);
  assert.deepEqual(meter.read(), { count: 1, p50: 3, p99: 3, max: 3 });
  meter.add(Infinity);
  assert.equal(meter.read()!.max, Infinity);
  assert.equal(meter.read()!.count, 2);
});

Deno.test("DelayMeter forgets what is older than twice its span", () => {
  let now = 0;
  const meter = new DelayMeter(() => now);
  meter.add(100);
  now = SPAN_MS;
  assert.equal(meter.read()!.max, 100);
  meter.add(1);
  assert.equal(meter.read()!.count, 2);
  now = 2 * SPAN_MS;
  assert.deepEqual(meter.read(), { count: 1, p50: 1, p99: 1, max: 1 });
  now = 3 * SPAN_MS;
  assert.equal(meter.read(), null);
});

Deno.test("DelayMeter forgets all when it was not asked for long", () => {
  let now = 0;
  const meter = new DelayMeter(() => now);
  meter.add(100);
  now = 2 * SPAN_MS;
  assert.equal(meter.read(), null);
});

Deno.test("delayCounters() names the figures of what was measured, and readDelays() finds them", () => {
  const meter = new DelayMeter(() => 0);
  meter.add(2.5);
  const counters = delayCounters({ judged: meter, silent: new DelayMeter(() => 0) });
  assert.deepEqual(counters, { delay_judged_p50_ms: 2.5, delay_judged_p99_ms: 2.5, delay_judged_max_ms: 2.5 });
  assert.ok(Object.keys(counters).every(isDelay));
  assert.deepEqual(readDelays({ ...counters, events: 1 }, "judged"), { p50: 2.5, p99: 2.5, max: 2.5 });
  assert.equal(readDelays(counters, "silent"), null);
});
