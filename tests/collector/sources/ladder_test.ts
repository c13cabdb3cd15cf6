import assert from "node:assert/strict";
import { joinArgv, splitArgv } from "../../../proto/argv.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import { readBootId } from "../../../collector/kernel/procfs.ts";
import { Lifecycle } from "../../../collector/lifecycle.ts";
import { type LadderOptions, openBestSource, sourceStatuses } from "../../../collector/sources/ladder.ts";
import type { ProcessSource } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { gather, recordOf } from "../../support/processes.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

const RUNGS = ["ebpf", "tracepoint", "netlink", "proc"] as const;

function options(choice: LadderOptions["choice"]): LadderOptions {
  return { choice, ringBytes: 8 << 20, pollIntervalMs: 20, environment: [] };
}

/** The rung, or why it cannot be had here. */
function openRung(rung: typeof RUNGS[number]): ProcessSource | string {
  try {
    return openBestSource(options(rung)).source;
  } catch (error) {
    if (!(error instanceof SourceUnavailableError)) throw error;
    return error.reason;
  }
}

function isMissing(rung: typeof RUNGS[number]): boolean {
  const opened = openRung(rung);
  if (typeof opened !== "string") opened.close();
  else console.error(`cannot run here: ${rung}: ${opened}`);
  return typeof opened === "string";
}

Deno.test("auto takes the best rung that there is, and says why not a better one", () => {
  const opened = openBestSource(options("auto"));
  opened.source.close();
  const better = RUNGS.slice(0, RUNGS.indexOf(opened.source.description.name as typeof RUNGS[number]));
  assert.deepEqual(opened.unavailable.map(({ name }) => name), better);
  for (const { name, reason } of opened.unavailable) {
    assert.equal(openRung(name as typeof RUNGS[number]), reason);
    assert.ok(reason.length > 20, reason);
  }
  const statuses = sourceStatuses(opened);
  assert.deepEqual(statuses.map(({ name, state }) => `${name} ${state}`), [
    ...better.map((name) => `${name} unavailable`),
    `${opened.source.description.name} active`,
  ]);
});

Deno.test("a rung that was asked for is opened, and no other", () => {
  const { source, unavailable } = openBestSource(options("proc"));
  source.close();
  assert.equal(source.description.name, "proc");
  assert.deepEqual(unavailable, []);
});

/** Runs the pipeline of a source as the collector does, until `enough`. */
async function observe(
  source: ProcessSource,
  lifecycle: Lifecycle,
  enough: (events: ProcessEvent[]) => boolean,
): Promise<ProcessEvent[]> {
  const events: ProcessEvent[] = [];
  const end = performance.now() + PATIENCE_MS;
  while (!enough(events)) {
    assert.ok(performance.now() < end, `only ${events.map((e) => `${e.kind} ${e.pid}`).slice(-30).join(", ")}`);
    await source.wait(20);
    source.drain((record) => lifecycle.receive(record));
    events.push(...lifecycle.flush(Date.now()).events);
  }
  return events;
}

