/**
 * The collector: opens the kernel's event sources with the privileges it is started with, gives them up, and carries
 * every process' life to the agent.
 *
 * @module
 */
import { ArgumentReader } from "./kernel/argument_reader.ts";
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { MEMORY_LOOK_MS, MemoryKeeper } from "../proto/memory.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { runAnalyzer } from "./analyzer/main.ts";
import { collectorHealth } from "./calls/health.ts";
import { LiveSettings } from "./calls/live_settings.ts";
import { collectorService } from "./calls/service.ts";
import { Tasks } from "./calls/tasks.ts";
import { Completeness } from "./completeness.ts";
import { confine } from "./confinement.ts";
import { readFileIfThere, readToken } from "./files.ts";
import { WantedVariables } from "./kernel/environment.ts";
import { giveBackHeap } from "./kernel/heap.ts";
import { endInheritance, told } from "./kernel/inheritance.ts";
import { bootTimeNs } from "./kernel/libc.ts";
import { readHostName } from "./host_name.ts";
import { confineHasher } from "./hasher/confinement.ts";
import { runHasher } from "./hasher/main.ts";
import { hasherSelftest } from "./hasher/selftest.ts";
import { readBootId, readForkCount } from "./kernel/procfs.ts";
import { KnownFile } from "./known_table.ts";
import { openHashing } from "./hashing.ts";
import { DemandKeeper } from "./demand_keeper.ts";
import { describeLastEnd } from "./last_end.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Observation } from "./observation.ts";
import { settingsChange } from "./ledger/settings_change.ts";
import { settingsStatement } from "../proto/ledger/settings_statement.ts";
import { openSigning } from "./ledger/signing.ts";
import { LedgerKeeper } from "./ledger_keeper.ts";
import { LogKeeper } from "./log_keeper.ts";
import { Outbox, refusalRecord } from "./outbox.ts";
import { peerCheck } from "./peer_check.ts";
import { limitsFor } from "./process_table.ts";
import { Publisher } from "./publisher.ts";
import { recover } from "./recovery.ts";
import { answerRequest, registrationOf } from "./requests.ts";
import { openRefusals, Refusals } from "./refusals.ts";
import { describeRedaction, openRedaction } from "./redaction_mode.ts";
import { runResponder } from "./responder/main.ts";
import { openResponses, type Responses } from "./responses.ts";
import { retain, wantsPtrace } from "./retained.ts";
import { takeInheritance } from "./reexec.ts";
import { selftest } from "./selftest.ts";
import { openBestSource, sourceStatuses } from "./sources/ladder.ts";
import { PS_PATHS } from "./sources/ps_command.ts";
import { seesAllPids, TableCheck } from "./table_check.ts";
import { resolveUser } from "./users.ts";
import { DiskStorage, SHARED } from "./wal/disk_storage.ts";
import { DiskHome } from "./wal/home.ts";
import { openWitness } from "./witness.ts";

/** How long the last events may take to reach the agent when the collector stops. */
const STOP_DEADLINE_MS = 2_000;
/** What the start left over is given back when the first events are through. */
const SETTLED_MS = 5_000;
/** With fewer waiting than this, no burst goes on. */
const QUIET_EVENTS = 500;

/** Longest time between two process tables that the agent may ask for. */
const MAX_SNAPSHOT_MS = 300_000;

