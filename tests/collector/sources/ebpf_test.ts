import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import {
  attachRawTracepoint,
  BpfError,
  createMap,
  HELPER,
  loadProgram,
  lookupElement,
  MAP_TYPE,
  PROGRAM_TYPE,
} from "../../../collector/kernel/bpf.ts";
import { BpfAssembler, R0, R1, R2, R6, R8 } from "../../../collector/kernel/bpf_assembler.ts";
import { type Btf, BtfError, readKernelBtf } from "../../../collector/kernel/btf.ts";
import { type KernelLayout, readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { libc, libcPath, NativeArena } from "../../../collector/kernel/libc.ts";
import { PROCESS_PROGRAMS, skipUnlessGroupDead } from "../../../collector/kernel/process_programs.ts";
import { COUNTER_BYTES, MAX_EXEC_BYTES } from "../../../collector/kernel/process_records.ts";
import { MappedRing } from "../../../collector/kernel/ring_buffer.ts";
import { openEbpfSource } from "../../../collector/sources/ebpf.ts";
import type {
  ExecRecord,
  ExitRecord,
  ForkRecord,
  LossRecord,
  ProcessSource,
  SourceRecord,
  TableEntry,
} from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { compileC } from "../../support/compile_c.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });
const bpfAndGcc = needs({ bpf: true, programs: ["gcc"] });
const bpfAndMounts = needs({ bpf: true, mount: true, programs: ["unshare", "mount"] });

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const argvOf = (...args: string[]): Uint8Array => encode(args.map((arg) => arg + "\0").join(""));

/** A source whose records are kept, for as long as the scope lasts. */
class Watch implements Disposable {
  readonly source: ProcessSource;
  readonly records: SourceRecord[] = [];

  constructor(options: Parameters<typeof openEbpfSource>[0] = {}) {
    this.source = openEbpfSource(options);
  }

  drain(): void {
    this.source.drain((record) => this.records.push(record));
  }

  of<K extends SourceRecord["kind"]>(kind: K, pid?: number): Extract<SourceRecord, { kind: K }>[] {
    return this.records.filter((record): record is Extract<SourceRecord, { kind: K }> =>
      record.kind === kind && (pid === undefined || record.kind === "loss" || record.pid === pid)
    );
  }

  /** Runs a command to its end and gives its records. */
  async run(command: string, args: string[] = [], options: Deno.CommandOptions = {}) {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped", ...options })
      .spawn();
    const { stdout, stderr, ...status } = await child.output();
    this.drain();
    return {
      pid: child.pid,
      status,
      output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr),
      forks: this.of("fork", child.pid),
      execs: this.of("exec", child.pid),
      exits: this.of("exit", child.pid),
    };
  }

  [Symbol.dispose](): void {
    this.source.close();
  }
}

function one<T>(items: readonly T[]): T {
  equal(items.length, 1);
  return items[0]!;
}

Deno.test({
  name: "ebpf source tells a process' life with all its facts",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const before = uptimeNs();
    const { pid, forks, execs, exits } = await watch.run("/bin/sh", ["-c", "exit 3"], { uid: 65534, gid: 65533 });
    const fork: ForkRecord = one(forks), exec: ExecRecord = one(execs), exit: ExitRecord = one(exits);
    equal(
      { ...exec, time: 0, startTime: 0, inode: 0, device: 0, context: null },
      {
        kind: "exec",
        time: 0,
        pid,
        ppid: Deno.pid,
        startTime: 0,
        userId: 65534,
        groupId: 65533,
        effectiveUserId: 65534,
        name: "sh",
        executablePath: Deno.realPathSync("/bin/sh"),
        argv: argvOf("/bin/sh", "-c", "exit 3"),
        argvLength: argvOf("/bin/sh", "-c", "exit 3").length,
        inode: 0,
        device: 0,
        namespacePid: null,
        context: null,
      },
    );
    const file = Deno.statSync("/bin/sh");
    equal(exec.inode, file.ino);
    // The kernel's dev_t against the one of stat(2).
    equal([exec.device! >>> 20, exec.device! & 0xfffff], [
      file.dev >>> 8 & 0xfff,
      file.dev & 0xff | file.dev >>> 12 & 0xfff00,
    ]);
    equal([fork.ppid, exit.exitStatus], [Deno.pid, 3 << 8]);
    equal([fork.startTime, exec.startTime, exit.startTime], [exec.startTime, exec.startTime, exec.startTime]);
    ok(before <= exec.startTime! && exec.startTime! <= fork.time);
    ok(fork.time <= exec.time && exec.time <= exit.time && exit.time <= uptimeNs() + UPTIME_TICK_NS);
    ok(exit.cpuTime! >= 0 && exit.cpuTime! < 5e9);
    equal(watch.source.counters().damaged, 0);
  },
});

