/**
 * What DaemonEye costs on a host that does little: CPU of both tiers, memory, and the time from start to seeing.
 *
 * The peer is forkstat, which only prints, over the same seconds.
 */
import { median, report } from "./support/report.ts";
import { World } from "../tests/support/world.ts";

const SECONDS = Number(Deno.args[0] ?? 20);
const STARTS = 5;

function cpuTicks(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

const starts: number[] = [];
for (let round = 0; round < STARTS; round++) {
  await using world = await World.start();
  const line = /ready after ([\d.]+) s/.exec(world.stderr + world.stdout);
  if (line !== null) starts.push(Number(line[1]) * 1000);
}

const cliTimes: number[] = [];
for (let round = 0; round < 9; round++) {
  const began = performance.now();
  await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--allow-read", new URL("../cli/main.ts", import.meta.url).pathname, "--help"],
  }).output();
  cliTimes.push(performance.now() - began);
}

{
  await using world = await World.start();
  let forkstat: Deno.ChildProcess | null = null;
  try {
    forkstat = new Deno.Command("forkstat", { stdout: "null", stderr: "null" }).spawn();
  } catch {
    // not installed: reported below
  }
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const tiers = [world.collectorStatus()!.pid, world.agentStatus()!.pid];
  const before = tiers.map(cpuTicks), peerBefore = forkstat === null ? 0 : cpuTicks(forkstat.pid);
  const eventsBefore = world.count("SELECT count(*) FROM process_events");
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const shares = tiers.map((pid, i) => (cpuTicks(pid) - before[i]!) / SECONDS); // ticks of 10 ms: a tick a second is 1 %
  const peer = forkstat === null ? null : (cpuTicks(forkstat.pid) - peerBefore) / SECONDS;
  forkstat?.kill("SIGTERM");
  await forkstat?.status;
  const events = world.count("SELECT count(*) FROM process_events") - eventsBefore;
  report(`A quiet host for ${SECONDS} s (${(events / SECONDS).toFixed(1)} events/s)`, [
    {
      what: "CPU of both tiers",
      ours: shares[0]! + shares[1]!,
      unit: "% of a core",
      peer: peer === null
        ? { missing: "forkstat is not installed" }
        : { name: "forkstat", value: Math.max(peer, 0.05) },
      target: { most: 0.5 },
    },
    { what: "of it the collector", ours: shares[0]!, unit: "%", peer: null, target: null },
    {
      what: "collector memory",
      ours: world.collectorStatus()!.memoryBytes / 1e6,
      unit: "MB",
      peer: null,
      target: { most: 90 },
    },
    {
      what: "agent memory",
      ours: world.agentStatus()!.memoryBytes / 1e6,
      unit: "MB",
      peer: null,
      target: { most: 130 },
    },
    {
      what: "collector from its start to seeing events",
      ours: median(starts),
      unit: "ms",
      peer: null,
      target: { most: 500 },
    },
    { what: "CLI help", ours: median(cliTimes), unit: "ms", peer: null, target: { most: 100 } },
  ]);
}
