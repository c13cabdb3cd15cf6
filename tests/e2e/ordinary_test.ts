/** About a minute of ordinary administration; `deno task test:ordinary` has half an hour of it. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { describeMarks, isAboveLow, watchOrdinaryWork } from "../support/ordinary/watched_work.ts";
import { WORKS } from "../support/ordinary/works.ts";
import { World } from "../support/world.ts";

/** These need a network. */
const REMOTE = new Set(["debian", "npx"]);

Deno.test({
  name: "a round of ordinary work is told without anything above low, and its package's changes with who made them",
  ...needs({ root: true, bpf: true, packages: true, programs: ["gcc", "make", "git", "su"] }),
  async fn() {
    await using world = await World.start();
    const works = WORKS.filter(({ name }) => !REMOTE.has(name));
    const report = await watchOrdinaryWork(world, { milliseconds: 0, pauseMs: 0, works });
    assert.deepEqual(report.failures, []);
    console.log(`ordinary work: ${report.starts} starts of ${report.programs} programs`);
    for (const [name, why] of report.leftOut) console.log(`left out of it: ${name}: ${why}`);
    for (const line of describeMarks(report.marks)) console.log(`  ${line}`);
    for (const name of ["packages", "build", "shells", "logs", "versions", "users"]) {
      assert.ok(report.done.has(name), name);
    }
    assert.ok(report.starts > 500 && report.programs > 50, "the work was seen");
    assert.deepEqual(describeMarks(report.marks.filter(isAboveLow)), []);
    const changes = report.marks.filter(({ work, reason }) =>
      work === "packages" && reason.includes("was the last time")
    );
    assert.ok(changes.length >= 2, "each upgrade of a program that had run is told");
    for (const { reason } of changes) assert.match(reason, /the file changed while dpkg \(process \d+\) ran$/);
  },
});
