import { deepStrictEqual as equal, ok } from "node:assert/strict";
import type { ExecRecord, ExitRecord, ForkRecord } from "../../../collector/sources/source.ts";
import { compileC } from "../../support/compile_c.ts";
import { Watch } from "../../support/ebpf_watch.ts";
import { argvOf, encode, one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });
const bpfAndGcc = needs({ bpf: true, programs: ["gcc"] });

Deno.test({
  name: "ebpf source tells a process' life with all its facts",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const before = uptimeNs();
    const { pid, forks, execs, exits } = await watch.run("/bin/sh", ["-c", "exit 3"], { uid: 65534, gid: 65533 });
    const fork: ForkRecord = one(forks), exec: ExecRecord = one(execs), exit: ExitRecord = one(exits);
    equal(
      { ...exec, time: 0, startTime: 0, inode: 0, device: 0, changeTime: 0, context: null },
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
        changeTime: 0,
        setsUserId: false,
        namespacePid: pid,
        context: null,
      },
    );
    const file = Deno.statSync("/bin/sh");
    equal(Math.floor(exec.changeTime! / 1e6), file.ctime!.getTime());
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
