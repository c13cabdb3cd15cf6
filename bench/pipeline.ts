/**
 * Synthetic events through the whole path after the kernel: encoding, write-ahead log, socket, decoding, rules, store,
 * acknowledgement, between two real processes.
 *
 * `deno task bench:pipeline [SECONDS [RATE [RULES [sql|sigma]]]]`; `3600 100` is the hour at rest that memory is measured
 * in. Rules are the shipped ones, filled up with ones of the shape of real rules, in SQL or Sigma's. The agent runs under its tier's flags.
 *
 * The baseline is the bare insertion of the same rows into the same table, with nothing around it, in this run.
 */
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { LogKeeper } from "../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../collector/outbox.ts";
import { Publisher } from "../collector/publisher.ts";
import { DiskHome } from "../collector/wal/home.ts";
import { CATALOG } from "../proto/catalog.ts";
import { joinArgv } from "../proto/argv.ts";
import { eventRow } from "../proto/event_row.ts";
import { BLANK_CONTEXT, blankProcessEvent, type ProcessEvent } from "../proto/process_event.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { decodeAgentStatus } from "../proto/status_codec.ts";
import { makeBundle, PROGRAMS } from "../deploy/bundle.ts";
import { installedPaths, LIBC_PATHS, tierGrants } from "../deploy/privileges.ts";
import { fillDenoDir } from "../deploy/place.ts";
import { runBundle, tierEnvironment } from "../deploy/tier_command.ts";
import { ruleFile } from "./support/real_shaped_rules.ts";
import { sigmaFile } from "./support/real_shaped_sigma.ts";
import { report } from "./support/report.ts";

const SECONDS = Number(Deno.args[0] ?? 20);
const RATE = Number(Deno.args[1] ?? 25_000);
const RULES = Number(Deno.args[2] ?? 1_000);
const FILE = Deno.args[3] === "sigma" ? sigmaFile : ruleFile;
/** Events of one drain: a slow stream comes event by event, not in a burst once a second. */
const BATCH = Math.max(1, Math.min(250, Math.round(RATE / 100)));
const ROOT = new URL("../", import.meta.url).pathname;

/** Event of a process life: each has its start and, directly after it, its stop. */
function synthetic(number: number): ProcessEvent {
  const life = number >> 1, pid = life % 30_000 + 2;
  const event = blankProcessEvent(number % 2 === 0 ? "start" : "stop", Date.now(), `0badcafe-${pid}-${life}`, pid);
  event.parentExecId = "0badcafe-1-1";
  event.ppid = 1;
  event.name = `tool${life % 40}`;
  event.executablePath = `/usr/lib/package-${life % 200}/bin/tool${life % 40}`;
  event.argv = joinArgv([
    event.name,
    "--input",
    `/srv/data/${life}.json`,
    "--level",
    String(life % 9),
    "--verbose",
  ]);
  event.argvLength = event.argv.length;
  event.userId = event.effectiveUserId = 1000 + life % 5;
  event.groupId = 1000;
  event.userName = "someone";
  event.startTime = event.time;
  event.context = { ...BLANK_CONTEXT, cwd: "/", cgroupPath: "/system.slice/x.service", cgroupId: 4711 };
  event.inode = 100_000 + life % 200;
  event.device = 0x800001;
  event.parentName = "systemd";
  event.parentExecutablePath = "/usr/lib/systemd/systemd";
  event.parentCommandLine = "/sbin/init splash";
  event.source = "ebpf";
  if (event.kind === "stop") {
    Object.assign(event, { endTime: event.time, durationMs: 1.5, exitCode: 0, cpuTimeMs: 0.4 });
  }
  return event;
}

const state = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
const layout = stateLayout(state);
for (const path of [layout.run, layout.agent, layout.rules]) await Deno.mkdir(path);
const token = "ab".repeat(32);
await Deno.writeTextFile(layout.token, token);
const shipped = [...Deno.readDirSync(`${ROOT}rules`)].filter(({ name }) => name.endsWith(".yml")).length;
for (let i = shipped; i < RULES; i++) Deno.writeTextFileSync(`${layout.rules}/${i}.yml`, FILE(1, i, "linux"));
// As the product runs it: sources as they are, and a program that Deno has not analysed before, would take 50 MB more.
const program = `${state}/agent.js`, denoDir = `${state}/deno_dir`;
await makeBundle(PROGRAMS.agent, program, Deno.execPath());
await fillDenoDir({ deno: Deno.execPath(), denoDir }, [program]);
const rulesDirs = [`${ROOT}rules`, layout.rules];
const grants = tierGrants("agent", { ...installedPaths(LIBC_PATHS.x86_64[0]!), layout, rulesDirs, configFiles: [] });
const [deno, ...args] = runBundle(Deno.execPath(), program, grants, [
  ...["--state", state],
  ...["--set", `rules_dirs=${rulesDirs.join(":")}`],
  ...["--set", "agent.stdout=none"],
]);
const env = tierEnvironment({}, denoDir);
const agent = new Deno.Command(deno!, { args, env, clearEnv: true, stdin: "null", stdout: "null", stderr: "inherit" })
  .spawn();

