import assert from "node:assert/strict";
import { every, untilBeat } from "../../agent/beat.ts";

Deno.test("what is done every second and every two seconds meets, and none is done twice when a timer is early", () => {
  assert.equal(untilBeat(1_000, 5_300), 700);
  assert.equal(untilBeat(2_000, 5_300), 700);
  assert.equal(untilBeat(1_000, 6_000), 1_000);
  assert.equal(untilBeat(1_000, 6_001.5), 998.5);
  assert.equal(untilBeat(1_000, 5_999.6).toFixed(1), "1000.4");
  for (let now = 0; now < 4_000; now += 7) {
    const wait = untilBeat(1_000, now);
    assert.ok(wait >= 250 && wait < 1_250 && (now + wait) % 1_000 === 0, `${now}`);
  }
});

Deno.test("every() does what is due together in one waking, and nothing that was stopped", async () => {
  const done: string[] = [], { promise: third, resolve } = Promise.withResolvers<void>();
  let fast = 0;
  const a = every(40, () => {
    done.push("a");
    gone.stop();
    // Timers that are due at once are run one after another, and what they queued between them.
    queueMicrotask(() => done.push("|"));
    if (++fast === 3) resolve();
  });
  const b = every(40, () => void done.push("b"));
  const gone = every(40, () => void done.push("gone"));
  await third;
  for (const repeated of [a, b]) repeated.stop();
  assert.match(done.join(""), /^(ab\|){2}ab?\|?$/);
});

Deno.test("every() takes another interval at once, and a stopped one leaves no timer", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = every(3_600_000, resolve);
  slow.pace(20);
  await promise;
  slow.stop();
});
