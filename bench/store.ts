/**
 * The event store: rows a second with indexes and durable commits, bytes of an event, and retention while events come.
 *
 * The rows are those of a storm of short-lived processes: a start and a stop each, every command line unique. The peer
 * in the same run is one flat table with the same columns and indexes, without dictionaries, written with the same
 * durability. Then the store is filled, its limit is lowered, and events go on coming while the older half is removed
 * and another process reads. Usage: `deno task bench:store`, `--stored 10000000` for a larger one, `--only retention`.
 *
 * @module
 */
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { openDatabase } from "../agent/store/database.ts";
import { Partitions } from "../agent/store/partitions.ts";
import { DEFAULT_LIMITS } from "../agent/store/retention.ts";
import { Store } from "../agent/store/store.ts";
import type { Stream } from "../agent/store/streams.ts";
import { joinArgv } from "../proto/argv.ts";
import { tableNamed } from "../proto/catalog.ts";
import { eventRow, type SqlValue } from "../proto/event_row.ts";
import { BLANK_CONTEXT, blankProcessEvent, type ProcessContext, type ProcessEvent } from "../proto/process_event.ts";

const PROCESSES = 60_000;
const BATCHES = [50, 250, 1_000];
const RUNS = 3;
/** How long events go on coming while the older half is removed. */
const WATCHED_MS = 15_000;
const { stored: STORED, only } = parseArgs({
  options: { stored: { type: "string", default: "1000000" }, only: { type: "string", default: "" } },
}).values;

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
/** A host runs more than one thing: contexts, programs and parents of these processes are of so many kinds. */
const KINDS = 50;
const CONTEXTS = Array.from({ length: KINDS }, (_, i): ProcessContext => ({ ...CONTEXT, cwd: `/home/operator/${i}` }));

/** Start and stop of one process of a storm, of the size that real ones have. */
function life(i: number): ProcessEvent[] {
  const pid = 1_000 + (i * 7) % 4_000_000, startTime = 1_700_000_000_000 + i, kind = i % KINDS;
  const common = {
    parentExecId: `0123abcd-900-${kind}`,
    ppid: 900,
    name: "sh",
    executablePath: `/usr/bin/dash-${kind % 7}`,
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
    { ...blankProcessEvent("start", startTime, exec, pid), ...common, context: CONTEXTS[kind]! },
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

function percentiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1);
  return `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`;
}

interface Run {
  readonly seconds: number;
  readonly commits: number[];
  /** Of an event, with its indexes; without the table of processes. */
  readonly bytes: number;
  /** CPU of this process for an event, in microseconds. */
  readonly cpuMicros: number;
}

function openStream(store: Store): Stream {
  return store.openStream({ collectorId: "b", epoch: "e", bootId: "0123abcd", version: "", source: "" }, 0);
}

/** Commits events after the watermark; gives how long the commit alone took. */
function commit(store: Store, stream: Stream, events: readonly ProcessEvent[]): number {
  const first = stream.lastSequence + 1, base = stream.number * 2 ** 40;
  const rows = events.map((event, i) => eventRow(event, base + first + i, "b"));
  const from = performance.now(), lastSequence = stream.lastSequence + rows.length;
  store.commit({ stream, lastSequence, events: rows, snapshots: [], gaps: [], sources: null, alerts: [] }, Date.now());
  return performance.now() - from;
}