/** The source's clock as another file of the kernel tells it; it ticks in hundredths of a second. */
function uptimeNs(): number {
  return Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1e9;
}
const UPTIME_TICK_NS = 10e6;

Deno.test({
  name: "ebpf source gives argv byte for byte",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const lists = [
      ["plain"],
      ["", "", ""],
      ["new\nline", "tab\t", "\r"],
      ["\x1b[31mred\x1b[0m", "\x07", "\u202e"],
      ["ünï", "日本", "\u{1f600}"],
      Array.from({ length: 1000 }, (_, index) => `${index}`),
    ];
    for (const list of lists) {
      const { execs } = await watch.run("/bin/true", list);
      equal(one(execs).argv, argvOf("/bin/true", ...list));
    }
    // Deno passes text only; the shell makes bytes that are none.
    const { execs } = await watch.run("/bin/sh", ["-c", `exec /bin/true "$(printf '\\377\\376\\355\\240\\200x')" end`]);
    equal(
      execs[1]?.argv,
      Uint8Array.of(...encode("/bin/true\0"), 0xff, 0xfe, 0xed, 0xa0, 0x80, 0x78, 0, ...encode("end\0")),
    );
  },
});

Deno.test({
  name: "ebpf source cuts argv at the cap, and keeps its true length, at any size",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const cap = 16_384, head = argvOf("/bin/true").length;
    for (const length of [cap - 1, cap, cap + 1, 100_000]) {
      const argument = "a".repeat(length - head - 1);
      const { argv, argvLength } = one((await watch.run("/bin/true", [argument])).execs);
      equal([argvLength, argv?.length], [length, Math.min(length, cap)]);
      equal(argv, argvOf("/bin/true", argument).slice(0, cap));
    }
    const mebibyte = Array.from({ length: 16 }, (_, index) => `${index}:`.padEnd(65_535, "z"));
    const { argv, argvLength } = one((await watch.run("/bin/true", mebibyte)).execs);
    equal(argvLength, head + 2 ** 20);
    equal(argv, argvOf("/bin/true", ...mebibyte).slice(0, cap));
    equal(watch.source.counters().damaged, 0);
  },
});

Deno.test({
  name: "ebpf source sees every one of 2,000 short processes, in order",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const { pid } = await watch.run("/bin/sh", [
      "-c",
      "i=0; while [ $i -lt 2000 ]; do /bin/true n$i; i=$((i+1)); done",
    ]);
    const execs = watch.of("exec").filter((exec) => exec.ppid === pid);
    equal(
      execs.map((exec) => new TextDecoder().decode(exec.argv!)),
      Array.from({ length: 2000 }, (_, n) => `/bin/true\0n${n}\0`),
    );
    const lives = new Map(execs.map((exec) => [`${exec.pid} ${exec.startTime}`, exec]));
    equal(lives.size, 2000);
    const exits = watch.of("exit").filter((exit) => lives.has(`${exit.pid} ${exit.startTime}`));
    equal(exits.map((exit) => exit.exitStatus), new Array(2000).fill(0));
    equal(watch.of("fork").filter((fork) => lives.has(`${fork.pid} ${fork.startTime}`)).length, 2000);
    equal(watch.of("loss"), []);
  },
});

