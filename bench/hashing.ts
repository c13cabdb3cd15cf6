/**
 * What the hashes of executables cost: 3,000 distinct ones, run within a minute, and run again.
 *
 * | executables | bytes each |
 * | --- | --- |
 * | 1,000 | 16,384 |
 * | 1,000 | 131,072 |
 * | 900 | 524,288 |
 * | 100 | 4,194,304 |
 *
 * The first time each is hashed, which is compared with `sha256sum` and `ssdeep` over the same files; the second time the
 * collector knows them. CPU is that of collector and hasher together, over any 5 s.
 *
 * What hashing costs in time is told by the same executables run with hashing off: the delay of a start is the time from
 * its `execve` in the kernel until a reader finds it in the store, so nothing on its way is left out. Two waits for the
 * disk are on that way, and a shared disk stalls by itself: beside each round a page is made durable all the time, and
 * starts that waited while that stalled (`support/disk_watch.ts`) are counted apart.
 *
 * usage: hashing [SECONDS]     for each of the three rounds; a minute is what the target says
 */
import { World } from "../tests/support/world.ts";
import { processesWith } from "../tests/support/checkout.ts";
import { installed, output } from "./support/commands.ts";
import type { Watched } from "./support/commit_watch.ts";
import type { DiskStall } from "./support/disk_watch.ts";
import { type Figure, report, round } from "./support/report.ts";

const SIZES: readonly (readonly [count: number, bytes: number])[] = [
  [1_000, 16_384],
  [1_000, 131_072],
  [900, 524_288],
  [100, 4_194_304],
];
const SECONDS = Number(Deno.args[0] ?? 60), WINDOW_S = 5, TICKS_PER_SECOND = 100;

