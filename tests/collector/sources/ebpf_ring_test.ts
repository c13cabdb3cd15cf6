import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import { attachRawTracepoint, createMap, loadProgram, MAP_TYPE, PROGRAM_TYPE } from "../../../collector/kernel/bpf.ts";
import { readKernelBtf } from "../../../collector/kernel/btf.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { libc } from "../../../collector/kernel/libc.ts";
import { PROCESS_PROGRAMS } from "../../../collector/kernel/process_programs.ts";
import { COUNTER_BYTES, MAX_EXEC_BYTES } from "../../../collector/kernel/process_records.ts";
import { MappedRing } from "../../../collector/kernel/ring_buffer.ts";
import { accountsForEveryRecord } from "../../support/kernel_count.ts";
import { Watch } from "../../support/ebpf_watch.ts";
import { argvOf, one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });

Deno.test({
  name: "ebpf source accounts for every record when its ring overflows, per kind, exactly",
  ...bpf,
  async fn() {
    using watch = new Watch({ ringBytes: 65_536 });
    await accountsForEveryRecord(watch);
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
