import assert from "node:assert/strict";
import { ArgumentReader, type ProcessMemory } from "../../../collector/kernel/argument_reader.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import { readRunState } from "../../../collector/kernel/procfs.ts";
import { ProcfsReader } from "../../../collector/kernel/procfs_reader.ts";
import { splitArgv } from "../../../proto/argv.ts";
import { MAX_ARGV_BYTES } from "../../../proto/process_event.ts";
import { needs } from "../../support/needs.ts";
import { StuckProcess } from "../../support/stuck_process.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

function ask(reader: ArgumentReader, pid: number, environment = true): Promise<ProcessMemory | null> {
  return new Promise((resolve) => reader.ask(pid, () => environment, resolve));
}

/** Repeats until it is so: the process may still be what its parent was. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    assert.ok(performance.now() < end, "it did not come to be");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One that is late only where a test wants it: a starved machine reads slowly. */
function reader(deadlineMs = PATIENCE_MS): ArgumentReader & Disposable {
  const made = new ArgumentReader(new EnvironmentFilter(["PROOF", "LD_*"]), deadlineMs);
  return Object.assign(made, { [Symbol.dispose]: () => made.close() });
}

Deno.test("ArgumentReader gives arguments with their true length, and the wanted variables", async () => {
  using memory = reader();
  const args = Array.from({ length: 4 }, (_, i) => String(i).padEnd(60_000, "x"));
  const child = new Deno.Command("sh", {
    args: ["-c", "read line", ...args],
    env: { PROOF: "1", LD_X: "2", SECRET: "3" },
    clearEnv: true,
    stdin: "piped",
  }).spawn();
  try {
    await until(async () => ((await ask(memory, child.pid))?.argvLength ?? 0) > 200_000);
    const found = (await ask(memory, child.pid))!;
    assert.equal(found.argv.length, MAX_ARGV_BYTES);
    const [program] = splitArgv(found.argv);
    assert.equal(found.argvLength, [program, "-c", "read line", ...args].join("\0").length + 1);
    assert.deepEqual([...found.environment!].sort(), ["LD_X=2", "PROOF=1"]);
    assert.equal(found.environmentCut, false);
    assert.equal((await ask(memory, child.pid, false))!.environment, null);
    const many = await memory.read([child.pid, Deno.pid, 0x7fff_ffff, child.pid], 5_000);
    assert.deepEqual([...many.keys()].sort((a, b) => a - b), [child.pid, Deno.pid].sort((a, b) => a - b));
  } finally {
    await child.stdin.close();
    await child.status;
  }
  assert.equal(await ask(memory, child.pid), null, "it is gone");
  assert.deepEqual([memory.late, memory.hindrance], [0, null]);
});

Deno.test({
  name: "ArgumentReader tells whoever waits when it is closed",
  sanitizeOps: false, // reads that are under way then end by themselves
  async fn() {
    const memory = new ArgumentReader();
    const waiting = Array.from({ length: 20 }, () => ask(memory, Deno.pid));
    memory.close();
    assert.deepEqual(await Promise.all(waiting), waiting.map(() => null));
    assert.equal(await ask(memory, Deno.pid), null);
    assert.equal((await memory.read([Deno.pid], 1_000)).size, 0);
  },
});

Deno.test("ArgumentReader takes a zombie for one that is gone", async () => {
  using memory = reader();
  // The shell becomes a sleep that waits for no child of the shell's.
  const child = new Deno.Command("sh", { args: ["-c", "sleep 0.2 & echo $!; exec sleep 60"], stdout: "piped" }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const zombie = Number((await output.read()).value);
    await until(() => Promise.resolve(readRunState(zombie)!.isEnded));
    assert.equal(await ask(memory, zombie), null);
  } finally {
    child.kill("SIGKILL");
    await output.cancel();
    await child.status;
  }
});

Deno.test({
  name: "ArgumentReader waits for nobody longer than its deadline, asks nobody twice, and forgets who lets go",
  ...needs({ mount: true, programs: ["gcc"] }),
  async fn() {
    using memory = reader(1_000);
    await using stuck = await StuckProcess.start();
    const own = ask(memory, Deno.pid);
    assert.equal(await ask(memory, stuck.pid), null);
    assert.ok((await own)!.argv.length > 0);
    assert.equal(memory.late, 1);
    assert.match(memory.hindrance!, new RegExp(`^process ${stuck.pid} does not let`));
    // More often than reads may hang: none of them is begun, and others are read.
    for (let i = 0; i < 100; i++) assert.equal(await ask(memory, stuck.pid), null);
    assert.equal(memory.late, 101);
    assert.ok((await ask(memory, Deno.pid))!.argv.length > 0);
    await stuck.release();
    await until(() => Promise.resolve(memory.hindrance === null));
  },
});

Deno.test("a table with more than it may hold leaves out the memory of some, and says so", async () => {
  const full = new ProcfsReader({ environment: [] }), small = new ProcfsReader({ environment: [], maxBytes: 0 });
  try {
    const table = await full.table(), cut = await small.table();
    assert.deepEqual(full.misses.filter((miss) => miss.includes("so many processes")), []);
    assert.equal(small.misses.filter((miss) => miss.includes("so many processes")).length, 1);
    const without = cut.filter(({ context }) => context === null);
    assert.equal(without.length, cut.length);
    assert.ok(without.every(({ argv, pid, startTime }) => argv === null && pid > 0 && startTime >= 0));
    assert.ok(table.every(({ context }) => context !== null));
  } finally {
    full.close();
    small.close();
  }
});

Deno.test("a table that knows an earlier one keeps the circumstances of who has settled", async () => {
  const processes = new ProcfsReader({ environment: [] });
  try {
    const known = new Map((await processes.table()).map((entry) => [entry.pid, entry]));
    const own = (await processes.table(known, Infinity)).find(({ pid }) => pid === Deno.pid)!;
    assert.equal(own.context, known.get(Deno.pid)!.context);
    assert.equal(own.argv, known.get(Deno.pid)!.argv);
    const anew = (await processes.table(known, 0)).find(({ pid }) => pid === Deno.pid)!;
    assert.notEqual(anew.context, own.context);
    assert.deepEqual(anew.context, own.context);
    assert.deepEqual(anew.argv, own.argv);
  } finally {
    processes.close();
  }
});
