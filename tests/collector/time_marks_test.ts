import assert from "node:assert/strict";
import { TimeMarks } from "../../collector/time_marks.ts";

Deno.test("TimeMarks never makes an item younger than it is, and older by little", () => {
  const marks = new TimeMarks();
  assert.equal(marks.timeOf(1), null);
  for (let i = 0; i < 10_000; i++) marks.add(i + 1, i * 100);
  for (const sequence of [1, 2, 5_000, 9_990, 10_000]) {
    const time = marks.timeOf(sequence)!, real = (sequence - 1) * 100;
    assert.ok(time <= real && real - time <= 2_000, `${sequence}: ${time} for ${real}`);
  }
  marks.forgetBelow(5_000);
  assert.ok(marks.timeOf(5_000)! <= 499_900 && marks.timeOf(5_000)! > 490_000);
  assert.ok(marks.timeOf(1)! > 400_000, "what is forgotten has the first time that is left");
});

Deno.test("TimeMarks stays bounded, and keeps the oldest", () => {
  const marks = new TimeMarks();
  for (let i = 0; i < 100_000; i++) marks.add(i + 1, i * 2_000);
  assert.equal(marks.timeOf(1), 0);
  assert.ok(marks.timeOf(100_000)! <= 199_998_000);
});
