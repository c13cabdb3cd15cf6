/**
 * `deno task soak [EVENTS] [TRACKED]`: generated process lives without end through the collector's own path, from records
 * to acknowledged frames and the last known table, to see that it does not grow.
 *
 * The lives are of every sort: short ones, ones that never end, pids that are reused, arguments and circumstances of all
 * lengths, records that come late or never. Memory is measured after a full collection of garbage, at the end of the
 * first two fifths, when every table is full, and twenty times after. Prints one JSON object; the exit code is 1
 * when a bound does not hold.
 *
 * @module
 */
import { LogKeeper } from "../../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../../collector/outbox.ts";
import { DiskHome } from "../../collector/wal/home.ts";
import { KnownFile } from "../../collector/known_table.ts";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { NOTHING_KNOWN, type RawContext, type TableEntry } from "../../collector/sources/source.ts";
import { entry, exec, exit, fork } from "./lifecycle_world.ts";

const EVENTS = Number(Deno.args[0] ?? 2_000_000);
const TRACKED = Number(Deno.args[1] ?? 20_000);
/** Share of what was measured first by which later measures may be more. */
const GROWTH = 0.1;
const WARM_SHARE = 0.4, MEASURES = 20;
const LIMITS = { maxTracked: TRACKED, maxEnded: 4_096, maxBytes: Math.max(1 << 20, TRACKED * 512) };
/** Pids below are used again and again; those above in turn, by processes that do not end. */
const ENDING = 2 * TRACKED, PIDS = 2 * ENDING;
const MS = 1e6, S = 1e9;
/** Numbers that the agent has not acknowledged yet. */
const LAG = 5_000;

/** Numbers that look random and are the same each time (mulberry32). */
let seed = 1;
function random(below: number): number {
  seed = seed + 0x6d2b79f5 | 0;
  let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
  return ((t ^ t >>> 14) >>> 0) % below;
}

function context(): RawContext | null {
  if (random(10) === 0) return null;
  return {
    ...NOTHING_KNOWN,
    cwd: `/home/user${random(5_000)}/${"d".repeat(random(200))}`,
    mountNamespace: 4_026_531_840 + random(50),
    cgroupPath: `/kubepods/pod${random(100_000)}/${random(1_000_000)}`,
    environment: [`LD_PRELOAD=/tmp/${"e".repeat(random(300))}`, "SUDO_USER=me"],
  };
}

function args(): Uint8Array {
  const bytes = new Uint8Array(random(20) === 0 ? random(16_384) + 2 : random(120) + 2).fill(0x61 + random(26));
  bytes[bytes.length - 1] = 0;
  return bytes;
}

/** Start of the process that has a pid, 0 when none has. */
const living = new Float64Array(PIDS);
let now = 1_000 * S, endless = 0;
const lifecycle = new Lifecycle({
  bootId: "0badcafe-0000",
  source: { description: { name: "ebpf", sees: "", misses: [], unknownColumns: [] }, look: () => null },
  names: { userName: (id) => `user${id}`, groupName: () => null },
  clock: { bootTimeNs: () => now, bootOffsetMs: () => 1_700_000_000_000, sleptNs: () => 0 },
  limits: LIMITS,
  thresholds: { memoryPercent: 50, cpuPercent: 25 },
});
const directory = await Deno.makeTempDir();
const LOG_BYTES = 67_108_864;
const outbox = new Outbox(
  new LogKeeper({
    home: new DiskHome(`${directory}/wal`),
    host: "soak",
    collectorId: "soak",
    totalBytes: LOG_BYTES,
    segmentBytes: 8_388_608,
    keepMs: 0,
    memoryBytes: 33_554_432,
    clock: () => performance.now(),
    now: Date.now,
    gapRecord: refusalRecord,
    notice: (text) => console.error(text),
  }),
);
const knownPath = `${directory}/known.pb`, knownFile = new KnownFile(knownPath);
let records = 0, events = 0, gaps = 0;

