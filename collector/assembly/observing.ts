/**
 * Parts of the collector that make events of what its sources tell, and look after that they tell everything.
 *
 * @module
 */
import { Completeness } from "../completeness.ts";
import { DemandKeeper } from "../demand_keeper.ts";
import { type Hashing, openHashing } from "../hashing.ts";
import { ArgumentReader } from "../kernel/argument_reader.ts";
import { readForkCount } from "../kernel/procfs.ts";
import { KnownFile } from "../known_table.ts";
import { Lifecycle } from "../lifecycle.ts";
import { Observation } from "../observation.ts";
import { limitsFor } from "../process_table.ts";
import { describeRedaction } from "../redaction_mode.ts";
import { Refusals } from "../refusals.ts";
import { sourceStatuses } from "../sources/ladder.ts";
import { seesAllPids, TableCheck } from "../table_check.ts";
import { resolveUser } from "../users.ts";
import { callCounters } from "./calls.ts";
import type { CollectorParts } from "./parts.ts";

export function newHashing(parts: CollectorParts): Hashing {
  const { notice, inputs: { settings, layout } } = parts;
  return openHashing(settings, {
    socket: layout.hasherSocket,
    memoryFile: layout.hashMemory,
    changed: () => parts.observation.poke(),
    notice,
  });
}

export function newDemands(parts: CollectorParts): DemandKeeper {
  const { source, hashing, ledger, notice, opened: { variables }, inputs: { settings, layout } } = parts;
  const { environment, environmentOnDemand, hashing: hasHasher, hashesOnDemand } = settings.collector;
  return new DemandKeeper({
    limits: { hashing: !hasHasher ? "off" : hashesOnDemand ? "on-demand" : "on", environment, environmentOnDemand },
    unknownColumns: () => source.description.unknownColumns,
    captureVariables: (names) => variables.demand(names),
    hash: (isWanted) => hashing.want(isWanted),
    file: layout.lastDemand,
    changed: (statement) => ledger.say("demandChanged", statement),
    notice,
  });
}

export function newRefusals({ opened, confined, hashing, inputs: { settings } }: CollectorParts): Refusals {
  return new Refusals({
    opened: opened.refusals,
    hasherPid: () => hashing.pid(),
    hasherUser: settings.collector.hasherUser === "" ? confined.userId : resolveUser(settings.collector.hasherUser),
  });
}

export function newLifecycle({ source, opened, hashing, adjustable, inputs }: CollectorParts): Lifecycle {
  const { settings, bootId, redaction } = inputs, { variables, watchingSince } = opened;
  return new Lifecycle({
    bootId,
    source,
    redaction,
    hashes: hashing.book,
    managers: hashing.managers,
    isKept: (name) => variables.isAlwaysWanted(name),
    watchingSince,
    limits: limitsFor(settings.collector.maxTrackedProcesses),
    skipsKernelThreads: settings.collector.skipsKernelThreads,
    thresholds: adjustable.thresholds,
  });
}

export function newCompleteness({ source, opened, inputs: { settings } }: CollectorParts): Completeness {
  return new Completeness({
    source,
    opened: opened.witness,
    intervalMs: settings.collector.reconcileIntervalMs,
    readForkCount,
  });
}

export function newObservation(parts: CollectorParts): Observation {
  const { source, lifecycle, outbox, publisher, completeness, adjustable, opened, confined, inputs } = parts;
  const { hashing, responses, refusals, demands, ledger, tasks, live } = parts;
  const { settings, layout, bootId, redaction } = inputs;
  return new Observation(source, lifecycle, outbox, publisher, {
    collectorId: settings.collector.id,
    bootId,
    userId: confined.userId,
    confinement: confined.proof,
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
      const responder = responses.status(), first = sourceStatuses(opened.ladder);
      return [...first, hashing.status(), refusals.status(), ...responder === null ? [] : [responder]];
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
      return adjustable.snapshotIntervalMs;
    },
    logBytes: settings.collector.walMaxBytes,
  });
}
