/**
 * `deno task test:noise [--minutes 5] [--only WORK,…]`: honest work under a whole DaemonEye with the shipped rules.
 *
 * Builds, installations of packages, a Python test suite, shell sessions, rotation of logs, jobs of cron and so on, round by round
 * for the time given, each at least once. Prints the alerts an hour by severity, and which rules raised them for what. Exits with 1
 * when one is above low, or when a work failed, since then it proves nothing. Wants root, and a host on which packages may be
 * installed; what others do on the host meanwhile is counted apart and decides nothing.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Alert, alertsByOrigin, settled } from "./support/attacks/watched.ts";
import { watchOrdinaryWork } from "./support/ordinary/watched_work.ts";
import { WORKS } from "./support/ordinary/works.ts";
import { World } from "./support/world.ts";

/** Between two works: somebody thinks, or waits. */
const PAUSE_MS = 500;
/** How long the start may take on a host that has other work. */
const START_MS = 120_000;
const HOUR_MS = 3_600_000;
const SEVERITIES = ["info", "low", "medium", "high", "critical"];

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { minutes: { type: "string", default: "5" }, only: { type: "string" } },
  });
  const minutes = Number(values.minutes), only = values.only?.split(",");
  if (!(minutes >= 0)) throw new RangeError(`--minutes takes a number, not ${values.minutes}`);
  const works = WORKS.filter(({ name }) => only?.includes(name) ?? true);
  if (works.length === 0) throw new RangeError(`--only takes of ${WORKS.map(({ name }) => name).join(", ")}`);
  if (Deno.uid() !== 0) {
    console.error("Ordinary work on a host needs root; run it as root on a host that may be changed");
    return 2;
  }
  await using world = await World.start({ patienceMs: START_MS });
  const began = performance.now();
  const report = await watchOrdinaryWork(world, {
    milliseconds: minutes * 60_000,
    pauseMs: PAUSE_MS,
    works,
    say: (text) => console.log(`${new Date().toISOString().slice(11, 19)} ${text}`),
  });
  const hours = (performance.now() - began) / HOUR_MS;
  await settled(world, `noise-${Deno.pid}`);
  const work = new RegExp(`ordinary-${Deno.pid}-[a-z0-9]+/([a-z]+)`);
  const alerts = alertsByOrigin(world, (_, commandLine) => work.exec(commandLine)?.[1] ?? null);
  const ours = [...alerts].flatMap(([name, list]) => name === "" ? [] : list);
  const active = world.agentStatus()!.rules.filter(({ state }) => state === "active").length;

  console.log(`\n${report.rounds} rounds, ${report.starts} starts of ${report.programs} programs, ${active} rules`);
  for (const [name, why] of report.leftOut) console.log(`left out: ${name}: ${why}`);
  for (const failure of report.failures) console.log(`failed: ${failure}`);
  for (const [name, list] of alerts) {
    for (const line of name === "" ? [] : linesOf(list)) console.log(`  ${name}: ${line}`);
  }
  const elsewhere = alerts.get("") ?? [];
  if (elsewhere.length > 0) console.log(`by others on this host: ${elsewhere.length} alerts, which are not looked at`);
  console.log("\nalerts an hour");
  for (const severity of SEVERITIES) {
    const count = ours.filter((alert) => alert.severity === severity).length;
    console.log(
      `  ${severity.padEnd(8)} ${(count / hours).toFixed(1).padStart(7)}  (${count} in ${(hours * 60).toFixed(1)} min)`,
    );
  }
  const loud = ours.filter(({ severity }) => severity !== "info" && severity !== "low");
  return loud.length + report.failures.length > 0 ? 1 : 0;
}

/** A line for each rule, with how often and an example. */
function linesOf(alerts: readonly Alert[]): string[] {
  return [...Map.groupBy(alerts, ({ rule }) => rule)].map(([rule, [first, ...more]]) =>
    `${first!.severity}: ${rule}${more.length > 0 ? ` (${more.length + 1} times)` : ""}: ${
      first!.commandLine.slice(0, 120)
    }`
  );
}

Deno.exit(await main());
