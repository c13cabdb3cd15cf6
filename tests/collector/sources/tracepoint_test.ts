import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { readTracepointKernel } from "../../../collector/sources/tracepoint.ts";
import { compileC } from "../../support/compile_c.ts";
import { needs } from "../../support/needs.ts";
import { gather, recordOf } from "../../support/processes.ts";
import { Watch, withoutGroupDead } from "../../support/tracepoint_watch.ts";
import { argvOf, decode, encode, one } from "../../support/source_watch.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

const bpf = needs({ bpf: true });
const bpfAndGcc = needs({ bpf: true, programs: ["gcc"] });

Deno.test({
  name: "tracepoint source tells a process' life with what the kernel says of it",
  ...bpf,
  async fn() {
    using watch = new Watch({ environment: ["WANTED", "LD_*"] });
    const { pid, forks, execs, exits } = await watch.run("/bin/sh", ["-c", "exit 3"], {
      uid: 65534,
      gid: 65533,
      clearEnv: true,
      env: { WANTED: "1", UNWANTED: "2", LD_X: "ü" },
    });
    const fork = one(forks), exec = one(execs), exit = one(exits);
    equal(
      { ...exec, time: 0, startTime: 0, context: null },
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
        executablePath: "/bin/sh",
        argv: argvOf("/bin/sh", "-c", "exit 3"),
        argvLength: argvOf("/bin/sh", "-c", "exit 3").length,
        inode: null,
        device: null,
        namespacePid: null,
        context: null,
      },
    );
    const { environment, environmentCut, savedUserId, effectiveGroupId, effectiveCapabilities } = exec.context!;
    equal([...environment!].sort(), ["LD_X=Ã¼", "WANTED=1"]); // bytes, as latin1
    equal([environmentCut, savedUserId, effectiveGroupId, effectiveCapabilities], [false, 65534, 65533, 0]);
    equal([fork.ppid, fork.startTime, exit.exitStatus, exit.cpuTime], [Deno.pid, null, 3 << 8, null]);
    equal(exec.startTime, exit.startTime);
    ok(exec.startTime! <= fork.time && fork.time - exec.startTime! < 1e9);
    ok(fork.time <= exec.time && exec.time <= exit.time);
    equal([watch.source.counters().damaged, watch.of("loss")], [0, []]);
  },
});

Deno.test({
  name: "tracepoint source gives argv byte for byte, and cuts it at the cap with its true length",
  ...bpf,
  async fn() {
    using watch = new Watch({ environment: ["*"] });
    const lists = [
      ["plain"],
      ["", "", ""],
      ["new\nline", "\x1b[31mred\x1b[0m", "\u202e"],
      ["ünï", "日本", "\u{1f600}"],
      Array.from({ length: 1000 }, (_, index) => `${index}`),
    ];
    for (const list of lists) {
      const { execs } = await watch.run("/bin/true", list);
      equal(one(execs).argv, argvOf("/bin/true", ...list));
    }
    // Deno passes text only; the shell makes bytes that are none.
    const { execs } = await watch.run("/bin/sh", ["-c", `exec /bin/true "$(printf '\\377\\376x')" end`]);
    equal(execs[1]?.argv, Uint8Array.of(...encode("/bin/true\0"), 0xff, 0xfe, 0x78, 0, ...encode("end\0")));

    const cap = 16_384, head = argvOf("/bin/true").length;
    for (const length of [cap - 1, cap, cap + 1, 100_000]) {
      const argument = "a".repeat(length - head - 1), env = { LONG: "e".repeat(length) };
      const { argv, argvLength, context } = one(
        (await watch.run("/bin/true", [argument], { clearEnv: true, env })).execs,
      );
      equal([argvLength, argv], [length, argvOf("/bin/true", argument).slice(0, cap)]);
      equal([context!.environment, context!.environmentCut], [[], true]);
    }
    equal(watch.source.counters().damaged, 0);
  },
});

Deno.test({
  name: "tracepoint source sees every one of 2,000 short processes, in order, with its arguments",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const script = "i=0; while [ $i -lt 2000 ]; do /bin/true n$i; i=$((i+1)); done";
    const { pid } = await watch.run("/bin/sh", ["-c", script]);
    const execs = watch.of("exec").filter((exec) => exec.ppid === pid);
    equal(execs.map((exec) => decode(exec.argv)), Array.from({ length: 2000 }, (_, n) => `/bin/true\0n${n}\0`));
    const lives = new Map(execs.map((exec) => [exec.pid, exec]));
    equal(lives.size, 2000);
    for (const exec of execs) {
      equal([exec.name, exec.executablePath, exec.effectiveUserId], ["true", "/bin/true", Deno.uid()]);
    }
    const exits = watch.of("exit").filter((exit) => lives.get(exit.pid)?.startTime === exit.startTime);
    equal(exits.map((exit) => exit.exitStatus), new Array(2000).fill(0));
    equal(watch.of("fork").filter((fork) => fork.ppid === pid && lives.has(fork.pid)).length, 2000);
    equal(watch.of("loss"), []);
  },
});

