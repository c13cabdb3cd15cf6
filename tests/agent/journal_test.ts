import assert from "node:assert/strict";
import { Journal } from "../../agent/journal.ts";

Deno.test("Journal makes what it writes harmless", () => {
  const lines: string[] = [];
  const journal = new Journal((line) => lines.push(line));
  journal.say("a\x1b[2J");
  journal.notice("b\nc");
  assert.deepEqual(lines, ["agent: a\\x1b[2J", "agent: b\\nc"]);
});

Deno.test("Journal rations the lines of a flood and counts all of it", () => {
  const lines: string[] = [];
  const journal = new Journal((line) => lines.push(line));
  for (let i = 0; i < 10_000; i++) journal.notice(`connection ${i} was refused`);
  assert.ok(lines.length < 100);
  assert.equal(journal.log.count, 10_000);
});
