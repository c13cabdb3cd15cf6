/**
 * `deno task soak:system`: the whole system under real processes for an hour, to see that it does not grow.
 *
 * A small program starts processes at a steady rate (two events each). Collector, hasher and agent run as `deno task
 * start` starts them, with shipped rules and ones of the shape of real rules up to `--rules`. Once a minute it prints the
 * resident memory and the open files of each tier, and the bytes of log, ledger and store. After a first fifth, in which
 * tables fill, neither memory nor files may grow by more than a tenth (or 10 MB, or 5 files), and the log may not hold more
 * than its room. What was started must be stored, or be in gaps. Exits with 1 when that does not hold.
 *
 * `--minutes 60 --events 2000 --rules 1000`. Needs root, eBPF and gcc.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { ruleFile } from "../bench/support/real_shaped_rules.ts";
import { compileC } from "./support/compile_c.ts";
import { newStateDirectory, World } from "./support/world.ts";

const SAMPLES = 60, WARM_SHARE = 0.2;
/** The log's room: what is acknowledged stays in it for an hour, unless room is needed (`collector.wal_max_bytes`). */
const FULL_LOG_BYTES = 268_435_456;
const GROWTH = 1.1, GROWTH_BYTES = 10e6, GROWTH_FILES = 5;

/** Starts `argv[1]` processes a second for `argv[2]` seconds, and prints how many. */
const SPAWNER = `
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc == 2) return 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL); // nobody may be left with its storm
  double rate = atof(argv[1]), seconds = atof(argv[2]);
  struct timespec begun, now, pause = { 0, 2000000 };
  clock_gettime(CLOCK_MONOTONIC, &begun);
  long started = 0;
  for (;;) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    double passed = (now.tv_sec - begun.tv_sec) + (now.tv_nsec - begun.tv_nsec) / 1e9;
    if (passed >= seconds) break;
    while (started < passed * rate) {
      char mark[64];
      snprintf(mark, sizeof mark, "soak-%ld", started);
      pid_t pid = vfork();
      if (pid == 0) {
        execl(argv[0], "soak", mark, (char *)0);
        _exit(127);
      }
      if (pid < 0) { perror("vfork"); return 1; }
      waitpid(pid, 0, 0);
      started++;
    }
    nanosleep(&pause, 0);
  }
  printf("%ld\\n", started);
}
`;

interface Sample {
  readonly minute: number;
  /** By tier. */
  readonly memory: Readonly<Record<string, number>>;
  readonly files: Readonly<Record<string, number>>;
  readonly log: number;
  readonly ledger: number;
  readonly store: number;
  readonly waiting: number;
}

const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "60" },
    events: { type: "string", default: "2000" },
    rules: { type: "string", default: "1000" },
  },
});
const minutes = Number(values.minutes), events = Number(values.events), rules = Number(values.rules);
if (![minutes, events, rules].every((number) => number > 0)) throw new RangeError("Each flag takes a number above 0");

const state = await newStateDirectory();
Deno.mkdirSync(`${state}/rules`, { recursive: true });
for (let i = 0; i < rules; i++) Deno.writeTextFileSync(`${state}/rules/shaped-${i}.yml`, ruleFile(1, i, "linux"));
await using spawner = await compileC(SPAWNER);
await using world = await World.start({ state, patienceMs: 120_000 });
const pids = tierPids(world);
const child = new Deno.Command(spawner.path, {
  args: [String(events / 2), String(minutes * 60)],
  stdin: "null",
  stdout: "piped",
}).spawn();
const ended = child.output();
const samples: Sample[] = [], begun = performance.now(), step = minutes * 60_000 / SAMPLES;
for (let i = 1; i <= SAMPLES; i++) {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, begun + i * step - performance.now())));
  samples.push(sample(i * minutes / SAMPLES));
  tell(samples.at(-1)!);
}
const started = Number(new TextDecoder().decode((await ended).stdout));
let stored = 0, missed = 0;
// A status that says that nothing waits may be of before the last events.
for (const deadline = performance.now() + 120_000; performance.now() < deadline;) {
  stored = world.count(
    "SELECT count(*) FROM process_events WHERE event_type = 'start' AND command_line LIKE 'soak soak-%'",
  );
  missed = world.count("SELECT coalesce(sum(count), 0) FROM gaps WHERE source IN ('ebpf', 'transport', 'wal')");
  if (stored + missed >= started && world.collectorStatus()!.queuedEvents === 0) break;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}
