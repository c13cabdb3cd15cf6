import assert from "node:assert/strict";
import { EventTriggers } from "../../../agent/analysis/event_triggers.ts";
import { NO_PLAN, readPlan } from "../../../proto/analysis/plan.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { start } from "../support.ts";

const CHAIN = "chain: look\ntitle: t\nstages: [{ stage: hash, timeout: 1s }]\n";
const PLAN = readPlan([
  ["c.yml", CHAIN],
  ["a.yml", "trigger: is-a\ntitle: t\nchain: look\nwhen: { path: [/opt/] }\n"],
  ["b.yml", "trigger: is-b\ntitle: t\nchain: look\nwhen: { name: [evil] }\n"],
  [
    "r.yml",
    "trigger: is-r\ntitle: t\nchain: look-2\nafter: [look]\nwhen: { results: SELECT packer FROM file_facts }\n",
  ],
  ["c2.yml", CHAIN.replace("look\n", "look-2\n")],
]);

function row(executablePath: string, name = "prog"): readonly SqlValue[] {
  return eventRow(start(1, { executablePath, name }), 1, "col");
}

Deno.test("EventTriggers tells of each event which triggers want it, and of none that they do not want", async () => {
  assert.deepEqual(PLAN.rejected, []);
  using triggers = EventTriggers.of(PLAN)!;
  const batch = [row("/usr/bin/x"), row("/opt/x"), row("/opt/y", "evil"), row("/usr/bin/z", "evil")];
  const { hits, faults } = await triggers.judge(batch);
  assert.deepEqual(
    hits.map(({ wish: { trigger, chain }, row }) => [trigger.id, chain.id, batch.indexOf(row)]),
    [["is-a", "look", 1], ["is-a", "look", 2], ["is-b", "look", 2], ["is-b", "look", 3]],
  );
  assert.deepEqual(faults, []);
  assert.equal(EventTriggers.of(NO_PLAN), null);
});

Deno.test("EventTriggers gives way to other work, and judges to its end a batch in which others take its place", async () => {
  const triggers = EventTriggers.of(PLAN)!, plain = row("/usr/bin/x");
  const batch = [...Array.from({ length: 300_000 }, () => plain), row("/opt/x")];
  const judged = triggers.judge(batch);
  let isJudged = false;
  void judged.then(() => isJudged = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(isJudged, false, "it is still at it");
  triggers[Symbol.dispose]();
  const { hits } = await judged;
  assert.deepEqual(hits.map(({ wish }) => wish.trigger.id), ["is-a"]);
});
