import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { readKernelBtf } from "../../../collector/kernel/btf.ts";
import { KernelMemory } from "../../../collector/kernel/kernel_memory.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { CREDENTIAL_IDS, searchKernel, SIGNAL_LIVE } from "../../../collector/kernel/kernel_search.ts";
import { needs } from "../../support/needs.ts";

Deno.test({
  name: "searchKernel() finds each place where the kernel's own types say it is, whenever it is asked",
  ...needs({ bpf: true }),
  fn() {
    const btf = readKernelBtf(), { task, mm, cred, signal } = readKernelLayout(btf);
    const inheritable = btf.offsetOf("cred.cap_inheritable"), effective = btf.offsetOf("cred.cap_effective");
    const envEnd = btf.offsetOf("mm_struct.env_end");
    btf.release();
    equal([signal.live, cred.euid - cred.uid, effective - inheritable], [SIGNAL_LIVE, CREDENTIAL_IDS.euid, 16]);
    equal(envEnd - mm.argStart, 24);
    const everFound = new Set<string>();
    for (let round = 0; round < 20; round++) {
      const found = searchKernel();
      equal(found.mm, { inTask: task.mm, argStart: mm.argStart });
      // What is not found for certain is null; what is found is right.
      for (
        const [place, truth] of [
          [found.startBoottime, task.startBoottime],
          [found.exitCode, task.exitCode],
          [found.signal, task.signal],
          [found.cred, { inTask: task.cred, ids: cred.uid, inheritableCapabilities: inheritable }],
          [found.parent, { inTask: task.realParent, tgid: task.tgid }],
        ]
      ) if (place !== null) equal(place, truth);
      for (const [name, place] of Object.entries(found)) if (place !== null) everFound.add(name);
    }
    equal([...everFound].sort(), ["cred", "exitCode", "mm", "parent", "signal", "startBoottime"]);
  },
});

Deno.test({
  name: "kernel memory gives zeros for what cannot be read, and goes with its reader",
  ...needs({ bpf: true }),
  fn() {
    const descriptors = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = descriptors(), name = Deno.readTextFileSync("/proc/thread-self/comm");
    const memory = new KernelMemory();
    // A user's address, one of no form, and more than one run takes.
    const addresses = [memory.task, 0x1000n, 0xdead_0000_0000_0000n, ...new Array(100).fill(memory.task)];
    const bytes = memory.read(addresses);
    equal(bytes.length, 103 * 1024);
    ok(bytes.subarray(0, 1024).some((byte) => byte !== 0));
    equal(bytes.subarray(1024, 3072).some((byte) => byte !== 0), false);
    ok(bytes.subarray(102 * 1024).some((byte) => byte !== 0));
    memory.close();
    equal(descriptors(), before);
    equal(Deno.readTextFileSync("/proc/thread-self/comm"), name);
  },
});
