import assert from "node:assert/strict";
import { Deadlines, type Timed } from "../../collector/deadlines.ts";
import { eventually } from "../support/patience.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function standStill(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

Deno.test("Deadlines gives up what takes longer, and no time counts in which this thread stands still", async () => {
  const late: string[] = [];
  const deadlines = new Deadlines<Timed & { name: string }>(400, ({ name }) => late.push(name), () => {});
  const slow = { name: "slow", due: 0 }, hindered = { name: "hindered", due: 0 };
  deadlines.begun(hindered);
  standStill(1_000);
  await pause(0); // what has ended meanwhile is told after the timers
  assert.deepEqual(late, []);
  deadlines.ended(hindered);
  deadlines.begun(slow);
  await eventually("it is late", () => late.length > 0);
  assert.deepEqual([late, deadlines.running.size], [["slow"], 0]);
  deadlines.stop();
});