Deno.test({
  name: "ebpf source gives the real and the effective user of a set-user-id program",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = await Deno.makeTempDir();
    try {
      await Deno.chmod(directory, 0o755);
      await Deno.copyFile("/bin/true", `${directory}/as-other`);
      await Deno.chown(`${directory}/as-other`, 65532, 65531);
      await Deno.chmod(`${directory}/as-other`, 0o4755);
      const exec = one((await watch.run(`${directory}/as-other`, [], { uid: 65534, gid: 65534 })).execs);
      equal([exec.userId, exec.effectiveUserId, exec.groupId], [65534, 65532, 65534]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "ebpf source gives the status that a parent gets, also of threads",
  ...bpfAndGcc,
  async fn() {
    using watch = new Watch();
    equal(one((await watch.run("/bin/sh", ["-c", "kill -9 $$"])).exits).exitStatus, 9);
    await using program = await compileC(
      `
      #include <pthread.h>
      #include <stdlib.h>
      #include <time.h>
      #include <unistd.h>
      static void *burn(void *end) {
        struct timespec t;
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); while (t.tv_nsec < 50000000 && t.tv_sec == 0);
        if (end) { usleep(50000); _exit(7); }
        return 0;
      }
      int main(int count, char **arguments) {
        char mode = arguments[1][0];
        pthread_t t[4];
        if (mode == 'l') { /* the leader ends first, a thread ends the process */
          pthread_create(t, 0, burn, t);
          burn(0);
          pthread_exit(0);
        }
        if (mode == 'm') { /* many threads end at the same moment */
          for (int i = 0; i < 4; i++) pthread_create(t + i, 0, burn, 0);
          pthread_exit(0);
        }
        for (int i = 0; i < 2; i++) pthread_create(t + i, 0, burn, 0);
        for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
        return 5;
      }`,
      ["-pthread"],
    );
    for (const [mode, code, threads] of [["l", 7, 2], ["j", 5, 2], ["m", 0, 4]] as const) {
      const { exits, forks, status } = await watch.run(program.path, [mode]);
      equal([one(forks).ppid, status.code, one(exits).exitStatus], [Deno.pid, code, code << 8]);
      // The scheduler brings a running thread's time up to date at its ticks.
      ok(one(exits).cpuTime! > threads * 45e6, `mode ${mode}: ${one(exits).cpuTime}`);
      ok(one(exits).cpuTime! < threads * 200e6, `mode ${mode}: ${one(exits).cpuTime}`);
    }
  },
});

Deno.test({
  name: "ebpf source gives the path of the executable, whatever way it was reached",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.mkdir(`${directory}/a/b c/ünï\n`, { recursive: true });
      const program = `${directory}/a/b c/ünï\n/true`;
      await Deno.copyFile("/bin/true", program);
      await Deno.symlink(program, `${directory}/link`);
      equal(one((await watch.run(program)).execs).executablePath, program);
      equal(one((await watch.run(`${directory}/link`)).execs).executablePath, program);
      equal(
        (await watch.run("/bin/sh", ["-c", "cd 'a/b c' && exec ./ünï?/true"], { cwd: directory })).execs[1]
          ?.executablePath,
        program,
      );
      await Deno.writeTextFile(`${directory}/script`, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
      equal(one((await watch.run(`${directory}/script`)).execs).executablePath, Deno.realPathSync("/bin/sh"));
      const bytes = await watch.run("/bin/sh", ["-c", `f="$(printf '\\377')"; cp /bin/true "./$f" && exec "./$f"`], {
        cwd: directory,
      });
      equal(bytes.execs.at(-1)?.executablePath, `${directory}/\ufffd`);
      equal(watch.source.counters().damaged, 0);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "ebpf source gives the path across mounts and bind mounts as the kernel does",
  ...bpfAndMounts,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      const script = `
        set -e
        mkdir -p source/deep target mnt
        cp "$(readlink -f /usr/bin/readlink)" source/deep/readlink
        mount --bind source/deep target
        target/readlink /proc/self/exe
        mount -t tmpfs none mnt
        mkdir mnt/in && cp source/deep/readlink mnt/in/readlink
        mnt/in/readlink /proc/self/exe
        touch file && mount --bind source/deep/readlink file
        ./file /proc/self/exe`;
      const { output } = await watch.run("unshare", ["-m", "sh", "-c", script], { cwd: directory });
      const expected = ["target/readlink", "mnt/in/readlink", "file"].map((path) => `${directory}/${path}`);
      equal(output.trim().split("\n"), expected);
      const seen = watch.of("exec").filter((exec) =>
        exec.argv !== null && new TextDecoder().decode(exec.argv).endsWith("\0/proc/self/exe\0")
      );
      equal(seen.map((exec) => exec.executablePath), expected);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "ebpf source marks deleted and memory-only executables",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.copyFile("/bin/true", `${directory}/gone`);
      await Deno.chmod(`${directory}/gone`, 0o755);
      const deleted = await watch.run("/bin/sh", ["-c", "exec 3<gone; rm gone; exec /proc/self/fd/3 x"], {
        cwd: directory,
      });
      const exec = deleted.execs.at(-1)!;
      equal([exec.executablePath, exec.argv], [`${directory}/gone (deleted)`, argvOf("/proc/self/fd/3", "x")]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
    const memory = memfd("evil", Deno.readFileSync("/bin/true"));
    try {
      const exec = one((await watch.run(`/proc/${Deno.pid}/fd/${memory}`, ["y"])).execs);
      equal(exec.executablePath, "/memfd:evil (deleted)");
      ok(exec.inode! > 0);
    } finally {
      libc.close(memory);
    }
    equal(watch.source.counters().damaged, 0);
  },
});

/** A file in memory, open in this process. */
function memfd(name: string, bytes: Uint8Array<ArrayBuffer>): number {
  const number = Deno.build.arch === "aarch64" ? 279n : 319n;
  const arena = new NativeArena(4096);
  const fd = libc.syscall(number, arena.place(encode(name + "\0")), 0n, 0n, 0n, 0n, 0n);
  arena.release();
  ok(fd >= 0);
  for (let at = 0; at < bytes.length;) {
    const wrote = libc.write(fd, bytes.subarray(at), bytes.length - at);
    ok(wrote > 0);
    at += wrote;
  }
  return fd;
}

Deno.test({
  name: "ebpf source gives deep paths whole, and says null and damaged for what is deeper than its walk",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    const run = async (levels: number, name: string): Promise<ExecRecord> => {
      const script =
        `i=0; while [ $i -lt ${levels} ]; do mkdir -p ${name} && cd -P ${name} || exit 1; i=$((i+1)); done; cp /bin/true . && exec ./true`;
      const { execs } = await watch.run("/bin/sh", ["-c", script], { cwd: directory });
      return execs.at(-1)!;
    };
    try {
      equal((await run(200, "d")).executablePath, `${directory}${"/d".repeat(200)}/true`);
      const long = "n".repeat(250);
      equal((await run(14, long)).executablePath, `${directory}${`/${long}`.repeat(14)}/true`);
      equal(watch.source.counters().damaged, 0);
      for (const [levels, name] of [[300, "e"], [20, "m".repeat(250)]] as const) {
        const exec = await run(levels, name);
        equal([exec.executablePath, exec.argv, exec.name], [null, argvOf("./true"), "true"]);
      }
      equal(watch.source.counters().damaged, 2);
    } finally {
      // Longer than PATH_MAX: only what goes by descriptors can remove it.
      await new Deno.Command("rm", { args: ["-rf", directory] }).output();
    }
  },
});

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
  name: "ebpf source leaves nothing behind when it is closed",
  ...bpf,
  async fn() {
    const descriptors = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = descriptors();
    const source = openEbpfSource({ ringBytes: 65_536 });
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
    for (const ringBytes of [0, 100, 2 ** 31, NaN]) throws(() => openEbpfSource({ ringBytes }), RangeError);
    openEbpfSource({ ringBytes: 70_000 }).close();
  },
});

