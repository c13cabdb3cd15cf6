import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { readKernelBtf } from "../../../collector/kernel/btf.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { TaskIterator } from "../../../collector/kernel/task_iterator.ts";
import { taskStatus } from "../../../collector/kernel/task_records.ts";
import type { TableEntry } from "../../../collector/sources/source.ts";
import { TICK_NS } from "../../../proto/identity.ts";
import { compileC } from "../../support/compile_c.ts";
import { needs } from "../../support/needs.ts";
import { procFacts, tableFacts } from "../../support/proc_facts.ts";

const ARRANGE = new URL("../../support/c/arrange.c", import.meta.url);

/** What a kernel has: all, or only what Linux 6.1 has; and what no kernel has, as all can be read without it. */
const FORMS = { full: {}, quick: { without: "bpf_rcu_read_lock" }, trusted: { without: "bpf_rdonly_cast" } };

interface IteratorOptions {
  readonly deadlineMs?: number;
  readonly without?: string;
  readonly environment?: EnvironmentFilter;
}

function openIterator({ deadlineMs, without, environment }: IteratorOptions = {}): TaskIterator & Disposable {
  const btf = readKernelBtf(), functionId = btf.functionId.bind(btf);
  btf.functionId = (name) => name === without ? null : functionId(name);
  const iterator = new TaskIterator(btf, readKernelLayout(btf), { deadlineMs, environment: environment ?? null });
  btf.release();
  return Object.assign(iterator, { [Symbol.dispose]: () => iterator.close() });
}

function* procPids(): Generator<number> {
  for (const { name } of Deno.readDirSync("/proc")) if (/^\d+$/.test(name)) yield Number(name);
}

