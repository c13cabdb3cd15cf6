import assert from "node:assert/strict";
import { TICK_NS } from "../../../proto/identity.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import { readProcess } from "../../../collector/kernel/procfs.ts";
import { Lifecycle } from "../../../collector/lifecycle.ts";
import { openNetlinkSource } from "../../../collector/sources/netlink.ts";
import type { ExecRecord, SourceRecord } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { needs } from "../../support/needs.ts";
import { eventually } from "../../support/patience.ts";
import { argumentsOf, gather, recordOf } from "../../support/processes.ts";

/** Kernels from 6.6 on let everybody listen, others the privileged; only trying tells. */
function cannotListen(): boolean {
  try {
    openNetlinkSource().close();
    return false;
  } catch (error) {
    if (!(error instanceof SourceUnavailableError)) throw error;
    console.error(`cannot run here: netlink: ${error.reason}`);
    return true;
  }
}
const ignore = cannotListen();
/** The arguments of other processes of this host may be asked for when a source is closed. */
const listening = { ignore, sanitizeOps: false };

function execsOf(records: readonly SourceRecord[], pid: number): string[][] {
  return records.filter((record): record is ExecRecord => record.kind === "exec" && record.pid === pid)
    .map((record) => argumentsOf(record) ?? []);
}

function spawn(command: string, args: string[]): Deno.ChildProcess {
  return new Deno.Command(command, { args, stdin: "piped", stdout: "null", stderr: "null" }).spawn();
}