Deno.test({
  name: "ebpf source gives every argv byte for byte when records lie over the end of the ring",
  ...bpf,
  async fn() {
    using watch = new Watch({ ringBytes: 65_536 });
    for (let round = 0; round < 40; round++) {
      const { pid } = await watch.run("/bin/sh", [
        "-c",
        `for i in 0 1 2 3 4; do /bin/true $i ${"r".repeat(round * 40)}; done`,
      ]);
      const texts = watch.of("exec").filter((exec) => exec.ppid === pid).map((exec) =>
        new TextDecoder().decode(exec.argv!)
      );
      const tail = round === 0 ? "" : "r".repeat(round * 40) + "\0";
      equal(texts, [0, 1, 2, 3, 4].map((number) => `/bin/true\0${number}\0${tail}`));
    }
    // More than the ring holds went through it, so its end was crossed.
    const bytes = watch.of("exec").reduce((sum, exec) => sum + exec.argv!.length, 0);
    ok(bytes > 2 * 65_536);
    equal(watch.source.counters().lost, { exec: 0, fork: 0, exit: 0 });
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
    throws(() => openEbpfSource({ readTypes }), /type information does not serve/);
  },
});

Deno.test({
  name: "ebpf source says in words what the kernel lacks, and leaves nothing behind",
  ...bpf,
  fn() {
    const reasonOf = (readTypes: () => Btf): string => {
      const before = [...Deno.readDirSync("/proc/self/fd")].length;
      let reason = "";
      throws(() => openEbpfSource({ readTypes }), (error) => {
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