const faults = judge(samples);
const dead = Object.entries(tierPids(world)).filter(([tier, pid]) => pids[tier] !== pid).map(([tier]) => tier);
for (const tier of dead) faults.push(`${tier} was started again`);
if (stored + missed < started) {
  faults.push(`${started} processes were started, ${stored} are stored, gaps tell of ${missed}`);
}
console.log(
  `${started} processes in ${minutes} min, ${stored} stored, gaps tell of ${missed}; ${faults.length} faults`,
);
for (const fault of faults) console.log(`  ${fault}`);
await world.stop();
Deno.removeSync(state, { recursive: true });
Deno.exit(faults.length === 0 ? 0 : 1);

function sample(minute: number): Sample {
  const memory: Record<string, number> = {}, files: Record<string, number> = {};
  for (const [tier, pid] of Object.entries(tierPids(world))) {
    memory[tier] = Number(/^VmRSS:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0) * 1_024;
    files[tier] = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  }
  const { collectorStatus, layout } = { collectorStatus: world.collectorStatus()!, layout: world.layout };
  const bytes = (path: string): number => {
    return [...Deno.readDirSync(path)].reduce((sum, { name, isDirectory }) => {
      return sum + (isDirectory ? bytes(`${path}/${name}`) : sizeOf(`${path}/${name}`));
    }, 0);
  };
  return {
    minute,
    memory,
    files,
    log: bytes(layout.wal),
    ledger: bytes(layout.ledger),
    store: bytes(layout.agent),
    waiting: collectorStatus.queuedEvents,
  };
}

function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0; // it went meanwhile
  }
}

function tierPids({ layout }: World): Record<string, number> {
  const collector = world.collectorStatus()!.pid, agent = world.agentStatus()!.pid;
  const found: Record<string, number> = { collector, agent };
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      if (line.includes(layout.state) && /\0hasher\0/.test(line)) found["hasher"] = Number(name);
    } catch {
      // it ended
    }
  }
  return found;
}

function tell({ minute, memory, files, log, ledger, store, waiting }: Sample): void {
  const tiers = Object.keys(memory).map((tier) =>
    `${tier} ${(memory[tier]! / 1e6).toFixed(0)} MB ${files[tier]} files`
  );
  const sizes = [["log", log], ["ledger", ledger], ["store", store]] as const;
  console.log(
    `${minute.toFixed(1)} min: ${tiers.join(", ")}; ` +
      `${sizes.map(([name, size]) => `${name} ${(size / 1e6).toFixed(1)} MB`).join(", ")}; ${waiting} waiting`,
  );
}

/** What grew. The store and the ledger do by design. */
function judge(all: readonly Sample[]): string[] {
  const faults: string[] = [], warm = all.filter((_, i) => i >= all.length * WARM_SHARE);
  const third = Math.ceil(warm.length / 3), first = warm.slice(0, third), last = warm.slice(-third);
  const most = (part: readonly Sample[], of: (sample: Sample) => number): number => Math.max(...part.map(of));
  for (const tier of Object.keys(warm[0]!.memory)) {
    const before = most(first, ({ memory }) => memory[tier]!), after = most(last, ({ memory }) => memory[tier]!);
    if (after > Math.max(before * GROWTH, before + GROWTH_BYTES)) {
      faults.push(`${tier} grew from ${(before / 1e6).toFixed(0)} to ${(after / 1e6).toFixed(0)} MB`);
    }
    const opened = most(first, ({ files }) => files[tier]!), later = most(last, ({ files }) => files[tier]!);
    if (later > opened + GROWTH_FILES) faults.push(`${tier} had ${opened} files open and has ${later}`);
  }
  const log = most(warm, (each) => each.log);
  if (log > FULL_LOG_BYTES) faults.push(`the log took ${log} bytes`);
  return faults;
}
