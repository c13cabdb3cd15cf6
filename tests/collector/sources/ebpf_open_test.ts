import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import { BpfError, loadProgram, PROGRAM_TYPE } from "../../../collector/kernel/bpf.ts";
import { BpfAssembler, R0 } from "../../../collector/kernel/bpf_assembler.ts";
import { type Btf, BtfError, readKernelBtf } from "../../../collector/kernel/btf.ts";
import { libcPath } from "../../../collector/kernel/libc.ts";
import { openEbpfSource } from "../../../collector/sources/ebpf.ts";
import type { TableEntry } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { EBPF_OPTIONS, Watch } from "../../support/ebpf_watch.ts";
import { argvOf, one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });

Deno.test({
  name: "ebpf source leaves nothing behind when it is closed",
  ...bpf,
  async fn() {
    const descriptors = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = descriptors();
    const source = openEbpfSource({ ...EBPF_OPTIONS, ringBytes: 65_536 });
    ok(descriptors() > before);
    const wait = source.wait(50);
    const table = source.snapshot();
    source.close();
    source.close();
    await wait;
    // What was asked before the end is still answered.
    ok((await table).some((entry) => entry.pid === Deno.pid));
    equal(descriptors(), before);
    const counters = source.counters();
    await new Deno.Command("/bin/true").output();
    equal([source.drain(() => {}), source.counters()], [0, counters]);
    await source.wait(1_000);
  },
});

Deno.test({
  name: "ebpf source takes a ring of any size from a page to a gibibyte",
  ...bpf,
  fn() {
    for (const ringBytes of [0, 100, 2 ** 31, NaN]) {
      throws(() => openEbpfSource({ ...EBPF_OPTIONS, ringBytes }), RangeError);
    }
    openEbpfSource({ ...EBPF_OPTIONS, ringBytes: 70_000 }).close();
  },
});

Deno.test({
  name: "ebpf source reads the table another way, and says so, where the kernel has no iterator",
  ...bpf,
  async fn() {
    const entry = { pid: 4_000_001 } as TableEntry;
    const readTypes = (): Btf => {
      const btf = readKernelBtf();
      btf.functionId = () => null;
      return btf;
    };
    const fallback = {
      misses: ["and not all of it"],
      table: () => Promise.resolve([entry]),
      look: (pid: number) => pid === entry.pid ? entry : null,
      close: () => {},
    };
    using watch = new Watch({ fallback: () => fallback, readTypes });
    equal(await watch.source.snapshot(), [entry]);
    equal([watch.source.look(4_000_001), watch.source.look(4_000_002)], [entry, null]);
    equal(watch.source.description.misses, [
      "The process table is read from /proc, not by an iterator: This kernel has no bpf_iter_task",
      "and not all of it",
    ]);
    equal(one((await watch.run("/bin/true", ["x"])).execs).argv, argvOf("/bin/true", "x"));
    throws(() => openEbpfSource({ ...EBPF_OPTIONS, readTypes }), /type information does not serve/);
  },
});

Deno.test({
  name: "ebpf source says in words what the kernel lacks, and leaves nothing behind",
  ...bpf,
  fn() {
    const reasonOf = (readTypes: () => Btf): string => {
      const before = [...Deno.readDirSync("/proc/self/fd")].length;
      let reason = "";
      throws(() => openEbpfSource({ ...EBPF_OPTIONS, readTypes }), (error) => {
        ok(error instanceof SourceUnavailableError);
        reason = error.reason;
        return true;
      });
      equal([...Deno.readDirSync("/proc/self/fd")].length, before);
      return reason;
    };
    equal(
      reasonOf(() => readKernelBtf("/nonexistent/btf")),
      "the kernel gives no type information (open of /nonexistent/btf failed: ENOENT: no such file); " +
        "it must be built with CONFIG_DEBUG_INFO_BTF",
    );
    equal(
      reasonOf(() => {
        const btf = readKernelBtf(), offsetOf = btf.offsetOf.bind(btf);
        btf.offsetOf = (path) => {
          if (path === "task_struct.signal") throw new BtfError(`This kernel has no ${path}`);
          return offsetOf(path);
        };
        return btf;
      }),
      "the kernel's type information does not serve: This kernel has no task_struct.signal",
    );
    // What the verifier says of a program that leaves its frame.
    const instructions = new BpfAssembler().storeConstant(8, 10, 8, 0).moveConstant(R0, 0).exit().assemble();
    throws(() => loadProgram({ name: "test_refused", type: PROGRAM_TYPE.rawTracepoint, instructions }), (error) => {
      ok(error instanceof BpfError);
      ok(/^program test_refused: EACCES: access denied \(invalid write to stack/.test(error.message), error.message);
      ok(error.verifierLog.includes("0: "));
      return true;
    });
  },
});

Deno.test({
  name: "ebpf source works on when every capability of every thread is gone, under the grant of libc alone",
  ...bpf,
  async fn() {
    const script = new URL("./ebpf_unprivileged.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-lock", "--no-check", `--allow-ffi=${libcPath}`, script],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    equal((await lines.read()).value, "dropped\n");
    for (const { name } of Deno.readDirSync(`/proc/${child.pid}/task`)) {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/task/${name}/status`);
      ok(/^Uid:\t65534\t65534\t65534\t65534$/m.test(status) && /^CapPrm:\t0+$/m.test(status), status);
    }
    await new Deno.Command("/bin/true", { args: ["seen without rights"] }).output();
    await child.stdin.close();
    let text = "";
    for (let part = await lines.read(); !part.done; part = await lines.read()) text += part.value;
    equal((await child.status).code, 0);
    const found = JSON.parse(text);
    equal(found.argv, "/bin/true\0seen without rights\0");
    equal(found.parent, { pid: Deno.pid, executablePath: Deno.readLinkSync("/proc/self/exe") });
    ok(found.processes > 5);
    equal(found.lost, { exec: 0, fork: 0, exit: 0 });
  },
});

Deno.test({
  name: "ebpf source says why it is unavailable to who may not use it",
  ...needs({ bpf: true, setpriv: true }),
  async fn() {
    const script = new URL("./ebpf_unprivileged.ts", import.meta.url).pathname;
    const { stdout } = await new Deno.Command("setpriv", {
      args: [
        ..."--reuid 65534 --regid 65534 --clear-groups".split(" "),
        Deno.execPath(),
        ..."run --no-prompt --no-lock --no-check --no-config".split(" "),
        `--allow-ffi=${libcPath}`,
        script,
      ],
      env: { HOME: "/nonexistent", DENO_DIR: "" },
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    ok(/^unavailable: ebpf: this user may not use bpf\(2\); start as root/.test(text), text);
  },
});
