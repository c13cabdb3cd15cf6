import assert from "node:assert/strict";
import { splitArgv } from "../../../proto/argv.ts";
import { TICK_NS } from "../../../proto/identity.ts";
import { MAX_ARGV_BYTES } from "../../../proto/process_event.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import {
  PLAIN,
  readArguments,
  readBootId,
  readForkCount,
  readProcess,
  readProcessTable,
  readRunState,
  readThreadCredentials,
  readWholeFile,
} from "../../../collector/kernel/procfs.ts";
import type { TableEntry } from "../../../collector/sources/source.ts";
import { needs } from "../../support/needs.ts";

/** A process that sleeps while the test looks at it; gone when it is disposed of. */
class Sleeper implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;

  constructor(command: string, args: string[]) {
    this.#child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
    this.pid = this.#child.pid;
  }

  /** Waits until the process runs the program, and not its parent's copy. */
  async until(ready: () => boolean): Promise<this> {
    for (let i = 0; i < 500 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(ready(), "the process did not come to be what the test waits for");
    return this;
  }

  /** Waits until it sleeps in the program: what is still being loaded runs, or waits for a disk. */
  untilAsleep(): Promise<this> {
    return this.until(() => {
      const entry = readProcess(this.pid);
      return entry?.name === "sleep" && entry.status === "sleeping";
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

Deno.test("readProcess() shows a process with its very arguments", async () => {
  const args = ["60", "0.25", "0.5"];
  await using sleeper = new Sleeper("sleep", args);
  await sleeper.untilAsleep();
  const entry = readProcess(sleeper.pid)!;
  assert.equal(entry.pid, sleeper.pid);
  assert.equal(entry.ppid, Deno.pid);
  const [program, ...rest] = splitArgv(entry.argv!);
  assert.match(program!, /\/sleep$/); // Deno looks the program up, and gives its path as the first argument
  assert.deepEqual(rest, args);
  assert.equal(entry.argvLength, entry.argv!.length);
  assert.match(entry.executablePath!, /^\/.*\/(sleep|coreutils|busybox)$/);
  assert.equal(entry.userId, Deno.uid());
  assert.equal(entry.effectiveUserId, Deno.uid());
  assert.equal(entry.groupId, Deno.gid());
  assert.ok(entry.memoryUsage! > 0);
  assert.equal(entry.kernelThread, false);
  assert.equal(entry.status, "sleeping");
  assert.equal(entry.startTime % TICK_NS, 0);
  const age = bootTimeNs() - entry.startTime;
  assert.ok(age > 0 && age < 30e9, `started ${age / 1e9} s ago`);
});

Deno.test("the process table holds what single looks show", async () => {
  await using sleeper = new Sleeper("sleep", ["61"]);
  await sleeper.untilAsleep();
  const table = readProcessTable();
  assert.equal(new Set(table.map((entry) => entry.pid)).size, table.length);
  const { cpuTime: _, ...found } = table.find((entry) => entry.pid === sleeper.pid)!;
  const { cpuTime: __, ...looked } = readProcess(sleeper.pid)!;
  assert.deepEqual(found, looked);
  const own = table.find((entry) => entry.pid === Deno.pid)!;
  assert.ok(own.cpuTime! > 0 && own.memoryUsage! > 10 << 20);
});

Deno.test("of a process that is known and has settled only what moves is read", async () => {
  await using sleeper = new Sleeper("sleep", ["62"]);
  await sleeper.untilAsleep();
  const marked = { ...readProcess(sleeper.pid)!, executablePath: "/marked" };
  const of = (known: TableEntry, settledBefore: number): string | null =>
    readProcess(sleeper.pid, PLAIN, known, settledBefore)!.executablePath;
  assert.equal(of(marked, Infinity), "/marked");
  assert.notEqual(of(marked, 0), "/marked");
  assert.notEqual(of({ ...marked, name: "other" }, Infinity), "/marked", "another name is another program");
  assert.notEqual(of({ ...marked, startTime: 0 }, Infinity), "/marked", "another start is another process");
});

Deno.test({
  name: "long arguments are cut, and their true length is kept",
  ...needs({ programs: ["sh"] }),
  async fn() {
    // 1 MiB of arguments: more than one read of the file takes.
    const args = Array.from({ length: 16 }, (_, i) => String(i).repeat(1).padEnd(65_536, "x"));
    await using sleeper = new Sleeper("sh", ["-c", "while :; do sleep 1; done", ...args]);
    await sleeper.until(() => (readArguments(sleeper.pid)?.length ?? 0) > 1_000_000);
    const { argv, length } = readArguments(sleeper.pid)!;
    assert.equal(argv.length, MAX_ARGV_BYTES);
    const program = splitArgv(argv)[0]!;
    assert.equal(length, [program, "-c", "while :; do sleep 1; done", ...args].join("\0").length + 1);
    assert.ok(new TextDecoder().decode(argv).startsWith(`${program}\0-c\0while :; do sleep 1; done\x000xxx`));
  },
});

Deno.test({
  name: "an executable that was deleted has the kernel's mark",
  ...needs({ programs: ["cp", "sleep"] }),
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      const copy = `${directory}/my sleep`;
      const which = await new Deno.Command("sh", { args: ["-c", "command -v sleep"] }).output();
      await Deno.copyFile(new TextDecoder().decode(which.stdout).trim(), copy);
      await using sleeper = new Sleeper(copy, ["63"]);
      await sleeper.until(() => readProcess(sleeper.pid)?.executablePath === copy);
      await Deno.remove(copy);
      assert.equal(readProcess(sleeper.pid)!.executablePath, `${copy} (deleted)`);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test("a process that is gone is null, and a zombie has no program", async () => {
  const child = new Deno.Command("true").spawn();
  await child.status;
  assert.equal(readProcess(child.pid), null);
  assert.equal(readRunState(child.pid), null);
  assert.equal(readArguments(child.pid), null);
  assert.equal(readProcess(0x7fff_ffff), null);
});

Deno.test("kernel threads have neither arguments nor executable", () => {
  const thread = readProcess(2);
  if (thread === null || !thread.kernelThread) return; // in a container pid 2 is somebody else, or nobody
  assert.deepEqual([thread.argv, thread.executablePath, thread.ppid, thread.name], [null, null, 0, "kthreadd"]);
});

Deno.test("every thread of this process shows its credentials", () => {
  const threads = readThreadCredentials();
  assert.ok(threads.length > 1);
  for (const thread of threads) {
    assert.equal(thread.userIds[0], Deno.uid());
    assert.equal(thread.groupIds[0], Deno.gid());
  }
  assert.ok(threads.some((thread) => thread.tid === Deno.pid));
});

Deno.test("boot id and fork counter are the kernel's", async () => {
  assert.match(readBootId(), /^[0-9a-f-]{36}$/);
  const before = readForkCount()!;
  await new Deno.Command("true").output();
  assert.ok(readForkCount()! > before);
});

Deno.test("readWholeFile() reads up to its limit", async () => {
  const path = await Deno.makeTempFile();
  try {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await Deno.writeFile(path, new Uint8Array([...bytes, ...bytes, ...bytes]));
    assert.equal(readWholeFile(path, 1 << 20)!.length, 180_000);
    assert.deepEqual(readWholeFile(path, 60_000), bytes);
    assert.equal(readWholeFile(`${path}.none`, 10), null);
  } finally {
    await Deno.remove(path);
  }
});
