import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { readKernelBtf } from "../../../collector/kernel/btf.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { TaskIterator } from "../../../collector/kernel/task_iterator.ts";
import { taskStatus } from "../../../collector/kernel/task_records.ts";
import type { TableEntry } from "../../../collector/sources/source.ts";
import { TICK_NS } from "../../../proto/identity.ts";
import { MAX_ARGV_BYTES } from "../../../proto/process_event.ts";
import { compileC } from "../../support/compile_c.ts";
import { needs } from "../../support/needs.ts";

/** What a kernel has: all, or only what Linux 6.1 has. */
const FORMS = { full: {}, quick: { without: "bpf_rcu_read_lock" } };

interface IteratorOptions {
  readonly deadlineMs?: number;
  readonly without?: string;
}

function openIterator({ deadlineMs, without }: IteratorOptions = {}): TaskIterator & Disposable {
  const btf = readKernelBtf(), functionId = btf.functionId.bind(btf);
  btf.functionId = (name) => name === without ? null : functionId(name);
  const iterator = new TaskIterator(btf, readKernelLayout(btf), { deadlineMs, environment });
  btf.release();
  return Object.assign(iterator, { [Symbol.dispose]: () => iterator.close() });
}

const latin1 = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

/** What `/proc` says of a process that does not change meanwhile; null when it is gone or hidden from root. */
function fromProc(pid: number): Record<string, unknown> | null {
  try {
    const read = (file: string): string => Deno.readTextFileSync(`/proc/${pid}/${file}`);
    const stat = read("stat");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const status = read("status");
    const ids = (key: string): number[] =>
      (new RegExp(`^${key}:\\t(.*)$`, "m").exec(status)?.[1] ?? "").split("\t").map(Number);
    const kernelThread = (Number(fields[6]) & 0x20_0000) !== 0;
    return {
      ppid: Number(fields[1]),
      startTicks: Number(fields[19]),
      // Workers of the kernel show what they work on here.
      name: kernelThread ? null : /^Name:\t(.*)$/m.exec(status)?.[1],
      // A host can run a process with more arguments than are kept; as text, because their difference is shown fast.
      argv: latin1(Deno.readFileSync(`/proc/${pid}/cmdline`).subarray(0, MAX_ARGV_BYTES)),
      executablePath: kernelThread || fields[0] === "Z" ? null : Deno.readLinkSync(`/proc/${pid}/exe`),
      userId: ids("Uid")[0],
      effectiveUserId: ids("Uid")[1],
      groupId: ids("Gid")[0],
      kernelThread,
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return null;
    // A process can go between the open and the read.
    if (error instanceof Error && error.message.includes("os error 3")) return null;
    throw error;
  }
}

function comparable(entry: TableEntry): Record<string, unknown> {
  return {
    ppid: entry.ppid,
    startTicks: Math.floor(entry.startTime / TICK_NS),
    name: entry.kernelThread ? null : entry.name,
    argv: entry.argv && latin1(entry.argv),
    executablePath: entry.executablePath,
    userId: entry.userId,
    effectiveUserId: entry.effectiveUserId,
    groupId: entry.groupId,
    kernelThread: entry.kernelThread,
  };
}

function* procPids(): Generator<number> {
  for (const { name } of Deno.readDirSync("/proc")) if (/^\d+$/.test(name)) yield Number(name);
}

/** A child that sleeps until this scope is left. */
function sleeper(
  command: string,
  args: string[],
  options: Partial<Deno.CommandOptions> = {},
): { pid: number } & AsyncDisposable {
  const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null", ...options }).spawn();
  return {
    pid: child.pid,
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

for (const [form, options] of Object.entries(FORMS)) {
  Deno.test({
    name: `task iterator equals /proc for every process (${form})`,
    ...needs({ bpf: true }),
    async fn() {
      using iterator = openIterator(options);
      await using _other = sleeper("/bin/sleep", ["300"], { uid: 65534, gid: 65533 });
      await using odd = sleeper("/bin/sh", ["-c", "read x", "new\nline", "", "\x1b[31mred", "ünï"], { stdin: "piped" });
      await until(() => iterator.readOne(odd.pid)?.name === "sh");
      // What differs may have changed between two readings; what differs three times in a row does not agree.
      let unequal = [...procPids()], compared = 0;
      const faults = new Map<number, unknown>();
      for (let round = 0; round < 3 && unequal.length > 0; round++) {
        const table = new Map((await iterator.read()).map((entry) => [entry.pid, entry]));
        faults.clear();
        for (const pid of unequal) {
          const expected = fromProc(pid), entry = table.get(pid);
          if (expected === null) continue;
          try {
            equal(entry && comparable(entry), expected, `process ${pid}`);
            compared++;
          } catch (error) {
            faults.set(pid, error);
          }
        }
        unequal = [...faults.keys()];
      }
      for (const error of faults.values()) throw error;
      ok(compared > 10, `${compared} processes compared`);
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
      await until(() => iterator.readOne(child.pid)?.name === "sh");
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
    using iterator = openIterator({ deadlineMs: 200 });
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
    ok(Math.abs(entry.cpuTime! - procCpu) <= 2 * TICK_NS, `${entry.cpuTime} against ${procCpu}`);
    ok(entry.memoryUsage! > 38 << 20 && entry.memoryUsage! < 60 << 20, `${entry.memoryUsage}`);
  },
});
