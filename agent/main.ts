/**
 * The agent: takes what collectors see, judges it by the rules, stores it, and delivers alerts.
 *
 * It needs no privilege and runs as a user of its own; it starts no program and calls no native code. Whoever may write
 * its state directory, the rules or the token controls it; whoever connects to its socket does not.
 *
 * @module
 */
import { SCHEMA_VERSION } from "../proto/catalog.ts";
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { Delivery } from "./alerts/delivery.ts";
import { FileSink } from "./alerts/file_sink.ts";
import type { Sink } from "./alerts/sink.ts";
import { stdoutSink } from "./alerts/stdout_sink.ts";
import { Broker, listenAt } from "./broker/listener.ts";
import { newCounters } from "./counters.ts";
import { Detection } from "./detection.ts";
import { readFileIfThere, readToken } from "./files.ts";
import { Ingest } from "./ingest.ts";
import { Journal } from "./journal.ts";
import { loadRuleFiles } from "./rules_loader.ts";
import { StatusFile } from "./status_file.ts";
import { Store } from "./store/store.ts";
import { Upkeep } from "./store/upkeep.ts";

/** How long connections, and then deliveries, may take to finish when the agent stops. */
const STOP_DEADLINE_MS = 2_000;

const USAGE = `daemoneye-agent ${VERSION}: stores what collectors see, judges it by rules, delivers alerts

  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const flags = parseDaemonFlags(Deno.args);
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const settings = loadSettings({ flags, env, readFile: readFileIfThere });
  const layout = stateLayout(settings.stateDir);
  const token = readToken(layout.token);
  const journal = new Journal(), counters = newCounters();
  const rules = loadRuleFiles(settings.rulesDirs);

  // 2. Open.
  const sinks: Sink[] = [new FileSink(settings.agent.alertFile)];
  const { stdout } = settings.agent;
  if (stdout !== "none") sinks.push(stdoutSink(stdout, Deno.stdout.isTerminal() && !Deno.noColor));
  const { retentionMs, alertRetentionMs, storeMaxBytes: maxBytes } = settings.agent;
  const limits = { retentionMs, alertRetentionMs, maxBytes };
  const store = new Store(layout.store, sinks.map((sink) => sink.name), limits);
  const listener = await listenAt(settings.brokerSocket);

  // 3. There is no privilege to give up, and there should be none.
  const detection = new Detection(rules, {
    deadlineMs: settings.agent.ruleDeadlineMs,
    journal,
    counters,
    changed: () => store.replaceRules(detection.rows()),
  });
  let bootId = "";
  const status = new StatusFile(layout.agentStatus, journal, () => ({
    bootId,
    rules: detection.statuses(),
    collectors: broker.connections(),
    storeBytes: store.bytes,
    lastCommitTime: store.lastCommitTime,
    counters: { ...counters, ...store.counters, alerts_undelivered: store.owedDeliveries },
  }));

  // 4. Recover: what the last run left undelivered.
  const deliveries = sinks.map((sink) =>
    new Delivery(store, sink, {
      fault: (text) => {
        counters.sink_faults += 1;
        journal.notice(text);
      },
    })
  );
  await Promise.all(deliveries.map((delivery) => delivery.recover()));
  const host = { hostname: Deno.hostname(), os: Deno.build.os, architecture: Deno.build.arch };
  store.putSystemInfo({ ...host, agent_version: VERSION, schema_version: String(SCHEMA_VERSION) }, Date.now());
  store.replaceRules(detection.rows());

  // 5. Serve, in the order data moves.
  const alerted = (): void => deliveries.forEach((delivery) => delivery.poke());
  const broker = new Broker(listener, {
    token,
    store,
    ingest: new Ingest({ store, detection, counters, alerted }),
    journal,
    counters,
    joined: (stream) => {
      bootId = stream.bootId;
      store.putSystemInfo({ boot_id: bootId }, Date.now());
    },
    maxConnections: settings.agent.maxConnections,
    idleTimeoutMs: settings.agent.idleTimeoutMs,
  });
  const upkeep = new Upkeep(store, journal);
  status.begin();
  const rejected = rules.others.filter((rule) => rule.state === "rejected");
  journal.say(`listening on ${settings.brokerSocket}; ${detection.active} rules active, ${rejected.length} rejected`);
  if (store.upgradedFrom !== null) {
    journal.say(
      `the store had schema version ${store.upgradedFrom} and has ${SCHEMA_VERSION} now; nothing in it was lost`,
    );
  }
  for (const notice of rules.notices) journal.notice(notice);
  for (const { file, line, column, reason } of rejected) {
    journal.say(`rule rejected: ${file}${line === null ? "" : `:${line}:${column}`}: ${reason}`);
  }
  if (status.userId === 0) journal.notice("it runs as root and needs not to; start it as a user of its own");

  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping) Deno.exit(1); // told twice: leave at once
      stopping = true;
      status.say("stopping");
      broker.stop(STOP_DEADLINE_MS);
    });
  }
  await broker.serve();
  await Promise.all(deliveries.map((delivery) => delivery.stop(STOP_DEADLINE_MS)));
  upkeep.stop();
  detection.close();
  store.close();
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
