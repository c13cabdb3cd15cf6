import assert from "node:assert/strict";
import { joinArgv } from "../../proto/argv.ts";
import { brief, entry, exec, exit, fork, S, TestWorld } from "../support/lifecycle_world.ts";

Deno.test("accuse() marks the process that had the pid at the time, living, ended or never told of", () => {
  const world = new TestWorld();
  world.receive(exec(50, 1, 10 * S), exec(51, 1, 10 * S), exit(51, 12 * S, 10 * S)).events();
  world.looks.set(52, entry(52, 11 * S, { name: "hidden", argv: joinArgv(["hidden", "--password=x"]) }));
  for (const pid of [50, 51, 52, 53]) world.lifecycle.accuse(pid, 11 * S, "high", "seen by one only");
  const events = world.events();
  assert.deepEqual(brief(events), [50, 51, 52, 53].map((pid) => `suspicious ${pid} (seen by one only)`));
  assert.deepEqual(events.map(({ severity }) => severity), ["high", "high", "high", "high"]);
  assert.deepEqual(events.map(({ execId }) => execId), [
    "0badcafe-50-1000",
    "0badcafe-51-1000",
    "0badcafe-52-1100",
    "0badcafe-53-1100",
  ]);
  assert.equal(events[2]!.name, "hidden");
  assert.match(new TextDecoder().decode(events[2]!.argv!), /--password=\[REDACTED/);
  assert.equal(world.lifecycle.tracked, 1, "an accusation makes no process known");
});

Deno.test("accuse() does not take a pid's later process for the one that is meant", () => {
  const world = new TestWorld();
  world.receive(fork(50, 1, 20 * S)).events();
  world.looks.set(50, entry(50, 20 * S, { name: "later" }));
  world.lifecycle.accuse(50, 11 * S, "high", "seen by one only");
  const [event] = world.events();
  assert.deepEqual([event!.execId, event!.name], ["0badcafe-50-1100", ""]);
});

Deno.test("miss() makes a gap of the source that missed it", () => {
  const world = new TestWorld();
  const loss = { kind: "loss", recordKind: "exec", from: 10 * S, to: 12 * S, count: 3, reason: "seen by x" } as const;
  world.lifecycle.miss("netlink", loss);
  const { gaps } = world.lifecycle.flush(0);
  assert.deepEqual(gaps.map(({ source, recordKind, count, reason }) => [source, recordKind, count, reason]), [
    ["netlink", "exec", 3, "seen by x"],
  ]);
});