function runStore(events: readonly ProcessEvent[], batch: number): Run {
  const dir = Deno.makeTempDirSync(), commits: number[] = [];
  try {
    const store = new Store(`${dir}/events.db`), stream = openStream(store);
    const began = performance.now(), cpu = process.cpuUsage();
    for (let at = 0; at < events.length; at += batch) {
      commits.push(commit(store, stream, events.slice(at, at + batch)));
      store.tick();
    }
    const seconds = (performance.now() - began) / 1_000, cpuMicros = cpuSince(cpu) / events.length;
    store.close();
    return { seconds, commits, bytes: pageBytes(`${dir}/events.db`, "stored_events_1*") / events.length, cpuMicros };
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Events alone, into a partition, or into the peer: the catalog's columns as they are in one table, with its indexes. */
function runEvents(events: readonly ProcessEvent[], batch: number, kind: "partition" | "flat"): Run {
  const dir = Deno.makeTempDirSync(), path = `${dir}/events.db`, commits: number[] = [];
  try {
    const { db, insert } = kind === "flat" ? openFlat(path) : openPartition(path);
    const began = performance.now(), cpu = process.cpuUsage();
    for (let at = 0; at < events.length; at += batch) {
      const rows = events.slice(at, at + batch).map((event, i) => eventRow(event, at + i, "b"));
      const from = performance.now();
      db.exec("BEGIN IMMEDIATE");
      for (const row of rows) insert(row);
      db.exec("COMMIT");
      commits.push(performance.now() - from);
    }
    const seconds = (performance.now() - began) / 1_000, cpuMicros = cpuSince(cpu) / events.length;
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    db.close();
    const bytes = pageBytes(path, kind === "flat" ? "flat*" : "stored_events_1*") / events.length;
    return { seconds, commits, bytes, cpuMicros };
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

interface Target {
  readonly db: DatabaseSync;
  readonly insert: (row: readonly SqlValue[]) => void;
}

function openPartition(path: string): Target {
  const db = openDatabase(path), partitions = new Partitions(db);
  return { db, insert: (row) => partitions.insert(row) };
}

function openFlat(path: string): Target {
  const db = new DatabaseSync(path), table = tableNamed("process_events");
  const columns = table.columns.map((c) => `${c.name} ${c.type}${c.name === "event_id" ? " PRIMARY KEY" : ""}`);
  db.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384; CREATE TABLE flat (${columns.join(", ")}) STRICT`);
  for (const index of table.indexes) db.exec(`CREATE INDEX flat_${index[0]} ON flat (${index.join(", ")})`);
  const insert = db.prepare(`INSERT INTO flat VALUES (${table.columns.map(() => "?").join(", ")})`);
  return { db, insert: (row) => insert.run(...row) };
}

function cpuSince(before: { user: number; system: number }): number {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function pageBytes(path: string, names: string): number {
  using db = new DatabaseSync(path, { readOnly: true });
  const sql = "SELECT sum(pgsize) AS n FROM dbstat WHERE name GLOB ?";
  return db.prepare(sql).get(names)!["n"] as number;
}

function insertion(): void {
  const events = Array.from({ length: PROCESSES }, (_, i) => life(i)).flat();
  for (const batch of BATCHES) {
    // In turn, so that what else the machine does strikes all
    const runs = Array.from({ length: RUNS }, () => ({
      store: runStore(events, batch),
      partition: runEvents(events, batch, "partition"),
      flat: runEvents(events, batch, "flat"),
    }));
    console.log(`batches of ${batch}:`);
    for (
      const [name, text] of [["store", "store, processes and all"], ["partition", "events alone"], [
        "flat",
        "events alone, one flat table",
      ]] as const
    ) {
      const of = runs.map((run) => run[name]);
      const rate = Math.round(events.length / median(of.map((run) => run.seconds)));
      console.log(
        `  ${text.padEnd(28)} ${rate} rows/s, ${median(of.map((run) => run.cpuMicros)).toFixed(1)} µs CPU and ${
          of[0]!.bytes.toFixed(0)
        } B an event, commit ${percentiles(of.flatMap((run) => run.commits))}`,
      );
    }
  }
}

/** What another process does meanwhile: reads as the CLI does, again and again, and counts what fails. */
const READER = `
import { Store } from ${JSON.stringify(new URL("../cli/store_reader.ts", import.meta.url).href)};
let reads = 0, failures = 0, said = "", longest = 0;
const stopped = new Promise((resolve) => Deno.stdin.read(new Uint8Array(1)).then(resolve));
let stop = false;
stopped.then(() => stop = true);
while (!stop) {
  const began = performance.now();
  try {
    using store = Store.open(Deno.args[0]);
    const rows = store.rows("SELECT * FROM process_events ORDER BY time DESC, event_id DESC LIMIT 100");
    if (rows.length !== 100) throw new Error(rows.length + " rows");
    const [[n, distinct]] = store.rows("SELECT count(*), count(DISTINCT event_id) FROM process_events WHERE time > ?", rows.at(-1)[1]);
    if (n !== distinct) throw new Error("doubled rows");
  } catch (error) { failures++; said = error.message; }
  longest = Math.max(longest, performance.now() - began);
  reads++;
  await new Promise((resolve) => setTimeout(resolve, 20));
}
console.log(JSON.stringify({ reads, failures, said, longest }));
`;

/** Fills a store, halves its limit, and watches commits, readers and the file while events go on coming. */
async function retention(stored: number): Promise<void> {
  const dir = Deno.makeTempDirSync(), path = `${dir}/events.db`, batch = 250;
  try {
    let at = 0;
    const next = (count: number): ProcessEvent[] => {
      const events: ProcessEvent[] = [];
      while (events.length < count) events.push(...life(at++));
      return events;
    };
    const large = { ...DEFAULT_LIMITS, maxBytes: stored * 600 };
    let store = new Store(path, [], large), stream = openStream(store);
    const quiet: number[] = [];
    for (let done = 0; done < stored; done += batch) {
      quiet.push(commit(store, stream, next(batch)));
      store.tick();
    }
    while (store.maintain(Date.now()).more);
    store.close();
    const before = Deno.statSync(path).size;
    console.log(`${stored} events stored: file ${mib(before)}, commit ${percentiles(quiet)}`);

    await Deno.writeTextFile(`${dir}/reader.ts`, READER);
    const reader = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-read", "--config", new URL("../deno.json", import.meta.url).pathname]
        .concat(`${dir}/reader.ts`, path),
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    // Used bytes are less than the file and the log; the limit that leaves half of what is used
    store = new Store(path, [], { ...large, maxBytes: Math.round(before / 2 * 24 / 20.5) });
    stream = openStream(store);
    const commits: number[] = [], steps: number[] = [];
    const began = performance.now();
    let arrived = 0;
    while (performance.now() - began < WATCHED_MS) {
      commits.push(commit(store, stream, next(batch)));
      arrived += batch;
      const from = performance.now();
      store.maintain(Date.now());
      steps.push(performance.now() - from);
      store.tick();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    while (store.maintain(Date.now()).more);
    const seconds = (performance.now() - began) / 1_000, { counters } = store;
    const writer = reader.stdin.getWriter();
    await writer.write(new Uint8Array(1));
    await writer.close();
    const { reads, failures, said, longest } = JSON.parse(new TextDecoder().decode((await reader.output()).stdout));
    store.close();
    console.log(
      `${counters["events_removed_size"]} removed while ${arrived} came in ${seconds.toFixed(1)} s: commit ${
        percentiles(commits)
      }; step of retention ${percentiles(steps)}; file ${mib(before)} to ${mib(Deno.statSync(path).size)}`,
    );
    console.log(
      `reader in another process: ${reads} reads, ${failures} failed ${said}, longest ${longest.toFixed(0)} ms`,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

if (only !== "retention") insertion();
if (only !== "insertion") await retention(Number(STORED));
console.log(`resident ${(Deno.memoryUsage().rss / 1e6).toFixed(0)} MB`);
