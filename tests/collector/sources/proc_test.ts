import assert from "node:assert/strict";
import { joinArgv } from "../../../proto/argv.ts";
import { TICK_NS } from "../../../proto/identity.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import { readProcess } from "../../../collector/kernel/procfs.ts";
import { openProcSource } from "../../../collector/sources/proc.ts";
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

/** Records of readings of these tables, one after the other, the first being what was there. */
function differences(...tables: TableEntry[][]): string[] {
  const tableAt = tables.values();
  const source = openProcSource({ intervalMs: 0, read: () => tableAt.next().value ?? [] });
  const records: SourceRecord[] = [];
  for (let i = 1; i < tables.length; i++) source.drain((record) => records.push(record));
  return records.map((r) =>
    r.kind === "exec" ? `exec ${r.pid} ${r.name}` : r.kind === "loss" ? "loss" : `${r.kind} ${r.pid}`
  );
}

Deno.test("differences of two tables become records", () => {
  const one = entry(1), two = entry(2), reused = { ...two, startTime: two.startTime + TICK_NS, name: "new" };
  assert.deepEqual(differences([one, two], [one, two]), []);
  assert.deepEqual(differences([one], [one, two]), ["exec 2 p2"]);
  assert.deepEqual(differences([one, two], [one]), ["exit 2"]);
  assert.deepEqual(differences([one, two], [one, reused]), ["exit 2", "exec 2 new"]);
  assert.deepEqual(differences([one, two], [one, { ...two, executablePath: "/bin/other" }]), ["exec 2 p2"]);
  assert.deepEqual(differences([one, two], [one, { ...two, executablePath: null }]), [], "not readable now");
  assert.deepEqual(differences([one], [one, entry(3, { status: "zombie" })]), [], "its program is gone already");
});

Deno.test("new arguments are a new program's in a young process only", () => {
  const old = entry(2), young = entry(3, { startTime: bootTimeNs() });
  const argv = joinArgv(["changed"]);
  assert.deepEqual(differences([old, young], [{ ...old, argv }, { ...young, argv }]), ["exec 3 p3"]);
});

Deno.test("the proc source sees start, arguments and end of a process", async () => {
  const source = openProcSource({ intervalMs: 20 });
  const child = new Deno.Command("sleep", { args: ["60", "1", "0.5"] }).spawn();
  try {
    const started = await gather(
      source,
      (all) => all.some((r) => r.kind === "exec" && r.pid === child.pid && r.name === "sleep"),
    );
    const exec = started.findLast((record) => record.kind === "exec" && record.pid === child.pid)!;
    assert.ok(exec.kind === "exec");
    assert.deepEqual(argumentsOf(exec)!.slice(1), ["60", "1", "0.5"]);
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
  source.drain(() => {});
  const start = performance.now();
  await source.wait(10_000);
  const waited = performance.now() - start;
  assert.ok(waited > 20 && waited < 5_000, `${waited} ms`);
  await source.wait(0);
  source.close();
});

Deno.test("a receiver that throws costs the proc source no record", () => {
  const tables = [[entry(1)], [entry(2), entry(3)]].values();
  const source = openProcSource({ intervalMs: 0, read: () => tables.next().value ?? [] });
  const seen: string[] = [];
  assert.throws(() =>
    source.drain((record) => {
      seen.push(record.kind);
      throw new Error("no");
    }), /^Error: no$/);
  assert.deepEqual(seen, ["exec", "exec", "exit"]);
});

Deno.test("a table without processes is no source", () => {
  assert.throws(() => openProcSource({ intervalMs: 100, read: () => [] }), SourceUnavailableError);
  assert.throws(
    () =>
      openProcSource({
        intervalMs: 100,
        read: () => {
          throw new Error("no /proc");
        },
      }),
    (error) => error instanceof SourceUnavailableError && error.reason === "no /proc",
  );
});
