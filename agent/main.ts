/**
 * The agent: takes what collectors see, judges it by the rules, stores it, and delivers alerts.
 *
 * It needs no privilege and runs as a user of its own; it starts no program and calls no native code. Whoever may write
 * its state directory, the rules or the token controls it; whoever connects to its socket does not.
 *
 * @module
 */
import type { AlertHead } from "../proto/alert.ts";
import { SCHEMA_VERSION } from "../proto/catalog.ts";
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { giveBackMemory } from "../proto/memory.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { Delivery } from "./alerts/delivery.ts";
import { FileSink } from "./alerts/file_sink.ts";
import type { Sink } from "./alerts/sink.ts";
import { stdoutSink } from "./alerts/stdout_sink.ts";
import { Broker, listenAt } from "./broker/listener.ts";
import { COMMANDS, runCommand, splitTarget } from "./commands.ts";
import { newCounters } from "./counters.ts";
import { AgentDelays } from "./delays.ts";
import { Detection } from "./detection.ts";
import { readFileIfThere, readToken } from "./files.ts";
import { Ingest } from "./ingest.ts";
import { ExportWatch } from "./export_watch.ts";
import { Journal } from "./journal.ts";
import { alertNotes } from "./ledger_notes.ts";
import { pacedWhile } from "./paced.ts";
import { QuietWatch } from "./quiet_watch.ts";
import { RuleRecord } from "./rule_record.ts";
import { RuleReloader } from "./rule_reloader.ts";
import { NO_RULES, RulesLoader } from "./rules_loader.ts";
import { noteRequest, noteSettings, noteStop } from "./self_notes.ts";
import { StatusFile } from "./status_file.ts";
import { backupDirectory } from "./store/backup.ts";
import { BackgroundCheck, type CheckResult } from "./store/background_check.ts";
import { freeBytes } from "./store/disk_room.ts";
import { Store } from "./store/store.ts";
import { Upkeep } from "./store/upkeep.ts";
import { StoreKeeper } from "./store_keeper.ts";
import { Turn } from "./turn.ts";

/** How long connections, and then deliveries, may take to finish when the agent stops. */
const STOP_DEADLINE_MS = 2_000;