const USAGE = `daemoneye-collector ${VERSION}: sees every process and reports it to the agent

  selftest           says, by trying, what this process can do once it is confined; exits with 1 if that is too much
  hasher             hashes executables for the collector, with one capability and fewer system calls
  hasher-selftest    the selftest of that
  responder          does to processes what the response policy allows, with the capabilities that this takes
  analyzer           looks into files and processes that the agent names, with two capabilities
  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const { args, ...origin } = takeInheritance(Deno.args);
  const flags = parseDaemonFlags(args, ["selftest", "hasher", "hasher-selftest", "responder", "analyzer"]);
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const settings = told("the settings", () => loadSettings({ flags, env, readFile: readFileIfThere }));
  const layout = stateLayout(settings.stateDir);
  if (flags.command === "hasher") return await runHasher(settings, layout);
  if (flags.command === "responder") return await runResponder(settings, layout, origin);
  if (flags.command === "analyzer") return await runAnalyzer(settings);
  if (flags.command === "hasher-selftest") {
    const findings = await hasherSelftest(confineHasher(settings.collector.syscallFilter), console.log);
    Deno.exit(findings === 0 ? 0 : 1);
  }
  const token = told("the token", () => readToken(layout.token));
  const redaction = openRedaction(settings, layout.redactionKey);
  const { ledgerKey, nextLedgerKey } = layout, signing = openSigning(settings, ledgerKey, nextLedgerKey);
  const bootId = readBootId(), host = told("the host's name", readHostName), keepsPtrace = wantsPtrace(settings);

  // 2. Open what needs privilege.
  const { environment, environmentOnDemand, hashing: hasHasher, hashesOnDemand } = settings.collector;
  const variables = new WantedVariables(environment, environmentOnDemand.length > 0);
  const opened = openBestSource({
    choice: settings.collector.source,
    ringBytes: settings.collector.ringBytes,
    pollIntervalMs: settings.collector.pollIntervalMs,
    environment: variables,
    readsOthers: keepsPtrace,
  });
  const { source } = opened, witness = openWitness(source);
  const openedRefusals = openRefusals(settings.collector.syscallFilter);
  const begun = told("the start of the program", () => bootTimeNs() - performance.now() * 1e6);
  const watchingSince = told("the start of watching", bootTimeNs);
  if (origin.isSecond || settings.collector.confinement === "in-process") endInheritance();

  // 3. Give it up; from here on only the collector's own directory can be written.
  const startsProcesses = source.description.name === "ps";
  const runnable = (startsProcesses ? PS_PATHS : []).map((path) => ({ path, access: "execute" as const }));
  const mayOpen = [{ path: layout.collector, access: "own" as const }, ...runnable];
  const { kept, notice: keptNotice } = retain(settings.collector.keepsPtrace, keepsPtrace, source.description.name);
  const confinement = confine({
    kept,
    ...settings.collector,
    ...origin,
    startsProcesses,
    mayOpen,
    canary: openedRefusals.canary,
  });

  if (flags.command === "selftest") {
    const refusals = new Refusals({ opened: openedRefusals, hasherPid: () => null, hasherUser: confinement.userId });
    const sources = sourceStatuses(opened);
    const options = { ...origin, kept, userId: confinement.userId, startsProcesses, sources, refusals };
    const findings = await selftest(source, options, console.log);
    Deno.exit(findings === 0 ? 0 : 1);
  }

  // 4. Recover: what the last run left in the log is still to be sent, and what it said bounds what was missed since.
  const early: string[] = [];
  let notice = (text: string): void => void early.push(text);
  const ledger: LedgerKeeper = new LedgerKeeper({
    isOn: settings.collector.ledger,
    place: layout.ledger,
    storage: () => new DiskStorage(layout.ledger, SHARED),
    secrets: () => new DiskStorage(layout.ledgerSecrets),
    hash: settings.collector.ledgerHash,
    keys: signing,
    checkpointMs: settings.collector.ledgerCheckpointMs,
    host,
    bootId: Uint8Array.fromHex(bootId.replaceAll("-", "")),
    clock: { wallMs: Date.now, monotonicNs: () => BigInt(Math.floor(bootTimeNs())) },
    log: () => logs.log,
    notice: (text) => notice(text),
    show: (lines) => lines.forEach((line) => console.error(`collector: ${line}`)),
    published: (head) => publisher.tell(head),
    entered: (id) => publisher.tell({ kind: "ledgerTaken", id }),
  });
  const logs: LogKeeper = new LogKeeper({
    home: new DiskHome(layout.wal),
    host,
    collectorId: settings.collector.id,
    totalBytes: settings.collector.walMaxBytes,
    segmentBytes: settings.collector.walSegmentBytes,
    keepMs: settings.collector.walKeepMs,
    memoryBytes: settings.collector.walMemoryBytes,
    clock: () => performance.now(),
    now: Date.now,
    gapRecord: refusalRecord,
    taken: ledger.taken,
    notice: (text) => notice(text),
  });
  const outbox = new Outbox(logs);
  const recovered = recover(layout.collectorStatus, layout.knownTable, {
    time: Date.now(),
    bootId,
    forksSinceBoot: readForkCount(),
    source: source.description.name,
    epoch: outbox.epoch,
    lastRecordTime: outbox.foundTime,
  });
  for (const gap of recovered.gaps) outbox.addGap(gap);

  // 5. The pipeline, in the order data moves.
  const hashing = openHashing(settings, {
    socket: layout.hasherSocket,
    memoryFile: layout.hashMemory,
    changed: () => observation.poke(),
    notice: (text) => notice(text),
  });
  const demands = new DemandKeeper({
    limits: { hashing: !hasHasher ? "off" : hashesOnDemand ? "on-demand" : "on", environment, environmentOnDemand },
    unknownColumns: () => source.description.unknownColumns,
    captureVariables: (names) => variables.demand(names),
    hash: (isWanted) => hashing.want(isWanted),
    file: layout.lastDemand,
    changed: (statement) => ledger.say("demandChanged", statement),
    notice: (text) => notice(text),
  });
  demands.restore();
  const responses: Responses = openResponses(settings, layout.responderSocket, ledger, (text) => notice(text));
  const refusals = new Refusals({
    opened: openedRefusals,
    hasherPid: () => hashing.pid(),
    hasherUser: settings.collector.hasherUser === "" ? confinement.userId : resolveUser(settings.collector.hasherUser),
  });
  refusals.begin(performance.now());
  const thresholds = {
    memoryPercent: settings.collector.memoryChangePercent,
    cpuPercent: settings.collector.cpuChangePercent,
  };
  let { snapshotIntervalMs } = settings.collector;
  const lifecycle = new Lifecycle({
    bootId,
    source,
    redaction,
    hashes: hashing.book,
    managers: hashing.managers,
    isKept: (name) => variables.isAlwaysWanted(name),
    watchingSince,
    limits: limitsFor(settings.collector.maxTrackedProcesses),
    skipsKernelThreads: settings.collector.skipsKernelThreads,
    thresholds,
  });
  const tasks = new Tasks({
    processes: () => lifecycle.processes(),
    hashOf: (path) => hashing.book?.hashOf(path) ?? null,
    hashNow: hashing.ask,
  });
  const live = new LiveSettings({
    settings: {
      "collector.snapshot_interval_ms": {
        max: Math.max(MAX_SNAPSHOT_MS, snapshotIntervalMs),
        get: () => snapshotIntervalMs,
        set: (value) => snapshotIntervalMs = value,
      },
      "collector.memory_change_percent": {
        get: () => thresholds.memoryPercent,
        set: (value) => thresholds.memoryPercent = value,
      },
      "collector.cpu_change_percent": {
        get: () => thresholds.cpuPercent,
        set: (value) => thresholds.cpuPercent = value,
      },
    },
    changed: (changes) => {
      const values = new Map([...settings.values, ...Object.entries(changes)]);
      ledger.say("configurationChanged", settingsStatement(values, Object.keys(changes).sort()));
      observation.notice(`the agent changed ${Object.entries(changes).map(([name, value]) => `${name} to ${value}`)}`);
    },
  });
  const completeness = new Completeness({
    source,
    opened: witness,
    intervalMs: settings.collector.reconcileIntervalMs,
    readForkCount,
  });
  const publisher: Publisher = new Publisher(outbox, {
    connect: () => Deno.connect({ transport: "unix", path: settings.brokerSocket }),
    token,
    collectorId: settings.collector.id,
    bootId,
    source: source.description.name,
    registration: registrationOf(source.description.name, source.description.unknownColumns),
    checkPeer: peerCheck(settings.brokerSocket, settings.collector.agentUser),
    carryOut: collectorService({
      collectorId: settings.collector.id,
      tasks,
      settings: live,
      health: () => collectorHealth(observation.status()),
      pause: (isPaused) => publisher.isPaused = isPaused,
      shutdown: settings.collector.obeysShutdown ? (isForced, reason) => shutdown(isForced, reason) : null,
      respond: (request) => responses.respond(request),
      notice: (text) => notice(text),
    }),
    answer: (body) => answerRequest(body, source.description.name, (demand) => demands.receive(demand)),
    ledger: {
      head: () => ledger.head,
      receive: (notes) => ledger.receive(notes),
      disconnected: () => ledger.disconnected(),
      setBack: (stored, acknowledged) => ledger.agentSetBack(stored, acknowledged),
    },
    notice: (text) => notice(text),
  });
  const observation = new Observation(source, lifecycle, outbox, publisher, {
    collectorId: settings.collector.id,
    bootId,
    userId: confinement.userId,
    confinement: confinement.proof,
    redaction: describeRedaction(redaction),
    completeness,
    watch: (events) => {
      if (tasks.isWatching) tasks.saw(events);
    },
    // Elsewhere the table is read from /proc itself.
    tables: source.description.name === "ebpf" && seesAllPids()
      ? new TableCheck({ source, argumentsOf: new ArgumentReader() })
      : null,
    attributes: () => demands.standings(),
    sources: () => {
      const responder = responses.status();
      return [...sourceStatuses(opened), hashing.status(), refusals.status(), ...responder === null ? [] : [responder]];
    },
    moreCounters: () => ({
      ...hashing.counters(),
      ...refusals.counters(),
      ...callCounters(publisher, live),
      ...responses.counters(),
    }),
    lookAtRefusals: () => refusals.look(performance.now()),
    ledger: {
      tick: () => {
        ledger.suppressed(lifecycle.repeated);
        ledger.hasher(hashing.pid());
        demands.tick();
        ledger.tick();
        hashing.tick();
      },
      status: () => ledger.status,
    },
    statusFile: layout.collectorStatus,
    knownFile: new KnownFile(layout.knownTable),
    get snapshotIntervalMs() {
      return snapshotIntervalMs;
    },
    logBytes: settings.collector.walMaxBytes,
  });
  notice = (text) => observation.notice(text);
  for (const text of early) notice(text);
  if (redaction.kind !== "keyed") observation.notice(`redaction is ${describeRedaction(redaction)}`);
  for (const { name, reason } of opened.unavailable) console.error(`collector: no ${name} source: ${reason}`);
  if (witness.witness === null) console.error(`collector: completeness is not proven: ${witness.reason}`);
  const lastEnd = describeLastEnd(Deno.env.get("DAEMONEYE_LAST_END"));
  if (keptNotice !== "") observation.notice(keptNotice);
  if (lastEnd !== null) observation.notice(lastEnd);
  for (const notice of recovered.notices) observation.notice(notice);
  const version = VERSION, pid = Deno.pid, rung = source.description.name;
  ledger.say("tierStarted", { tier: "collector", version, pid, source: rung, time: Date.now() });
  const retained = kept.capabilities === 0n ? "" : kept.words;
  ledger.say("confined", { tier: "collector", proof: confinement.proof, retained });
  const changed = settingsChange(settings.values, layout.lastSettings);
  if (changed !== null) ledger.say("configurationChanged", changed.statement, changed.entered);
  const processes = await observation.begin(recovered.known);
  const seconds = (bootTimeNs() - begun) / 1e9;
  console.error(`collector: ${source.description.name}: ${source.description.sees}; ${processes} processes now`);
  for (const missed of source.description.misses) console.error(`collector: missed: ${missed}`);
  console.error(`collector: ${confinement.proof}; ready after ${seconds.toFixed(2)} s`);

  let stopping = "";
  const shutdown = (isForced: boolean, reason: string): void => {
    if (stopping === "") stopping = `a call of the agent: ${reason}`;
    if (isForced) stopDeadlineMs = 0;
    observation.stop();
  };
  let stopDeadlineMs = STOP_DEADLINE_MS;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping !== "") Deno.exit(1); // told twice: leave at once
      stopping = signal;
      observation.stop();
    });
  }
  const memory = new MemoryKeeper({
    resident: () => Deno.memoryUsage().rss,
    giveBack: giveBackHeap,
    isQuiet: () => outbox.waiting < QUIET_EVENTS,
  });
  setTimeout(() => memory.settle(), SETTLED_MS);
  setInterval(() => memory.look(), MEMORY_LOOK_MS);
  // Not earlier: watching does not wait for it, and what there is to enter until then waits in memory.
  await ledger.open();
  void ledger.settle();
  const publishing = publisher.run();
  void hashing.run();
  void responses.run();
  await observation.run();
  hashing.stop();
  responses.stop();
  demands.close();
  await publisher.stop(stopDeadlineMs, "the collector stops");
  await publishing;
  outbox.flush();
  ledger.close(stopping === "" ? "its sources ended" : `it was told to stop, by ${stopping}`);
  observation.sayStopped();
  outbox.close();
  completeness.close();
  source.close();
  // A system call of the source may still wait on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

/** What became of the agent's calls, by name. */
function callCounters({ answered, isPaused }: Publisher, live: LiveSettings): Record<string, number> {
  const { calls, failed, timedOut, cancelled, busy, late } = answered;
  return {
    rpc_answered: calls,
    rpc_failed: failed,
    rpc_timed_out: timedOut,
    rpc_cancelled: cancelled,
    rpc_busy: busy,
    rpc_late: late,
    settings_version: live.version,
    publishing_paused: isPaused ? 1 : 0,
  };
}

try {
  await main();
} catch (error) {
  console.error(`collector: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