/** User and system time of a process and of those it has waited for, in ticks. */
function ticks(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

if (!await installed("gcc") || Deno.uid() !== 0) {
  console.log("hashing: not measured: it needs root, and gcc to compile the programs");
  Deno.exit(0);
}
const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
try {
  const programs = await makePrograms();
  const without = await runWithoutHashes(programs);
  await using world = await World.start();
  const hasher = processesWith(world.layout.state).find((pid) =>
    Deno.readTextFileSync(`/proc/${pid}/cmdline`).endsWith("\0hasher\0")
  )!;
  const pids = [world.collectorStatus()!.pid, hasher];

  const first = await runAll(world, programs, pids);
  await world.until("all are hashed", () => hashed(world) >= programs.length, 120_000);
  const afterFirst = pids.map(ticks);
  const second = await runAll(world, programs, pids);
  const status = world.collectorStatus()!;
  const starts =
    `SELECT count(*) FROM process_events WHERE event_type = 'start' AND executable_path LIKE '${directory}/%'`;
  await world.until("the second round is stored", () => world.count(starts) === 2 * programs.length);
  const withHash = world.count(`${starts} AND executable_hash IS NOT NULL`);
  const modifies = world.count(
    `SELECT count(*) FROM process_events WHERE event_type = 'modify' AND executable_path LIKE '${directory}/%'`,
  );
  const firstMs = (afterFirst[0]! - first.before[0]! + afterFirst[1]! - first.before[1]!) * 1000 / TICKS_PER_SECOND;

  report(`${programs.length} distinct executables in ${SECONDS} s, twice`, [
    {
      what: "first run of each: CPU of both, all",
      ours: firstMs,
      unit: "ms",
      peer: await peer(programs),
      target: null,
    },
    { what: "first run of each: most in any 5 s", ours: first.most, unit: "% of a core", peer: null, target: null },
    { what: "run again: most in any 5 s", ours: second.most, unit: "% of a core", peer: null, target: { most: 25 } },
    { what: "of it the hasher", ours: second.mostOfHasher, unit: "%", peer: null, target: null },
    {
      what: "starts of the second round that carry the hash",
      ours: 100 * withHash / programs.length,
      unit: "%",
      peer: null,
      target: { least: 100 },
    },
    {
      what: "rows for hashes that came later",
      ours: modifies,
      unit: "rows",
      peer: null,
      target: { most: programs.length },
    },
    { what: "dropped", ours: status.counters["hash_dropped"]!, unit: "hashes", peer: null, target: { most: 0 } },
    ...delayFigures("first run of each", first.watched, without),
    ...delayFigures("run again", second.watched, without),
    { what: "hasher memory", ours: rss(hasher) / 1e6, unit: "MB", peer: null, target: null },
  ]);
} finally {
  await Deno.remove(directory, { recursive: true });
}

function hashed(world: World): number {
  return world.count(
    `SELECT count(*) FROM process_events WHERE event_type = 'modify' AND executable_hash IS NOT NULL
     AND executable_path LIKE '${directory}/%'`,
  );
}

async function makePrograms(): Promise<string[]> {
  const tiny = `${directory}/tiny`;
  const source = new URL("support/tiny.c", import.meta.url).pathname;
  await output("gcc", ["-O2", "-static", "-nostdlib", "-o", tiny, source]);
  const program = await Deno.readFile(tiny), paths: string[] = [];
  await Deno.remove(tiny);
  for (const [count, bytes] of SIZES) {
    const whole = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(whole.subarray(at, at + 65_536));
    whole.set(program);
    for (let i = 0; i < count; i++) {
      new DataView(whole.buffer).setUint32(bytes - 4, i);
      const path = `${directory}/${bytes}-${i}`;
      await Deno.writeFile(path, whole, { mode: 0o755 });
      paths.push(path);
    }
  }
  // A gigabyte on its way to the disk would hold up every commit.
  await output("sync", []);
  return paths;
}

async function runWithoutHashes(programs: readonly string[]): Promise<Round> {
  await using world = await World.start({ config: "collector:\n  hashing: off\n" });
  return (await runAll(world, programs, [world.collectorStatus()!.pid])).watched;
}

/** Delays of the starts that no stall of the disk fell on. */
function undisturbed({ delays, times, stalls }: Round): number[] {
  return delays.filter((delay, i) => !stalls.some(({ from, to }) => times[i]! < to && times[i]! + delay > from));
}

/** Delays of the starts of a round, against those without hashing. */
function delayFigures(what: string, round_: Round, without: Round): Figure[] {
  const { lateness, stalls } = round_, all = round_.delays, delays = undisturbed(round_), before = undisturbed(without);
  const kinds = [["p50", 0.5], ["p99", 0.99], ["max", 1]] as const;
  const figures = kinds.map(([name, part]): Figure => ({
    what: `${what}: from execve to the store, ${name}`,
    ours: quantile(delays, part),
    unit: "ms",
    peer: { name: "without hashing", value: quantile(before, part) },
    // By itself too: what was slow in the round without hashing must not excuse the others.
    target: name === "p99" ? { most: 50 } : null,
  }));
  const [p50, p99, max] = kinds.map(([, part]) => quantile(delays, part) - quantile(before, part));
  const longest = (of: readonly DiskStall[]): string => round(Math.max(0, ...of.map(({ from, to }) => to - from)));
  console.log(
    `${what}: hashing delays by ${[p50, p99, max].map((ms) => round(ms!)).join(", ")} ms (p50, p99, max) of ` +
      `${delays.length} starts; the machine let nobody look for ${round(quantile(lateness, 1))} ms, ` +
      `without hashing for ${round(quantile(without.lateness, 1))} ms; left out are ${all.length - delays.length} ` +
      `starts (at most ${round(quantile(all, 1))} ms), on which one of ${stalls.length} stalls of the disk fell (at ` +
      `most ${longest(stalls)} ms), and without hashing ${without.delays.length - before.length} (at most ` +
      `${round(quantile(without.delays, 1))} ms, ${without.stalls.length} stalls, at most ${
        longest(without.stalls)
      } ms)`,
  );
  return [
    ...figures,
    { what: `${what}: hashing delays the p99 by`, ours: p99!, unit: "ms", peer: null, target: { most: 50 } },
    { what: `${what}: hashing delays the latest by`, ours: max!, unit: "ms", peer: null, target: { most: 50 } },
    {
      what: `${what}: starts left out because the disk stalled`,
      ours: 100 * (all.length - delays.length) / all.length,
      unit: "%",
      peer: null,
      target: { most: 10 },
    },
  ];
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)]!;
}

