/**
 * Every cause of a gap, brought about for real, and what was recorded of it: a full ring, a full socket, a full table, a
 * full log, a collector that is killed, one that is stopped and started with another source.
 *
 * Sleeps of the host and steps of its clock are in `tests/collector/host_watch_test.ts`, on a clock of the test's.
 */
import assert from "node:assert/strict";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { readBootId, readProcessTable } from "../../collector/kernel/procfs.ts";
import { openNetlinkSource } from "../../collector/sources/netlink.ts";
import { openProcSource } from "../../collector/sources/proc.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });

/** Starts `count` processes from each of four shells at once. */
async function storm(count: number): Promise<void> {
  const loop = `i=0; while [ $i -lt ${count} ]; do /bin/true; i=$((i+1)); done`;
  await Promise.all(Array.from({ length: 4 }, async () => {
    await new Deno.Command("/bin/sh", { args: ["-c", loop], stdin: "null" }).output();
  }));
}

Deno.test({
  name: "a full ring and a full log are gaps with the numbers that were counted",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start({ config: "collector:\n  ring_bytes: 4096\n  wal_max_bytes: 1048576\n" });
    const counter = (name: string): number => world.collectorStatus()?.counters[name] ?? 0;
    const inGaps = (source: string, kind: string): number =>
      world.count("SELECT sum(count) FROM gaps WHERE source = ? AND record_kind = ?", source, kind);
    for (let round = 0; round < 10 && counter("exec_lost") === 0; round++) await storm(200);
    for (const kind of ["exec", "fork", "exit"]) {
      await world.until(`each lost ${kind} is in a gap`, () => {
        const lost = counter(`${kind}_lost`);
        return inGaps("ebpf", kind) === lost && (kind !== "exec" || lost > 0);
      });
    }

    // An agent that stands still takes nothing.
    const agent = world.agentStatus()!.pid;
    Deno.kill(agent, "SIGSTOP");
    try {
      for (let round = 0; round < 40 && counter("refused_events") === 0; round++) await storm(200);
    } finally {
      Deno.kill(agent, "SIGCONT");
    }
    const refused = counter("refused_events");
    assert.ok(refused > 0, "events were refused");
    await world.until("each refused event is in a gap", () => {
      const reason = "the write-ahead log had no room for %";
      const told = world.count("SELECT sum(count) FROM gaps WHERE reason LIKE ?", reason);
      return told >= refused && told === counter("refused_events");
    });
  },
});

