/**
 * Every operation and every task between two real processes: the product's collector, started as `deno task collector`
 * starts it, and this one, which is the agent's broker.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { TASKS } from "../../collector/calls/tasks.ts";
import type { RpcPayload, RpcResponse } from "../../proto/bus/rpc.ts";
import { type DetectionTask, type ProcessRecord, TASK_TYPES } from "../../proto/task.ts";
import { rows } from "../agent/support.ts";
import { CollectorWorld, type End, ENDS } from "../support/called_collector.ts";
import { needs } from "../support/needs.ts";
import { eventually } from "../support/patience.ts";

/** Operations that a collector carries out; of the others `collectors_test.ts` and `hostile_collectors_test.ts` have the calls. */
const OWN = [
  ...["health_check", "update_config", "get_capabilities", "pause", "resume", "execute_task"] as const,
  ...["graceful_shutdown", "force_shutdown"] as const,
];

function codeOf({ status, error }: RpcResponse): string {
  return error === null ? status : `${status} ${error.category} ${error.code}`;
}

function processesOf({ outcome, error }: RpcResponse): readonly ProcessRecord[] {
  assert.ok(outcome?.kind === "result", error?.message);
  return outcome.result.processes;
}

function taskPayload(): RpcPayload {
  const task = { taskId: "t", taskType: "enumerate_processes", processFilter: null, hashCheck: null, metadata: null };
  return { kind: "task", task: task as DetectionTask };
}

function settings(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`collector.x${i}`, "1"]));
}

const pids = (...list: number[]) => ({ processNames: [], pids: list, executablePattern: null });

