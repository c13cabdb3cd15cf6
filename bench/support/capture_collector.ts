/**
 * The collecting side of `bench/capture.ts`, run under the collector's own grant: opens the eBPF source, drains it as the
 * collector does, and checks every record of the storm against what the storm did.
 *
 * Says `ready` when it watches. A line on its standard input starts the count of its CPU time: what comes before warms it
 * up, as a collector runs for days. When the input ends it drains what is left and prints what it found as JSON.
 *
 * @module
 */
import process from "node:process";
import { openEbpfSource } from "../../collector/sources/ebpf.ts";
import { CAPTURED_VARIABLES } from "../../proto/config.ts";
import type { ExecRecord, SourceRecord } from "../../collector/sources/source.ts";

const [tag, countText, program] = Deno.args as [string, string, string];
const count = Number(countText);
const head = new TextEncoder().encode(`${program}\0${tag}-`);

const exactStarts = new Uint8Array(count), ends = new Uint8Array(count), forks = new Uint8Array(count);
/** Storm processes by pid, from their fork on. */
const alive = new Map<number, number>();
const forked = new Map<number, number>();
let wrong = 0;

/** The number in the argument of a storm's process, or -1. */
function numberOf(argv: Uint8Array): number {
  for (let at = 0; at < head.length; at++) if (argv[at] !== head[at]) return -1;
  let number = 0, at = head.length;
  for (; argv[at]! >= 48 && argv[at]! <= 57; at++) number = number * 10 + argv[at]! - 48;
  return at === head.length || at !== argv.length - 1 || argv[at] !== 0 ? -1 : number;
}

function isRight(exec: ExecRecord): boolean {
  return exec.argvLength === exec.argv!.length && exec.executablePath === program && exec.userId === 0 &&
    exec.effectiveUserId === 0 && exec.groupId === 0 && forked.get(exec.pid) === exec.ppid && exec.name === "tiny";
}

function receive(record: SourceRecord): void {
  if (record.kind === "fork") {
    forked.set(record.pid, record.ppid);
  } else if (record.kind === "exec") {
    const number = record.argv === null ? -1 : numberOf(record.argv);
    if (number < 0 || number >= count) return;
    if (isRight(record)) {
      exactStarts[number]!++;
      if (forked.has(record.pid)) forks[number]!++;
    } else wrong++;
    alive.set(record.pid, number);
  } else if (record.kind === "exit") {
    const number = alive.get(record.pid);
    alive.delete(record.pid);
    forked.delete(record.pid);
    if (number !== undefined && record.exitStatus === 0) ends[number]!++;
  }
}

const source = openEbpfSource({ ringBytes: 8 << 20, environment: CAPTURED_VARIABLES });
let stopping = false;
let began = process.cpuUsage(), livesBefore = 0;
const input = (async () => {
  for await (const _ of Deno.stdin.readable) {
    source.drain(receive);
    began = process.cpuUsage();
    livesBefore = source.counters().received.exit;
    console.log("counting");
  }
  stopping = true;
})();
console.log("ready");

while (!stopping) {
  await source.wait(1_000);
  const got = source.drain(receive);
  await new Promise((resolve) => setTimeout(resolve, got < 32 ? 4 : got < 512 ? 15 : 40));
}
await input;
source.drain(receive);
const used = process.cpuUsage(began);

const once = (numbers: Uint8Array): number => numbers.reduce((sum, times) => sum + (times === 1 ? 1 : 0), 0);
const { received, lost, damaged } = source.counters();
console.log(JSON.stringify({
  starts: once(exactStarts),
  ends: once(ends),
  forks: once(forks),
  wrong,
  lost: lost.exec + lost.fork + lost.exit,
  damaged,
  lives: received.exit - livesBefore,
  cpu: used.user + used.system,
  memory: Deno.memoryUsage().rss,
}));
source.close();
