/**
 * The sensor and three collectors of another maker under one supervisor: each killed, one stopped, the agent killed, the
 * supervisor killed; then one that lies and one that crashes beside them. Nothing is lost but what came while a collector
 * did not run, which is in its gaps, and nothing is stored twice.
 */
import assert from "node:assert/strict";
import { askAgent } from "../../agent/ask/spool_client.ts";
import { decodeReply, type Ending } from "../../proto/request.ts";
import { TWICE } from "../crash/collector_cycles.ts";
import {
  allRun,
  checkClock,
  CLOCKS,
  ClockSetting,
  FIRST_USER,
  killed,
  SENSOR,
  standing,
  stateOf,
  supervised,
} from "../support/collectors/clock_world.ts";
import { eventually, PATIENCE_MS } from "../support/patience.ts";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

/** Tasks that are under way while collectors are killed, and the time between two: a user may ask twice a second. */
const TASKS = 12, ASK_MS = 550;
const patient = { timeoutMs: PATIENCE_MS, takenMs: PATIENCE_MS };

Deno.test({
  name:
    "collectors side by side are registered, watched, restarted and adopted again; what is lost is in gaps, nothing doubled",
  ignore: Deno.uid() === 0 && needs({ mount: true }).ignore,
  async fn(t) {
    await using setting = await ClockSetting.make();
    setting.write([]);
    const { state } = setting;
    {
      await using world = await World.start({ state, patienceMs: PATIENCE_MS });
      await t.step("all register, and the agent tells them to begin", async () => {
        await allRun(world);
        const { lifecycle } = world.agentStatus()!;
        assert.equal(lifecycle.state, "steadyState");
        assert.deepEqual(lifecycle.history.map((each) => each.state), ["ready", "steadyState"]);
        assert.equal(standing(world, "clock-a")!.registration!.collectorType, "clock");
        assert.equal(standing(world, SENSOR)!.registration!.collectorType, "process-monitor");
        const health = await world.cli("health");
        assert.match(health.stdout, /registered +clock-a, running, clock of process, heartbeat 1 s/);
        assert.match(health.stdout, /supervised +clock-b, running, pid \d+, 0 restarts, 20 left/);
      });
      await t.step(
        "a collector of another maker has no token but its own, and writes nothing beside the broker",
        () => {
          if (!setting.isRoot) return;
          const { pid } = supervised(world, "clock-a")!, root = `/proc/${pid}/root`;
          assert.match(Deno.readTextFileSync(`/proc/${pid}/status`), new RegExp(`^Uid:\\t${FIRST_USER}\\t`, "m"));
          assert.equal(Deno.statSync(`${root}${world.layout.token}`).isCharDevice, true);
          assert.equal(Deno.statSync(world.layout.token).isFile, true);
          assert.throws(() => Deno.writeTextFileSync(`${root}${world.layout.run}/x`, ""), /Read-only|os error 30/);
        },
      );
      await t.step("each is killed and comes back", async () => {
        for (const id of CLOCKS) await killed(world, id);
        await killed(world, SENSOR);
      });
      await t.step(
        "one that stands still misses its heartbeats, is shown, and is restarted for the agent",
        async () => {
          const { pid } = supervised(world, "clock-c")!;
          // The supervisor, which is asked to mend it, stands still as well until it has been looked at.
          world.supervisor.kill("SIGSTOP");
          try {
            Deno.kill(pid, "SIGSTOP");
            await world.until("it is degraded", () => stateOf(world, "clock-c") !== "running", PATIENCE_MS);
            await world.until("it has failed", () => stateOf(world, "clock-c") === "failed", PATIENCE_MS);
            await world.until(
              "health says so",
              () =>
                world.count(
                  "SELECT count(*) FROM gaps WHERE collector_id = 'clock-c' AND reason LIKE '%not heard from%'",
                ) >= 1,
            );
            const health = await world.cli("health");
            assert.match(health.stdout, /collector clock-c has failed/);
          } finally {
            world.supervisor.kill("SIGCONT");
          }
          await world.until("another one runs", () => {
            const now = supervised(world, "clock-c")!;
            return now.pid !== pid && now.state === "running" && stateOf(world, "clock-c") === "running";
          }, PATIENCE_MS);
          assert.match(world.stderr, /the agent asks to restart clock-c/);
          assert.deepEqual(
            ["clock-a", "clock-b"].map((id) => stateOf(world, id)),
            ["running", "running"],
          );
        },
      );
      await t.step("operators have collectors stopped, started and restarted, and given tasks", async () => {
        const ask = (
          operation: string,
          id: string,
          more: Record<string, string> = {},
          signal: AbortSignal | null = null,
        ) =>
          askAgent({
            spool: world.layout.requests,
            operation,
            arguments: { id, ...more },
            ...patient,
            ...signal === null ? {} : { signal },
          });
        const words = async (asked: Promise<Ending>): Promise<string> => {
          const { outcome, text } = await asked;
          return `${outcome}: ${text}`;
        };
        assert.match(await words(ask("collector stop", "clock-b")), /^done: /);
        await world.until("it has left", () => stateOf(world, "clock-b") === "stopped", PATIENCE_MS);
        assert.match(await words(ask("collector start", "clock-b")), /^done: /);
        await world.until("it is back", () => stateOf(world, "clock-b") === "running", PATIENCE_MS);
        const { pid } = supervised(world, "clock-b")!;
        assert.match(await words(ask("collector restart", "clock-b")), /^done: /);
        await world.until("another one runs", () => {
          return supervised(world, "clock-b")!.pid !== pid && stateOf(world, "clock-b") === "running";
        }, PATIENCE_MS);
        assert.match(await words(ask("collector stop", SENSOR)), /^refused: /);
        assert.match(await words(ask("collector start", "nobody")), /^refused: /);
        assert.match(await words(ask("collector shutdown", SENSOR)), /^refused: collector.obeys_shutdown is no/);

        // The supervisor stands still
        world.supervisor.kill("SIGSTOP");
        try {
          const verbs = ["start", "stop", "restart"];
          for (const verb of verbs) {
            const text = await words(ask(`collector ${verb}`, "nobody", { within: "100ms" }));
            assert.equal(text, `failed: ${verb} did not end within 100 ms`);
          }
          const gone = new AbortController(),
            leaving = verbs.map((verb) => ask(`collector ${verb}`, "nobody", {}, gone.signal));
          const left = Promise.allSettled(leaving);
          // A request whose reply is gone before it is taken is none.
          const taken = (): number =>
            [...Deno.readDirSync(world.layout.requests)].filter(({ name }) =>
              name.endsWith(".reply") &&
              decodeReply(Deno.readFileSync(`${world.layout.requests}/${name}`)).some(({ kind }) => kind === "taken")
            ).length;
          await eventually("all are taken", () => taken() === verbs.length);
          gone.abort();
          for (const each of await left) {
            assert.equal(each.status === "rejected" && each.reason.isOpen, true);
          }
          let outcomes: string[] = [];
          const cancelled = () =>
            outcomes.filter((each) => /^failed: The caller no longer waits for /.test(each)).length;
          await eventually("the ledger has all three", async () => {
            const { stdout } = await world.cli("audit", "show", "--action", "request", "-f", "json", "--limit", "100");
            outcomes = (JSON.parse(stdout) as { payload: unknown }[]).map(({ payload }) =>
              (typeof payload === "string" ? JSON.parse(payload) : payload).outcome
            );
            return cancelled() === verbs.length;
          }, () => outcomes.join("\n"));
        } finally {
          world.supervisor.kill("SIGCONT");
        }

        const task = (more: Record<string, string>) =>
          askAgent({
            ...{ spool: world.layout.requests, operation: "task", ...patient },
            arguments: { type: "enumerate_processes", ...more },
          });
        const all = await task({ target: "all", pids: String(Deno.pid) });
        assert.deepEqual([all.outcome, all.degraded], ["done", false], all.text);
        const value = all.value as { processes: { pid: number }[]; shares: { collector: string; done: boolean }[] };
        assert.deepEqual(value.shares.map(({ collector }) => collector).sort(), [...CLOCKS, SENSOR].sort());
        assert.ok(value.processes.some(({ pid }) => pid === Deno.pid));
        assert.match((await task({ target: "clock-a" })).text, /^clock-a: 1 processes\n1 processes\n/);
        // The one that has it is killed in the middle: it is given to its next process
        const watched = askAgent({
          ...{ spool: world.layout.requests, operation: "task", ...patient },
          arguments: { type: "monitor_process_tree", target: "clock-a", for: "3s", within: "60s" },
          progress: (text) => text === "clock-a has it" && Deno.kill(supervised(world, "clock-a")!.pid, "SIGKILL"),
        });
        assert.match((await watched).text, /^clock-a: 1 processes at try 2\n/);
        const config = await askAgent({
          ...{ spool: world.layout.requests, operation: "collector config", ...patient },
          arguments: { id: SENSOR, assignments: ["collector.snapshot_interval_ms=0"] },
        });
        assert.match(`${config.outcome}: ${config.text}`, /^refused: collector.snapshot_interval_ms must be/);
        await allRun(world);
      });
      await t.step(
        "tasks outlive the collectors that have them: those of one that is killed move to the others",
        async () => {
          const moved = { tasks: 0, done: 0, again: 0 }, by: Record<string, number> = {}, faults: string[] = [];
          const struck = new Set<string>(), kills: Promise<void>[] = [];
          /** Kills two of the clocks, each while it has a task: no task can meet more than its tries allow. */
          const strike = (text: string): void => {
            const id = / has it$/.test(text) ? text.slice(0, text.indexOf(" ")) : "";
            if (!CLOCKS.includes(id) || struck.has(id) || struck.size === 2 || moved.tasks < TASKS / 3) return;
            struck.add(id);
            kills.push(killed(world, id));
          };
          const asked: Promise<void>[] = [];
          for (let n = 0; n < TASKS; n++) {
            moved.tasks++;
            asked.push(
              askAgent({
                ...{ spool: world.layout.requests, operation: "task", ...patient, progress: strike },
                arguments: {
                  type: "monitor_process_tree",
                  target: "any",
                  pids: String(Deno.pid),
                  for: "3s",
                  within: "60s",
                },
              }).then(({ outcome, text }) => {
                const share = /^(\S+): \d+ processes(?: at try (\d))?$/m.exec(text);
                if (outcome !== "done" || share === null) return void faults.push(`${outcome}: ${text}`);
                moved.done++;
                moved.again += Number(share[2] ?? 1) - 1;
                by[share[1]!] = (by[share[1]!] ?? 0) + 1;
              }),
            );
            await new Promise((resolve) => setTimeout(resolve, ASK_MS));
          }
          await Promise.all([...asked, ...kills]);
          console.log(
            `tasks: ${moved.tasks} asked, ${moved.done} done, ${moved.again} times given to another one, by ${
              JSON.stringify(by)
            }`,
          );
          assert.deepEqual(faults, []);
          assert.deepEqual([moved.done, struck.size], [TASKS, 2]);
          assert.ok(moved.again >= 2, "each of the two had a task when it was killed");
          await allRun(world);
        },
      );
      await t.step("the agent is killed, and the next one has all of them again, once each", async () => {
        const { pid } = world.agentStatus()!;
        Deno.kill(pid, "SIGKILL");
        await world.until("another agent takes", () => {
          const status = world.agentStatus()!;
          return status.pid !== pid && status.state === "running";
        }, PATIENCE_MS);
        const began = performance.now();
        await allRun(world);
        console.log(`all four were adopted again within ${Math.ceil(performance.now() - began)} ms of the next agent`);
        for (const id of [SENSOR, ...CLOCKS]) {
          const { registrations, refused } = standing(world, id)!;
          assert.deepEqual({ id, registrations, refused }, { id, registrations: 1, refused: 0 });
        }
      });
      await t.step("the supervisor is killed", async () => {
        world.supervisor.kill("SIGKILL");
        await world.supervisor.status;
      });
    }
    // The next one begins while the former's processes still end. Two more are to be there, and do no good.
    const crasher = { id: "crasher", command: ["/bin/sh", "-c", "exit 3"], restarts: 1 };
    setting.write([], setting.clock("liar", "--lie"), crasher);
    await using world = await World.start({ state, set: ["agent.startup_timeout_ms=3000"], patienceMs: PATIENCE_MS });
    await t.step("the next supervisor says what it found, and replaces it", async () => {
      const found = world.stderr.match(
        /of an earlier supervisor still runs \(process \d+\); it cannot be adopted and is replaced/g,
      );
      console.log(`${found?.length ?? 0} processes of the earlier supervisor still ran`);
      await world.until(
        "the clocks run",
        () =>
          CLOCKS.every((id) => supervised(world, id)?.state === "running" && standing(world, id)?.connected === true),
        PATIENCE_MS,
      );
    });
    await t.step("a start that lacks a collector fails, is shown, and blinds nobody", async () => {
      await world.until(
        "the start has failed",
        () => world.agentStatus()!.lifecycle.state === "startupFailed",
        PATIENCE_MS,
      );
      assert.match(world.agentStatus()!.lifecycle.reason, /liar, crasher did not register within 3 s/);
      assert.equal(stateOf(world, "crasher"), "failed");
      await world.until(
        "the restarts are used up",
        () => supervised(world, "crasher")!.state === "exhausted",
        PATIENCE_MS,
      );
      await world.until("the lie is refused", () => (standing(world, "liar")?.refused ?? 0) > 0, PATIENCE_MS);
      const { stdout } = await world.cli("health");
      assert.match(stdout, /crasher has ended too often \(exit code 3\), its restarts are used up/);
      assert.match(stdout, /the agent's start failed: liar, crasher did not register/);
      assert.match(stdout, /Its registration cannot be true: there is no table alerts/);
      const before = CLOCKS.map((id) => standing(world, id)!.lastHeard);
      await world.until(
        "the clocks are heard",
        () => CLOCKS.every((id, at) => standing(world, id)!.lastHeard > before[at]!),
      );
    });
    await t.step("what is told to stop says goodbye, and is not failed", async () => {
      assert.equal(await world.stop(), 0);
      const { lifecycle, registry } = world.agentStatus()!;
      assert.equal(lifecycle.state, "shuttingDown");
      for (const id of [SENSOR, ...CLOCKS]) {
        const { lifecycle: { state }, connected } = registry.find(({ collectorId }) => collectorId === id)!;
        assert.deepEqual({ id, state, connected }, { id, state: "stopped", connected: false });
      }
    });
    await t.step("each event is stored once or in a gap", () => {
      for (const id of CLOCKS) {
        const { stored, missed } = checkClock(world, id);
        assert.ok(stored > 100, `${id}: ${stored}`);
        console.log(`${id}: ${stored} events stored, ${missed} came while it did not run, each in a gap`);
      }
      assert.deepEqual(world.query(TWICE), []);
      assert.equal(world.count("SELECT coalesce(sum(count), 0) FROM gaps WHERE source = 'transport'"), 0);
    });
  },
});
