/**
 * What one process life costs on its whole way, kernel to database, in the running product: both tiers, rules, alerts.
 *
 * | constant | value |
 * | --- | --- |
 * | processes in a storm | 20,000 |
 * | storms, the first not counted | 4 |
 *
 * The baseline is the bare insertion of the same number of rows (a start and a stop each) by the `sqlite3` shell, where
 * it is installed: a floor that nothing which stores them can go below.
 */
import { World } from "../tests/support/world.ts";
import { installed, output } from "./support/commands.ts";
import { median, report } from "./support/report.ts";

const COUNT = 20_000, STORMS = 4, FORKERS = 2;
const SUPPORT = new URL("support/", import.meta.url).pathname;

/** User and system time of a process, in milliseconds. */
function cpuMs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

if (!await installed("gcc") || Deno.uid() !== 0) {
  console.log("life: not measured: it needs root, and gcc to compile the storm");
  Deno.exit(0);
}
const directory = await Deno.makeTempDir();
await output("gcc", ["-O2", "-o", `${directory}/storm`, `${SUPPORT}storm.c`]);
await output("gcc", ["-O2", "-static", "-nostdlib", "-o", `${directory}/tiny`, `${SUPPORT}tiny.c`]);

const collector: number[] = [], agent: number[] = [];
let stored = 0, gaps = 0;
{
  await using world = await World.start();
  for (let round = 0; round < STORMS; round++) {
    const pids = [world.collectorStatus()!.pid, world.agentStatus()!.pid];
    const before = pids.map(cpuMs);
    const tag = `life${Deno.pid}x${round}`;
    await output(`${directory}/storm`, [`${COUNT}`, `${FORKERS}`, tag, `${directory}/tiny`]);
    const stops = `SELECT count(*) FROM process_events WHERE event_type = 'stop' AND command_line LIKE '%${tag}%'`;
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // polling the store would be measured too
    await world.until("the storm is stored", () => world.count(stops) >= COUNT);
    const spent = pids.map((pid, i) => (cpuMs(pid) - before[i]!) * 1000 / COUNT);
    if (round === 0) continue;
    collector.push(spent[0]!);
    agent.push(spent[1]!);
    stored += world.count(stops);
  }
  gaps = world.count("SELECT count(*) FROM gaps");
}

let floor: { name: string; value: number } | { missing: string } = { missing: "the sqlite3 shell is not installed" };
if (await installed("sqlite3")) {
  const sql = `.timer on
    PRAGMA journal_mode = WAL; CREATE TABLE e (id INTEGER PRIMARY KEY, ${
    Array.from({ length: 48 }, (_, i) => `c${i}`).join(", ")
  });
    CREATE INDEX a ON e (c0); CREATE INDEX b ON e (c2);
    INSERT INTO e SELECT value, value, 'start', 'a864b459-' || value || '-1', NULL, value, 1, 'tiny', '${directory}/tiny',
      'tiny life ' || value, '["tiny","life ' || value || '"]', 20 ${", NULL".repeat(37)} FROM generate_series(1, ${
    2 * COUNT
  });`;
  const child = new Deno.Command("sqlite3", { args: [`${directory}/bare.db`], stdin: "piped", stdout: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(sql));
  await writer.close();
  const text = new TextDecoder().decode((await child.output()).stdout);
  const times = [...text.matchAll(/user ([\d.]+) sys ([\d.]+)/g)].map((m) => Number(m[1]) + Number(m[2]));
  floor = { name: "bare insertion", value: times.reduce((sum, time) => sum + time, 0) * 1e6 / COUNT };
}
await Deno.remove(directory, { recursive: true });

report(`${COUNT} process lives through the whole product, ${STORMS - 1} storms`, [
  { what: "stored", ours: stored / (COUNT * (STORMS - 1)) * 100, unit: "%", peer: null, target: { least: 100 } },
  { what: "gaps", ours: gaps, unit: "", peer: null, target: { most: 0 } },
  { what: "collector CPU", ours: median(collector), unit: "us/life", peer: null, target: { most: 10 } },
  { what: "agent CPU", ours: median(agent), unit: "us/life", peer: null, target: null },
  {
    what: "whole path into the database",
    ours: median(collector.map((spent, i) => spent + agent[i]!)),
    unit: "us/life",
    peer: floor,
    target: { most: 60 },
  },
]);
