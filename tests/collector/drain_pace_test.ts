import assert from "node:assert/strict";
import { DrainPace, LEAST_PAUSE_MS, MOST_PAUSE_MS } from "../../collector/drain_pace.ts";

/** Pauses that come of this many records a millisecond, for `ms`; drains take no time here. */
function pauses(rate: number, ms: number, pace: DrainPace, clock: { now: number }): number[] {
  const pauses: number[] = [];
  for (const end = clock.now + ms; clock.now < end;) {
    const pause = pauses.at(-1) ?? LEAST_PAUSE_MS;
    clock.now += pause;
    pauses.push(pace.next(rate * pause));
  }
  return pauses;
}

function world(): [DrainPace, { now: number }] {
  const clock = { now: 0 };
  return [new DrainPace(() => clock.now), clock];
}

Deno.test("DrainPace keeps the pause short at a thousand events a second", () => {
  // Fork, exec and exit for two events.
  assert.ok(Math.max(...pauses(1.5, 1_000, ...world())) <= 6);
});

Deno.test("DrainPace lengthens the pause with the rate, to a bound", () => {
  const settled = [0.1, 4.2, 7.5, 15.2, 30, 300].map((rate) => pauses(rate, 2_000, ...world()).at(-1));
  assert.deepEqual(settled, [LEAST_PAUSE_MS, 10, 15, 27, MOST_PAUSE_MS, MOST_PAUSE_MS]);
});

Deno.test("DrainPace takes a burst after quiet for no storm, and a storm for one soon", () => {
  const [pace, clock] = world();
  clock.now += 1_000;
  assert.equal(pace.next(2), LEAST_PAUSE_MS);
  assert.ok(Math.max(...pauses(6, 12, pace, clock)) <= LEAST_PAUSE_MS + 2);
  assert.ok(pauses(20, 150, pace, clock).at(-1)! >= 28);
});

Deno.test("DrainPace is back at the least pause soon after a storm, and at once after a wait", () => {
  const [pace, clock] = world();
  pauses(20, 1_000, pace, clock);
  assert.equal(pauses(0.1, 300, pace, clock).at(-1), LEAST_PAUSE_MS);
  pauses(20, 1_000, pace, clock);
  clock.now += 1_000;
  assert.equal(pace.next(3), LEAST_PAUSE_MS);
});

Deno.test("DrainPace does not mind drains at the same moment", () => {
  const [pace, clock] = world();
  clock.now += 4;
  for (let i = 0; i < 5; i++) assert.equal(pace.next(2), LEAST_PAUSE_MS);
});
