/**
 * The collector: opens the kernel's event sources with the privileges it is started with, gives them up, and carries
 * every process' life to the agent.
 *
 * @module
 */
import { describeSettings, loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { Completeness } from "./completeness.ts";
import { confine } from "./confinement.ts";
import { readFileIfThere, readToken } from "./files.ts";
import { bootTimeNs } from "./kernel/libc.ts";
import { readBootId, readForkCount } from "./kernel/procfs.ts";
import { KnownFile } from "./known_table.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Observation } from "./observation.ts";
import { Outbox } from "./outbox.ts";
import { peerCheck } from "./peer_check.ts";
import { limitsFor } from "./process_table.ts";
import { Publisher } from "./publisher.ts";
import { recover } from "./recovery.ts";
import { answerRequest } from "./requests.ts";
import { describeRedaction, openRedaction } from "./redaction_mode.ts";
import { selftest } from "./selftest.ts";
import { openBestSource, sourceStatuses } from "./sources/ladder.ts";
import { seesAllPids, TableCheck } from "./table_check.ts";
import { openWitness } from "./witness.ts";

/** How long the last events may take to reach the agent when the collector stops. */
const STOP_DEADLINE_MS = 2_000;

const USAGE = `daemoneye-collector ${VERSION}: sees every process and reports it to the agent

  selftest           says, by trying, what this process can do once it is confined; exits with 1 if that is too much
  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const flags = parseDaemonFlags(Deno.args, ["selftest"]);
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const settings = loadSettings({ flags, env, readFile: readFileIfThere });
  const layout = stateLayout(settings.stateDir);
  const token = readToken(layout.token);
  const redaction = openRedaction(settings, layout.redactionKey);
  const bootId = readBootId();

  // 2. Open what needs privilege.
  const opened = openBestSource({
    choice: settings.collector.source,
    ringBytes: settings.collector.ringBytes,
    pollIntervalMs: settings.collector.pollIntervalMs,
    environment: settings.collector.environment,
  });
  const { source } = opened, witness = openWitness(source), watchingSince = bootTimeNs();

  // 3. Give it up; from here on only the collector's own directory can be written.
  const confinement = confine({ ...settings.collector, startsProcesses: source.description.name === "ps" });

  if (flags.command === "selftest") {
    const startsProcesses = source.description.name === "ps";
    const findings = await selftest(source, { userId: confinement.userId, startsProcesses }, console.log);
    Deno.exit(findings === 0 ? 0 : 1);
  }

  // 4. Recover: what the last run said bounds what was missed since.
  const recovered = recover(layout.collectorStatus, layout.knownTable, {
    time: Date.now(),
    bootId,
    forksSinceBoot: readForkCount(),
    source: source.description.name,
  });
  const epoch = crypto.randomUUID();
  const outbox = new Outbox(settings.collector.maxQueuedEvents);
  for (const gap of recovered.gaps) outbox.addGap(gap);

  // 5. The pipeline, in the order data moves.
  const lifecycle = new Lifecycle({
    bootId,
    source,
    redaction,
    watchingSince,
    limits: limitsFor(settings.collector.maxTrackedProcesses),
    skipsKernelThreads: settings.collector.skipsKernelThreads,
    thresholds: {
      memoryPercent: settings.collector.memoryChangePercent,
      cpuPercent: settings.collector.cpuChangePercent,
    },
  });
  const completeness = new Completeness({
    source,
    opened: witness,
    intervalMs: settings.collector.reconcileIntervalMs,
    readForkCount,
  });
  const publisher = new Publisher(outbox, {
    socket: settings.brokerSocket,
    token,
    collectorId: settings.collector.id,
    epoch,
    bootId,
    source: source.description.name,
    checkPeer: peerCheck(settings.brokerSocket, settings.collector.agentUser),
    answer: (body) => answerRequest(body, source.description.name),
    notice: (text) => observation.notice(text),
  });
  const observation = new Observation(source, lifecycle, outbox, publisher, {
    collectorId: settings.collector.id,
    epoch,
    bootId,
    userId: confinement.userId,
    confinement: confinement.proof,
    redaction: describeRedaction(redaction),
    completeness,
    // Elsewhere the table is read from /proc itself.
    tables: source.description.name === "ebpf" && seesAllPids() ? new TableCheck({ source }) : null,
    sources: () => sourceStatuses(opened),
    statusFile: layout.collectorStatus,
    knownFile: new KnownFile(layout.knownTable),
    snapshotIntervalMs: settings.collector.snapshotIntervalMs,
  });
  if (redaction.kind !== "keyed") observation.notice(`redaction is ${describeRedaction(redaction)}`);
  for (const { name, reason } of opened.unavailable) console.error(`collector: no ${name} source: ${reason}`);
  if (witness.witness === null) console.error(`collector: completeness is not proven: ${witness.reason}`);
  for (const notice of recovered.notices) observation.notice(notice);
  const processes = await observation.begin(recovered.known);
  const seconds = performance.now() / 1000;
  console.error(`collector: ${source.description.name}: ${source.description.sees}; ${processes} processes now`);
  for (const missed of source.description.misses) console.error(`collector: missed: ${missed}`);
  console.error(`collector: ${confinement.proof}; ready after ${seconds.toFixed(2)} s`);

  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping) Deno.exit(1); // told twice: leave at once
      stopping = true;
      observation.stop();
    });
  }
  const publishing = publisher.run();
  await observation.run();
  await publisher.stop(STOP_DEADLINE_MS, "the collector stops");
  await publishing;
  observation.sayStopped();
  completeness.close();
  source.close();
  // A system call of the source may still wait on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

try {
  await main();
} catch (error) {
  console.error(`collector: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
