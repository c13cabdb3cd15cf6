/**
 * Rows a second that the store takes, with its indexes and durable commits, beside a table without index in the same run.
 *
 * The rows are those of a storm of short-lived processes: a start and a stop each, every command line unique. Usage:
 * `deno task bench:store`.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { Store } from "../agent/store/store.ts";
import { joinArgv } from "../proto/argv.ts";
import { tableNamed } from "../proto/catalog.ts";
import { eventRow, type SqlValue } from "../proto/event_row.ts";
import { BLANK_CONTEXT, blankProcessEvent, type ProcessContext, type ProcessEvent } from "../proto/process_event.ts";

const PROCESSES = 60_000;
const BATCHES = [50, 250, 1_000];
const RUNS = 3;

/** Circumstances as a process of a login has them: all but container, script and environment. */
const CONTEXT: ProcessContext = {
  ...BLANK_CONTEXT,
  cwd: "/home/operator",
  effectiveUserName: "operator",
  groupName: "operator",
  savedUserId: 1_000,
  effectiveGroupId: 1_000,
  savedGroupId: 1_000,
  loginUserId: 1_000,
  sessionId: 3,
  tty: "pts/0",
  effectiveCapabilities: 0,
  userNamespace: 4_026_531_837,
  pidNamespace: 4_026_531_836,
  mountNamespace: 4_026_531_841,
  networkNamespace: 4_026_531_840,
  cgroupPath: "/user.slice/user-1000.slice/session-3.scope",
  cgroupId: 4_242,
  stdinKind: "tty",
  stdoutKind: "tty",
};

/** Start and stop of one process of a storm, of the size that real ones have. */
function life(i: number): ProcessEvent[] {
  const pid = 1_000 + (i * 7) % 4_000_000, startTime = 1_700_000_000_000 + i;
  const common = {
    parentExecId: "0123abcd-900-12345",
    ppid: 900,
    name: "sh",
    executablePath: "/usr/bin/dash",
    argv: joinArgv(["/bin/sh", "-c", `exec /usr/bin/true --marker unique-${i}`]),
    argvLength: 64,
    userId: 1_000,
    userName: "operator",
    effectiveUserId: 1_000,
    groupId: 1_000,
    parentName: "bash",
    parentExecutablePath: "/usr/bin/bash",
    parentCommandLine: "bash -l",
    inode: 123_456,
    device: 8 << 20,
    source: "ebpf",
    startTime,
  };
  const exec = `0123abcd-${pid}-${4_000_000 + i}`;
  return [
    { ...blankProcessEvent("start", startTime, exec, pid), ...common, context: CONTEXT },
    {
      ...blankProcessEvent("stop", startTime + 3, exec, pid),
      ...common,
      endTime: startTime + 3,
      durationMs: 3.25,
      exitCode: 0,
      cpuTimeMs: 1.5,
    },
  ];
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function runStore(events: readonly ProcessEvent[], batch: number): { seconds: number; commits: number[] } {
  const dir = Deno.makeTempDirSync(), commits: number[] = [];
  try {
    const store = new Store(`${dir}/events.db`);
    const stream = store.openStream({ collectorId: "b", epoch: "e", bootId: "0123abcd", version: "", source: "" }, 0);
    const began = performance.now();
    for (let at = 0; at < events.length; at += batch) {
      const from = performance.now();
      const rows = events.slice(at, at + batch).map((e, i) => eventRow(e, stream.number * 2 ** 40 + at + i + 1, "b"));
      store.commit(
        { stream, lastSequence: at + batch, events: rows, snapshots: [], gaps: [], sources: null, alerts: [] },
        Date.now(),
      );
      commits.push(performance.now() - from);
      store.tick();
    }
    const seconds = (performance.now() - began) / 1_000;
    store.close();
    return { seconds, commits };
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** The baseline: the same rows into one table without index, not durable, in one transaction. */
function runBare(events: readonly ProcessEvent[]): number {
  const table = tableNamed("process_events");
  using db = new DatabaseSync(":memory:");
  db.exec(`CREATE TABLE t (${table.columns.map((c) => `${c.name} ${c.type}`).join(", ")}) STRICT`);
  const insert = db.prepare(`INSERT INTO t VALUES (${table.columns.map(() => "?").join(", ")})`);
  const began = performance.now();
  db.exec("BEGIN");
  events.forEach((event, i) => insert.run(...eventRow(event, i, "b") as SqlValue[]));
  db.exec("COMMIT");
  return (performance.now() - began) / 1_000;
}

const events = Array.from({ length: PROCESSES }, (_, i) => life(i)).flat();
const rate = (seconds: number): number => Math.round(events.length / seconds);
const bare = rate(median(Array.from({ length: RUNS }, () => runBare(events))));
console.log(`baseline, memory, no index, no processes table: ${bare} rows/s`);
for (const batch of BATCHES) {
  const runs = Array.from({ length: RUNS }, () => runStore(events, batch));
  const stored = rate(median(runs.map((run) => run.seconds)));
  const commits = runs.flatMap((run) => run.commits).sort((a, b) => a - b);
  const at = (share: number): string => commits[Math.floor((commits.length - 1) * share)]!.toFixed(1);
  console.log(
    `store, batches of ${batch}: ${stored} process_events rows/s (${(stored / bare).toFixed(2)} of the baseline), ` +
      `commit p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`,
  );
}
console.log(`resident ${(Deno.memoryUsage().rss / 1e6).toFixed(0)} MB`);
