import assert from "node:assert/strict";
import { joinArgv } from "../../../proto/argv.ts";
import { TICK_NS } from "../../../proto/identity.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import { readProcess } from "../../../collector/kernel/procfs.ts";
import { openProcSource, type TableReader } from "../../../collector/sources/proc.ts";
import type { SourceRecord, TableEntry } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { argumentsOf, gather, recordOf } from "../../support/processes.ts";

/** A process that began some seconds ago, as far as the source can tell. */
function entry(pid: number, more: Partial<TableEntry> = {}): TableEntry {
  const startTime = bootTimeNs() - 60e9;
  return {
    pid,
    ppid: 1,
    startTime: startTime - startTime % TICK_NS,
    name: `p${pid}`,
    executablePath: `/bin/p${pid}`,
    argv: joinArgv([`p${pid}`]),
    argvLength: 4,
    userId: 0,
    groupId: 0,
    effectiveUserId: 0,
    cpuTime: 5,
    memoryUsage: 1,
    threads: 1,
    namespacePid: null,
    context: null,
    status: "sleeping",
    kernelThread: false,
    ...more,
  };
}

/** Readings of these tables, one after the other, and then of empty ones. */
function tablesOf(...tables: TableEntry[][]): TableReader {
  const tableAt = tables.values();
  return {
    misses: [],
    table: () => Promise.resolve(tableAt.next().value ?? []),
    look: () => entry(1),
    close: () => {},
  };
}

/** Records of readings of these tables, the first being what was there. */
async function differences(...tables: TableEntry[][]): Promise<string[]> {
  const source = openProcSource({ intervalMs: 0, processes: tablesOf(...tables) });
  const records: SourceRecord[] = [];
  for (const _ of tables) {
    await source.snapshot();
    source.drain((record) => records.push(record));
  }
  source.close();
  return records.map((r) =>
    r.kind === "exec" ? `exec ${r.pid} ${r.name}` : r.kind === "loss" ? "loss" : `${r.kind} ${r.pid}`
  );
}

Deno.test("differences of two tables become records", async () => {
  const one = entry(1), two = entry(2), reused = { ...two, startTime: two.startTime + TICK_NS, name: "new" };
  assert.deepEqual(await differences([one, two], [one, two]), []);
  assert.deepEqual(await differences([one], [one, two]), ["exec 2 p2"]);
  assert.deepEqual(await differences([one, two], [one]), ["exit 2"]);
  assert.deepEqual(await differences([one, two], [one, reused]), ["exit 2", "exec 2 new"]);
  assert.deepEqual(await differences([one, two], [one, { ...two, executablePath: "/bin/other" }]), ["exec 2 p2"]);
  assert.deepEqual(await differences([one, two], [one, { ...two, executablePath: null }]), [], "not readable now");
  const torn = { ...two, executablePath: "/bin/other" }, whole = { ...torn, name: "other" };
  assert.deepEqual(await differences([torn], [whole]), ["exec 2 other"], "read while it changed");
  assert.deepEqual(await differences([whole], [torn]), [], "a process may call itself something else");
  assert.deepEqual(await differences([one], [one, entry(3, { status: "zombie" })]), [], "its program is gone already");
});

Deno.test("new arguments are a new program's in a young process only", async () => {
  const old = entry(2), young = entry(3, { startTime: bootTimeNs() });
  const argv = joinArgv(["changed"]);
  assert.deepEqual(await differences([old, young], [{ ...old, argv }, { ...young, argv }]), ["exec 3 p3"]);
});

Deno.test("the proc source sees start, arguments and end of a process", async () => {
  const source = openProcSource({ intervalMs: 20 });
  await source.snapshot();
  const child = new Deno.Command("sleep", { args: ["60", "1", "0.5"] }).spawn();
  try {
    const started = await gather(
      source,
      (all) => all.some((r) => r.kind === "exec" && r.pid === child.pid && r.name === "sleep"),
    );
    const exec = started.findLast((record) => record.kind === "exec" && record.pid === child.pid)!;
    assert.ok(exec.kind === "exec");
    assert.deepEqual(argumentsOf(exec)!.slice(1), ["60", "1", "0.5"]);
    assert.equal(exec.context!.cwd, Deno.cwd());
    assert.equal(exec.startTime, readProcess(child.pid)!.startTime);
    assert.deepEqual([exec.ppid, exec.userId], [Deno.pid, Deno.uid()]);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
  const ended = await gather(source, (records) => recordOf(records, "exit", child.pid) !== undefined);
  const exit = recordOf(ended, "exit", child.pid)!;
  assert.equal(exit.exitStatus, null);
  assert.ok(exit.time <= bootTimeNs());
  assert.ok(source.counters().received.exit >= 1);
  source.close();
  assert.equal(source.drain(() => {}), 0);
});

Deno.test("the proc source waits until its next reading is due", async () => {
  const source = openProcSource({ intervalMs: 60 });
  await source.snapshot();
  source.drain(() => {});
  const start = performance.now();
  await source.wait(10_000);
  const waited = performance.now() - start;
  assert.ok(waited > 20 && waited < 5_000, `${waited} ms`);
  await source.wait(0);
  source.close();
});

Deno.test("a receiver that throws costs the proc source no record", async () => {
  const source = openProcSource({ intervalMs: 0, processes: tablesOf([entry(1)], [entry(2), entry(3)]) });
  await source.snapshot();
  await source.wait(5_000);
  const seen: string[] = [];
  assert.throws(() =>
    source.drain((record) => {
      seen.push(record.kind);
      throw new Error("no");
    }), /^Error: no$/);
  assert.deepEqual(seen, ["exec", "exec", "exit"]);
  source.close();
});

Deno.test("a table without even this process is no source", () => {
  const gone = { ...tablesOf(), look: () => null };
  assert.throws(() => openProcSource({ intervalMs: 100, processes: gone }), SourceUnavailableError);
  const broken = {
    ...tablesOf(),
    look: () => {
      throw new Error("no /proc");
    },
  };
  assert.throws(
    () => openProcSource({ intervalMs: 100, processes: broken }),
    (error) => error instanceof SourceUnavailableError && error.reason === "no /proc",
  );
});

Deno.test("a reading that fails is the next drain's error, and the one after it is a reading again", async () => {
  let readings = 0;
  const processes = {
    ...tablesOf(),
    table: () => ++readings === 2 ? Promise.reject(new Error("gone")) : Promise.resolve([entry(readings)]),
  };
  const source = openProcSource({ intervalMs: 0, processes });
  await source.snapshot();
  await source.wait(5_000);
  assert.throws(() => source.drain(() => {}), /^Error: gone$/);
  await source.wait(5_000);
  const records: SourceRecord[] = [];
  source.drain((record) => records.push(record));
  assert.deepEqual(records.map(({ kind }) => kind), ["exec", "exit"]);
  source.close();
});
