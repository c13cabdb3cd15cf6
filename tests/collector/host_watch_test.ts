/**
 * Sleeps and steps of the host's clock. This machine is shared: nobody may put it to sleep or set its clock for a test,
 * so the clock is the test's.
 */
import assert from "node:assert/strict";
import type { Gap } from "../../proto/process_event.ts";
import { HostWatch } from "../../collector/host_watch.ts";
import { kernelClock } from "../../collector/kernel/clock.ts";
import { BOOT_MS, exec, S, TestWorld } from "../support/lifecycle_world.ts";

function gapsOf(world: TestWorld): Gap[] {
  return world.lifecycle.flush(BOOT_MS).gaps;
}

Deno.test("a step of the clock is a gap in the new clock that says what the old one showed", () => {
  const world = new TestWorld();
  world.nowNs = 101 * S;
  assert.deepEqual(gapsOf(world), []);
  world.nowNs = 102 * S;
  world.offsetMs += 3_600_000;
  assert.deepEqual(gapsOf(world), [{
    source: "host",
    recordKind: "all",
    from: BOOT_MS + 3_600_000 + 101_000,
    to: BOOT_MS + 3_600_000 + 102_000,
    count: 0,
    reason: "the clock was set by +3600.0 s, from 2023-11-14T22:15:02.000Z to 2023-11-14T23:15:02.000Z; " +
      "earlier events have the old time",
  }]);
  assert.deepEqual(gapsOf(world), [], "once");
  world.offsetMs -= 5_000;
  assert.match(gapsOf(world)[0]!.reason, /^the clock was set by -5\.0 s, from/);
  world.offsetMs = -1e18;
  const [mad] = gapsOf(world);
  assert.match(mad!.reason, /to an impossible time/);
  assert.deepEqual([mad!.from, mad!.to], [0, 0], "a gap must be sendable whatever the clock shows");
});

Deno.test("a clock that is slewed makes no gap, nor does one that drifts for days", () => {
  const world = new TestWorld();
  for (let i = 0; i < 1_000; i++) {
    world.offsetMs += 999;
    assert.deepEqual(gapsOf(world), []);
  }
});

Deno.test("a sleep of the host is a gap of its own, and no step of the clock", () => {
  const world = new TestWorld();
  world.nowNs += 3_601 * S;
  world.sleptNs += 3_600 * S;
  assert.deepEqual(gapsOf(world), [{
    source: "host",
    recordKind: "all",
    from: BOOT_MS + 100_000,
    to: BOOT_MS + 3_701_000,
    count: 0,
    reason: "the host slept 3600.0 s; nothing ran",
  }]);
  // Read too small, as when this process was held up between two clocks, and right again.
  world.sleptNs -= 3 * S;
  assert.deepEqual(gapsOf(world), []);
  world.sleptNs += 3 * S;
  assert.deepEqual(gapsOf(world), []);
});

Deno.test("being held up between two clocks is no step", () => {
  const offsets = [1_000, 1_000, -4_000, 1_000, 1_000];
  const watch = new HostWatch({ bootTimeNs: () => S, sleptNs: () => 0, bootOffsetMs: () => offsets.shift()! });
  assert.deepEqual([watch.look(), watch.look(), watch.look()], [[], [], []]);
  assert.deepEqual(offsets, []);
});

Deno.test("events after a step have the new time", () => {
  const world = new TestWorld();
  world.offsetMs += 5_000;
  const { gaps } = world.lifecycle.flush(BOOT_MS);
  assert.equal(gaps.length, 1);
  const [start] = world.receive(exec(10, 1, 99 * S)).events();
  assert.equal(start!.time, BOOT_MS + 5_000 + 99_000);
});

Deno.test("the kernel's clocks show neither where neither happened", () => {
  const watch = new HostWatch(kernelClock);
  for (let i = 0; i < 1_000; i++) assert.deepEqual(watch.look(), []);
  assert.ok(Math.abs(watch.offsetMs + watch.looked / 1e6 - Date.now()) < 10_000);
});