Deno.test({
  name: "the netlink source sees start, arguments and end of a process",
  ...listening,
  async fn() {
    const source = openNetlinkSource();
    try {
      const before = bootTimeNs();
      const child = spawn("sh", ["-c", "read line; exit 7", "a b", "", "c"]);
      const started = await gather(source, (records) => recordOf(records, "exec", child.pid)?.name === "sh");
      const fork = recordOf(started, "fork", child.pid)!, exec = recordOf(started, "exec", child.pid)!;
      assert.equal(fork.ppid, Deno.pid);
      assert.ok(fork.time >= before && fork.time <= exec.time && exec.time <= bootTimeNs());
      assert.deepEqual(argumentsOf(exec)!.slice(1), ["-c", "read line; exit 7", "a b", "", "c"]);
      assert.match(exec.executablePath!, /^\//);
      assert.deepEqual([exec.userId, exec.groupId, exec.effectiveUserId], [Deno.uid(), Deno.gid(), Deno.uid()]);
      assert.equal(exec.ppid, Deno.pid);
      assert.equal(exec.startTime! % TICK_NS, 0);
      assert.equal(source.look(child.pid)!.startTime, exec.startTime);
      assert.ok((await source.snapshot()).some((entry) => entry.pid === child.pid));
      await child.stdin.close();
      assert.equal((await child.status).code, 7);
      const ended = await gather(source, (records) => recordOf(records, "exit", child.pid) !== undefined);
      assert.equal(recordOf(ended, "exit", child.pid)!.exitStatus, 7 << 8);
      assert.ok(source.counters().received.exec >= 1);
      assert.equal(source.counters().overruns, 0);
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "the netlink source tells the signal that ended a process",
  ...listening,
  async fn() {
    const source = openNetlinkSource();
    try {
      const child = spawn("sleep", ["60"]);
      await gather(source, (records) => recordOf(records, "exec", child.pid) !== undefined);
      child.kill("SIGKILL");
      const records = await gather(source, (all) => recordOf(all, "exit", child.pid) !== undefined);
      assert.equal(recordOf(records, "exit", child.pid)!.exitStatus! & 0x7f, 9);
      await child.stdin.close();
      await child.status;
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "the netlink source reports processes that were gone before it looked, with what is known",
  ...listening,
  async fn() {
    const source = openNetlinkSource();
    try {
      const children = Array.from({ length: 20 }, () => spawn("true", []));
      for (const child of children) {
        await child.stdin.close();
        await child.status;
      }
      // Nothing was read meanwhile: all are gone. Records wait for arguments in vain, for a moment.
      const records: SourceRecord[] = [];
      for (
        let waited = 0;
        waited < 10_000 && children.some(({ pid }) => !recordOf(records, "exit", pid));
        waited += 10
      ) {
        source.drain((record) => records.push(record));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      for (const { pid } of children) {
        assert.ok(recordOf(records, "fork", pid) !== undefined);
        const exec = recordOf(records, "exec", pid)!;
        assert.deepEqual([exec.argv, exec.startTime, exec.userId, exec.name], [null, null, null, ""]);
        assert.equal(recordOf(records, "exit", pid)!.exitStatus, 0);
      }
      assert.ok(source.counters().damaged >= children.length);
      // And the lifecycle makes one start and one stop of each.
      const lifecycle = new Lifecycle({ bootId: "00000000-0000", source });
      lifecycle.baseline([readProcess(Deno.pid)!]);
      for (const record of records) lifecycle.receive(record);
      const { events } = lifecycle.flush(Date.now());
      for (const { pid } of children) {
        const own = events.filter((event) => event.pid === pid);
        assert.deepEqual(own.map((event) => event.kind), ["start", "stop"]);
        assert.equal(own[0]!.ppid, Deno.pid);
        assert.equal(own[0]!.parentName, readProcess(Deno.pid)!.name);
        assert.equal(own[1]!.exitCode, 0);
      }
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "the netlink source does not take the end of a thread for that of its process",
  ...listening,
  async fn() {
    const source = openNetlinkSource();
    try {
      // A Deno process has threads that begin and end.
      const script = "await new Promise((r) => setTimeout(r, 50)); await Deno.stdin.read(new Uint8Array(1));";
      const child = spawn(Deno.execPath(), ["eval", script]);
      await gather(source, (records) => recordOf(records, "exec", child.pid) !== undefined);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const meanwhile: SourceRecord[] = [];
      source.drain((record) => meanwhile.push(record));
      assert.equal(recordOf(meanwhile, "exit", child.pid), undefined);
      assert.ok(
        meanwhile.every((record) => record.kind !== "fork" || record.ppid !== child.pid),
        "threads are no forks",
      );
      await child.stdin.close();
      await child.status;
      const records = await gather(source, (all) => recordOf(all, "exit", child.pid) !== undefined);
      assert.equal(records.filter((record) => record.kind === "exit" && record.pid === child.pid).length, 1);
    } finally {
      source.close();
    }
  },
});

const python = needs({ programs: ["python3"] });

Deno.test({
  name: "the netlink source sees through an execve() of another thread than the first",
  ...listening,
  ignore: ignore || python.ignore,
  async fn() {
    const source = openNetlinkSource();
    try {
      // The kernel ends the first thread, and says so, before the other takes its place.
      const child = spawn("python3", [
        "-c",
        'import os, threading; threading.Thread(target=lambda: os.execvp("cat", ["cat", "-u"])).start()',
      ]);
      const records = await gather(source, (all) => execsOf(all, child.pid).at(-1)?.[1] === "-u");
      assert.equal(recordOf(records, "exit", child.pid), undefined);
      await child.stdin.close();
      await child.status;
      await gather(source, (all) => recordOf(all, "exit", child.pid) !== undefined);
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "the netlink source reports the end of a process with its last thread",
  ...listening,
  ignore: ignore || python.ignore,
  async fn() {
    const source = openNetlinkSource();
    try {
      const child = spawn("python3", [
        "-c",
        "import ctypes, threading, time; threading.Thread(target=lambda: time.sleep(0.4)).start(); " +
        `ctypes.CDLL(None).syscall(${Deno.build.arch === "aarch64" ? 93 : 60}, 0)`,
      ]);
      const records = await gather(source, (all) => recordOf(all, "exit", child.pid) !== undefined);
      const life = recordOf(records, "exit", child.pid)!.time - recordOf(records, "exec", child.pid)!.time;
      assert.ok(life > 0.4e9, `it lived ${life / 1e9} s`);
      await child.stdin.close();
      await child.status;
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "a receiver that throws costs the netlink source no record",
  ...listening,
  async fn() {
    const source = openNetlinkSource();
    try {
      const child = spawn("true", []);
      await child.stdin.close();
      await child.status;
      const seen: string[] = [];
      let thrown = 0;
      await eventually("its end is seen", () => {
        try {
          source.drain((record) => {
            if (record.kind !== "loss" && record.pid === child.pid) seen.push(record.kind);
            throw new Error("no");
          });
        } catch (error) {
          assert.match(String(error), /^Error: no$/);
          thrown++;
        }
        return seen.includes("exit");
      });
      assert.deepEqual(seen, ["fork", "exec", "exit"]);
      assert.ok(thrown > 0);
    } finally {
      source.close();
    }
    source.close(); // twice is once
    assert.equal(source.drain(() => {}), 0);
  },
});

Deno.test({
  name: "what the netlink source could not keep is a loss of unknown count",
  ...listening,
  async fn() {
    // The smallest buffer there is, and nobody reads.
    const source = openNetlinkSource({ bufferBytes: 1 });
    try {
      const shell = spawn("sh", ["-c", "i=0; while [ $i -lt 60 ]; do true | true; i=$((i+1)); done"]);
      await shell.stdin.close();
      assert.ok((await shell.status).success);
      const from = bootTimeNs();
      const isLoss = (record: SourceRecord): record is Extract<SourceRecord, { kind: "loss" }> =>
        record.kind === "loss";
      const records = await gather(source, (all) => all.some(isLoss));
      const loss = records.find(isLoss)!;
      assert.deepEqual([loss.recordKind, loss.count], ["all", null]);
      assert.ok(loss.from < from && loss.to >= from);
      assert.ok(source.counters().overruns >= 1);
      const forks = records.filter((record) => record.kind === "fork" && record.ppid === shell.pid).length;
      assert.ok(forks < 120, `${forks} forks`);
      source.drain((record) => assert.notEqual(record.kind === "loss" ? record.to : 0, loss.to, "it is told once"));
    } finally {
      source.close();
    }
  },
});