/** What was seen of a round. */
interface Round extends Watched {
  readonly stalls: readonly DiskStall[];
}

/** Notes how late each start of a round can be read in the store, and when the disk stalled. */
async function watchRound(world: World): Promise<() => Promise<Round>> {
  const commits = await watchBy<Watched>("commit_watch.ts", { store: world.layout.store, prefix: `${directory}/` });
  const disk = await watchBy<DiskStall[]>("disk_watch.ts", `${world.layout.state}/page`);
  return async () => ({ ...await commits(), stalls: await disk() });
}

/** Starts a watching worker of `support/`, and gives what ends it and brings what it saw. */
async function watchBy<T>(name: string, task: unknown): Promise<() => Promise<T>> {
  const worker = new Worker(new URL(`support/${name}`, import.meta.url), { type: "module" });
  const answer = <A>(message: unknown): Promise<A> => {
    const { promise, resolve, reject } = Promise.withResolvers<A>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(event.error ?? new Error(event.message));
    worker.postMessage(message);
    return promise;
  };
  await answer(task);
  return () => answer<T>(null);
}

/** Runs each once, evenly over the time. */
async function runAll(world: World, programs: readonly string[], pids: readonly number[]): Promise<{
  before: number[];
  most: number;
  mostOfHasher: number;
  watched: Round;
}> {
  const watch = await watchRound(world);
  const ends = "SELECT count(*) FROM process_events WHERE event_type = 'stop' AND executable_path = ?";
  const endsBefore = world.count(ends, programs.at(-1)!);
  const before = pids.map(ticks), samples: number[][] = [before];
  const began = performance.now(), stepMs = SECONDS * 1000 / programs.length;
  let nextSample = began + 1_000;
  for (const [i, path] of programs.entries()) {
    await new Deno.Command(path).output();
    const now = performance.now();
    if (now >= nextSample) {
      samples.push(pids.map(ticks));
      nextSample += 1_000;
    }
    const wait = began + (i + 1) * stepMs - now;
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
  await world.until("the last one is stored", () => world.count(ends, programs.at(-1)!) > endsBefore);
  const watched = await watch();
  const most = (of: (sample: number[]) => number): number => {
    let most = 0;
    for (let i = WINDOW_S; i < samples.length; i++) {
      most = Math.max(most, (of(samples[i]!) - of(samples[i - WINDOW_S]!)) / WINDOW_S);
    }
    return most; // of 100 ticks a second
  };
  return { before, most: most(([a, b]) => a! + (b ?? 0)), mostOfHasher: most(([, b]) => b ?? 0), watched };
}

/** CPU of the usual programs over the same files. */
async function peer(programs: readonly string[]): Promise<{ name: string; value: number } | { missing: string }> {
  if (!await installed("ssdeep")) return { missing: "ssdeep is not installed" };
  const list = `${directory}/list`;
  await Deno.writeTextFile(list, programs.join("\0"));
  const script = `xargs -0 sha256sum < ${list} > /dev/null; xargs -0 ssdeep -s < ${list} > /dev/null; times`;
  const text = await output("bash", ["-c", script]);
  const times = [...text.trim().split("\n").at(-1)!.matchAll(/(\d+)m([\d.]+)s/g)];
  return {
    name: "sha256sum and ssdeep",
    value: times.reduce((sum, [, minutes, seconds]) => sum + (Number(minutes) * 60 + Number(seconds)) * 1000, 0),
  };
}

function rss(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]) * 1024;
}
