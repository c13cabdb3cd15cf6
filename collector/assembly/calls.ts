/**
 * Parts of the collector that talk with the agent: the stream of events, and what the agent may ask for and change.
 *
 * @module
 */
import { settingsStatement } from "../../proto/ledger/settings_statement.ts";
import { collectorHealth } from "../calls/health.ts";
import { LiveSettings } from "../calls/live_settings.ts";
import { collectorService } from "../calls/service.ts";
import { Tasks } from "../calls/tasks.ts";
import { peerCheck } from "../peer_check.ts";
import { Publisher } from "../publisher.ts";
import { answerRequest, registrationOf } from "../requests.ts";
import type { CollectorParts } from "./parts.ts";

/** Longest time between two process tables that the agent may ask for. */
const MAX_SNAPSHOT_MS = 300_000;

export function newTasks({ lifecycle, hashing }: CollectorParts): Tasks {
  return new Tasks({
    processes: () => lifecycle.processes(),
    hashOf: (path) => hashing.book?.hashOf(path) ?? null,
    hashNow: hashing.ask,
  });
}

export function newLiveSettings({ adjustable, ledger, notice, inputs: { settings } }: CollectorParts): LiveSettings {
  const { thresholds } = adjustable;
  return new LiveSettings({
    settings: {
      "collector.snapshot_interval_ms": {
        max: Math.max(MAX_SNAPSHOT_MS, adjustable.snapshotIntervalMs),
        get: () => adjustable.snapshotIntervalMs,
        set: (value) => adjustable.snapshotIntervalMs = value,
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
      notice(`the agent changed ${Object.entries(changes).map(([name, value]) => `${name} to ${value}`)}`);
    },
  });
}

export function newPublisher(parts: CollectorParts): Publisher {
  const { source, outbox, tasks, live, demands, responses, ledger, notice, inputs: { settings, token, bootId } } =
    parts;
  return new Publisher(outbox, {
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
      health: () => collectorHealth(parts.observation.status()),
      pause: (isPaused) => parts.publisher.isPaused = isPaused,
      shutdown: settings.collector.obeysShutdown ? parts.shutDown : null,
      respond: (request) => responses.respond(request),
      notice,
    }),
    answer: (body) => answerRequest(body, source.description.name, (demand) => demands.receive(demand)),
    ledger: {
      head: () => ledger.head,
      receive: (notes) => ledger.receive(notes),
      disconnected: () => ledger.disconnected(),
      setBack: (stored, acknowledged) => ledger.agentSetBack(stored, acknowledged),
    },
    notice,
  });
}

/** What became of the agent's calls, by name. */
export function callCounters({ answered, isPaused }: Publisher, live: LiveSettings): Record<string, number> {
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
