/**
 * The collecting side of `bench/capture.ts`, run under the collector's own grant: opens one rung of the source ladder,
 * drains it as the collector does, and checks every record of the storm against what the storm did.
 *
 * Says why the rung cannot be opened, or null, when it watches. The first line of its standard input is the tag of the
 * storm that counts: what comes before warms it up. At the second it drains what is left and prints what it found.
 *
 * usage: capture_collector RUNG COUNT PROGRAM
 *
 * @module
 */
import { openBestSource } from "../../collector/sources/ladder.ts";
import type { ExecRecord, ProcessSource, SourceRecord } from "../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../collector/sources/unavailable.ts";
import { loadSettings } from "../../proto/config.ts";
import type { SourceName } from "../../proto/process_event.ts";

const [rung, countText, program] = Deno.args as [SourceName, string, string];
const count = Number(countText), name = program.slice(program.lastIndexOf("/") + 1);
/** How the arguments of the storm's processes begin; that of no process until the storm is named. */
let head = new Uint8Array([0]);

const exact = new Uint8Array(count), whole = new Uint8Array(count), forks = new Uint8Array(count);
const ends = new Uint8Array(count);
/** Every pid that a record named since the storm was. */
const named = new Set<number>();
/** Storm processes by pid, from their start on; parents of processes, from their fork on. */
const alive = new Map<number, number>(), parents = new Map<number, number>();
let wrong = 0;
/** `ps` does not tell arguments apart. */
const joins = rung === "ps", SPACE = 32;

/** The number in the argument of a storm's process, or -1. */
function numberOf(argv: Uint8Array): number {
  for (let at = 0; at < head.length; at++) {
    if (argv[at] !== head[at] && !(joins && head[at] === 0 && argv[at] === SPACE)) return -1;
  }
  let number = 0, at = head.length;
  for (; argv[at]! >= 48 && argv[at]! <= 57; at++) number = number * 10 + argv[at]! - 48;
  return at === head.length || at !== argv.length - 1 || argv[at] !== 0 || number >= count ? -1 : number;
}

/** Whether it says all there is to say; null when something that it says is not so. */
function isWhole(exec: ExecRecord): boolean | null {
  const { argv, argvLength, executablePath, userId, effectiveUserId, groupId, ppid } = exec;
  const told = [executablePath, userId, effectiveUserId, groupId, ppid, argvLength];
  const parent = parents.get(exec.pid) ?? ppid;
  const truth = [program, 0, 0, 0, parent, argv!.length];
  if (told.some((fact, at) => fact !== null && fact !== truth[at]) || exec.name !== name) return null;
  return !told.includes(null);
}

function receive(record: SourceRecord): void {
  if (record.kind === "loss") return;
  named.add(record.pid);
  if (record.kind === "fork") {
    parents.set(record.pid, record.ppid);
  } else if (record.kind === "exec") {
    const number = record.argv === null ? -1 : numberOf(record.argv);
    if (number < 0) return;
    alive.set(record.pid, number);
    exact[number]!++;
    const verdict = isWhole(record);
    if (verdict === null) wrong++;
    else if (verdict) whole[number]!++;
    if (parents.has(record.pid)) forks[number]!++;
  } else {
    const number = alive.get(record.pid);
    alive.delete(record.pid);
    parents.delete(record.pid);
    if (number !== undefined && record.exitStatus === 0) ends[number]!++;
  }
}

function open(): ProcessSource | string {
  const { collector } = loadSettings({ flags: {}, env: {}, readFile: () => null });
  try {
    return openBestSource({ ...collector, choice: rung }).source;
  } catch (error) {
    if (error instanceof SourceUnavailableError) return error.reason;
    throw error;
  }
}

async function watch(source: ProcessSource): Promise<void> {
  let stopping = false;
  const commands = (async () => {
    let storm = false;
    for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      if (storm) break;
      storm = true;
      source.drain(receive);
      named.clear();
      head = new TextEncoder().encode(`${program}\0${chunk.trim()}-`);
      console.log("watching");
    }
    stopping = true;
  })();
  while (!stopping) {
    await source.wait(1_000);
    const got = source.drain(receive);
    await new Promise((resolve) => setTimeout(resolve, got < 32 ? 4 : got < 512 ? 15 : 40));
  }
  await commands;
  source.drain(receive);
  const { lost, overruns, damaged } = source.counters();
  const once = (numbers: Uint8Array): number => numbers.reduce((sum, times) => sum + (times === 1 ? 1 : 0), 0);
  console.log(JSON.stringify({
    exact: exact.reduce((sum, times) => sum + (times > 0 ? 1 : 0), 0),
    whole: once(whole),
    forks: once(forks),
    ends: once(ends),
    wrong,
    lost: lost.exec + lost.fork + lost.exit,
    overruns,
    damaged,
    memory: Deno.memoryUsage().rss,
    pids: [...named],
  }));
  source.close();
}

const source = open();
if (typeof source !== "string") await source.snapshot();
console.log(JSON.stringify({ unavailable: typeof source === "string" ? source : null }));
if (typeof source !== "string") await watch(source);
