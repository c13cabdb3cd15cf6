/**
 * What the agent says of itself: gathered from its parts.
 *
 * @module
 */
import type { AgentPart } from "../status_file.ts";
import { freeBytes } from "../store/disk_room.ts";
import type { AgentParts } from "./parts.ts";

/** For the status, a copy. */
export function look(parts: AgentParts): AgentPart {
  const { progress, detection, broker, lifecycle, registry, supervisor, keeper, clients, counters, bus } = parts;
  const { loading, startedAt, checked } = progress;
  return {
    bootId: progress.bootId,
    rules: progress.isStopping ? detection.statuses() : detection.recentStatuses,
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
      freeBytes: freeBytes(parts.inputs.layout.agent),
      checkedTime: checked.time,
      check: checked.verdict,
    },
    busClients: clients.statuses(),
    counters: {
      ...counters,
      ...bus.counters,
      ...bus.gauges(),
      ...parts.rpcCounters,
      ...detection.gauges,
      ...parts.delays.counters(),
      ...parts.analyses.counters,
      ...keeper.store?.counters,
      suppressors_not_listed: detection.suppressions.notListed,
      alerts_undelivered: keeper.store?.owedDeliveries ?? 0,
      sinks_failing: parts.sinks.failing,
    },
  };
}

/** What changes when something happened: cheaper to look at. */
export function activity(parts: AgentParts): unknown[] {
  const { journal, supervisor, lifecycle, keeper, progress, counters, rpcCounters, bus } = parts;
  return [
    journal.log.count,
    supervisor.processes,
    lifecycle.state,
    keeper.outage,
    progress.loading,
    ...[counters, rpcCounters, bus.counters].flatMap((each) => Object.values(each)),
  ];
}
