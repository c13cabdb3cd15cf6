import assert from "node:assert/strict";
import { TICK_NS } from "../../../proto/identity.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import { kernelClock } from "../../../collector/kernel/clock.ts";
import { readBootId, readProcess } from "../../../collector/kernel/procfs.ts";
import { Lifecycle } from "../../../collector/lifecycle.ts";
import { openBestSource } from "../../../collector/sources/ladder.ts";
import { openPsSource } from "../../../collector/sources/ps.ts";
import { grantedPs, PsCommand } from "../../../collector/sources/ps_command.ts";
import { PS_ARGUMENTS, PS_ENVIRONMENT } from "../../../collector/sources/ps_table.ts";
import type { ProcessSource, SourceRecord } from "../../../collector/sources/source.ts";
import { needs } from "../../support/needs.ts";
import { argumentsOf, gather, recordOf } from "../../support/processes.ts";

const HEADER = PS_ARGUMENTS.filter((word) => word.includes("=")).map((word) => word.slice(word.indexOf("=") + 1)).join(
  " ",
);
const NAME_WIDTH = HEADER.indexOf("COMMAND") - HEADER.indexOf("NAME") - 1;
/** The start of the tests' processes, and the moment of the tests' boot, in Unix seconds. */
const START = Date.UTC(2026, 10, 21, 8, 0, 0) / 1000, BOOT = START - 1_000;
const SELF = 1;

interface Shown {
  readonly pid: number;
  readonly ppid?: number;
  /** Seconds after {@linkcode START}. */
  readonly start?: number;
  readonly name?: string;
  readonly command?: string;
  readonly state?: string;
}

function tableOf(shown: readonly Shown[]): string {
  const lines = [{ pid: SELF, name: "deno" }, ...shown].map(
    ({ pid, ppid = SELF, start = 0, name = "sh", command, state = "S" }: Shown) => {
      const [day, month, date, year, time] = new Date((START + start) * 1000).toUTCString().replace(",", "").split(" ");
      const started = `${day} ${date} ${String(Number(month)).padStart(2)} ${time} ${year}`;
      return `${pid} ${ppid} 0 0 0 ${state} 4 00:00:01 ? ${started} ${name.padEnd(NAME_WIDTH)} ${command ?? name}`;
    },
  );
  return [HEADER, ...lines, ""].join("\n");
}

/** A source over tables that a test makes, in a world whose clock it sets. */
class TestPs {
  readonly #tables: (string | Error)[];
  readonly clock = { nowNs: 20_000e9, bootMs: BOOT * 1000 };
  readonly source: ProcessSource;

  constructor(...tables: (string | Error | readonly Shown[])[]) {
    this.#tables = tables.map((table) => typeof table === "string" || table instanceof Error ? table : tableOf(table));
    this.source = openPsSource({
      intervalMs: 3_600_000, // tables are read when the test says so
      self: SELF,
      clock: { bootTimeNs: () => this.clock.nowNs, bootOffsetMs: () => this.clock.bootMs, sleptNs: () => 0 },
      command: {
        run: () => {
          const table = this.#tables.shift() ?? tableOf([]);
          return table instanceof Error
            ? Promise.reject(table)
            : Promise.resolve({ pid: 4_000_000, bytes: new TextEncoder().encode(table) });
        },
        close: () => {},
      },
    });
  }

  /** Records of one more table. */
  async read(): Promise<string[]> {
    await this.source.snapshot();
    const records: string[] = [];
    this.source.drain((record) => records.push(record.kind === "loss" ? "loss" : `${record.kind} ${record.pid}`));
    return records;
  }
}

/** Records of all tables after the first. */
async function differences(...tables: (readonly Shown[])[]): Promise<string[]> {
  const world = new TestPs(...tables);
  const records: string[] = [];
  for (const _ of tables) records.push(...await world.read());
  world.source.close();
  return records;
}

