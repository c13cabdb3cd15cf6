/**
 * What DaemonEye costs on a host that does little: CPU and wakings of each tier, memory, and the time from start to
 * seeing.
 *
 * The peer is forkstat, which only prints, over the same seconds. CPU is the scheduler's own count over all threads, to a
 * nanosecond. What little happens on the host is most of the cost, so the rate of events stands beside it. With root, the
 * agent is also measured where nothing at all happens: in a process namespace of its own, under a collector that polls.
 *
 * usage: deno task bench:idle [SECONDS]
 */
import { median, report } from "./support/report.ts";
import { type Cost, costBetween, type CpuCount, cpuOf } from "./support/thread_times.ts";
import { World } from "../tests/support/world.ts";

const SECONDS = Number(Deno.args[0] ?? 60);
/**
 * The start of a tier is over, and what it left is given back: V8 looks for that half a minute after the start, and the
 * tier itself a minute after it has settled (`proto/memory.ts`). Two collections each, of 0.1 s, are not what every
 * minute costs.
 */
const SETTLE_MS = 70_000;
const STARTS = 5;
/** How this program says that it is in the namespace. */
const ALONE = "--alone";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Quiet {
  readonly agent: Cost;
  readonly collector: Cost;
  readonly supervisor: Cost;
  readonly peer: Cost | null;
  readonly eventsPerSecond: number;
  readonly memory: { readonly collector: number; readonly agent: number };
}

async function quiet(set: readonly string[]): Promise<Quiet> {
  await using world = await World.start({ set, patienceMs: 60_000 });
  let forkstat: Deno.ChildProcess | null = null;
  try {
    forkstat = new Deno.Command("forkstat", { stdout: "null", stderr: "null" }).spawn();
  } catch {
    // not installed: reported
  }
  await sleep(SETTLE_MS);
  const pids = [world.agentStatus()!.pid, world.collectorStatus()!.pid, world.supervisor.pid];
  if (forkstat !== null) pids.push(forkstat.pid);
  const events = (): number => world.agentStatus()!.counters["events"] ?? 0;
  const eventsBefore = events(), before = pids.map(cpuOf), began = performance.now();
  await sleep(SECONDS * 1_000);
  const passed = (performance.now() - began) / 1_000;
  const costs = pids.map((pid, i) => costBetween(before[i] as CpuCount, cpuOf(pid), passed));
  forkstat?.kill("SIGTERM");
  await forkstat?.status;
  return {
    agent: costs[0]!,
    collector: costs[1]!,
    supervisor: costs[2]!,
    peer: costs[3] ?? null,
    eventsPerSecond: (events() - eventsBefore) / passed,
    memory: { collector: world.collectorStatus()!.memoryBytes, agent: world.agentStatus()!.memoryBytes },
  };
}

async function startTimes(): Promise<number[]> {
  const starts: number[] = [];
  for (let round = 0; round < STARTS; round++) {
    await using world = await World.start();
    const line = /ready after ([\d.]+) s/.exec(world.stderr + world.stdout);
    if (line !== null) starts.push(Number(line[1]) * 1_000);
  }
  return starts;
}

async function helpTimes(): Promise<number[]> {
  const times: number[] = [], program = new URL("../cli/main.ts", import.meta.url).pathname;
  for (let round = 0; round < 9; round++) {
    const began = performance.now();
    const args = ["run", "-q", "--no-prompt", "--allow-read", program, "--help"];
    await new Deno.Command(Deno.execPath(), { args }).output();
    times.push(performance.now() - began);
  }
  return times;
}

/** The agent's cost where no process but DaemonEye's own is seen; `null` without the right to make a namespace. */
async function alone(): Promise<Cost | null> {
  if (Deno.uid() !== 0) return null;
  const script = new URL(import.meta.url).pathname;
  const unshare = ["--pid", "--fork", "--mount-proc", "--kill-child", Deno.execPath(), "run", "-A", "-q", script];
  const { success, stdout } = await new Deno.Command("unshare", { args: [...unshare, String(SECONDS), ALONE] })
    .output();
  return success ? JSON.parse(new TextDecoder().decode(stdout)) : null;
}

if (Deno.args[1] === ALONE) {
  console.log(JSON.stringify((await quiet(["collector.source=proc"])).agent));
  Deno.exit(0);
}
const starts = await startTimes(), helps = await helpTimes();
const { agent, collector, supervisor, peer, eventsPerSecond, memory } = await quiet([]), still = await alone();
const plain = (what: string, ours: number, unit: string) => ({ what, ours, unit, peer: null, target: null });
report(`A quiet host for ${SECONDS} s (${eventsPerSecond.toFixed(1)} events/s)`, [
  {
    what: "CPU of both tiers",
    ours: agent.share + collector.share,
    unit: "% of a core",
    peer: peer === null ? { missing: "forkstat is not installed" } : { name: "forkstat", value: peer.share },
    target: { most: 0.5 },
  },
  plain("of it the collector", collector.share, "%"),
  plain("of it the agent", agent.share, "%"),
  ...still === null ? [] : [plain("the agent where nothing happens", still.share, "%")],
  plain("the supervisor beside them", supervisor.share, "%"),
  plain("wakings of the collector", collector.wakings, "/s"),
  plain("wakings of the agent", agent.wakings, "/s"),
  ...still === null ? [] : [plain("wakings of the agent where nothing happens", still.wakings, "/s")],
  { ...plain("collector memory", memory.collector / 1e6, "MB"), target: { most: 90 } },
  { ...plain("agent memory", memory.agent / 1e6, "MB"), target: { most: 130 } },
  { ...plain("collector from its start to seeing events", median(starts), "ms"), target: { most: 500 } },
  { ...plain("CLI help", median(helps), "ms"), target: { most: 100 } },
]);
