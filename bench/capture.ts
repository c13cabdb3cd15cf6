/**
 * Capture of short-lived processes, and what it costs: a storm of processes that live some 50 microseconds, without a
 * watcher, with our eBPF source, and with forkstat.
 *
 * Storms without and with a watcher follow each other in pairs, turn about, and the median of the pairs' ratios is
 * taken: times on a shared machine drift, ratios of neighbours less so.
 *
 * usage: deno task bench:capture [COUNT] [PAIRS]
 *
 * | size | default |
 * |---|---|
 * | processes in a storm | 20,000 |
 * | forkers | 2 |
 * | pairs | 5 |
 */
import { libcPath } from "../collector/kernel/libc.ts";
import { installed, output } from "./support/commands.ts";
import { median, report } from "./support/report.ts";

const COUNT = Number(Deno.args[0] ?? 20_000);
const PAIRS = Number(Deno.args[1] ?? 5);
const FORKERS = 2;
const SUPPORT = new URL("./support/", import.meta.url).pathname;

interface Storm {
  /** Microseconds. */
  readonly wall: number;
  readonly cpu: number;
  readonly failedForkers: number;
}

interface Capture {
  readonly starts: number;
  readonly ends: number;
  readonly forks: number;
  readonly wrong: number;
  readonly lost: number;
  readonly damaged: number;
  readonly lives: number;
  readonly cpu: number;
  readonly memory: number;
}

async function main(): Promise<boolean> {
  if (!await installed("gcc")) {
    console.log("capture: not measured: gcc is not installed (it compiles the storm)");
    return true;
  }
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
  try {
    await output("gcc", ["-O2", "-o", `${directory}/storm`, `${SUPPORT}storm.c`]);
    await output("gcc", ["-O2", "-static", "-nostdlib", "-o", `${directory}/tiny`, `${SUPPORT}tiny.c`]);
    return await measure(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function measure(directory: string): Promise<boolean> {
  const storm = async (tag: string): Promise<Storm> => {
    const result = JSON.parse(await output(`${directory}/storm`, [`${COUNT}`, `${FORKERS}`, tag, `${directory}/tiny`]));
    if (result.failedForkers !== 0) throw new Error("The storm could not start all its processes");
    return result;
  };
  const ours = async (tag: string): Promise<{ storm: Storm; capture: Capture }> => {
    const args = ["run", "--no-prompt", "--no-check", `--allow-ffi=${libcPath}`, `${SUPPORT}capture_collector.ts`];
    const collector = new Deno.Command(Deno.execPath(), {
      args: [...args, tag, `${COUNT}`, `${directory}/tiny`],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const lines = collector.stdout.pipeThrough(new TextDecoderStream()).getReader();
    await lines.read(); // ready
    await storm("warm");
    const input = collector.stdin.getWriter();
    await input.write(new TextEncoder().encode("count\n"));
    await lines.read(); // counting
    const result = await storm(tag);
    await input.close();
    const { value } = await lines.read();
    await lines.cancel();
    await collector.status;
    return { storm: result, capture: JSON.parse(value!) };
  };

  await storm("warm");
  const cpuRatios: number[] = [], wallRatios: number[] = [], controls: number[] = [], captures: Capture[] = [];
  let alone = await storm("first");
  for (let pair = 0; pair < PAIRS; pair++) {
    const watched = await ours(`watched${pair}`);
    const after = await storm(`after${pair}`);
    cpuRatios.push(2 * watched.storm.cpu / (alone.cpu + after.cpu));
    wallRatios.push(2 * watched.storm.wall / (alone.wall + after.wall));
    controls.push(after.cpu / alone.cpu);
    captures.push(watched.capture);
    alone = after;
  }

  const forkstat = await measureForkstat(directory, storm);
  const peer = (pick: (measured: Forkstat) => number) =>
    "missing" in forkstat ? { missing: forkstat.missing } : { name: "forkstat", value: pick(forkstat) };
  const percent = (count: number): number => 100 * count / COUNT;
  const worst = (pick: (capture: Capture) => number): number => Math.min(...captures.map(pick));
  const sum = (pick: (capture: Capture) => number): number => captures.reduce((total, one) => total + pick(one), 0);
  return report(`capture of ${COUNT} short-lived processes from ${FORKERS} forkers, ${PAIRS} storms`, [
    {
      what: "starts captured with exact argv, uid, gid, ppid and exe (worst storm)",
      ours: percent(worst((one) => one.starts)),
      unit: "%",
      peer: peer((measured) => percent(measured.seen)),
      target: { least: 100 },
    },
    {
      what: "ends captured with their exit status (worst storm)",
      ours: percent(worst((one) => one.ends)),
      unit: "%",
      peer: null,
      target: { least: 100 },
    },
    {
      what: "records lost in the ring, damaged or wrong (all storms)",
      ours: sum((one) => one.lost + one.damaged + one.wrong),
      unit: "records",
      peer: null,
      target: { most: 0 },
    },
    {
      what: "collector CPU per process life, with the checks of this benchmark (median)",
      ours: median(captures.map((one) => one.cpu / one.lives)),
      unit: "us",
      peer: peer((measured) => measured.cpuPerProcess),
      target: { most: 10 },
    },
    {
      what: "the storm's own user and system time, watched against alone (median of pairs)",
      ours: median(cpuRatios),
      unit: "times",
      peer: peer((measured) => measured.cpuRatio),
      target: { most: 1.12 },
    },
    {
      what: "the storm's wall time, watched against alone (median of pairs)",
      ours: median(wallRatios),
      unit: "times",
      peer: peer((measured) => measured.wallRatio),
      target: null,
    },
    {
      what: "noise: CPU of a storm alone against the one alone before (median)",
      ours: median(controls),
      unit: "times",
      peer: null,
      target: null,
    },
    {
      what: "collector memory (largest)",
      ours: Math.max(...captures.map((one) => one.memory)) / 2 ** 20,
      unit: "MiB",
      peer: null,
      target: null,
    },
  ]);
}

interface Forkstat {
  readonly seen: number;
  /** Microseconds. */
  readonly cpuPerProcess: number;
  readonly cpuRatio: number;
  readonly wallRatio: number;
}

async function measureForkstat(
  directory: string,
  storm: (tag: string) => Promise<Storm>,
): Promise<Forkstat | { missing: string }> {
  if (!await installed("forkstat")) return { missing: "forkstat is not installed" };
  const tag = "forkstat", file = `${directory}/forkstat.txt`;
  const command = new Deno.Command("sh", {
    args: ["-c", `exec forkstat -e exec > ${file}`],
    stdin: "null",
    stderr: "null",
  }).spawn();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = await storm("before");
  const cpuBefore = cpuOf(command.pid);
  const watched = await storm(tag);
  // It goes on with what its socket still holds.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const cpu = cpuOf(command.pid) - cpuBefore;
  command.kill("SIGINT");
  await command.status;
  const alone = await storm("alone");
  const text = await Deno.readTextFile(file);
  const seen = new Set(text.match(new RegExp(`${tag}-\\d+`, "g")) ?? []).size;
  if (!text.includes("exec") || before.wall === 0) return { missing: "forkstat printed nothing" };
  return {
    seen,
    cpuPerProcess: cpu / COUNT,
    cpuRatio: watched.cpu / alone.cpu,
    wallRatio: watched.wall / alone.wall,
  };
}

/** Microseconds of user and system time, by ticks of 10 ms. */
function cpuOf(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

if (!await main()) Deno.exitCode = 1;
