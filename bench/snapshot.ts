/**
 * The whole process table with 10,000 sleeping processes in it: by the task iterator, by the FFI reader of `/proc` with
 * what the C program reads and with all circumstances (the fallback), by a C program that reads the same files, and by `ps`. Rounds of all take turns; medians are compared.
 * The first rounds warm up and are not counted; what the very first pass takes is shown for itself.
 *
 * usage: deno task bench:snapshot [PROCESSES] [ROUNDS]
 *
 * | size | default |
 * |---|---|
 * | sleeping processes | 10,000 |
 * | rounds | 7 |
 */
import { readKernelBtf } from "../collector/kernel/btf.ts";
import { readKernelLayout } from "../collector/kernel/kernel_layout.ts";
import { PLAIN, readProcessTable } from "../collector/kernel/procfs.ts";
import { ProcfsReader } from "../collector/kernel/procfs_reader.ts";
import { TaskIterator } from "../collector/kernel/task_iterator.ts";
import type { TableEntry } from "../collector/sources/source.ts";
import { CAPTURED_VARIABLES } from "../proto/setting_definitions.ts";
import { installed, output } from "./support/commands.ts";
import { type Figure, median, report } from "./support/report.ts";

const PROCESSES = Number(Deno.args[0] ?? 10_000);
const ROUNDS = Number(Deno.args[1] ?? 7);
const WARM_UP_ROUNDS = 3;
/** Until the processes have all come to sleep. */
const SETTLE_MS = 3_000;
const SUPPORT = new URL("./support/", import.meta.url).pathname;
const PS = ["-e", "-o", "pid,ppid,user,lstart,pcpu,rss,comm,args"];

/** `old`: as on a kernel that cannot read arguments within an iterator (before Linux 6.2). */
function openIterator(old: boolean): TaskIterator | string {
  try {
    const btf = readKernelBtf(), functionId = btf.functionId.bind(btf);
    if (old) btf.functionId = (name) => name === "bpf_rcu_read_lock" ? null : functionId(name);
    const iterator = new TaskIterator(btf, readKernelLayout(btf));
    btf.release();
    return iterator;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function main(): Promise<boolean> {
  if (!await installed("gcc")) {
    console.log("snapshot: not measured: gcc is not installed (it compiles the sleeping processes)");
    return true;
  }
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
  try {
    await output("gcc", ["-O2", "-static", "-o", `${directory}/sleepers`, `${SUPPORT}sleepers.c`]);
    await output("gcc", ["-O2", "-o", `${directory}/proc_loop`, `${SUPPORT}proc_loop.c`]);
    const sleepers = new Deno.Command(`${directory}/sleepers`, {
      args: [`${PROCESSES}`],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const lines = sleepers.stdout.pipeThrough(new TextDecoderStream()).getReader();
    try {
      const started = Number((await lines.read()).value);
      if (started !== PROCESSES) console.log(`only ${started} of ${PROCESSES} processes could be started`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      return await measure(directory, started);
    } finally {
      await sleepers.stdin.close();
      await lines.cancel();
      await sleepers.status;
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** How many of the sleepers are in a table with what they are known to have. */
function countSleepers(table: readonly TableEntry[], program: string): number {
  const numbers = new Set<string>();
  for (const { argv, executablePath, userId, startTime, memoryUsage } of table) {
    const [first, second, number] = new TextDecoder().decode(argv ?? new Uint8Array()).split("\0");
    const whole = executablePath === program && userId === 0 && startTime > 0 && memoryUsage !== null;
    if (first === "sleeper" && second === "child" && whole) numbers.add(number!);
  }
  return numbers.size;
}

async function measure(directory: string, started: number): Promise<boolean> {
  const iterator = openIterator(false), oldIterator = openIterator(true);
  const whole = new ProcfsReader({ environment: CAPTURED_VARIABLES });
  const hasPs = await installed("ps");
  const times = {
    iterator: [] as number[],
    old: [] as number[],
    reader: [] as number[],
    whole: [] as number[],
    loop: [] as number[],
    ps: [] as number[],
  };
  const timed = async <T>(into: number[], run: () => T | Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await run();
    into.push(performance.now() - began);
    return result;
  };
  let byIterator: TableEntry[] = [], byOld: TableEntry[] = [], byReader: TableEntry[] = [], byWhole: TableEntry[] = [];
  let coldIterator = 0;
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    if (round === 0) {
      coldIterator = times.iterator[0] ?? 0;
      for (const taken of Object.values(times)) taken.length = 0;
    }
    if (typeof iterator !== "string") byIterator = await timed(times.iterator, () => iterator.read());
    if (typeof oldIterator !== "string") byOld = await timed(times.old, () => oldIterator.read());
    byReader = await timed(times.reader, () => readProcessTable(PLAIN));
    byWhole = await timed(times.whole, () => whole.table());
    times.loop.push(...(await output(`${directory}/proc_loop`, ["1"])).trim().split("\n").map(Number));
    // Its own start, a few milliseconds, is part of what it costs.
    if (hasPs) await timed(times.ps, () => new Deno.Command("ps", { args: PS, stdout: "piped" }).outputSync());
  }
  if (typeof iterator !== "string") iterator.close();
  if (typeof oldIterator !== "string") oldIterator.close();

  const program = Deno.realPathSync(`${directory}/sleepers`);
  const loop = median(times.loop);
  const cLoop = { name: "C loop over /proc", value: loop };
  const figures: Figure[] = [];
  if (typeof iterator === "string") console.log(`task iterator: not measured: ${iterator}`);
  else {
    figures.push({
      what: "task iterator, all fields",
      ours: median(times.iterator),
      unit: "ms",
      peer: cLoop,
      target: { most: 60 },
    }, {
      what: "task iterator against ps -eo",
      ours: median(times.iterator),
      unit: "ms",
      peer: hasPs ? { name: "ps", value: median(times.ps) } : { missing: "ps is not installed" },
      target: null,
    }, {
      what: "task iterator with arguments from /proc (Linux 5.11 to 6.1, or when held up)",
      ours: median(times.old),
      unit: "ms",
      peer: cLoop,
      target: null,
    }, {
      what: "sleeping processes in that table, exact",
      ours: 100 * countSleepers(byOld, program) / started,
      unit: "%",
      peer: null,
      target: { least: 100 },
    }, {
      what: "task iterator, first pass of all",
      ours: coldIterator,
      unit: "ms",
      peer: null,
      target: null,
    }, {
      what: "sleeping processes in the iterator's table, exact",
      ours: 100 * countSleepers(byIterator, program) / started,
      unit: "%",
      peer: null,
      target: { least: 100 },
    });
  }
  figures.push({
    what: "FFI reader of /proc, the fields of the C loop",
    ours: median(times.reader),
    unit: "ms",
    peer: cLoop,
    target: { most: Math.round(1.1 * loop) },
  }, {
    what: "sleeping processes in the reader's table, exact",
    ours: 100 * countSleepers(byReader, program) / started,
    unit: "%",
    peer: null,
    target: { least: 100 },
  }, {
    what: "FFI reader of /proc with all circumstances, arguments beside the thread",
    ours: median(times.whole),
    unit: "ms",
    peer: cLoop,
    target: null,
  }, {
    what: "sleeping processes in that table, exact",
    ours: 100 * countSleepers(byWhole.filter(({ context }) => typeof context?.cwd === "string"), program) / started,
    unit: "%",
    peer: null,
    target: { least: 100 },
  });
  whole.close();
  return report(`process table of ${byReader.length} processes, median of ${ROUNDS} rounds`, figures);
}

if (!await main()) Deno.exitCode = 1;