Deno.test({
  name: "each operation and each task runs between real processes, with timeout, cancellation and failure",
  ...needs({ root: true, bpf: true }),
  async fn(t) {
    await using world = await CollectorWorld.start();
    const late = (): number => world.broker.rpcCounters.rpc_late_replies;
    await using sleeper = new Deno.Command("/bin/sleep", { args: ["1000"] }).spawn();

    await t.step("health_check and get_capabilities say how it is and what it can do", async () => {
      const { outcome } = await world.call("health_check");
      assert.ok(outcome?.kind === "health");
      assert.deepEqual(outcome.components.map(({ name }) => name), [
        "collector",
        "sources",
        "completeness",
        "redaction",
        "log",
        "ledger",
      ]);
      assert.equal(outcome.components.find(({ name }) => name === "log")!.state, "healthy");
      const capabilities = (await world.call("get_capabilities")).outcome;
      assert.ok(capabilities?.kind === "capabilities");
      assert.equal(capabilities.taskTypes.length, 4);
      assert.ok(capabilities.operations.includes("graceful_shutdown"));
    });

    await t.step(
      "update_config changes what it names, also in what the collector does, and refuses the rest",
      async () => {
        const update = (changes: Record<string, string>) =>
          world.call("update_config", {
            payload: { kind: "config", update: { expectedVersion: 0, validateOnly: false, changes } },
          });
        const name = "collector.snapshot_interval_ms", snapshots = (): number => world.broker.counters.snapshots;
        const changed = (await update({ [name]: "1000" })).outcome;
        assert.ok(changed?.kind === "config");
        assert.deepEqual([changed.version, changed.changed], [2, [name]]);
        // The interval that was begun is the old one.
        assert.equal(
          codeOf(await update({ [name]: "1", "collector.memory_change_percent": "5" })),
          "error configuration NOT_A_SETTING",
        );
        assert.equal(codeOf(await update({ "collector.redaction": "off" })), "error configuration NOT_A_SETTING");
        await world.until("the status says so", () => world.counter("settings_version") === 2);
        const told = /the agent changed collector\.snapshot_interval_ms to 1000/;
        await world.until("its supervisor says so", () => told.test(world.stderr));
        assert.ok(snapshots() >= 1);
      },
    );

    await t.step("pause holds everything back, and resume sends it: nothing is lost", async () => {
      const tag = `paused-${crypto.randomUUID()}`;
      const stored = (): number =>
        rows(
          `${world.broker.dir.path}/events.db`,
          "SELECT count(*) AS n FROM process_events WHERE command_line LIKE ?",
          `%${tag}`,
        )[0]!["n"] as number;
      assert.equal(codeOf(await world.call("pause")), "success");
      await new Deno.Command("/bin/true", { args: [tag] }).output();
      await world.until("it waits", () => world.status().queuedEvents > 0 && world.counter("publishing_paused") === 1);
      assert.equal(stored(), 0);
      assert.equal(codeOf(await world.call("resume")), "success");
      await world.until("it is stored", () => stored() >= 2);
    });

    await t.step("enumerate_processes finds a process that runs, as it is", async () => {
      let found: readonly ProcessRecord[] = [];
      await eventually("it is in the table, with its program", async () => {
        found = processesOf(await world.task({ processFilter: pids(sleeper.pid) }));
        return found[0]?.name === "sleep";
      });
      const [{ executablePath, commandLine, userId, ppid }, ...others] = found as [ProcessRecord];
      assert.deepEqual([others, commandLine.at(-1), userId, ppid], [[], "1000", "0", Deno.pid]);
      assert.match(executablePath!, /sleep$/);
      const none = await world.task({
        processFilter: { processNames: ["no such"], pids: [], executablePattern: null },
      });
      assert.deepEqual(processesOf(none), []);
    });

    await t.step("monitor_process_tree has who is born into it while it watches", async () => {
      const watch = async (): Promise<readonly [born: number[], seen: Set<number>]> => {
        const watching = world.task({
          taskType: "monitor_process_tree",
          processFilter: pids(Deno.pid),
          metadata: '{"duration_ms":2500}',
        });
        let isWatched = true;
        void watching.finally(() => isWatched = false);
        const born: number[] = [];
        while (isWatched) {
          const child = new Deno.Command("/bin/sleep", { args: ["0.2"] }).spawn();
          born.push(child.pid);
          await child.status;
        }
        return [born, new Set(processesOf(await watching).map(({ pid }) => pid))];
      };
      let born: number[] = [], seen = new Set<number>();
      // A busy machine may take most of that time for one of them.
      await eventually("three that are born into it are there", async () => {
        [born, seen] = await watch();
        assert.ok(seen.has(Deno.pid) && seen.has(sleeper.pid));
        return born.filter((pid) => seen.has(pid)).length >= 3;
      }, () => `${born} in ${[...seen]}`);
    });

    await t.step("check_process_hash and verify_executable hold an executable against what is expected", async () => {
      const [{ executablePath }] = processesOf(await world.task({ processFilter: pids(sleeper.pid) })) as [
        ProcessRecord,
      ];
      const path = executablePath!, right = createHash("sha256").update(Deno.readFileSync(path)).digest("hex");
      const run = async (taskType: "check_process_hash" | "verify_executable", expectedHash: string, of = path) =>
        await world.task({ taskType, hashCheck: { executablePath: of, expectedHash, hashAlgorithm: "sha256" } });
      let verified!: RpcResponse;
      // The hasher comes up beside the collector.
      await eventually("it is verified", async () => {
        verified = await run("verify_executable", right);
        return verified.status === "success";
      }, () => codeOf(verified));
      const resultOf = ({ outcome }: RpcResponse) => outcome?.kind === "result" ? outcome.result.hashResult : null;
      assert.deepEqual([resultOf(verified)?.hashValue, resultOf(verified)?.success], [right, true]);
      const wrong = resultOf(await run("verify_executable", "0".repeat(64)));
      assert.deepEqual([wrong?.hashValue, wrong?.success], [right, false]);
      // Its start was hashed too, beside all others.
      let known!: RpcResponse;
      await eventually("its hash is known", async () => {
        known = await run("check_process_hash", right);
        return known.status === "success";
      }, () => codeOf(known));
      assert.deepEqual([resultOf(known)?.hashValue, resultOf(known)?.success], [right, true]);
      assert.equal(codeOf(await run("verify_executable", right, "/etc/shadow")), "error permission NOT_EXECUTED");
    });

    await t.step("tasks without a source, tasks that are none, and targets that are others fail by name", async () => {
      assert.equal(
        codeOf(await world.task({ taskType: "track_file_operations" })),
        "error configuration UNSUPPORTED_TASK",
      );
      assert.equal(codeOf(await world.task({ taskId: "" })), "error configuration INVALID_TASK");
      assert.equal(codeOf(await world.call("pause", { target: "other" })), "unavailable unavailable NOT_CONNECTED");
    });

    await t.step("a task ends by its time, and one that nobody waits for is ended", async () => {
      const long = {
        taskType: "monitor_process_tree",
        processFilter: pids(Deno.pid),
        metadata: '{"duration_ms":600000}',
      } as const;
      const ended = () => [world.counter("rpc_cancelled"), world.counter("rpc_timed_out")] as const;
      const [cancelled, timedOut] = ended();
      assert.equal(codeOf(await world.task(long, 300)), "timeout timeout DEADLINE_EXCEEDED");
      const abort = new AbortController(), pending = world.task({ ...long, taskId: "mine" }, 60_000, abort.signal);
      await world.until("it runs", () => world.counter("rpc_answered") > 0);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(codeOf(await world.task({ ...long, taskId: "mine" })), "in_progress");
      abort.abort();
      assert.equal(codeOf(await pending), "cancelled communication CANCELLED");
      // One whose time is over the agent takes back, which may come before the collector has seen the time itself.
      await world.until("the collector counts both", () => {
        const [cancelledNow, timedOutNow] = ended();
        return cancelledNow > cancelled && cancelledNow + timedOutNow >= cancelled + timedOut + 2;
      });
      await world.until("the same task can be begun again", () => world.counter("rpc_late") >= 1);
    });

    await t.step("what the agent carries out is not asked of the collector", async () => {
      for (const operation of ["start", "stop", "restart"] as const) {
        assert.equal(codeOf(await world.call(operation)), "unavailable unavailable NO_SUPERVISOR");
      }
      for (const operation of ["register", "deregister"] as const) {
        assert.equal(codeOf(await world.call(operation)), "error permission NOT_FOR_OTHERS");
      }
    });

    const ordinary = OWN.filter((operation) => !operation.endsWith("shutdown"));
    const shutdowns = OWN.filter((operation) => operation.endsWith("shutdown"));
    await t.step(
      "of a collector that stands still every call ends by its time, and when nobody waits for it",
      async () => {
        await world.frozen(async () => {
          for (const { status } of await world.callAll(ordinary, { timeoutMs: 300 })) assert.equal(status, "timeout");
        });
        await world.until("its answers come too late, and are counted", () => late() > 0);
        assert.equal(codeOf(await world.call("health_check")), "success");
        await world.frozen(async () => {
          const abort = new AbortController(), pending = world.callAll(ordinary, {}, abort.signal);
          setTimeout(() => abort.abort(), 100);
          for (const { status } of await pending) assert.equal(status, "cancelled");
        });
        assert.equal(codeOf(await world.call("health_check")), "success");
        // What it was asked it does all the same when it goes on: so these end it.
        const { pid } = world.status();
        await world.frozen(async () => {
          const abort = new AbortController(), pending = world.callAll(shutdowns, {}, abort.signal);
          for (const { status } of await world.callAll(shutdowns, { timeoutMs: 300 })) assert.equal(status, "timeout");
          abort.abort();
          for (const { status } of await pending) assert.equal(status, "cancelled");
        });
        await world.until("another one runs", () => world.status().pid !== pid && world.status().state === "running");
        await world.until("it takes calls", () => world.broker.broker.target("procmond")?.rpcVersion === 1);
      },
    );

    await t.step(
      "of a collector that is not there every call fails, and no task does what it has no source for",
      async () => {
        for (const operation of OWN) {
          const more = operation === "execute_task" ? { payload: taskPayload() } : {};
          assert.equal((await world.call(operation, { ...more, target: "other" })).status, "unavailable");
        }
        for (const taskType of TASK_TYPES) {
          const processFilter = { processNames: [], pids: [], executablePattern: "*".repeat(100) };
          assert.equal((await world.task({ taskType, processFilter })).status, "error", taskType);
        }
      },
    );

    await t.step("an update that would brick the collector changes nothing", async () => {
      const before = world.counter("settings_version");
      for (
        const changes of [
          { "collector.snapshot_interval_ms": "0" },
          { "collector.snapshot_interval_ms": "4294967295" },
          { "collector.snapshot_interval_ms": "5000", "collector.cpu_change_percent": "-1" },
          { "collector.source": "none" },
          { "collector.user": "root" },
          { ["__proto__"]: "1" },
          settings(200),
          settings(500), // longer than any update: its connection ends, and it comes again
        ]
      ) {
        const update = { expectedVersion: 0, validateOnly: false, changes };
        const { status, error } = await world.call("update_config", { payload: { kind: "config", update } });
        assert.notEqual(status, "success", JSON.stringify(changes).slice(0, 80));
        assert.notEqual(error!.category, "internal");
      }
      await world.until("it takes calls", () => world.broker.broker.target("procmond")?.rpcVersion === 1);
      assert.equal(world.counter("settings_version"), before);
      assert.equal(codeOf(await world.call("health_check")), "success");
    });

    for (const operation of ["graceful_shutdown", "force_shutdown"] as const) {
      await t.step(`${operation} ends the collector, and its supervisor starts it again`, async () => {
        const pid = world.status().pid;
        assert.equal(codeOf(await world.call(operation)), "success");
        await world.until("another one runs", () => world.status().pid !== pid && world.status().state === "running");
        await world.until("it takes calls", () => world.broker.broker.target("procmond")?.rpcVersion === 1);
        assert.equal(codeOf(await world.call("health_check")), "success");
      });
    }
    sleeper.kill("SIGKILL");

    await t.step("nothing of this table is without its test", () => {
      const all: readonly End[] = Object.values(ENDS), lacks: string[] = [];
      for (const name of [...OWN, ...TASK_TYPES]) {
        const has = world.ends.get(name) ?? new Set(),
          isAbsent = TASK_TYPES.some((type) => type === name && !TASKS.includes(type));
        for (const end of all) if (!has.has(end) && !(isAbsent && end === "works")) lacks.push(`${name}: ${end}`);
      }
      assert.deepEqual(lacks, []);
    });
  },
});
