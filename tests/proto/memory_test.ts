import assert from "node:assert/strict";
import { MemoryKeeper } from "../../proto/memory.ts";

/** A minute of looks. */
function look(keeper: MemoryKeeper): void {
  for (let i = 0; i < 12; i++) keeper.look();
}

Deno.test("MemoryKeeper gives back what a burst has left, once, and not while events wait", () => {
  let resident = 90e6, floor = 70e6, isQuiet = true, given = 0;
  const keeper = new MemoryKeeper({
    resident: () => resident,
    giveBack: () => {
      given += 1;
      resident = floor;
    },
    isQuiet: () => isQuiet,
  });
  look(keeper);
  assert.equal(given, 0, "the start is not over");
  keeper.settle();
  assert.deepEqual([given, resident], [1, 70e6]);
  resident = 77e6;
  look(keeper);
  assert.equal(given, 1, "it has not grown by much");
  resident = 120e6;
  isQuiet = false;
  look(keeper);
  assert.equal(given, 1, "events wait");
  isQuiet = true;
  look(keeper);
  assert.deepEqual([given, resident], [2, 70e6]);
  // What is in use now
  resident = floor = 100e6;
  look(keeper);
  look(keeper);
  assert.equal(given, 3);
});