/** A child that sleeps until this scope is left. */
function sleeper(
  command: string,
  args: string[],
  options: Partial<Deno.CommandOptions> = {},
): { pid: number; firstLine: () => Promise<string | undefined> } & AsyncDisposable {
  const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null", ...options }).spawn();
  return {
    pid: child.pid,
    async firstLine() {
      const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const { value } = await lines.read();
      await lines.cancel();
      return value;
    },
    async [Symbol.asyncDispose]() {
      if (options.stdin === "piped") await child.stdin.close();
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

/** Waits until `done`, at most five seconds: for what another process does in its own time. */
async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !await done(); waited += 10) {
    ok(waited < 5_000, "the other process did not come so far");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("taskStatus() gives the words of the letters that /proc shows", () => {
  equal(taskStatus(0, 0), "running");
  equal(taskStatus(0x1, 0), "sleeping");
  equal(taskStatus(0x2, 0), "disk_sleep");
  equal(taskStatus(0x402, 0), "idle");
  equal(taskStatus(0x4, 0), "stopped");
  equal(taskStatus(0x8, 0), "traced");
  equal(taskStatus(0x80, 0x20), "zombie");
  equal(taskStatus(0x80, 0x10), "dead");
  equal(taskStatus(0x40, 0), "idle");
  equal(taskStatus(0x8000, 0), "disk_sleep");
  equal(taskStatus(0x2 | 0x1000, 0), "disk_sleep");
});

/** Fails unless a table equals `/proc`. What differs may have changed between the two; three times in a row it has not. */
async function compare(read: () => Promise<TableEntry[]>, names: string[], withEnvironment: boolean): Promise<void> {
  let unequal = [...procPids()], compared = 0;
  const faults = new Map<number, unknown>();
  for (let round = 0; round < 3 && unequal.length > 0; round++) {
    const table = new Map((await read()).map((entry) => [entry.pid, entry]));
    faults.clear();
    for (const pid of unequal) {
      const expected = procFacts(pid, names), entry = table.get(pid);
      if (expected === null) continue;
      try {
        equal(entry && tableFacts(entry, expected, withEnvironment), expected, `process ${pid}`);
        compared++;
      } catch (error) {
        faults.set(pid, error);
      }
    }
    unequal = [...faults.keys()];
  }
  for (const error of faults.values()) throw error;
  ok(compared > 10, `${compared} processes compared`);
}

for (const [form, options] of Object.entries(FORMS)) {
  Deno.test({
    name: `task iterator equals /proc for every process, whatever its circumstances (${form})`,
    ...needs({ bpf: true, root: true, mount: true, programs: ["gcc", "unshare"] }),
    async fn() {
      const names = ["*"];
      using iterator = openIterator({ ...options, environment: new EnvironmentFilter(names) });
      await using program = await compileC(await Deno.readTextFile(ARRANGE), ["-pthread"]);
      await using _other = sleeper("/bin/sleep", ["300"], { uid: 65534, gid: 65533, cwd: "/usr", env: { A: "b c" } });
      await using odd = sleeper("/bin/sh", ["-c", "read x", "new\nline", "", "\x1b[31mred", "ünï"], { stdin: "piped" });
      await until(() => {
        const entry = iterator.readOne(odd.pid);
        return entry?.name === "sh" && entry.argvLength! > 20 && entry.status === "sleeping";
      });
      await using inside = sleeper(
        "unshare",
        ["--mount", "--pid", "--net", "--user", "--map-root-user", "--fork", "/bin/sleep", "300"],
      );
      await until(() => iterator.readQuickly().some(({ ppid, name }) => ppid === inside.pid && name === "sleep"));
      const arranged = ["ids", "login", "tty", "threads", "socket-stay"];
      await using children = new AsyncDisposableStack();
      const pids = new Map<string, number>();
      for (const way of arranged) {
        const child = children.use(sleeper(program.path, [way], { stdout: "piped" }));
        equal(await child.firstLine(), "ready\n", way);
        pids.set(way, child.pid);
      }
      const table = () => iterator.read({ environments: true });
      await compare(table, names, form === "full");

      // That the odd ones were odd.
      const of = (way: string): TableEntry => iterator.readOne(pids.get(way)!)!;
      const { savedUserId, effectiveGroupId, savedGroupId, effectiveCapabilities } = of("ids").context!;
      equal([of("ids").userId, savedUserId, effectiveGroupId, savedGroupId], [21, 23, 12, 13]);
      equal(effectiveCapabilities, 0);
      equal(of("login").context!.loginUserId, 4321);
      ok(of("login").context!.sessionId !== null);
      ok(/^pts\/\d+$/.test(of("tty").context!.tty!), of("tty").context!.tty!);
      equal([of("tty").context!.stdinKind, of("socket-stay").context!.stdinKind], ["tty", "socket"]);
      equal(of("threads").threads, 4);
      const init = iterator.readQuickly().find(({ ppid, name }) => ppid === inside.pid && name === "sleep")!;
      equal(init.namespacePid, 1);
      const own = iterator.readOne(Deno.pid)!.context!;
      for (const name of ["userNamespace", "pidNamespace", "mountNamespace", "networkNamespace"] as const) {
        ok(init.context![name] !== null && init.context![name] !== own[name], name);
      }
    },
  });

  Deno.test({
    name: `task iterator gives no process twice, and none that is not there (${form})`,
    ...needs({ bpf: true }),
    async fn() {
      using iterator = openIterator(options);
      const pids = (await iterator.read()).map((entry) => entry.pid);
      equal(new Set(pids).size, pids.length);
      ok(pids.includes(Deno.pid));
      equal(iterator.readOne(Deno.pid)?.pid, Deno.pid);
      equal(iterator.readOne(4_194_304), null);
    },
  });

  Deno.test({
    name: `task iterator cuts arguments at the cap and keeps their true length (${form})`,
    ...needs({ bpf: true }),
    async fn() {
      using iterator = openIterator(options);
      const args = ["-c", "read x", ...Array.from({ length: 16 }, (_, index) => `${index}`.padEnd(65_535, "x"))];
      await using child = sleeper("/bin/sh", args, { stdin: "piped" });
      // An execve names the process first, and lays out its arguments later.
      await until(() => (iterator.readOne(child.pid)?.argvLength ?? 0) > 1_000_000);
      const entry = (await iterator.read()).find(({ pid }) => pid === child.pid)!;
      const whole = new TextEncoder().encode(["/bin/sh", ...args].map((arg) => arg + "\0").join(""));
      equal(entry.argvLength, whole.length);
      equal(entry.argv, whole.slice(0, 16_384));
    },
  });
}

Deno.test({
  name: "task iterator is not held up by a process whose arguments cannot be read, and names it",
  ...needs({ bpf: true, mount: true, programs: ["gcc"] }),
  async fn() {
    const source = await Deno.readTextFile(new URL("../../support/c/stuck_arguments.c", import.meta.url));
    await using program = await compileC(source, ["-pthread"]);
    using iterator = openIterator({ deadlineMs: 1_000 });
    const file = await Deno.makeTempFile();
    const child = new Deno.Command(program.path, { args: [file], stdin: "piped", stdout: "piped" }).spawn();
    const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    try {
      const stuck = Number((await output.read()).value);
      ok(stuck > 0);
      for (let round = 0; round < 3; round++) {
        const table = await iterator.read();
        const entry = table.find(({ pid }) => pid === stuck)!;
        equal([entry.argv, entry.argvLength! > 12_000], [null, true]);
        equal(entry.executablePath, Deno.realPathSync(program.path));
        equal(table.find(({ pid }) => pid === Deno.pid)?.argv, Deno.readFileSync("/proc/self/cmdline"));
        ok(
          iterator.hindrance?.startsWith(`process ${stuck} does not let its arguments be read`),
          `${iterator.hindrance}`,
        );
        equal(iterator.readOne(stuck)?.pid, stuck);
      }
    } finally {
      await child.stdin.close();
      await output.cancel();
      await child.status;
      await Deno.remove(file);
    }
    // Let go, the full iterator is used again.
    await until(() => iterator.hindrance === null);
    ok((await iterator.read()).some(({ pid }) => pid === Deno.pid));
  },
});

Deno.test({
  name: "task iterator gives environments when it is asked to, and says what it left out",
  ...needs({ bpf: true }),
  async fn() {
    using iterator = openIterator({ environment: new EnvironmentFilter(["WANTED"]) });
    const env = { WANTED: "x".repeat(100), OTHER: "y" };
    await using small = sleeper("/bin/sleep", ["300"], { env, clearEnv: true });
    const padding = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`A${n}`, "z".repeat(10_000)]));
    await using large = sleeper("/bin/sleep", ["301"], { env: { ...padding, WANTED: "behind" }, clearEnv: true });
    await until(() => [small, large].every(({ pid }) => iterator.readOne(pid)?.name === "sleep"));
    const contextOf = async (pid: number, environments: boolean) =>
      (await iterator.read({ environments })).find((entry) => entry.pid === pid)!.context!;
    const asked = await contextOf(small.pid, true);
    equal([asked.environment, asked.environmentCut], [["WANTED=" + "x".repeat(100)], false]);
    equal((await contextOf(large.pid, true)).environmentCut, true);
    for (const pid of [small.pid, large.pid]) {
      const { environment, environmentCut } = await contextOf(pid, false);
      equal([environment, environmentCut], [null, false]);
    }
    using without = openIterator();
    const table = await without.read({ environments: true });
    equal(table.filter(({ context }) => context!.environment !== null), []);
  },
});