Deno.test({
  name: "tracepoint source sees what happens on every processor",
  ...needs({ bpf: true, programs: ["taskset"] }),
  async fn() {
    using watch = new Watch();
    const allowed = /^Cpus_allowed_list:\t(.*)$/m.exec(Deno.readTextFileSync("/proc/self/status"))![1]!;
    const processors = allowed.split(",").flatMap((range) => {
      const [first, last = first] = range.split("-").map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, index) => first! + index);
    });
    ok(processors.length > 0);
    for (const processor of processors) {
      const { execs, exits, pid } = await watch.run("taskset", [
        "-c",
        `${processor}`,
        "/bin/sh",
        "-c",
        `/bin/true on${processor}; exit 5`,
      ]);
      equal([execs.length, one(exits).exitStatus], [2, 5 << 8]);
      const [child] = watch.of("fork").filter((fork) => fork.ppid === pid);
      equal(decode(one(watch.of("exec", child!.pid)).argv), `/bin/true\0on${processor}\0`);
      equal(one(watch.of("exit", child!.pid)).exitStatus, 0);
    }
  },
});

Deno.test({
  name: "tracepoint source makes no exec of an execve that fails",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${directory}/none`, "not a program", { mode: 0o644 });
      await Deno.writeTextFile(`${directory}/loop`, `#!${directory}/absent\n`, { mode: 0o755 });
      const { pid, execs, status } = await watch.run("/bin/sh", ["-c", "./absent; ./none; ./loop; exit 9"], {
        cwd: directory,
      });
      equal([execs.length, status.code], [1, 9]);
      const children = watch.of("fork").filter((fork) => fork.ppid === pid);
      equal(children.length, 3);
      for (const child of children) {
        equal(watch.of("exec", child.pid), []);
        ok([126 << 8, 127 << 8].includes(one(watch.of("exit", child.pid)).exitStatus!));
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "tracepoint source sees a program with the longest of names, and one that is started by a 32-bit call",
  ...bpfAndGcc,
  async fn() {
    using watch = new Watch();
    // Longer than what the classic tracepoint of older kernels can hold.
    const name = `${"/.".repeat(2043)}/bin/true`;
    equal(name.length, 4095);
    const long = one((await watch.run("/bin/sh", ["-c", 'exec "$0" x', name])).execs.slice(1));
    equal([long.argv, long.executablePath], [argvOf(name, "x"), name]);
    if (Deno.build.arch !== "x86_64") return;
    await using program = await compileC(`
      #define _GNU_SOURCE
      #include <string.h>
      #include <sys/mman.h>
      int main(void) {
        char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        unsigned *argv = (unsigned *)(low + 256), name = (unsigned long)low;
        strcpy(low, "/bin/true"), strcpy(low + 64, "by 32 bits");
        argv[0] = name, argv[1] = name + 64, argv[2] = 0;
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(11), "b"(name), "c"(name + 256), "d"(0) : "memory");
        return 42;
      }`);
    const { execs, status } = await watch.run(program.path);
    if (status.code === 0) equal(execs[1]?.argv, argvOf("/bin/true", "by 32 bits"));
    else console.error("cannot run here: the kernel takes no 32-bit calls");
  },
});

Deno.test({
  name: "tracepoint source tells execs by descriptor and by a thread, once each, and forks of processes only",
  ...bpfAndGcc,
  async fn() {
    await using program = await compileC(
      `
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <pthread.h>
      #include <sched.h>
      #include <signal.h>
      #include <stdlib.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      static char *arguments[] = {"other name", "two words", "", 0};
      static void *replace(void *unused) { execv("/bin/true", arguments); return unused; }
      static void *rest(void *end) {
        if (end) { usleep(20000); _exit(7); }
        return 0;
      }
      int main(int count, char **given) {
        char mode = given[1][0];
        pthread_t t[4];
        if (mode == 'd') fexecve(open("/bin/true", O_RDONLY | O_CLOEXEC), arguments, environ);
        if (mode == 't') { pthread_create(t, 0, replace, 0); for (;;) pause(); }
        if (mode == 'l') { pthread_create(t, 0, rest, t); pthread_exit(0); } /* the first thread ends first */
        if (mode == 'm') { for (int i = 0; i < 4; i++) pthread_create(t + i, 0, rest, 0); pthread_exit(0); }
        if (mode == 'p') { /* a child whose parent is this process' parent */
          long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
          if (pid == 0) { usleep(200000); _exit(0); }
          _exit(5);
        }
        if (mode == 'v') { if (vfork() == 0) execv("/bin/true", arguments); wait(0); _exit(5); }
        return 5;
      }`,
      ["-pthread"],
    );
    for (const readKernel of [readTracepointKernel, withoutGroupDead]) {
      using watch = new Watch({ readKernel });
      for (const [mode, code] of [["d", 0], ["t", 0], ["l", 7], ["m", 0], ["v", 5], ["j", 5]] as const) {
        const { forks, execs, exits, status, pid } = await watch.run(program.path, [mode]);
        // Without the kernel's word, threads that end at the same moment can both be taken for the last.
        if (mode === "m" && readKernel === withoutGroupDead && exits.length > 1) exits.length = 1;
        equal([one(forks).ppid, status.code, one(exits).exitStatus, mode], [Deno.pid, code, code << 8, mode]);
        equal(execs[0]!.argv, argvOf(program.path, mode));
        equal(execs.length, mode === "d" || mode === "t" ? 2 : 1);
        if (execs.length === 2) {
          equal(execs[1]!.argv, argvOf("other name", "two words", ""));
          // A descriptor's name says nothing when the process is gone.
          equal(execs[1]!.executablePath, mode === "d" ? null : "/bin/true");
        }
        const children = watch.of("fork").filter((fork) => fork.ppid === pid);
        equal(children.length, mode === "v" ? 1 : 0);
        for (const child of children) {
          equal(one(watch.of("exec", child.pid)).argv, argvOf("other name", "two words", ""));
        }
      }
    }
    // The shell is the parent of the child that its child makes.
    using watch = new Watch();
    const child = new Deno.Command("/bin/sh", { args: ["-c", `${program.path} p; sleep 0.3`] }).spawn();
    const isGone = (): boolean => watch.of("fork").filter((fork) => fork.ppid === child.pid).length >= 2;
    for (const end = performance.now() + PATIENCE_MS; !isGone() && performance.now() < end;) {
      watch.drain();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await child.status;
    watch.drain();
    // The program, its sibling and the sleep.
    equal(watch.of("fork").filter((fork) => fork.ppid === child.pid).length, 3);
  },
});

Deno.test({
  name: "tracepoint source gives scripts as the kernel runs them, and the effective user of set-user-id programs",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.chmod(directory, 0o755);
      await Deno.writeTextFile(`${directory}/script`, "#!/bin/sh -e\ncat /proc/$$/cmdline\n", { mode: 0o755 });
      const script = await watch.run(`${directory}/script`, ["x y"]);
      const exec = one(script.execs);
      equal(exec.argv, argvOf("/bin/sh", "-e", `${directory}/script`, "x y"));
      equal(encode(script.output), exec.argv);
      // Gone: the file's name is the script's, and what ran it is not known for certain.
      equal([exec.name, exec.executablePath], ["script", null]);

      await Deno.copyFile("/bin/true", `${directory}/as-other`);
      await Deno.chown(`${directory}/as-other`, 65532, 65531);
      await Deno.chmod(`${directory}/as-other`, 0o4755);
      const other = one((await watch.run(`${directory}/as-other`, [], { uid: 65534, gid: 65534 })).execs);
      equal([other.userId, other.effectiveUserId, other.groupId], [65534, 65532, 65534]);
      equal([other.context!.savedUserId, other.executablePath], [65532, `${directory}/as-other`]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "tracepoint source takes from /proc what it still tells of the program that was started",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.symlink(Deno.realPathSync("/bin/sleep"), `${directory}/link`);
      const child = new Deno.Command(`${directory}/link`, { args: ["60"] }).spawn();
      try {
        const records = await gather(watch.source, (all) => recordOf(all, "exec", child.pid) !== undefined);
        const exec = recordOf(records, "exec", child.pid)!;
        equal([exec.executablePath, exec.name], [Deno.realPathSync("/bin/sleep"), "link"]);
        equal(exec.context!.cgroupId === null, false);
        const entry = watch.source.look(child.pid)!;
        equal(Math.floor(entry.startTime / 1e7), Math.floor(exec.startTime! / 1e7));
        ok((await watch.source.snapshot()).some(({ pid }) => pid === child.pid));
      } finally {
        child.kill("SIGKILL");
        await child.status;
      }
      watch.drain();
      equal(one(watch.of("exit", child.pid)).exitStatus, 9);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});