Deno.test("differences of two tables of ps become records", async () => {
  const two = [{ pid: 2 }];
  assert.deepEqual(await differences(two, two), []);
  assert.deepEqual(await differences([], two), ["exec 2"]);
  assert.deepEqual(await differences(two, []), ["exit 2"]);
  assert.deepEqual(
    await differences(two, [{ pid: 2, start: 60 }]),
    ["exit 2", "exec 2"],
    "the pid again, a minute later",
  );
  assert.deepEqual(await differences(two, [{ pid: 2, start: 1 }], [{ pid: 2, start: -1 }]), [], "a start that wavers");
  assert.deepEqual(
    await differences(two, [{ pid: 2, name: "sleep", command: "sleep 1" }]),
    ["exec 2"],
    "another program",
  );
  assert.deepEqual(await differences(two, [{ pid: 2, command: "sh: idle" }]), [], "a title of its own");
  assert.deepEqual(await differences([], [{ pid: 2, state: "Z" }]), [], "its program is gone already");
});

Deno.test("a process keeps its first start, and a child does not begin before its parent", async () => {
  const world = new TestPs([{ pid: 2, start: 5 }], [{ pid: 2, start: 4 }, { pid: 3, ppid: 2, start: 4 }]);
  const first = await world.source.snapshot();
  const second = await world.source.snapshot();
  const startOf = (entries: typeof first, pid: number): number => entries.find((e) => e.pid === pid)!.startTime;
  assert.equal(startOf(first, 2), 1_005e9);
  assert.equal(startOf(second, 2), 1_005e9);
  assert.equal(startOf(second, 3), 1_005e9);
  assert.equal(startOf(second, 3) % TICK_NS, 0);
  world.source.close();
});

Deno.test("a clock that is set makes no new processes", async () => {
  // Linux works starts out from the clock; macOS remembers them.
  for (const shift of [3_600, 0]) {
    const world = new TestPs([{ pid: 2 }], [{ pid: 2, start: shift }]);
    await world.read();
    world.clock.bootMs += 3_600_000;
    const records = (await world.read()).filter((text) => text.endsWith(" 2"));
    assert.deepEqual(records, [], `${shift}`);
    world.source.close();
  }
});

Deno.test("a start is never after now", async () => {
  const world = new TestPs([{ pid: 2, start: 50_000 }]);
  const entry = (await world.source.snapshot()).find(({ pid }) => pid === 2)!;
  assert.equal(entry.startTime, world.clock.nowNs);
  world.source.close();
});

Deno.test("a time in which ps fails is two losses, counted failures, and a sentence while it lasts", async () => {
  const world = new TestPs([{ pid: 2 }], new Error("no ps today"), new Error("nor now"), "not a table", [{ pid: 2 }]);
  const { source, clock } = world;
  const says = (): string => source.description.misses[0]!;
  await source.snapshot();
  assert.doesNotMatch(says(), /nothing new/);
  clock.nowNs = 20_010e9;
  await assert.rejects(async () => await source.snapshot(), /no ps today/);
  const losses: SourceRecord[] = [];
  const drain = (): number => source.drain((record) => losses.push(record));
  drain();
  assert.equal(says(), "nothing new is seen now: no ps today");
  clock.nowNs = 20_020e9;
  await assert.rejects(async () => await source.snapshot(), /nor now/);
  await assert.rejects(async () => await source.snapshot(), /columns of ps/);
  clock.nowNs = 20_030e9;
  await source.snapshot();
  drain();
  assert.doesNotMatch(says(), /nothing new/);
  assert.equal(source.counters().overruns, 3);
  assert.deepEqual(
    losses.map((r) => r.kind === "loss" && [r.recordKind, r.count, r.from / 1e9, r.to / 1e9]),
    [["all", null, 20_000, 20_010], ["all", null, 20_010, 20_030]],
  );
  source.close();
});

Deno.test("lines that are refused are counted, and a pid in doubt keeps what is known of it", async () => {
  const world = new TestPs(
    [{ pid: 2, command: "known" }],
    tableOf([{ pid: 2, command: "one" }, { pid: 2, command: "two" }]) + "nonsense\n",
  );
  await world.source.snapshot();
  const entries = await world.source.snapshot();
  const entry = entries.find(({ pid }) => pid === 2)!;
  assert.equal(new TextDecoder().decode(entry.argv!), "known\0");
  assert.equal(world.source.counters().damaged, 3);
  assert.deepEqual(world.source.look(2), entry);
  assert.equal(world.source.look(3), null);
  world.source.close();
});

