/** Whose the directories are, against a literal table, so that a widening shows in review. */
import assert from "node:assert/strict";
import { ownership } from "../../deploy/ownership.ts";
import { stateLayout } from "../../proto/state_layout.ts";

Deno.test("ownership() gives a daemon its own directory and nothing beside it", () => {
  const groups = { busGroup: 10, hasherGroup: 13, responderGroup: 14, readerGroup: 11, adminGroup: 12 };
  const who = { supervisor: 0, collector: 1, hasher: 4, responder: 5, analyzer: 6, agent: 2, viewer: 3, ...groups };
  const table = ownership(stateLayout("/s"), who).map(({ path, owner, group, mode }) =>
    `${path} ${owner}:${group} ${mode.toString(8)}`
  );
  assert.deepEqual(table, [
    "/s 0:11 755",
    "/s/run 0:10 1771",
    "/s/run/requests 2:12 3730",
    "/s/run/hasher 1:13 730",
    "/s/run/responder 1:14 730",
    "/s/responses 5:12 2750",
    "/s/collector 1:11 2750",
    "/s/agent 2:11 2750",
    "/s/rules 0:11 755",
    "/s/keys 0:0 700",
  ]);
});
