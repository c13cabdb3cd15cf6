/**
 * The agent's life: what begins and ends when.
 *
 * @module
 */
import { giveBackMemory, MEMORY_LOOK_MS, MemoryKeeper } from "../../proto/memory.ts";
import { every } from "../beat.ts";
import { TICK_MS } from "../collectors/registry.ts";
import { type LoadedRules, NO_RULES } from "../loaded_rules.ts";
import { noteRequest, noteStop } from "../self_notes.ts";
import type { AgentParts } from "./parts.ts";
import { StoreUse } from "./store_use.ts";

/** How long connections, and then deliveries, may take to finish when the agent stops. */
const STOP_DEADLINE_MS = 2_000;
/** What the start left over is given back when the store is in use and the first events are through. */
const SETTLED_MS = 20_000;
/** Between two messages of how the agent is. */
const HEALTH_MS = 5_000;

/** Recovers what the last run left, serves until a signal ends it, and leaves everything closed. */
export async function serve(parts: AgentParts): Promise<void> {
  const { status, broker, registry, supervisor, progress, keeper, publications, turn } = parts;
  const use = new StoreUse(parts);
  status.begin();
  status.say("starting");
  hearSignals(parts);
  // Who connects while the rules are read is told so, and comes again.
  const served = broker.serve();
  registry.expect(await supervisor.collectors());
  const heartbeats = every(TICK_MS, () => registry.tick(broker.isServing));
  const rules = await parts.reloader.first().catch((error) => {
    if (!progress.isStopping) throw error;
    return NO_RULES;
  });
  progress.loading = "its rules are read, and its store is taken into use";
  giveBackMemory();
  keeper.use(use);
  await use.taken;
  tell(parts, rules);
  if (!progress.isStopping) begin(parts);
  if (status.userId === 0) parts.notice("it runs as root and needs not to; start it as a user of its own");
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
  await end(parts, use);
}

function hearSignals(parts: AgentParts): void {
  const { progress, reloader, sinkReloader } = parts;
  Deno.addSignalListener("SIGHUP", () => {
    noteRequest(parts.store, "load all rules and sinks again, by SIGHUP");
    void reloader.reload();
    void sinkReloader.reload();
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (progress.isStopping) Deno.exit(1); // told twice: leave at once
      progress.isStopping = true;
      progress.stoppedBy = signal;
      parts.lifecycle.stop();
      parts.status.say("stopping");
      void reloader.stop();
      try {
        parts.ingest?.settle(); // and collectors hear of it before they are told that this ends
      } catch {
        // The store's keeper has said why, and collectors have what was not stored
      }
      parts.broker.stop(STOP_DEADLINE_MS);
    });
  }
}

function tell({ journal, progress, detection, inputs: { settings } }: AgentParts, rules: LoadedRules): void {
  const rejected = rules.others.filter((rule) => rule.state === "rejected");
  if (!progress.isStopping) {
    journal.say(`listening on ${settings.brokerSocket}; ${detection.active} rules active, ${rejected.length} rejected`);
  }
  for (const notice of rules.notices) journal.notice(notice);
  for (const { file, line, column, reason } of rejected) {
    journal.say(`rule rejected: ${file}${line === null ? "" : `:${line}:${column}`}: ${reason}`);
  }
}

function begin({ reloader, quiet, manager, exceptionWatch, requests, analyses }: AgentParts): void {
  reloader.begin();
  quiet.begin();
  manager.begin();
  exceptionWatch.begin();
  requests.begin();
  analyses.begin();
}

/** What takes in ends before what gives out, and the store last. */
async function end(parts: AgentParts, use: StoreUse): Promise<void> {
  const { keeper, status, progress } = parts;
  parts.clients.stop();
  await parts.analyses.stop();
  await parts.requests.stop(STOP_DEADLINE_MS);
  await parts.responder.stop(STOP_DEADLINE_MS);
  parts.quiet.stop();
  parts.manager.stop();
  await parts.reloader.stop();
  await parts.sinks.stop(STOP_DEADLINE_MS);
  use.stop();
  parts.registry.stop();
  parts.exceptionWatch.stop();
  noteStop(keeper.store, `it was told to stop, by ${progress.stoppedBy}`);
  status.keep();
  parts.detection.close();
  keeper.stop();
  status.end();
}
