/**
 * From exec in the kernel to the alert in the file: the real tiers, eBPF, some 1,000 events a second beside it.
 *
 * A rule of its own is dropped into the rules directory of the running agent. Probes are programs with an argument that
 * it looks for, started one after another; the time of each exec is the kernel's, that of the alert the file's own, as
 * the kernel has it of its last write (to a few milliseconds before Linux 6.13), and beside it the moment at which a
 * reader that was woken by the write has it. Where the time goes is the tiers' own word, as `health` shows it, of all events of the last
 * half minute and not of the probes alone. Needs root and eBPF. Usage: `deno task bench:alert-latency [PROBES]`.
 *
 * @module
 */
import { readDelays } from "../proto/delay_meter.ts";
import { World } from "../tests/support/world.ts";
import { median, report, round, table } from "./support/report.ts";

const PROBES = Number(Deno.args[0] ?? 300);
/** Between two probes: not in step with any timer of the tiers. */
const PAUSE_MS = 37;
/** Processes of the background, two events each: 1,000 a second, however fast the host is. */
const LOOPS = 2, PROCESSES_A_TURN = 10, TURN_MS = 20;
const TARGET_P50_MS = 15, TARGET_P99_MS = 50;
/** How a probe is named: not as that of another benchmark on the same host. */
const PROBE = `latency-probe-${Deno.pid}-`;
const RULE = `id: latency-probe
title: A probe of the benchmark
description: It measures how long an alert takes
severity: critical
sql: |
  SELECT pid, command_line FROM process_events WHERE event_type = 'start' AND command_line LIKE '%${PROBE}%'
`;

interface Arrival {
  readonly probe: string;
  readonly execTime: number;
  readonly detectedTime: number;
  readonly writtenTime: number;
  readonly readTime: number;
}

/** The alerts of the probes, each with the moments at which it was in the file and was read. */
async function follow(path: string, arrivals: Map<string, Arrival>, signal: AbortSignal): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf("/")), decoder = new TextDecoder();
  const buffer = new Uint8Array(1 << 20);
  let file: Deno.FsFile | null = null, rest = "";
  const look = (): void => {
    try {
      file ??= Deno.openSync(path);
    } catch {
      return; // no alert yet
    }
    for (let read = file.readSync(buffer); read !== null && read > 0; read = file.readSync(buffer)) {
      const readTime = Date.now(), lines = (rest + decoder.decode(buffer.subarray(0, read))).split("\n");
      // Of the newest line; asked after each reading, so that the kernel keeps it exact for the next one.
      const writtenTime = Math.min(file.statSync().mtime!.getTime(), readTime);
      rest = lines.pop()!;
      for (const line of lines) {
        const { ruleId, commandLine, time: execTime, detectedTime } = JSON.parse(line);
        const probe = (commandLine ?? "").split(" ").find((word: string) => word.startsWith(PROBE));
        if (ruleId === "latency-probe" && probe !== undefined) {
          arrivals.set(probe, { probe, execTime, detectedTime, writtenTime, readTime });
        }
      }
    }
  };
  const watcher = Deno.watchFs(directory, { recursive: false });
  signal.addEventListener("abort", () => watcher.close());
  for await (const event of watcher) if (event.kind !== "access") look();
  file = file as Deno.FsFile | null;
  file?.close();
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)]!;
}

type Delays = NonNullable<ReturnType<typeof readDelays>>;

/** What lies between two points, of each of which only the time since the event is known. */
function between(from: Delays | null, to: Delays | null): Delays | null {
  if (from === null || to === null) return null;
  return { p50: to.p50 - from.p50, p99: to.p99 - from.p99, max: to.max - from.max };
}

function delaysOf(values: readonly number[]): Delays {
  return { p50: median(values), p99: percentile(values, 0.99), max: percentile(values, 1) };
}