function live(): void {
  const isEndless = random(10) === 0;
  const pid = isEndless ? ENDING + endless++ % ENDING : random(ENDING), ppid = random(PIDS);
  now += random(2_000) * 1e3;
  const start = now, sort = random(100);
  if (sort < 90) lifecycle.receive(fork(pid, ppid, start));
  if (sort > 5) {
    for (let i = sort > 95 ? 3 : 1; i > 0; i--) {
      const argv = args();
      lifecycle.receive(exec(pid, ppid, now += 1e5, {
        startTime: start,
        argv,
        argvLength: argv.length,
        name: `app${random(500)}`,
        executablePath: `/usr/lib/${"p".repeat(random(100))}/app${random(5_000)}`,
        userId: random(5_000),
        context: context(),
      }));
      records++;
    }
  }
  records += 2;
  if (isEndless) living[pid] = start;
  else lifecycle.receive(exit(pid, now += 1e5, start));
  if (sort === 50) lifecycle.receive(exit(random(PIDS), now, now - S)); // of one that nobody saw
  if (sort === 51) {
    lifecycle.receive({ kind: "loss", recordKind: "exec", from: now - MS, to: now, count: 1, reason: `full` });
  }
}

function flush(isLast = false): void {
  const flushed = lifecycle.flush(1_700_000_000_000 + now / MS, isLast);
  knownFile.append(flushed.known, Math.floor(now / MS));
  for (const gap of flushed.gaps) outbox.addGap(gap);
  outbox.addEvents(flushed.events);
  events += flushed.events.length;
  gaps += flushed.gaps.reduce((sum, gap) => sum + gap.count!, 0);
  outbox.flush();
  outbox.acknowledge(Math.min(outbox.durable, Math.max(0, outbox.lastSequence - LAG)));
}

function snapshot(): void {
  const entries: TableEntry[] = [];
  for (let pid = 0; pid < PIDS && entries.length < TRACKED; pid++) {
    if (living[pid] !== 0) {
      entries.push(entry(pid, living[pid]!, { memoryUsage: random(1 << 20), cpuTime: random(1e9) }));
    }
  }
  const states = lifecycle.reconcile(entries, now);
  flush();
  if (knownFile.isDue) knownFile.replace(lifecycle.known(), Math.floor(now / MS));
  outbox.addSnapshot(states, 1_700_000_000_000);
}

const faults: string[] = [];
function check(what: string, value: number, most: number): void {
  if (value > most) faults.push(`${what}: ${value}, at most ${most}`);
}

function measure(): number {
  // deno-lint-ignore no-explicit-any
  for (let i = 0; i < 3; i++) (globalThis as any).gc();
  check("living processes", lifecycle.tracked, LIMITS.maxTracked);
  check("bytes of the table", lifecycle.retainedBytes, 2 * LIMITS.maxBytes);
  check("bytes of the log", outbox.status.bytes, LOG_BYTES);
  check("bytes of the last known table", Deno.statSync(knownPath).size, TRACKED * 2_000 + 1_000_000);
  return Deno.memoryUsage().rss;
}

knownFile.replace([], 0);
const began = performance.now();
let warm = 0, most = 0, nextMeasure = EVENTS * WARM_SHARE, nextSnapshot = EVENTS / 40;
while (events < EVENTS) {
  for (let i = 0; i < 50; i++) live();
  flush();
  if (events >= nextSnapshot) {
    nextSnapshot += EVENTS / 40;
    snapshot();
  }
  if (events < nextMeasure) continue;
  nextMeasure += EVENTS * (1 - WARM_SHARE) / MEASURES;
  const rss = measure();
  console.error(`${events} events: ${rss >> 20} MiB`);
  if (warm === 0) warm = rss;
  else most = Math.max(most, rss);
}
flush(true);
const seconds = (performance.now() - began) / 1_000;
check("resident bytes", most, warm * (1 + GROWTH));
if (lifecycle.forgotten === 0) faults.push("the table was never full: nothing was shown");
knownFile.close();
await Deno.remove(directory, { recursive: true });
console.log(JSON.stringify({
  events,
  records,
  seconds: Math.round(seconds),
  warmMiB: Math.round(warm / 1048576),
  mostMiB: Math.round(most / 1048576),
  growthPercent: Math.round((most / warm - 1) * 1_000) / 10,
  tracked: lifecycle.tracked,
  forgotten: lifecycle.forgotten,
  retainedMiB: Math.round(lifecycle.retainedBytes / 1048576),
  gapCount: gaps,
  refused: outbox.status.refused,
  faults,
}));
Deno.exit(faults.length > 0 ? 1 : 0);
