/**
 * Parts of the agent that deal with collectors: who they are, how they connect, and what they are asked for.
 *
 * @module
 */
import { AnalysisService } from "../analysis/service.ts";
import { Broker } from "../broker/listener.ts";
import { Registry } from "../collectors/registry.ts";
import { alertNotes } from "../ledger_notes.ts";
import type { Responding } from "../responding.ts";
import { agentHealth } from "../rpc/agent_health.ts";
import { agentHandlers } from "../rpc/agent_service.ts";
import { Calls } from "../rpc/calls.ts";
import { calledRegistry } from "../rpc/registry.ts";
import { noteRequest } from "../self_notes.ts";
import { StoreError } from "../store/store_error.ts";
import { alerted } from "./alerting.ts";
import type { AgentParts } from "./parts.ts";

export function newRegistry(parts: AgentParts): Registry {
  const { journal, counters, supervisor, detection } = parts;
  return new Registry({
    journal,
    counters,
    putGap: (gap, collectorId, id) => {
      detection.noteGap(gap);
      const { store } = parts;
      try {
        if (store === null) return null;
        const sequence = store.putGap(gap, collectorId, id);
        parts.publications.gaps({ collectorId, epoch: "agent" }, [{ sequence, gap }]);
        return sequence;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        parts.storeFailed(store!, error);
        return null;
      }
    },
    registered: () => parts.lifecycle.check(),
    isStopped: (id) => supervisor.processes.some(({ name, state }) => name === id && state === "stopped"),
    failed: (collectorId) => {
      if (!supervisor.processes.some(({ name }) => name === collectorId)) return;
      noteRequest(parts.store, `restart collector ${collectorId}, which is not heard from`);
      void supervisor.request("restart", collectorId)
        .then(({ detail }) => journal.notice(`asked the supervisor to restart collector ${collectorId}: ${detail}`));
    },
  });
}

export function newCalls(parts: AgentParts): Calls {
  const { supervisor, registry, rpcCounters } = parts;
  return new Calls({
    handlers: agentHandlers({
      supervision: supervisor,
      registry: calledRegistry(registry),
      health: () => agentHealth(parts.status.look()),
    }),
    counters: rpcCounters,
    target: (collectorId) => parts.broker.target(collectorId),
  });
}

export function newBroker(parts: AgentParts, listener: Deno.UnixListener): Broker {
  const { clients, calls, rpcCounters, detection, registry, journal, counters, connections, heads, progress } = parts;
  return new Broker(listener, {
    token: parts.inputs.token,
    clients,
    calls,
    rpcCounters,
    demands: detection.demands,
    registry,
    storeFailed: parts.storeFailed,
    journal,
    counters,
    joined: ({ bootId }) => {
      // A collector that may not read the boot's id says zeros
      if (/^[0-]*$/.test(bootId)) return;
      progress.bootId = bootId;
      parts.store!.putSystemInfo({ boot_id: bootId }, Date.now());
    },
    tablesChanged: () => void parts.reloader.reload(),
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
}

export function newResponding(parts: AgentParts): Responding {
  return {
    // Those beside the sensor keep no ledger, and have no helper.
    collectors: () =>
      parts.registry.standings()
        .filter(({ connected, registration }) => connected && registration?.keepsLedger === true)
        .map(({ collectorId }) => collectorId),
    call: (caller, request) => parts.calls.call(caller, request),
  };
}

export function newAnalyses(parts: AgentParts): AnalysisService {
  const { journal, registry, calls, counters, heads, storeFailed: failed, inputs: { settings } } = parts;
  return new AnalysisService({
    isOn: settings.analysis,
    rulesDirs: settings.rulesDirs,
    journal,
    collectors: () => registry.standings(),
    call: (request, signal) => calls.call("analysis", request, signal),
    store: () => parts.store,
    failed,
    head: (collectorId) => heads.get(collectorId) ?? null,
    raise: (store, alerts) => {
      const added = store.addAlerts(alerts, alertNotes, Date.now(), parts.manager);
      counters.alerts += added.length;
      if (added.length > 0) alerted(parts, added);
    },
  });
}
