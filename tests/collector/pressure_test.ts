import assert from "node:assert/strict";
import { MAX_FACTOR, Pressure } from "../../collector/pressure.ts";

Deno.test("Pressure rises at 70 %, is released at 50 %, and says each once", () => {
  const pressure = new Pressure();
  assert.deepEqual([0.1, 0.69, 0.7, 0.9, 0.6, 0.51, 0.5, 0.65].map((load) => pressure.update(load)), [
    null,
    null,
    "raised",
    null,
    null,
    null,
    "released",
    null,
  ]);
});

Deno.test("Pressure doubles the interval with each table that is read, up to a bound, and forgets it when released", () => {
  const pressure = new Pressure();
  pressure.lengthen();
  assert.equal(pressure.stretched(1_000), 1_000);
  pressure.update(0.8);
  const intervals = Array.from({ length: 6 }, () => {
    const interval = pressure.stretched(1_000);
    pressure.lengthen();
    return interval;
  });
  assert.deepEqual(intervals, [2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
  assert.equal(pressure.stretched(1), MAX_FACTOR);
  pressure.update(0.4);
  assert.equal(pressure.stretched(1_000), 1_000);
});