Deno.test("the ps that made a table is not in it", async () => {
  const world = new TestPs([{ pid: 4_000_000, name: "ps" }, { pid: 2, name: "ps" }]);
  assert.deepEqual((await world.source.snapshot()).map(({ pid }) => pid), [SELF, 2]);
  world.source.close();
});

Deno.test("readings of ps never overlap, and a snapshot is read after it was asked for", async () => {
  let running = 0, most = 0, runs = 0;
  const source = openPsSource({
    intervalMs: 0,
    self: SELF,
    command: {
      run: async () => {
        most = Math.max(most, ++running);
        const table = tableOf([{ pid: 10 + ++runs }]);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        return { pid: 4_000_000, bytes: new TextEncoder().encode(table) };
      },
      close: () => {},
    },
  });
  source.drain(() => {}); // begins a reading
  const [first, second] = await Promise.all([source.snapshot(), source.snapshot()]);
  assert.deepEqual([first, second].map((table) => table.map(({ pid }) => pid)), [[SELF, 12], [SELF, 13]]);
  assert.equal(most, 1);
  source.close();
  assert.equal(source.drain(() => {}), 0);
});

Deno.test("the ps source says what it can never know, in columns that there are", () => {
  const world = new TestPs();
  const columns = new Set(tableNamed("process_events").columns.map(({ name }) => name));
  const { unknownColumns } = world.source.description;
  assert.deepEqual(unknownColumns.filter((name) => !columns.has(name)), []);
  assert.equal(new Set(unknownColumns).size, unknownColumns.length);
  for (const known of ["tty", "effective_user_name", "group_name", "command_line", "argv", "start_time"]) {
    assert.ok(!unknownColumns.includes(known), known);
  }
  world.source.close();
});

const sh = "/bin/sh";
async function script(text: string, options: { deadlineMs?: number; maxOutputBytes?: number } = {}): Promise<string> {
  const command = new PsCommand({ path: sh, args: ["-c", text], env: {}, ...options });
  const { bytes } = await command.run();
  return new TextDecoder().decode(bytes);
}

Deno.test("PsCommand gives what was printed, and says why there is nothing", async () => {
  assert.equal(await script("echo out; echo err >&2"), "out\n");
  assert.equal(await script("i=0; while [ $i -lt 9000 ]; do echo warning >&2; i=$((i+1)); done; echo out"), "out\n");
  await assert.rejects(script("echo broken >&2; exit 3"), /^Error: ps ended with code 3: broken$/);
  await assert.rejects(script("kill -9 $$"), /^Error: ps ended with SIGKILL$/);
  await assert.rejects(script("exec sleep 600", { deadlineMs: 50 }), /did not end within 50 ms and was killed/);
  await assert.rejects(script("exec >&-; exec 2>&-; exec sleep 600"), /did not end and was killed/);
  await assert.rejects(script("while :; do echo endless; done", { maxOutputBytes: 1_000 }), /more than 1000 bytes/);
  await assert.rejects(new PsCommand({ path: "/nonexistent/ps", args: [], env: {} }).run(), /nonexistent/);
});

Deno.test("PsCommand runs one ps at a time, in no environment but its own", async () => {
  const command = new PsCommand({ path: sh, args: ["-c", "export -p; pwd"], env: { LC_ALL: "C" } });
  const running = command.run();
  await assert.rejects(command.run(), /an earlier ps, process \d+, has not ended yet/);
  const text = new TextDecoder().decode((await running).bytes);
  assert.match(text, /LC_ALL/);
  assert.doesNotMatch(text, /\b(HOME|USER|PATH=)/);
  assert.match(text, /\n\/\n$/);
  await command.run();
});

const ps = needs({ programs: ["ps"] });
/** Longer than a collector waits: this host may be busy with other tests' thousands of processes. */
const PATIENCE_MS = 60_000;

function realPs(intervalMs: number): ProcessSource {
  const path = grantedPs()!;
  const command = new PsCommand({ path, args: PS_ARGUMENTS, env: PS_ENVIRONMENT, deadlineMs: PATIENCE_MS });
  return openPsSource({ intervalMs, command });
}