/** The way of an event in the order in which it moves, and of the probes the parts of it that can be seen from outside. */
function showStages(
  collector: Readonly<Record<string, number>>,
  agent: Readonly<Record<string, number>>,
  probes: { readonly received: Delays; readonly written: Delays; readonly read: Delays },
): void {
  const durable = readDelays(collector, "durable"), toAgent = readDelays(agent, "received");
  const rows: readonly [string, Delays | null][] = [
    ["kernel to drained", readDelays(collector, "drained")],
    ["drained to durable", readDelays(collector, "flushed")],
    ["durable to received (difference of the sums)", between(durable, toAgent)],
    ["received to judged", readDelays(agent, "judged")],
    ["judged to committed", readDelays(agent, "committed")],
    ["committed to in the file, for good", readDelays(agent, "delivered_file")],
    ["sum: event to durable", durable],
    ["sum: event to received", toAgent],
    ["probes: exec to received", probes.received],
    ["probes: received to in the file", probes.written],
    ["probes: in the file to read", probes.read],
  ];
  const cells = rows.map(([what, delays]) => {
    return [what, ...(delays === null ? ["-", "-", "-"] : [delays.p50, delays.p99, delays.max].map(round))];
  });
  table("Where the time goes, ms", ["stage", "p50", "p99", "longest"], cells);
}

await using world = await World.start();
Deno.mkdirSync(world.layout.rules, { recursive: true });
Deno.writeTextFileSync(`${world.layout.rules}/latency-probe.yml`, RULE, { mode: 0o644 });
await world.until("the agent took the rule over", () => {
  return world.agentStatus()?.rules.some((rule) => rule.id === "latency-probe") === true;
}, 60_000);
const source = world.collectorStatus()!.sources.find(({ state }) => state === "active")?.name;

const turn = `i=0; while [ $i -lt ${PROCESSES_A_TURN} ]; do /bin/true background; i=$((i+1)); done`;
const loops = Array.from({ length: LOOPS }, () => {
  return new Deno.Command("/bin/sh", {
    args: ["-c", `while read -r _; do ${turn}; done`],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
});
const writers = loops.map((loop) => loop.stdin.getWriter()), newline = new TextEncoder().encode("\n");
const began = performance.now();
let turns = 0;
const pacing = setInterval(() => {
  // What a late timer left out is made up for.
  for (; turns * TURN_MS < performance.now() - began; turns++) {
    void writers[turns % LOOPS]!.write(newline).catch(() => {});
  }
}, TURN_MS / 2);
const arrivals = new Map<string, Arrival>(), stop = new AbortController();
const following = follow(`${world.layout.agent}/alerts.jsonl`, arrivals, stop.signal);
try {
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const before = world.agentStatus()!, begun = performance.now(), cpuBefore = world.collectorStatus()!.cpuMs;
  for (let i = 0; i < PROBES; i++) {
    await new Deno.Command("/bin/true", { args: [`${PROBE}${i}`] }).output();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  await world.until("every probe has its alert", () => arrivals.size === PROBES, 30_000);
  const after = world.agentStatus()!, seconds = (after.time - before.time) / 1_000;
  const events = (after.counters["events"] ?? 0) - (before.counters["events"] ?? 0), rate = events / seconds;
  const cpuMs = { collector: world.collectorStatus()!.cpuMs - cpuBefore, agent: after.cpuMs - before.cpuMs };
  console.log(`${PROBES} probes in ${((performance.now() - begun) / 1_000).toFixed(1)} s, source ${source}`);
  const all = [...arrivals.values()];
  const whole = delaysOf(all.map((a) => a.writtenTime - a.execTime));
  const read = delaysOf(all.map((a) => a.readTime - a.execTime));
  showStages(world.collectorStatus()!.counters, after.counters, {
    received: delaysOf(all.map((a) => a.detectedTime - a.execTime)),
    written: delaysOf(all.map((a) => a.writtenTime - a.detectedTime)),
    read: delaysOf(all.map((a) => a.readTime - a.writtenTime)),
  });
  const line = (what: string, ours: number, most: number | null): Parameters<typeof report>[1][number] => {
    return { what, ours, unit: "ms", peer: null, target: most === null ? null : { most } };
  };
  report(`Exec to alert in the file, with ${rate.toFixed(0)} events/s beside it`, [
    line("p50", whole.p50, TARGET_P50_MS),
    line("p99", whole.p99, TARGET_P99_MS),
    line("longest", whole.max, null),
    line("until a reader has it, p50", read.p50, null),
    line("until a reader has it, p99", read.p99, null),
    ...Object.entries(cpuMs).map(([tier, ms]) => {
      return { what: `CPU of the ${tier}, an event`, ours: 1_000 * ms / events, unit: "us", peer: null, target: null };
    }),
  ]);
} finally {
  clearInterval(pacing);
  for (const loop of loops) loop.kill("SIGKILL");
  await Promise.all(loops.map((loop) => loop.status));
  stop.abort();
  await following;
}
