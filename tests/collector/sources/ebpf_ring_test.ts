import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import {
  attachRawTracepoint,
  createMap,
  HELPER,
  loadProgram,
  lookupElement,
  MAP_TYPE,
  PROGRAM_TYPE,
} from "../../../collector/kernel/bpf.ts";
import { BpfAssembler, R0, R1, R2, R6, R8 } from "../../../collector/kernel/bpf_assembler.ts";
import { readKernelBtf } from "../../../collector/kernel/btf.ts";
import { type KernelLayout, readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { libc } from "../../../collector/kernel/libc.ts";
import { PROCESS_PROGRAMS, skipUnlessGroupDead } from "../../../collector/kernel/process_programs.ts";
import { COUNTER_BYTES, MAX_EXEC_BYTES } from "../../../collector/kernel/process_records.ts";
import { MappedRing } from "../../../collector/kernel/ring_buffer.ts";
import type { LossRecord } from "../../../collector/sources/source.ts";
import { argvOf, one, Watch } from "../../support/ebpf_watch.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });

/** Counts executions, forks and ends of processes in the kernel, by programs and a map of its own. */
class IndependentCounter implements Disposable {
  readonly #fds: number[] = [];
  readonly #map: number;

  constructor() {
    const btf = readKernelBtf(), layout = readKernelLayout(btf);
    btf.release();
    this.#map = createMap({ name: "test_count", type: MAP_TYPE.array, keyBytes: 4, valueBytes: 24, entries: 1 });
    this.#fds.push(this.#map);
    this.#attach("sched_process_exec", 0, () => {});
    this.#attach("sched_process_fork", 8, (a) => this.#skipThreads(a, layout));
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

  /** Tells threads by the flag that fork sets, not by pid and tgid as the source does. */
  #skipThreads(a: BpfAssembler, { task }: KernelLayout): void {
    a.load(8, R8, R6, 8);
    a.move(3, R8).addConstant(3, task.groupLeader).move(R1, 10).addConstant(R1, -8).moveConstant(R2, 8);
    a.call(HELPER.probeReadKernel).load(8, R1, 10, -8).jumpIfRegisters(R1, "ne", R8, "out");
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
  watch: Watch,
  counter: IndependentCounter,
): Promise<{ exec: number; fork: number; exit: number }> {
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

Deno.test({
  name: "ebpf source accounts for every record when its ring overflows, per kind, exactly",
  ...bpf,
  async fn() {
    using watch = new Watch({ ringBytes: 65_536 });
    using counter = new IndependentCounter();
    const start = await balance(watch, counter);
    watch.records.length = 0;
    for (let round = 0; round < 3; round++) {
      // Nobody reads while these run, and 64 KiB hold some 200 lives.
      const script = "i=0; while [ $i -lt 600 ]; do /bin/true n$i; i=$((i+1)); done";
      await new Deno.Command("/bin/sh", { args: ["-c", script] }).output();
      equal(await balance(watch, counter), start);
    }
    const losses: LossRecord[] = watch.of("loss");
    const { lost } = watch.source.counters();
    for (const kind of ["exec", "fork", "exit"] as const) {
      ok(lost[kind] > 300, `${kind}: ${lost[kind]} lost`);
      const reported = losses.filter((loss) => loss.recordKind === kind);
      equal(reported.reduce((sum, loss) => sum + loss.count!, 0), lost[kind]);
      ok(reported.length >= 3 && reported.every((loss) => loss.from < loss.to));
    }
    // What was received goes on to be right.
    watch.records.length = 0;
    equal(one((await watch.run("/bin/true", ["after"])).execs).argv, argvOf("/bin/true", "after"));
  },
});

Deno.test({
  name: "ebpf source hands over the other records when a receiver throws",
  ...bpf,
  async fn() {
    using watch = new Watch();
    await new Deno.Command("/bin/sh", { args: ["-c", "/bin/true 1; /bin/true 2; /bin/true 3"] }).output();
    const seen: string[] = [];
    throws(() =>
      watch.source.drain((record) => {
        if (record.kind !== "exec") return;
        seen.push(new TextDecoder().decode(record.argv!));
        throw new Error("receiver failed");
      }), /receiver failed/);
    for (const wanted of ["/bin/true\x001\0", "/bin/true\x002\0", "/bin/true\x003\0"]) ok(seen.includes(wanted));
    const length = seen.length;
    watch.drain();
    equal(seen.length, length);
  },
});

Deno.test({
  name: "ebpf source has a reader wait until there is something to read",
  ...bpf,
  async fn() {
    const descriptors: number[] = [];
    const own = (descriptor: number): number => (descriptors.push(descriptor), descriptor);
    const btf = readKernelBtf(), layout = readKernelLayout(btf);
    btf.release();
    const array = { keyBytes: 4, entries: 1 };
    const maps = {
      ring: own(
        createMap({ name: "test_ring", type: MAP_TYPE.ringBuffer, keyBytes: 0, valueBytes: 0, entries: 65_536 }),
      ),
      counters: own(createMap({ ...array, name: "test_counters", type: MAP_TYPE.array, valueBytes: COUNTER_BYTES })),
      scratch: own(
        createMap({ ...array, name: "test_scratch", type: MAP_TYPE.perCpuArray, valueBytes: MAX_EXEC_BYTES }),
      ),
      environment: false,
    };
    const ring = new MappedRing(maps.ring, 65_536);
    try {
      equal(await ring.wait(0), false);
      equal(await ring.wait(20), false);
      const { build, tracepoint } = PROCESS_PROGRAMS[0]!;
      const instructions = build(layout, maps);
      const program = own(loadProgram({ name: "test_wait", type: PROGRAM_TYPE.rawTracepoint, instructions }));
      const wait = ring.wait(60_000);
      own(attachRawTracepoint(tracepoint, program));
      await new Deno.Command("/bin/true").output();
      equal(await wait, true);
      equal(await ring.wait(60_000), true);
    } finally {
      ring.close();
      for (const descriptor of descriptors.toReversed()) libc.close(descriptor);
    }
  },
});

Deno.test({
  name: "ebpf source gives every argv byte for byte when records lie over the end of the ring",
  ...bpf,
  async fn() {
    const RING = 262_144;
    using watch = new Watch({ ringBytes: RING });
    for (let round = 0; round < 40; round++) {
      const { pid } = await watch.run("/bin/sh", [
        "-c",
        `for i in 0 1 2 3 4; do /bin/true $i ${"r".repeat(round * 200)}; done`,
      ]);
      const texts = watch.of("exec").filter((exec) => exec.ppid === pid).map((exec) =>
        new TextDecoder().decode(exec.argv!)
      );
      const tail = round === 0 ? "" : "r".repeat(round * 200) + "\0";
      equal(texts, [0, 1, 2, 3, 4].map((number) => `/bin/true\0${number}\0${tail}`));
    }
    // More than the ring holds went through it, so its end was crossed.
    const bytes = watch.of("exec").reduce((sum, exec) => sum + exec.argv!.length, 0);
    ok(bytes > 2 * RING);
    equal(watch.source.counters().lost, { exec: 0, fork: 0, exit: 0 });
  },
});