Deno.test({
  name: "the ladder opens ps where that is asked for",
  ignore: ps.ignore,
  fn() {
    const { source, unavailable } = openBestSource({
      choice: "ps",
      ringBytes: 1 << 20,
      pollIntervalMs: 20,
      environment: [],
    });
    assert.deepEqual([source.description.name, unavailable], ["ps", []]);
    source.close();
  },
});

Deno.test({
  name: "the real ps shows start, arguments and end of a process, through the lifecycle",
  ignore: ps.ignore,
  async fn() {
    const source = realPs(20);
    const lifecycle = new Lifecycle({ bootId: readBootId(), source });
    const states = lifecycle.baseline(await source.snapshot());
    const own = states.find(({ pid }) => pid === Deno.pid)!;
    const truth = readProcess(Deno.pid)!;
    assert.deepEqual([own.name, own.userId, own.ppid, own.executablePath, own.argvLength], [
      truth.name,
      Deno.uid(),
      truth.ppid,
      null,
      null,
    ]);
    assert.ok(own.memoryUsage! > 1 << 20 && own.context!.cgroupPath === null);

    const child = new Deno.Command("sh", { args: ["-c", "read line", "  two  spaces"], stdin: "piped" }).spawn();
    const isChild = (r: SourceRecord): boolean => r.kind === "exec" && r.pid === child.pid && r.name === "sh";
    try {
      const started = await gather(source, (records) => records.some(isChild), PATIENCE_MS);
      const exec = started.findLast(isChild)!;
      assert.ok(exec.kind === "exec");
      assert.equal(argumentsOf(exec)!.length, 1);
      assert.ok(argumentsOf(exec)![0]!.endsWith("sh -c read line   two  spaces"), argumentsOf(exec)![0]);
      assert.deepEqual([exec.ppid, exec.userId, exec.argvLength], [Deno.pid, Deno.uid(), null]);
      const real = readProcess(child.pid)!.startTime;
      assert.ok(Math.abs(exec.startTime! - real) < 2e9, `${exec.startTime} and ${real}`);
      for (const record of started) lifecycle.receive(record);
      const start = lifecycle.flush(Date.now()).events.findLast((e) => e.pid === child.pid && e.kind === "start")!;
      assert.equal(start.parentExecId, own.execId);
      assert.equal(start.source, "ps");
    } finally {
      await child.stdin.close();
      await child.status;
    }
    const ended = await gather(source, (records) => recordOf(records, "exit", child.pid) !== undefined, PATIENCE_MS);
    assert.ok(recordOf(ended, "exit", child.pid)!.time <= kernelClock.bootTimeNs());
    assert.equal(source.counters().overruns, 0);
    await source.snapshot(); // after which none is under way
    source.close();
    await assert.rejects(async () => await source.snapshot(), /closed/);
  },
});

Deno.test({
  name: "a process keeps its name through many readings of the real ps",
  ignore: ps.ignore,
  async fn() {
    const source = realPs(0);
    const first = await source.snapshot();
    const startOf = new Map(first.map(({ pid, startTime }) => [pid, startTime]));
    // Long enough that the seconds of the two clocks that ps reads come to differ.
    const end = performance.now() + PATIENCE_MS;
    for (let i = 0; i < 60 && performance.now() < end; i++) {
      for (const { pid, startTime } of await source.snapshot()) {
        const before = startOf.get(pid);
        if (before !== undefined && Math.abs(before - startTime) < 5e9) assert.equal(startTime, before, `${pid}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    source.close();
  },
});

Deno.test("who may not run ps is told so", async () => {
  const program = `
    import { openPsSource } from ${JSON.stringify(new URL("../../../collector/sources/ps.ts", import.meta.url).href)};
    try { openPsSource({ intervalMs: 100 }); } catch (error) { console.log(error.name, error.reason); }`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const run = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--allow-ffi", "--allow-read", file],
      stdin: "null",
    }).output();
    assert.match(
      new TextDecoder().decode(run.stdout),
      /^SourceUnavailableError this program was not granted to run ps;/,
    );
  } finally {
    await Deno.remove(file);
  }
});