Deno.test({
  name: "task iterator shows stopped processes, zombies and deleted executables for what they are",
  ...needs({ bpf: true }),
  async fn() {
    using iterator = openIterator();
    await using child = sleeper("/bin/sh", ["-c", "/bin/true & read x", "zombies"], { stdin: "piped" });
    await until(async () =>
      (await iterator.read()).some((entry) => entry.ppid === child.pid && entry.status === "zombie")
    );
    const zombie = (await iterator.read()).find((entry) => entry.ppid === child.pid)!;
    equal([zombie.argv?.length, zombie.argvLength, zombie.executablePath, zombie.memoryUsage], [0, 0, null, 0]);
    Deno.kill(child.pid, "SIGSTOP");
    await until(() => iterator.readOne(child.pid)?.status === "stopped");

    const directory = await Deno.makeTempDir();
    await Deno.copyFile("/bin/sleep", `${directory}/gone`);
    await using gone = sleeper(`${directory}/gone`, ["300"]);
    await until(() => iterator.readOne(gone.pid)?.executablePath === `${directory}/gone`);
    await Deno.remove(directory, { recursive: true });
    equal(iterator.readOne(gone.pid)?.executablePath, `${directory}/gone (deleted)`);
  },
});

/** CPU time in nanoseconds and resident bytes by pid, as `/proc` has them. */
function procUsage(): Map<number, { cpu: number; memory: number }> {
  const usage = new Map<number, { cpu: number; memory: number }>();
  for (const pid of procPids()) {
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`),
        fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const resident = Number(Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ")[1]);
      usage.set(pid, { cpu: (Number(fields[11]) + Number(fields[12])) * TICK_NS, memory: resident * 4096 });
    } catch {
      // It is gone.
    }
  }
  return usage;
}

/** `/proc` counts CPU time in ticks, user and system time apart. */
const CPU_TOLERANCE = 2 * TICK_NS;
/** Three counters, of which each processor keeps up to max(32, 2 * processors) pages to itself for a while. */
const MEMORY_TOLERANCE = 3 * Math.max(32, 2 * navigator.hardwareConcurrency) * navigator.hardwareConcurrency * 4096;

Deno.test({
  name:
    "task iterator agrees with /proc on every process' CPU time and memory, within what the kernel's counters allow",
  ...needs({ bpf: true, root: true }),
  async fn() {
    using iterator = openIterator();
    // Both move all the time: the table is read between two readings of /proc, and lies between them, unless a process
    // grew and shrank meanwhile, which none does in every round.
    let compared = 0, faults: Map<number, string> | null = null;
    for (let round = 0; round < 3 && faults?.size !== 0; round++) {
      const found = new Map<number, string>();
      const before = procUsage(), table = await iterator.read(), after = procUsage();
      for (const { pid, cpuTime, memoryUsage, kernelThread } of table) {
        const least = before.get(pid), most = after.get(pid);
        if (least === undefined || most === undefined || kernelThread || faults?.has(pid) === false) continue;
        const [low, high] = [Math.min(least.memory, most.memory), Math.max(least.memory, most.memory)];
        if (cpuTime! < least.cpu - CPU_TOLERANCE || cpuTime! > most.cpu + CPU_TOLERANCE) {
          found.set(pid, `process ${pid}: ${cpuTime} ns of CPU time, and not between ${least.cpu} and ${most.cpu}`);
        } else if (memoryUsage! < low - MEMORY_TOLERANCE || memoryUsage! > high + MEMORY_TOLERANCE) {
          found.set(pid, `process ${pid}: ${memoryUsage} bytes, and not between ${low} and ${high}`);
        } else compared++;
      }
      faults = found;
    }
    equal([...faults!.values()], []);
    ok(compared > 3, `${compared} processes compared`);
  },
});

Deno.test({
  name: "task iterator adds up the CPU time of all threads, and gives memory and state as /proc does",
  ...needs({ bpf: true, programs: ["gcc"] }),
  async fn() {
    using iterator = openIterator();
    await using program = await compileC(
      `
      #include <pthread.h>
      #include <stdlib.h>
      #include <time.h>
      #include <unistd.h>
      static void *burn(void *x) {
        struct timespec t;
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); while (t.tv_nsec < 60000000 && t.tv_sec == 0);
        pause();
        return x;
      }
      static void *brief(void *x) {
        struct timespec t;
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); while (t.tv_nsec < 60000000 && t.tv_sec == 0);
        return x;
      }
      int main(void) {
        pthread_t t;
        volatile char *pages = malloc(40 << 20);
        for (long i = 0; i < 40 << 20; i += 4096) pages[i] = 1;
        for (int i = 0; i < 2; i++) pthread_create(&t, 0, burn, 0);
        pthread_create(&t, 0, brief, 0);
        pthread_join(t, 0);
        brief(0);
        write(1, "x", 1);
        pause();
      }`,
      ["-pthread"],
    );
    await using child = sleeper(program.path, []);
    await until(() => (iterator.readOne(child.pid)?.cpuTime ?? 0) >= 180e6);
    await until(() => (iterator.readOne(child.pid)?.cpuTime ?? 0) >= 235e6);
    const procFields = (): string[] => {
      const stat = Deno.readTextFileSync(`/proc/${child.pid}/stat`);
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    };
    await until(() => procFields()[0] === "S" && iterator.readOne(child.pid)?.status === "sleeping");
    const entry = (await iterator.read()).find((entry) => entry.pid === child.pid)!, fields = procFields();
    const procCpu = (Number(fields[11]) + Number(fields[12])) * TICK_NS;
    ok(Math.abs(entry.cpuTime! - procCpu) <= CPU_TOLERANCE, `${entry.cpuTime} against ${procCpu}`);
    const resident = Number(Deno.readTextFileSync(`/proc/${child.pid}/statm`).split(" ")[1]) * 4096;
    ok(Math.abs(entry.memoryUsage! - resident) <= MEMORY_TOLERANCE, `${entry.memoryUsage} against ${resident}`);
    equal([entry.threads, entry.memoryUsage! > 38 << 20], [3, true]);
  },
});
