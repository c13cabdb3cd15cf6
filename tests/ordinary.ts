/**
 * `deno task test:ordinary [--minutes 30] [--only WORK,…]`: ordinary administration under a whole DaemonEye.
 *
 * Prints every suspicious event that came of it with severity and reason, and fails where one is above low, where a
 * script failed, or where the sources of the collector differ. Wants root, and a host on which packages may be installed.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { describeMarks, isAboveLow, watchOrdinaryWork } from "./support/ordinary/watched_work.ts";
import { WORKS } from "./support/ordinary/works.ts";
import { World } from "./support/world.ts";

/** Between two works, so that a half hour is one of an administrator and not of a benchmark. */
const PAUSE_MS = 2_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { minutes: { type: "string", default: "30" }, only: { type: "string" } },
  });
  const minutes = Number(values.minutes), only = values.only?.split(",");
  if (!(minutes >= 0)) throw new RangeError(`--minutes takes a number, not ${values.minutes}`);
  const unknown = only?.filter((name) => !WORKS.some((work) => work.name === name)) ?? [];
  if (unknown.length > 0) {
    throw new RangeError(
      `There is no work ${unknown.join(", ")}; there are ${WORKS.map(({ name }) => name).join(", ")}`,
    );
  }
  if (Deno.uid() !== 0) {
    console.error("Ordinary administration needs root; run it as root on a host that may be changed");
    return 2;
  }
  await using world = await World.start();
  const report = await watchOrdinaryWork(world, {
    milliseconds: minutes * 60_000,
    pauseMs: PAUSE_MS,
    works: WORKS.filter(({ name }) => only?.includes(name) ?? true),
    say: (text) => console.log(`${new Date().toISOString().slice(11, 19)} ${text}`),
  });
  const status = world.collectorStatus()!;
  console.log(`\n${report.rounds} rounds; ${report.starts} starts of ${report.programs} programs`);
  console.log(`done: ${[...report.done].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  for (const [name, why] of report.leftOut) console.log(`left out: ${name}: ${why}`);
  for (const failure of report.failures) console.log(`failed: ${failure}`);
  console.log(`completeness: ${status.completeness.detail}`);
  for (const gap of world.query("SELECT source, record_kind, count, reason FROM gaps")) {
    console.log(`gap: ${gap["source"]}, ${gap["record_kind"]}: ${gap["count"]}: ${gap["reason"]}`);
  }
  for (const notice of status.notices) console.log(`notice: ${notice.text}`);
  const bad = report.marks.filter(isAboveLow);
  console.log(`\n${report.marks.length} suspicious events, ${bad.length} above low`);
  for (const line of describeMarks(report.marks)) console.log(`  ${line}`);
  return bad.length + report.failures.length > 0 ? 1 : 0;
}

Deno.exit(await main());