await Deno.mkdir(layout.collector);
const outbox = new Outbox(
  new LogKeeper({
    home: new DiskHome(layout.wal),
    host: "bench",
    collectorId: "bench",
    totalBytes: 1_073_741_824,
    segmentBytes: 8_388_608,
    keepMs: 60_000,
    memoryBytes: 33_554_432,
    clock: () => performance.now(),
    now: Date.now,
    gapRecord: refusalRecord,
    notice: (text) => console.error(text),
  }),
);
const publisher = new Publisher(outbox, {
  connect: () => Deno.connect({ transport: "unix", path: layout.brokerSocket }),
  token,
  collectorId: "bench",
  bootId: crypto.randomUUID(),
  source: "synthetic",
  checkPeer: () => {},
  answer: () => ({ kind: "error", reason: "the benchmark answers nothing" }),
  notice: (text) => console.error(text),
});
const running = publisher.run();
let over = false;
void agent.status.then(({ code }) => {
  if (!over) throw new Error(`The agent ended with ${code}; what it said is above`);
});
while (!publisher.connected) await new Promise((resolve) => setTimeout(resolve, 20));

function agentCpuMs(): number {
  const stat = Deno.readTextFileSync(`/proc/${agent.pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const began = performance.now(), cpuBefore = agentCpuMs(), ownBefore = process.cpuUsage();
let offered = 0, worstBacklog = 0, flushes = 0, flushMs = 0;
/** As the collector does it: once after each drain. */
function flush(): void {
  const before = performance.now();
  outbox.flush();
  flushMs += performance.now() - before;
  flushes++;
  publisher.poke();
}
while (performance.now() - began < SECONDS * 1000) {
  const due = Math.min((performance.now() - began) / 1000 * RATE, RATE * SECONDS);
  while (offered < due) {
    outbox.addEvents(Array.from({ length: BATCH }, (_, i) => synthetic(offered + i)));
    offered += BATCH;
  }
  flush();
  worstBacklog = Math.max(worstBacklog, outbox.waiting);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const backlog = outbox.waiting;
while (outbox.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5));
const wall = (performance.now() - began) / 1000;
const agentCpu = agentCpuMs() - cpuBefore, own = process.cpuUsage();
const memory = decodeAgentStatus(Deno.readFileSync(layout.agentStatus)).memoryBytes;
await publisher.stop(1000, "the benchmark is over");
await running;
over = true;
agent.kill("SIGTERM");
await agent.status;

const db = new DatabaseSync(layout.store, { readOnly: true });
const stored = Number(db.prepare("SELECT count(*) AS n FROM process_events").get()!["n"]);
const distinct = Number(
  db.prepare("SELECT count(DISTINCT exec_id || event_type) AS n FROM process_events").get()!["n"],
);
db.close();

// The baseline: the same rows, the same indexes, one transaction a batch, nothing else.
const bare = new DatabaseSync(`${state}/bare.db`);
const table = CATALOG.get("process_events")!;
bare.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
bare.exec(
  `CREATE TABLE process_events (${
    table.columns.map((c) => `${c.name} ${c.type}`).join(", ")
  }, PRIMARY KEY (event_id)) STRICT`,
);
for (const index of table.indexes) {
  bare.exec(`CREATE INDEX by_${index.join("_")} ON process_events (${index.join(", ")})`);
}
const insert = bare.prepare(`INSERT INTO process_events VALUES (${table.columns.map(() => "?").join(", ")})`);
const BARE_EVENTS = 100_000;
const rows = Array.from({ length: BARE_EVENTS }, (_, i) => eventRow(synthetic(i), i + 1, "bench"));
const bareBegan = performance.now();
for (let at = 0; at < BARE_EVENTS; at += BATCH) {
  bare.exec("BEGIN");
  for (let i = at; i < at + BATCH; i++) insert.run(...rows[i]!);
  bare.exec("COMMIT");
}
const bareRate = BARE_EVENTS / ((performance.now() - bareBegan) / 1000);
bare.close();

report(`${offered} synthetic events, ${RATE}/s offered for ${SECONDS} s, ${RULES} rules`, [
  { what: "stored", ours: stored / offered * 100, unit: "%", peer: null, target: { least: 100 } },
  { what: "distinct", ours: distinct / offered * 100, unit: "%", peer: null, target: { least: 100 } },
  {
    what: "rate with the drain at the end",
    ours: offered / wall,
    unit: "events/s",
    peer: { name: "bare insertion of the same rows", value: bareRate },
    target: { least: Math.min(25_000, RATE) * 0.98 },
  },
  { what: "waiting when the offer ended", ours: backlog, unit: "events", peer: null, target: null },
  { what: "most waiting", ours: worstBacklog, unit: "events", peer: null, target: null },
  { what: "agent CPU", ours: agentCpu * 1000 / offered, unit: "us/event", peer: null, target: null },
  { what: "write-ahead log, time of a flush", ours: flushMs / flushes, unit: "ms", peer: null, target: null },
  {
    what: "write-ahead log, bytes of an event",
    ours: outbox.status.bytes / offered,
    unit: "bytes",
    peer: null,
    target: null,
  },
  {
    what: "sender CPU (generator included)",
    ours: (own.user + own.system - ownBefore.user - ownBefore.system) / offered,
    unit: "us/event",
    peer: null,
    target: null,
  },
  { what: "agent memory", ours: memory / 1e6, unit: "MB", peer: null, target: null },
]);
await Deno.remove(state, { recursive: true });
Deno.exit(0);
