/**
 * What a source accounts for, held against programs that count in the kernel by themselves.
 *
 * @module
 */
import { deepStrictEqual as equal, ok } from "node:assert/strict";
import {
  attachRawTracepoint,
  createMap,
  loadProgram,
  lookupElement,
  MAP_TYPE,
  PROGRAM_TYPE,
} from "../../collector/kernel/bpf.ts";
import { BpfAssembler, R0, R1, R2, R6, R8 } from "../../collector/kernel/bpf_assembler.ts";
import { readKernelBtf } from "../../collector/kernel/btf.ts";
import { readKernelLayout } from "../../collector/kernel/kernel_layout.ts";
import { libc } from "../../collector/kernel/libc.ts";
import { skipUnlessGroupDead } from "../../collector/kernel/process_programs.ts";
import { CLONE_THREAD } from "../../collector/kernel/tracepoint_records.ts";
import type { ProcessSource, SourceRecord } from "../../collector/sources/source.ts";

/** A watched source whose ring is small. */
export interface OverflowingWatch {
  readonly source: ProcessSource;
  readonly records: SourceRecord[];
  drain(): void;
}

/** Counts executions, forks and ends of processes in the kernel, by raw tracepoints and a map of its own. */
export class IndependentCounter implements Disposable {
  readonly #fds: number[] = [];
  readonly #map: number;

  constructor() {
    const btf = readKernelBtf(), layout = readKernelLayout(btf);
    btf.release();
    this.#map = createMap({ name: "test_count", type: MAP_TYPE.array, keyBytes: 4, valueBytes: 24, entries: 1 });
    this.#fds.push(this.#map);
    this.#attach("sched_process_exec", 0, () => {});
    this.#attach(
      "task_newtask",
      8,
      (a) => a.load(8, R1, R6, 8).andConstant(R1, CLONE_THREAD).jumpIf(R1, "ne", 0, "out"),
    );
    this.#attach("sched_process_exit", 16, (a) => skipUnlessGroupDead(a.load(8, R8, R6, 0), layout, -16));
  }

  #attach(tracepoint: string, offset: number, filter: (a: BpfAssembler) => unknown): void {
    const a = new BpfAssembler().move(R6, R1);
    filter(a);
    a.loadMapValue(R1, this.#map, offset).moveConstant(R2, 1).atomicAdd(R1, 0, R2);
    a.label("out").moveConstant(R0, 0).exit();
    const program = loadProgram({ name: "test_count", type: PROGRAM_TYPE.rawTracepoint, instructions: a.assemble() });
    this.#fds.push(program, attachRawTracepoint(tracepoint, program));
  }

  read(): { exec: number; fork: number; exit: number } {
    const bytes = new Uint8Array(24), view = new DataView(bytes.buffer);
    lookupElement(this.#map, 0, bytes);
    const at = (offset: number): number => Number(view.getBigUint64(offset, true));
    return { exec: at(0), fork: at(8), exit: at(16) };
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.toReversed()) libc.close(fd);
  }
}

/** What the source accounts for minus what the kernel counted, per kind, at a moment in which nothing happened. */
async function balance(
  watch: OverflowingWatch,
  counter: IndependentCounter,
): Promise<Record<"exec" | "fork" | "exit", number>> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const before = counter.read();
    watch.drain();
    const { received, lost } = watch.source.counters();
    const after = counter.read();
    if (JSON.stringify(before) === JSON.stringify(after)) {
      const of = (kind: "exec" | "fork" | "exit"): number => received[kind] + lost[kind] - before[kind];
      return { exec: of("exec"), fork: of("fork"), exit: of("exit") };
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("This machine never rests: no moment without a process that begins or ends");
}

/** Lets the ring of a watch overflow three times, and holds what the source tells against the kernel's own count. */
export async function accountsForEveryRecord(watch: OverflowingWatch): Promise<void> {
  using counter = new IndependentCounter();
  const start = await balance(watch, counter);
  watch.records.length = 0;
  for (let round = 0; round < 3; round++) {
    // Nobody reads while these run, and 64 KiB hold some 200 lives.
    const script = "i=0; while [ $i -lt 600 ]; do /bin/true n$i; i=$((i+1)); done";
    await new Deno.Command("/bin/sh", { args: ["-c", script] }).output();
    equal(await balance(watch, counter), start);
  }
  const losses = watch.records.filter((record) => record.kind === "loss");
  const { lost } = watch.source.counters();
  for (const kind of ["exec", "fork", "exit"] as const) {
    ok(lost[kind] > 300, `${kind}: ${lost[kind]} lost`);
    const reported = losses.filter((loss) => loss.recordKind === kind);
    equal(reported.reduce((sum, loss) => sum + loss.count!, 0), lost[kind]);
    ok(reported.length >= 3 && reported.every((loss) => loss.from < loss.to));
  }
}
