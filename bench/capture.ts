/**
 * Capture of short-lived processes, and what it costs: a storm of processes that live some 50 microseconds, under the
 * eyes of each rung of our source ladder and of the programs that Debian has for it; and what the lower rungs see of
 * processes that live longer.
 *
 * Each watched storm stands between two that nobody watches. Its CPU time is compared with theirs, and the median of
 * these ratios is taken: times on a shared machine drift, ratios of neighbours less so. What else the host starts
 * meanwhile costs each watcher, and is counted against it.
 *
 * usage: deno task bench:capture [COUNT] [ROUNDS]
 *
 * | size | default |
 * |---|---|
 * | processes in a storm | 20,000 |
 * | forkers | 2 |
 * | storms for each watcher | 3 |
 */
import { installed } from "./support/commands.ts";
import { peers } from "./support/peers.ts";
import { type Figure, median, report, round, table } from "./support/report.ts";
import { type Capture, rungs } from "./support/rungs.ts";
import { type Storm, StormMaker, type StormSize } from "./support/storm.ts";
import { freshTag, NotMeasured, watch, type Watched, type Watcher } from "./support/watcher.ts";

const COUNT = Number(Deno.args[0] ?? 20_000);
const ROUNDS = Number(Deno.args[1] ?? 3);
const SHORT: StormSize = { count: COUNT, forkers: 2, lifetimeMs: 0 };
/** Storms that last two seconds or more: twice the interval of the polling rungs. */
const LONGER: readonly StormSize[] = [
  { count: 8_000, forkers: 20, lifetimeMs: 5 },
  { count: 800, forkers: 20, lifetimeMs: 50 },
  { count: 200, forkers: 50, lifetimeMs: 500 },
  { count: 100, forkers: 100, lifetimeMs: 2_000 },
];
const LOWER_RUNGS = ["netlink", "proc", "ps"];

/** The storms of one watcher, or why there are none. */
interface Measured {
  readonly watched: Watched[];
  /** The storm's CPU and wall time, watched against alone. */
  readonly cpuRatios: number[];
  readonly wallRatios: number[];
  missing: string | null;
}

async function main(): Promise<boolean> {
  if (!await installed("gcc")) {
    console.log("capture: not measured: gcc is not installed (it compiles the storm)");
    return true;
  }
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
  try {
    const maker = await StormMaker.build(directory, [SHORT, ...LONGER].map(({ lifetimeMs }) => lifetimeMs));
    const met = await measureShort(maker);
    await measureLonger(maker);
    return met;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function measureShort(maker: StormMaker): Promise<boolean> {
  const all = new Map<Watcher, Measured>([...rungs, ...peers].map((watcher) => [
    watcher,
    { watched: [], cpuRatios: [], wallRatios: [], missing: null },
  ]));
  const noise: number[] = [];
  await maker.run(SHORT, freshTag());
  let alone = await maker.run(SHORT, freshTag());
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const [watcher, measured] of all) {
      if (measured.missing !== null) continue;
      const watched = await tryToWatch(watcher, maker, SHORT);
      if (typeof watched === "string") {
        measured.missing = watched;
        continue;
      }
      const after = await maker.run(SHORT, freshTag());
      measured.watched.push(watched);
      measured.cpuRatios.push(ratio(watched.storm, alone, after, "cpu"));
      measured.wallRatios.push(ratio(watched.storm, alone, after, "wall"));
      noise.push(after.cpu / alone.cpu);
      alone = after;
    }
  }
  table(
    `${COUNT} processes that live some 50 us, from ${SHORT.forkers} forkers; ${ROUNDS} storms each, the worst and the medians`,
    ["watched by", "processes seen", "whole command line", "watcher's CPU", "storm's CPU", "storm's wall time"],
    [...all].map(([{ name }, measured]) => row(name, measured)),
  );
  return judge(new Map([...all].map(([{ name }, measured]) => [name, measured])), noise);
}

async function tryToWatch(watcher: Watcher, maker: StormMaker, size: StormSize): Promise<Watched | string> {
  try {
    return await watch(watcher, maker, size);
  } catch (error) {
    if (error instanceof NotMeasured) return error.message;
    throw error;
  }
}

