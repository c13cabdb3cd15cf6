/**
 * The agent: takes what collectors see, judges it by the rules, stores it, and delivers alerts.
 *
 * It needs no privilege and runs as a user of its own; it starts no program and calls no native code. Whoever may write
 * its state directory, the rules or the token controls it; whoever connects to its socket does not.
 *
 * @module
 */
import type { Alert, AlertHead } from "../proto/alert.ts";
import { SCHEMA_VERSION } from "../proto/catalog.ts";
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { giveBackMemory, MEMORY_LOOK_MS, MemoryKeeper } from "../proto/memory.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { INSTALLED_STATE, stateLayout } from "../proto/state_layout.ts";
import type { Override } from "../proto/rules/overrides.ts";
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import { VERSION } from "../proto/version.ts";
import { AnalysisService } from "./analysis/service.ts";
import { AlertDesk } from "./alerts/desk.ts";
import { AlertManager } from "./alerts/manager.ts";
import { RuleResponder } from "./alerts/rule_responder.ts";
import { every } from "./beat.ts";
import { SinkSet } from "./alerts/sink_set.ts";
import { Bus } from "./bus/bus.ts";
import { LocalPort } from "./bus/local_port.ts";
import { Publications } from "./bus/publications.ts";
import { RemoteClients } from "./bus/remote_clients.ts";
import { Broker, listenAt } from "./broker/listener.ts";
import { main as ask } from "./ask/main.ts";
import { Registry, TICK_MS } from "./collectors/registry.ts";
import { COMMANDS, runCommand, shedGrants, splitAsk, splitTarget } from "./commands.ts";
import { newCounters } from "./counters.ts";
import { AgentDelays } from "./delays.ts";
import { Detection } from "./detection.ts";
import { readFileIfThere, readToken } from "./files.ts";
import { Ingest } from "./ingest.ts";
import { ExceptionWatch } from "./exception_watch.ts";
import { ExportWatch } from "./export_watch.ts";
import { Journal } from "./journal.ts";
import { alertNotes } from "./ledger_notes.ts";
import { AgentLifecycle } from "./lifecycle.ts";
import { pacedWhile } from "./paced.ts";
import { QuietWatch } from "./quiet_watch.ts";
import { AskedRules } from "./requests/asked_rules.ts";
import { AskedSettings } from "./requests/asked_settings.ts";
import { RequestService } from "./requests/service.ts";
import type { Responding } from "./responding.ts";
import { agentHealth } from "./rpc/agent_health.ts";
import { agentHandlers } from "./rpc/agent_service.ts";
import { Calls } from "./rpc/calls.ts";
import { newRpcCounters } from "./rpc/counters.ts";
import { calledRegistry } from "./rpc/registry.ts";
import { RuleRecord } from "./rule_record.ts";
import { RuleReloader } from "./rule_reloader.ts";
import { NO_RULES, RulesLoader } from "./rules_loader.ts";
import { noteRequest, noteSettings, noteStop } from "./self_notes.ts";
import { SinkReloader, tellOrphaned } from "./sink_reloader.ts";
import { type AgentPart, StatusFile } from "./status_file.ts";
import { backupDirectory } from "./store/backup.ts";
import { BackgroundCheck, type CheckResult } from "./store/background_check.ts";
import { freeBytes } from "./store/disk_room.ts";
import { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";
import { Upkeep } from "./store/upkeep.ts";
import { StoreKeeper } from "./store_keeper.ts";
import { SupervisorPipe } from "./supervision.ts";
import { Turn } from "./turn.ts";

/** How long connections, and then deliveries, may take to finish when the agent stops. */
const STOP_DEADLINE_MS = 2_000;

/** How long events that raised no alert may wait to be stored: their collector keeps them until they are. */
const GROUP_MS = 100;
/** What the start left over is given back when the store is in use and the first events are through. */
const SETTLED_MS = 20_000;
/** Between two messages of how the agent is. */
const HEALTH_MS = 5_000;

const USAGE = `daemoneye-agent ${VERSION}: stores what collectors see, judges it by rules, delivers alerts

  backup [--to NAME] copies the store into the directory backup beside it, also while the agent runs
  check              reads all of the store, and lists what is damaged (exit code 4)
  ask OPERATION      asks the running agent for something, as a member of daemoneye-admin; ask --help lists what

  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const asking = splitAsk(Deno.args);
  if (asking !== null) {
    const at = asking[0] === "--state" ? asking[1]! : INSTALLED_STATE;
    shedGrants(stateLayout(at));
    Deno.exit(await ask(asking));
  }
  const { to, rest } = splitTarget(Deno.args);
  const flags = parseDaemonFlags(rest, COMMANDS);
  const command = COMMANDS.find((name) => name === flags.command);
  if (to !== undefined && command !== "backup") throw new ConfigError("--to belongs to the command backup");
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const files = loadSettings({ flags, env, readFile: readFileIfThere });
  const layout = stateLayout(files.stateDir), lower = { values: files.values, origins: files.origins };
  if (command !== undefined) Deno.exit(await runCommand(command, layout.store, to));
  const token = readToken(layout.token);
  const journal = new Journal(), counters = newCounters(), delays = new AgentDelays();
  const askedSettings = new AskedSettings(layout.askedSettings, journal);
  const askedRules = new AskedRules(layout.askedRules, journal);
  const settings = loadSettings({ flags, env, readFile: readFileIfThere, asked: askedSettings.layer() });
  const { windowMs } = settings.agent, asked = (): readonly Override[] => askedRules.overrides();
  let tables: TableSet = NO_TABLES;
  // Those that were known last where the store is not there: their rules stay
  const loader = new RulesLoader(settings.rulesDirs, windowMs, asked, () => tables = keeper.store?.tables ?? tables);

  const supervisor = new SupervisorPipe();
  supervisor.listen(Deno.stdin.readable);

  // 2. Open.
  const bus = new Bus(), notice = (text: string): void => journal.notice(text);
  const sinks: SinkSet = new SinkSet(settings.agent.sinks, {
    surroundings: {
      host: Deno.hostname(),
      directory: layout.agent,
      colour: Deno.stdout.isTerminal() && !Deno.noColor,
      bus,
      notice,
    },
    store: () => keeper.store,
    events: (name) => ({
      fault: (text) => {
        counters.sink_faults += 1;
        notice(text);
      },
      storeFault: (store, error) => keeper.failed(store, error),
      delivered: (ms, count) => delays.delivered(name, ms, count),
    }),
  });
  bus.subscribed = () => sinks.heard();
  const { retentionMs, alertRetentionMs, storeMaxBytes: maxBytes, backlog } = settings.agent;
  // What operators may change while it runs
  const limits = { retentionMs, alertRetentionMs, maxBytes };
  const connections = { maxConnections: settings.agent.maxConnections, idleTimeoutMs: settings.agent.idleTimeoutMs };
  const open = (): Store => new Store(layout.store, sinks.terms, limits, backlog);
  const keeper: StoreKeeper = new StoreKeeper({ path: layout.store, open, journal });
  keeper.begin();
  const listener = await listenAt(settings.brokerSocket);

  // 3. There is no privilege to give up, and there should be none.
  const detection = new Detection(NO_RULES, {
    deadlineMs: settings.agent.ruleDeadlineMs,
    windowRows: settings.agent.windowRows,
    journal,
    counters,
    head: (collectorId) => heads.get(collectorId) ?? null,
    lacksOf: (rule) => registry.lacks(rule),
    changed: () => {
      if (loading !== null) return; // before the store is in use it is told all at once, and collectors as they come
      broker.demand();
      record.ask();
    },
  });
  const storeFailed = (store: Store, error: unknown): void => keeper.failed(store, error);
  const registry: Registry = new Registry({
    journal,
    counters,
    putGap: (gap, collectorId, id) => {
      detection.noteGap(gap);
      const { store } = keeper;
      try {
        if (store === null) return null;
        const sequence = store.putGap(gap, collectorId, id);
        publications.gaps({ collectorId, epoch: "agent" }, [{ sequence, gap }]);
        return sequence;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        keeper.failed(store!, error);
        return null;
      }
    },
    registered: () => lifecycle.check(),
    isStopped: (id) => supervisor.processes.some(({ name, state }) => name === id && state === "stopped"),
    failed: (collectorId) => {
      if (!supervisor.processes.some(({ name }) => name === collectorId)) return;
      noteRequest(keeper.store, `restart collector ${collectorId}, which is not heard from`);
      void supervisor.request("restart", collectorId)
        .then(({ detail }) => journal.notice(`asked the supervisor to restart collector ${collectorId}: ${detail}`));
    },
  });
  const lifecycle = new AgentLifecycle(registry, journal, settings.agent.startupTimeoutMs);
  const record = new RuleRecord({ detection: () => detection, store: () => keeper.store, failed: storeFailed });
  const heads = new Map<string, AlertHead>(), turn = new Turn(), startedAt = Date.now();
  let isSaid = false, stopping = false, stoppedBy = "";
  /** How far the rules are; `null` once they judge. */
  let loading: string | null = "it begins to read its rules";
  let bootId = "", checked: CheckResult = { time: 0, verdict: "" };
  const rpcCounters = newRpcCounters();
  const publications = new Publications(new LocalPort(bus, "agent", notice));
  const clients = new RemoteClients(bus, { notice });
  const look = (): AgentPart => ({
    bootId,
    rules: stopping ? detection.statuses() : detection.recentStatuses,
    suppressors: detection.suppressions.statuses(),
    collectors: broker.connections(),
    lifecycle: lifecycle.status(),
    registry: registry.standings(),
    supervised: supervisor.processes,
    storeBytes: keeper.bytes,
    lastCommitTime: keeper.store?.lastCommitTime ?? 0,
    store: {
      state: keeper.outage === null && loading === null ? "taking" : "refusing",
      reason: keeper.outage?.reason ?? (loading === null ? "" : `the agent is starting: ${loading}`),
      since: keeper.outage?.since ?? (loading === null ? 0 : startedAt),
      freeBytes: freeBytes(layout.agent),
      checkedTime: checked.time,
      check: checked.verdict,
    },
    busClients: clients.statuses(),
    counters: {
      ...counters,
      ...bus.counters,
      ...bus.gauges(),
      ...rpcCounters,
      ...detection.gauges,
      ...delays.counters(),
      ...analyses.counters,
      ...keeper.store?.counters,
      suppressors_not_listed: detection.suppressions.notListed,
      alerts_undelivered: keeper.store?.owedDeliveries ?? 0,
      sinks_failing: sinks.failing,
    },
  });
  const status = new StatusFile(layout.agentStatus, journal, look, () => [
    journal.log.count,
    supervisor.processes,
    lifecycle.state,
    keeper.outage,
    loading,
    ...[counters, rpcCounters, bus.counters].flatMap((each) => Object.values(each)),
  ]);

  // 4. Recover: the store, as often as it goes, and what the last run left undelivered.
  const alerted = (alerts: readonly Alert[]): void => {
    sinks.poke();
    if (!sinks.hasBus) publications.alerts(alerts);
  };
  const responding: Responding = {
    // Those beside the sensor keep no ledger, and have no helper.
    collectors: () =>
      registry.standings().filter(({ connected, registration }) => connected && registration?.keepsLedger === true)
        .map(({ collectorId }) => collectorId),
    call: (caller, request) => calls.call(caller, request),
  };
  const responder = new RuleResponder({
    responsesOf: (ruleId) => detection.responsesOf(ruleId),
    responding,
    store: () => keeper.store,
    failed: storeFailed,
    notice,
    counters,
  });
  const manager = new AlertManager({
    windowMs: settings.agent.alertWindowMs,
    rulePerMinute: settings.agent.alertRulePerMinute,
    perMinute: settings.agent.alertPerMinute,
    policyOf: (ruleId) => detection.alertPolicy(ruleId),
    responder,
    counters,
    notesOf: alertNotes,
    alerted,
    failed: storeFailed,
    notice,
  });
  const calls: Calls = new Calls({
    handlers: agentHandlers({
      supervision: supervisor,
      registry: calledRegistry(registry),
      health: () => agentHealth(status.look()),
    }),
    counters: rpcCounters,
    target: (collectorId) => broker.target(collectorId),
  });
  const broker: Broker = new Broker(listener, {
    token,
    clients,
    calls,
    rpcCounters,
    demands: detection.demands,
    registry,
    storeFailed,
    journal,
    counters,
    joined: (stream) => {
      // A collector that may not read the boot's id says zeros
      if (/^[0-]*$/.test(stream.bootId)) return;
      bootId = stream.bootId;
      keeper.store!.putSystemInfo({ boot_id: bootId }, Date.now());
    },
    tablesChanged: () => void reloader.reload(),
    headed: (collectorId, { origin, size, root }) =>
      void heads.set(collectorId, { origin, size, root: root.toBase64() }),
    // Looked up for each connection
    get maxConnections() {
      return connections.maxConnections;
    },
    get idleTimeoutMs() {
      return connections.idleTimeoutMs;
    },
  });
  const host = { hostname: Deno.hostname(), os: Deno.build.os, architecture: Deno.build.arch };
  const exports = new ExportWatch(backupDirectory(layout.store));
  const analyses = new AnalysisService({
    isOn: settings.analysis,
    rulesDirs: settings.rulesDirs,
    journal,
    collectors: () => registry.standings(),
    call: (request, signal) => calls.call("analysis", request, signal),
    store: () => keeper.store,
    failed: storeFailed,
    head: (collectorId) => heads.get(collectorId) ?? null,
    raise: (store, alerts) => {
      const added = store.addAlerts(alerts, alertNotes, Date.now(), manager);
      counters.alerts += added.length;
      if (added.length > 0) alerted(added);
    },
  });
  let upkeep: Upkeep | undefined, check: BackgroundCheck | undefined, ingest: Ingest | undefined;
  status.begin();
  status.say("starting");
  const reloader = new RuleReloader({
    directories: settings.rulesDirs,
    loader,
    detection,
    turn,
    store: () => keeper.store,
    settle: () => ingest?.settle(),
    journal,
    progress: (text) => {
      if (loading === null) return;
      loading = text;
      broker.refuse(`the agent is starting: ${text}`);
    },
  });
  const sinkReloader = new SinkReloader({
    read: () => loadSettings({ flags, env, readFile: readFileIfThere }),
    lower,
    sinks,
    store: () => keeper.store,
    journal,
    effective: () => askedSettings.effective(lower),
    failed: storeFailed,
  });
  Deno.addSignalListener("SIGHUP", () => {
    noteRequest(keeper.store, "load all rules and sinks again, by SIGHUP");
    void reloader.reload();
    void sinkReloader.reload();
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping) Deno.exit(1); // told twice: leave at once
      stopping = true;
      stoppedBy = signal;
      lifecycle.stop();
      status.say("stopping");
      void reloader.stop();
      try {
        ingest?.settle(); // and collectors hear of it before they are told that this ends
      } catch {
        // The store's keeper has said why, and collectors have what was not stored
      }
      broker.stop(STOP_DEADLINE_MS);
    });
  }
  // Who connects while the rules are read is told so, and comes again.
  const served = broker.serve();
  registry.expect(await supervisor.collectors());
  const heartbeats = every(TICK_MS, () => registry.tick(broker.isServing));
  const rules = await reloader.first().catch((error) => {
    if (!stopping) throw error;
    return NO_RULES;
  });
  loading = "its rules are read, and its store is taken into use";
  giveBackMemory();
  const takeOver = async (store: Store): Promise<void> => {
    const isUsed = (): boolean => keeper.store === store && !stopping;
    try {
      await turn.run(async () => {
        if (isUsed()) await record.write(store);
        await pacedWhile(detection.recovering(store, Date.now()), isUsed);
      });
    } catch (error) {
      return keeper.unusable(store, error);
    }
    if (!isUsed()) return;
    const failed = storeFailed, notesOf = alertNotes, groupMs = GROUP_MS, all = { detection, manager, turn, counters };
    ingest = new Ingest({
      store,
      ...all,
      delays,
      alerted,
      notesOf,
      failed,
      groupMs,
      publications,
      saw: (rows) => analyses.saw(rows),
    });
    broker.take({ store, ingest });
    analyses.attach(store);
    loading = null;
    if (store.tables !== tables && store.tables.size > 0) void reloader.reload();
    lifecycle.inUse();
    status.say("running");
  };
  let taken: Promise<void> = Promise.resolve();
  keeper.use({
    opened: (store) => {
      store.putSystemInfo({ ...host, agent_version: VERSION, schema_version: String(SCHEMA_VERSION) }, Date.now());
      if (!isSaid) {
        const pid = Deno.pid, time = Date.now();
        store.note(
          { action: "tierStarted", value: { tier: "agent", version: VERSION, pid, source: null, time } },
          time,
        );
        isSaid = true;
      }
      noteSettings(store, askedSettings.effective(lower));
      if (store.upgradedFrom !== null) {
        journal.say(
          `the store had schema version ${store.upgradedFrom} and has ${SCHEMA_VERSION} now; nothing in it was lost`,
        );
      }
      upkeep = new Upkeep(store, journal);
      exports.attach(store);
      check = new BackgroundCheck(layout.store, {
        isBusy: () => store.isPressed,
        ended: (result) => {
          checked = result;
          if (result.verdict !== "ok") journal.notice(`the store is damaged: ${result.verdict}; see 'agent check'`);
        },
      });
      const orphaned = store.delivering("The store did not take its sinks", (box) => box.present());
      tellOrphaned(store, orphaned, journal);
      manager.attach(store);
      responder.attach(store);
      sinks.attach(store);
      taken = takeOver(store);
    },
    closing: (reason) => {
      broker.refuse(reason);
      ingest?.drop();
      analyses.detach();
      manager.detach();
      sinks.detach();
      upkeep?.stop();
      check?.stop();
      exports.detach();
      status.say("degraded");
    },
  });

  // 5. Serve, in the order data moves.
  await taken;
  const rejected = rules.others.filter((rule) => rule.state === "rejected");
  if (!stopping) {
    journal.say(`listening on ${settings.brokerSocket}; ${detection.active} rules active, ${rejected.length} rejected`);
  }
  for (const notice of rules.notices) journal.notice(notice);
  for (const { file, line, column, reason } of rejected) {
    journal.say(`rule rejected: ${file}${line === null ? "" : `:${line}:${column}`}: ${reason}`);
  }
  const quiet = new QuietWatch({
    detection,
    turn,
    manager,
    counters,
    store: () => keeper.store,
    settle: () => ingest?.settle(),
    isConnected: () => broker.connections().length > 0,
    notesOf: alertNotes,
    alerted,
    failed: storeFailed,
  });
  const exceptionWatch = new ExceptionWatch({
    suppressions: detection.suppressions,
    journal,
    store: () => keeper.store,
    failed: storeFailed,
  });
  const requests = new RequestService({
    directory: layout.requests,
    journal,
    counters,
    store: () => keeper.store,
    alerts: new AlertDesk({ store: () => keeper.store, manager, deliveries: () => sinks.deliveries }),
    sinkReloader,
    analyses,
    look,
    detection,
    reloader,
    askedRules,
    askedSettings,
    settings: lower,
    limits,
    connections,
    calls,
    standings: () => registry.standings(),
    responding,
  });
  if (!stopping) {
    reloader.begin();
    quiet.begin();
    manager.begin();
    exceptionWatch.begin();
    requests.begin();
    analyses.begin();
  }
  if (status.userId === 0) journal.notice("it runs as root and needs not to; start it as a user of its own");
  const memory = new MemoryKeeper({
    resident: () => Deno.memoryUsage().rss,
    giveBack: giveBackMemory,
    isQuiet: () => turn.isIdle,
  });
  const settling = setTimeout(() => memory.settle(), SETTLED_MS);
  const looking = every(MEMORY_LOOK_MS, () => memory.look());
  const telling = every(HEALTH_MS, () => publications.health(status.state, () => status.look().counters));
  await served;
  clearTimeout(settling);
  for (const repeated of [looking, telling, heartbeats]) repeated.stop();
  clients.stop();
  await analyses.stop();
  await requests.stop(STOP_DEADLINE_MS);
  await responder.stop(STOP_DEADLINE_MS);
  quiet.stop();
  manager.stop();
  await reloader.stop();
  await sinks.stop(STOP_DEADLINE_MS);
  upkeep?.stop();
  check?.stop();
  exports.detach();
  registry.stop();
  exceptionWatch.stop();
  noteStop(keeper.store, `it was told to stop, by ${stoppedBy}`);
  status.keep();
  detection.close();
  keeper.stop();
  status.end();
  // A write to a stdout that nobody reads may still wait on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

// They would write to disk with read permission alone.
for (const name of ["localStorage", "sessionStorage", "caches"]) delete (globalThis as Record<string, unknown>)[name];
try {
  await main();
} catch (error) {
  console.error(`agent: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