for (const rung of RUNGS) {
  Deno.test({
    name: `a life seen by ${rung} is one start with its masked arguments and one stop`,
    sanitizeOps: false, // other processes of this host may be asked when the source is closed
    ignore: isMissing(rung),
    async fn() {
      const source = openRung(rung) as ProcessSource;
      try {
        const lifecycle = new Lifecycle({ bootId: readBootId(), source });
        lifecycle.baseline(await source.snapshot());
        const began = Date.now();
        const args = ["-c", "read line; exit 3", "--password=hunter2", "ü", ""];
        const child = new Deno.Command("sh", { args, stdin: "piped" }).spawn();
        const isOwn = (event: ProcessEvent): boolean => event.pid === child.pid;
        const events = await observe(source, lifecycle, (all) => all.some((e) => isOwn(e) && e.name === "sh"));
        await child.stdin.close();
        await child.status;
        events.push(...await observe(source, lifecycle, (all) => all.some((e) => isOwn(e) && e.kind === "stop")));

        const own = events.filter(isOwn);
        // Polling may catch the child before its execve(), as a copy of its parent.
        const start = own.findLast((event) => event.kind === "start")!, stop = own.at(-1)!;
        assert.ok(own.length === 2 || rung === "proc" && own.length === 3, own.map((e) => e.kind).join(", "));
        const wanted = ["-c", "read line; exit 3", "--password=[REDACTED]", "ü", ""];
        assert.deepEqual(splitArgv(start.argv!).slice(1), wanted);
        assert.deepEqual(stop.argv, start.argv);
        assert.equal(
          start.argvLength,
          start.argv!.length + joinArgv(["hunter2"]).length - joinArgv(["[REDACTED]"]).length,
        );
        assert.ok(lifecycle.masked >= 1); // other processes of this host may hold secrets too
        assert.equal(stop.execId, start.execId);
        assert.deepEqual([start.ppid, start.userId, start.source], [Deno.pid, Deno.uid(), rung]);
        assert.equal(start.parentName, "deno");
        assert.ok(start.parentExecId!.includes(`-${Deno.pid}-`));
        assert.match(start.executablePath!, /^\//);
        assert.equal(start.onDiskMismatch, false);
        assert.ok(Math.abs(start.time - began) < 5_000, `${start.time} and ${began}`);
        assert.ok(stop.durationMs! >= 0 && stop.endTime! >= start.startTime!);
        assert.equal(stop.exitCode, rung === "proc" ? null : 3);

        // What the table shows is what was seen: nothing to reconcile about it.
        const other = new Deno.Command("sleep", { args: ["60"] }).spawn();
        try {
          await observe(source, lifecycle, (all) => all.some((e) => e.pid === other.pid && e.name === "sleep"));
          const takenAt = bootTimeNs();
          const entries = await source.snapshot();
          source.drain((record) => lifecycle.receive(record));
          const states = lifecycle.reconcile(entries, takenAt);
          const about = lifecycle.flush(Date.now()).events.filter((e) => e.pid === other.pid || e.pid === child.pid);
          assert.deepEqual(about.map((e) => `${e.kind} ${e.reason} ${e.modifiedFields}`), []);
          const state = states.find((s) => s.pid === other.pid)!;
          assert.deepEqual([state.name, state.userId, state.ppid], ["sleep", Deno.uid(), Deno.pid]);
        } finally {
          other.kill("SIGKILL");
          await other.status;
        }
      } finally {
        source.close();
      }
    },
  });
}

Deno.test("all rungs name a process alike", async () => {
  const names = new Map<string, string>();
  const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
  try {
    for (const rung of RUNGS) {
      const source = openRung(rung);
      if (typeof source === "string") continue;
      const states = new Lifecycle({ bootId: readBootId(), source }).baseline(await source.snapshot());
      names.set(rung, states.find((state) => state.pid === child.pid)!.execId);
      source.close();
    }
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
  assert.equal(new Set(names.values()).size, 1, JSON.stringify([...names]));
});

Deno.test({
  name: "the ladder passes on which variables are wanted (ebpf)",
  ignore: isMissing("ebpf"),
  async fn() {
    const { source } = openBestSource({ ...options("ebpf"), environment: ["DAEMONEYE_TEST_*"] });
    try {
      const env = { DAEMONEYE_TEST_MARK: "1" };
      const child = new Deno.Command("/bin/sleep", { args: ["300"], env, stdin: "null" }).spawn();
      try {
        const records = await gather(source, (records) => recordOf(records, "exec", child.pid) !== undefined);
        const expected = ["DAEMONEYE_TEST_MARK=1"];
        assert.deepEqual(recordOf(records, "exec", child.pid)!.context!.environment, expected);
      } finally {
        child.kill("SIGKILL");
        await child.status;
      }
    } finally {
      source.close();
    }
  },
});