function ratio(watched: Storm, before: Storm, after: Storm, what: "cpu" | "wall"): number {
  return 2 * watched[what] / (before[what] + after[what]);
}

function row(name: string, { watched, cpuRatios, wallRatios, missing }: Measured): string[] {
  if (missing !== null) return [name, `not measured: ${missing}`];
  return [
    name,
    share(Math.min(...watched.map(({ sighting }) => sighting.seen)), COUNT),
    share(Math.min(...watched.map(({ sighting }) => sighting.exact)), COUNT),
    `${round(cpuOfOne(watched))} us each`,
    `${median(cpuRatios).toFixed(2)} times`,
    `${median(wallRatios).toFixed(2)} times`,
  ];
}

function share(part: number, whole: number): string {
  // Never 100 for what is not all.
  return `${part === whole ? "100" : Math.min(99.99, 100 * part / whole).toFixed(2)} %`;
}

function cpuOfOne(watched: readonly Watched[]): number {
  return median(watched.map(({ cpu }) => cpu / COUNT));
}

/** The figures with targets: TARGETS.md, "capture" and "cost of capture". */
function judge(measured: ReadonlyMap<string, Measured>, noise: readonly number[]): boolean {
  const figures: Figure[] = [];
  const add = (rung: string, what: string, unit: string, target: Figure["target"], ours: number): void => {
    figures.push({ what: `${rung}: ${what}`, ours, unit, peer: null, target });
  };
  const percent = (counts: number[]): number => 100 * Math.min(...counts) / COUNT;
  const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0);
  for (const rung of ["ebpf", "tracepoint"]) {
    const { watched, cpuRatios, missing } = measured.get(rung)!;
    if (missing !== null) continue;
    const captures = watched.map(({ sighting }) => sighting as Capture);
    if (rung === "ebpf") {
      const whole = percent(captures.map((one) => one.whole));
      add(rung, "starts with exact argv, uid, gid, ppid and executable (worst storm)", "%", { least: 100 }, whole);
      const ends = percent(captures.map((one) => one.ends));
      add(rung, "ends with their exit status (worst storm)", "%", { least: 100 }, ends);
      add(rung, "collector's CPU for a process, with the checks", "us", { most: 10 }, cpuOfOne(watched));
      add(rung, "the storm's own CPU time, watched against alone", "times", { most: 1.12 }, median(cpuRatios));
    } else {
      const exact = percent(captures.map((one) => one.exact));
      add(rung, "starts with exact argv (worst storm)", "%", { least: 100 }, exact);
    }
    const faults = sum(captures.map((one) => one.wrong + one.lost + one.overruns + one.damaged));
    add(rung, "records wrong, lost or damaged (all storms)", "records", { most: 0 }, faults);
    const memory = Math.max(...captures.map((one) => one.memory)) / 2 ** 20;
    add(rung, "collector's memory (largest)", "MiB", null, memory);
  }
  add("noise", "CPU time of a storm alone against the one alone before", "times", null, median(noise));
  return report("targets", figures);
}

async function measureLonger(maker: StormMaker): Promise<void> {
  const rows: string[][] = [];
  for (const rung of rungs) {
    if (!LOWER_RUNGS.includes(rung.name)) continue;
    const seen: string[] = [], exact: string[] = [];
    for (const size of [{ ...SHORT, count: Math.min(COUNT, 10_000) }, ...LONGER]) {
      const watched = await tryToWatch(rung, maker, size);
      if (typeof watched === "string") {
        seen.push(`not measured: ${watched}`);
        break;
      }
      seen.push(share(watched.sighting.seen, size.count));
      exact.push(share(watched.sighting.exact, size.count));
    }
    rows.push([`${rung.name}: seen`, ...seen]);
    if (exact.length > 0) rows.push([`${rung.name}: with whole command line`, ...exact]);
  }
  const header = LONGER.map(({ lifetimeMs }) => lifetimeMs < 1_000 ? `${lifetimeMs} ms` : `${lifetimeMs / 1_000} s`);
  table("share seen by how long a process lives (one storm each)", ["rung", "50 us", ...header], rows);
}

if (!await main()) Deno.exitCode = 1;