Deno.test({
  name: "what happens while no collector runs is told after it, once, and names outlive it",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    const mark = `unwatched${Deno.pid}`;
    const children: Deno.ChildProcess[] = [];
    const start = (name: string, script: string): Deno.ChildProcess => {
      const child = new Deno.Command("/bin/sh", {
        args: ["-c", script, `${mark}-${name}`],
        stdin: "piped",
        stdout: "null",
        stderr: "null",
      }).spawn();
      children.push(child);
      return child;
    };
    const end = async (child: Deno.ChildProcess): Promise<void> => {
      children.splice(children.indexOf(child), 1);
      await child.stdin.close();
      await child.status;
    };
    const ask = async (child: Deno.ChildProcess): Promise<void> => {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("\n"));
      writer.releaseLock();
    };
    const twice =
      `SELECT exec_id, event_type, count(*) AS n, group_concat(event_id || ' ' || ifnull(reason, '')) AS told
      FROM process_events WHERE event_type IN ('start', 'stop') GROUP BY exec_id, event_type HAVING n > 1`;
    try {
      // Its second program replaces the first, so that its name holds the time of that.
      const lasting = start(
        "lasting",
        `exec /bin/sh -c 'while read x; do /bin/true ${mark}-child; done' ${mark}-lasting`,
      );
      const ended = start("ended", "read x");
      let name: string;
      {
        await using world = await World.start({ state });
        const replaced = start("replaced", "read x; exec /bin/cat");
        const seen = `SELECT DISTINCT exec_id FROM process_events WHERE command_line LIKE ?`;
        await world.until("the last of them was seen", () => world.query(seen, `%${mark}-replaced`).length === 1);

        const killed = world.collectorStatus()!;
        // With the supervisor stopped, nobody starts the collector again.
        world.supervisor.kill("SIGSTOP");
        Deno.kill(killed.pid, "SIGKILL");
        await end(ended);
        const begun = start("begun", "read x");
        await ask(replaced);
        await world.until("one has replaced its program", () => executable(replaced.pid).endsWith("/cat"));
        world.supervisor.kill("SIGCONT");
        await world.until("another collector runs", () => {
          const status = world.collectorStatus()!;
          return status.pid !== killed.pid && status.connected;
        });

        const reasons = (pid: number): (string | number | null)[] =>
          world.query("SELECT event_type || ' ' || ifnull(reason, '') AS what FROM process_events WHERE pid = ?", pid)
            .map((row) => row["what"]!);
        await world.until("all of it is told", () => {
          return reasons(ended.pid).includes("stop ended unwatched") &&
            reasons(begun.pid).includes("start started unwatched") &&
            reasons(replaced.pid).includes("start exec unwatched");
        });
        const [row] = world.query("SELECT exec_id FROM processes WHERE pid = ? AND end_time IS NULL", lasting.pid);
        name = String(row!["exec_id"]);
        await ask(lasting);
        await end(begun);
        await end(replaced);
        const child = "SELECT parent_exec_id FROM process_events WHERE event_type = 'start' AND command_line = ?";
        await world.until(
          "a child of one that lived on is joined to it",
          () => world.query(child, `/bin/true ${mark}-child`)[0]?.["parent_exec_id"] === name,
        );
        assert.deepEqual(world.query(twice), []);
        const told =
          "SELECT count(*) FROM gaps WHERE source = 'collector' AND reason LIKE 'the collector ended without a word%'";
        await world.until("the time without a collector is a gap", () => world.count(told) === 1);
        assert.equal(await world.stop(), 0);
      }
      await using world = await World.start({
        state,
        set: ["collector.source=proc", "collector.poll_interval_ms=200"],
      });
      const change = "SELECT count(*) FROM gaps WHERE source = 'proc' AND reason = ?";
      await world.until(
        "the change of the source is a gap",
        () => world.count(change, "the source changed from ebpf to proc") === 1,
      );
      assert.equal(world.count("SELECT count(*) FROM gaps WHERE reason LIKE 'the collector was stopped%'"), 1);
      const [row] = world.query("SELECT exec_id FROM processes WHERE pid = ? AND end_time IS NULL", lasting.pid);
      assert.equal(row!["exec_id"], name, "a stop and another source do not change the name either");
      await end(lasting);
      await world.until("its end is told under its name", () =>
        world.count(
          "SELECT count(*) FROM process_events WHERE event_type = 'stop' AND exec_id = ?",
          name,
        ) === 1);
      assert.deepEqual(world.query(twice), []);
      assert.deepEqual(chainFrom(world, name).at(-1)?.split("-")[1], "1", "the chain of its parents ends in the first");
    } finally {
      for (const child of [...children]) await end(child);
      await Deno.remove(state, { recursive: true });
    }
  },
});

/** Names of the parents, from the nearest: out of events, or of the table for what began before the first of them. */
function chainFrom(world: World, name: string): string[] {
  const chain = [name];
  for (;;) {
    const [row] = world.query(
      `SELECT parent_exec_id FROM process_events WHERE exec_id = ?1 AND parent_exec_id IS NOT NULL
        UNION SELECT parent_exec_id FROM processes WHERE exec_id = ?1 AND parent_exec_id IS NOT NULL`,
      chain.at(-1)!,
    );
    if (row === undefined) return chain;
    chain.push(String(row["parent_exec_id"]));
  }
}

function executable(pid: number): string {
  try {
    return Deno.readLinkSync(`/proc/${pid}/exe`);
  } catch {
    return "";
  }
}

Deno.test({
  name: "a full socket of the process connector is a gap of unknown number",
  ...needs({ netlink: true }),
  async fn() {
    const source = openNetlinkSource({ bufferBytes: 4_096 });
    try {
      const lifecycle = new Lifecycle({ bootId: readBootId(), source });
      await storm(50);
      source.drain((record) => lifecycle.receive(record));
      const { gaps } = lifecycle.flush(Date.now(), true);
      assert.deepEqual(gaps.map(({ source, recordKind, count }) => [source, recordKind, count]), [[
        "netlink",
        "all",
        null,
      ]]);
      assert.equal(source.counters().overruns, 1);
    } finally {
      source.close();
    }
  },
});

Deno.test("processes of this host that find no room in the table are a gap with their exact number", () => {
  const source = openProcSource({ intervalMs: 1_000 });
  try {
    const limits = { maxTracked: 3, maxEnded: 10, maxBytes: 1 << 20 };
    const lifecycle = new Lifecycle({ bootId: readBootId(), source, limits });
    const entries = readProcessTable();
    lifecycle.baseline(entries);
    const { gaps } = lifecycle.flush(Date.now());
    assert.ok(entries.length > 3, "the host runs more than three processes");
    assert.deepEqual(gaps.map(({ source, count }) => [source, count]), [["collector", entries.length - 3]]);
  } finally {
    source.close();
  }
});