const USAGE = `daemoneye-agent ${VERSION}: stores what collectors see, judges it by rules, delivers alerts

  backup [--to NAME] copies the store into the directory backup beside it, also while the agent runs
  check              reads all of the store, and lists what is damaged (exit code 4)

  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const { to, rest } = splitTarget(Deno.args);
  const flags = parseDaemonFlags(rest, COMMANDS);
  const command = COMMANDS.find((name) => name === flags.command);
  if (to !== undefined && command !== "backup") throw new ConfigError("--to belongs to the command backup");
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const settings = loadSettings({ flags, env, readFile: readFileIfThere });
  const layout = stateLayout(settings.stateDir);
  if (command !== undefined) Deno.exit(await runCommand(command, layout.store, to));
  const token = readToken(layout.token);
  const journal = new Journal(), counters = newCounters(), delays = new AgentDelays();
  const loader = new RulesLoader(settings.rulesDirs, settings.agent.windowMs);

  // 2. Open.
  const sinks: Sink[] = [new FileSink(settings.agent.alertFile)];
  const { stdout } = settings.agent;
  if (stdout !== "none") sinks.push(stdoutSink(stdout, Deno.stdout.isTerminal() && !Deno.noColor));
  const { retentionMs, alertRetentionMs, storeMaxBytes: maxBytes } = settings.agent;
  const names = sinks.map((sink) => sink.name), limits = { retentionMs, alertRetentionMs, maxBytes };
  const keeper = new StoreKeeper({ path: layout.store, open: () => new Store(layout.store, names, limits), journal });
  keeper.begin();
  const listener = await listenAt(settings.brokerSocket);

  // 3. There is no privilege to give up, and there should be none.
  const detection = new Detection(NO_RULES, {
    deadlineMs: settings.agent.ruleDeadlineMs,
    windowRows: settings.agent.windowRows,
    journal,
    counters,
    head: (collectorId) => heads.get(collectorId) ?? null,
    changed: () => {
      if (loading !== null) return; // before the store is in use it is told all at once, and collectors as they come
      broker.demand();
      record.ask();
    },
  });
  const storeFailed = (store: Store, error: unknown): void => keeper.failed(store, error);
  const record = new RuleRecord({ detection: () => detection, store: () => keeper.store, failed: storeFailed });
  const heads = new Map<string, AlertHead>(), turn = new Turn(), startedAt = Date.now();
  let isSaid = false, stopping = false, stoppedBy = "";
  /** How far the rules are; `null` once they judge. */
  let loading: string | null = "it begins to read its rules";
  let bootId = "", checked: CheckResult = { time: 0, verdict: "" };
  const status = new StatusFile(layout.agentStatus, journal, () => ({
    bootId,
    rules: detection.statuses(),
    collectors: broker.connections(),
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
    counters: {
      ...counters,
      ...detection.gauges,
      ...delays.counters(),
      ...keeper.store?.counters,
      alerts_undelivered: keeper.store?.owedDeliveries ?? 0,
    },
  }));

  // 4. Recover: the store, as often as it goes, and what the last run left undelivered.
  const deliveries = sinks.map((sink) =>
    new Delivery(sink, {
      fault: (text) => {
        counters.sink_faults += 1;
        journal.notice(text);
      },
      storeFault: (store, error) => keeper.failed(store, error),
      delivered: (ms, count) => delays.delivered(sink.name, ms, count),
    })
  );
  const alerted = (): void => deliveries.forEach((delivery) => delivery.poke());
  const broker = new Broker(listener, {
    token,
    demands: detection.demands,
    storeFailed,
    journal,
    counters,
    joined: (stream) => {
      bootId = stream.bootId;
      keeper.store!.putSystemInfo({ boot_id: bootId }, Date.now());
    },
    headed: (collectorId, { origin, size, root }) =>
      void heads.set(collectorId, { origin, size, root: root.toBase64() }),
    maxConnections: settings.agent.maxConnections,
    idleTimeoutMs: settings.agent.idleTimeoutMs,
  });
  const host = { hostname: Deno.hostname(), os: Deno.build.os, architecture: Deno.build.arch };
  const exports = new ExportWatch(backupDirectory(layout.store));
  let upkeep: Upkeep | undefined, check: BackgroundCheck | undefined;
  status.begin();
  status.say("starting");
  const reloader = new RuleReloader({
    directories: settings.rulesDirs,
    loader,
    detection,
    turn,
    store: () => keeper.store,
    journal,
    progress: (text) => {
      if (loading === null) return;
      loading = text;
      broker.refuse(`the agent is starting: ${text}`);
    },
  });
  Deno.addSignalListener("SIGHUP", () => {
    noteRequest(keeper.store, "load all rules again, by SIGHUP");
    void reloader.reload();
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping) Deno.exit(1); // told twice: leave at once
      stopping = true;
      stoppedBy = signal;
      status.say("stopping");
      void reloader.stop();
      broker.stop(STOP_DEADLINE_MS);
    });
  }
  // Who connects while the rules are read is told so, and comes again.
  const served = broker.serve();
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
    const failed = storeFailed, notesOf = alertNotes;
    const ingest = new Ingest({ store, detection, turn, counters, delays, alerted, notesOf, failed });
    broker.take({ store, ingest });
    loading = null;
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
      noteSettings(store, settings.values);
      if (store.upgradedFrom !== null) {
        journal.say(
          `the store had schema version ${store.upgradedFrom} and has ${SCHEMA_VERSION} now; nothing in it was lost`,
        );
      }
      upkeep = new Upkeep(store, journal);
      exports.attach(store);
      check = new BackgroundCheck(layout.store, {
        ended: (result) => {
          checked = result;
          if (result.verdict !== "ok") journal.notice(`the store is damaged: ${result.verdict}; see 'agent check'`);
        },
      });
      for (const delivery of deliveries) delivery.attach(store);
      taken = takeOver(store);
    },
    closing: (reason) => {
      broker.refuse(reason);
      for (const delivery of deliveries) delivery.detach();
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
    counters,
    store: () => keeper.store,
    isConnected: () => broker.connections().length > 0,
    notesOf: alertNotes,
    alerted,
    failed: storeFailed,
  });
  if (!stopping) {
    reloader.begin();
    quiet.begin();
  }
  if (status.userId === 0) journal.notice("it runs as root and needs not to; start it as a user of its own");
  await served;
  quiet.stop();
  await reloader.stop();
  await Promise.all(deliveries.map((delivery) => delivery.stop(STOP_DEADLINE_MS)));
  upkeep?.stop();
  check?.stop();
  exports.detach();
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
