/**
 * The daemons' status files as bytes: `CollectorStatus` and `AgentStatus` of `ipc.proto`.
 *
 * A status file is as trustworthy as the daemon that wrote it, and its readers run as other users. Decoding therefore
 * bounds what it takes and throws {@linkcode WireError} for everything that is no status.
 *
 * @module
 */
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { readStandings, writeStandings } from "./demand_codec.ts";
import { bodyOf, boundFields, fromU53, parse, toU53 } from "./cold_codec.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import { RuleStatusBytes } from "./rule_status_bytes.ts";
import { readSuppressor, writeSuppressor } from "./suppressor_codec.ts";
import { readSource, writableSource } from "./source_codec.ts";
import {
  readLifecycle,
  readStanding,
  readSupervised,
  writeLifecycle,
  writeStanding,
  writeSupervised,
} from "./standing_codec.ts";
import {
  AgentStatusSchema,
  CollectorStatusSchema,
  type LedgerStatusSchema,
  type LogStatusSchema,
  type TierStatusSchema,
} from "./gen/ipc_pb.ts";
import type {
  AgentStatus,
  BusClientStatus,
  CollectorStatus,
  ConnectionStatus,
  LedgerStatus,
  LogStatus,
  RuleStatus,
  StoreStatus,
  TierStatus,
} from "./status.ts";
import { WireError } from "./wire_error.ts";

/** Longest status file. */
export const MAX_STATUS_BYTES = 4_194_304;
/** Most fields of a status, every rule, connection, source and counter being one, and of what both daemons say. */
const MAX_FIELDS = 20_000;
/** The field that holds what both daemons say. */
const TIER = 1;

const NO_LOG: LogStatus = {
  place: "",
  trouble: "",
  bytes: 0,
  maxBytes: 0,
  segments: 0,
  pendingBytes: 0,
  load: 0,
  isSlowed: false,
  refused: 0,
  missing: 0,
  damaged: 0,
  faults: 0,
  hastened: 0,
  fault: "",
  oldestTime: null,
};

/** What a collector says of its ledger that does not speak of it. */
const NO_LEDGER: LedgerStatus = {
  state: "off",
  place: "",
  trouble: "the collector does not speak of it",
  origin: "",
  size: 0,
  signed: 0,
  checkpointTime: 0,
  sealedEpochs: 0,
  pendingBytes: 0,
  refused: 0,
  faults: 0,
};

export function encodeCollectorStatus(status: CollectorStatus): Uint8Array<ArrayBuffer> {
  return encode(CollectorStatusSchema, {
    tier: writeTier(status),
    collectorId: status.collectorId,
    epoch: status.epoch,
    sources: status.sources.map(writableSource),
    confinement: status.confinement,
    redaction: status.redaction,
    completeness: status.completeness,
    attributes: writeStandings(status.attributes),
    connected: status.connected,
    lastSequence: fromU53(status.lastSequence, "lastSequence"),
    acknowledgedSequence: fromU53(status.acknowledgedSequence, "acknowledgedSequence"),
    durableTime: fromU53(status.durableTime, "durableTime"),
    log: writeLog(status.log),
    ledger: writeLedger(status.ledger),
    queuedEvents: fromU53(status.queuedEvents, "queuedEvents"),
    trackedProcesses: fromU53(status.trackedProcesses, "trackedProcesses"),
    forksSinceBoot: status.forksSinceBoot === null ? undefined : fromU53(status.forksSinceBoot, "forksSinceBoot"),
    counters: { ...status.counters },
  });
}

/** The collector's status in all of `bytes`. @throws WireError */
export function decodeCollectorStatus(bytes: Uint8Array): CollectorStatus {
  return decode(CollectorStatusSchema, bytes, (message) => ({
    ...readTier(message.tier),
    collectorId: message.collectorId,
    epoch: message.epoch,
    sources: message.sources.map(readSource),
    confinement: message.confinement,
    redaction: message.redaction,
    completeness: {
      state: message.completeness?.state ?? "unproven",
      detail: message.completeness?.detail ?? "the collector does not speak of it",
    },
    attributes: readStandings(message.attributes),
    connected: message.connected,
    lastSequence: toU53(message.lastSequence, "lastSequence"),
    acknowledgedSequence: toU53(message.acknowledgedSequence, "acknowledgedSequence"),
    durableTime: toU53(message.durableTime, "durableTime"),
    log: readLog(message.log),
    ledger: readLedger(message.ledger),
    queuedEvents: toU53(message.queuedEvents, "queuedEvents"),
    trackedProcesses: toU53(message.trackedProcesses, "trackedProcesses"),
    forksSinceBoot: message.forksSinceBoot === undefined ? null : toU53(message.forksSinceBoot, "forksSinceBoot"),
    counters: readCounters(message.counters),
  }));
}

/** @param rules kept by who writes a status again and again */
export function encodeAgentStatus(
  status: AgentStatus,
  rules: RuleStatusBytes = new RuleStatusBytes(),
): Uint8Array<ArrayBuffer> {
  const rest = encode(AgentStatusSchema, {
    tier: writeTier(status),
    collectors: status.collectors.map((connection) => ({
      collectorId: connection.collectorId,
      epoch: connection.epoch,
      connectedSince: fromU53(connection.connectedSince, "connectedSince"),
      lastSequence: fromU53(connection.lastSequence, "lastSequence"),
      lastEventTime: fromU53(connection.lastEventTime, "lastEventTime"),
    })),
    suppressors: status.suppressors.map(writeSuppressor),
    storeBytes: fromU53(status.storeBytes, "storeBytes"),
    lastCommitTime: fromU53(status.lastCommitTime, "lastCommitTime"),
    store: {
      state: status.store.state,
      reason: status.store.reason,
      since: fromU53(status.store.since, "since"),
      freeBytes: status.store.freeBytes === null ? undefined : fromU53(status.store.freeBytes, "freeBytes"),
      checkedTime: fromU53(status.store.checkedTime, "checkedTime"),
      check: status.store.check,
    },
    busClients: status.busClients.map(writeBusClient),
    counters: { ...status.counters },
    lifecycle: writeLifecycle(status.lifecycle),
    registry: status.registry.map(writeStanding),
    supervised: status.supervised.map(writeSupervised),
  });
  const ofRules = rules.of(status.rules), bytes = new Uint8Array(rest.length + ofRules.length);
  bytes.set(rest);
  bytes.set(ofRules, rest.length);
  return bytes;
}

/** The agent's status in all of `bytes`. @throws WireError */
export function decodeAgentStatus(bytes: Uint8Array): AgentStatus {
  return decode(AgentStatusSchema, bytes, (message) => ({
    ...readTier(message.tier),
    rules: message.rules.map(readRule),
    suppressors: message.suppressors.map(readSuppressor),
    collectors: message.collectors.map(readConnection),
    storeBytes: toU53(message.storeBytes, "storeBytes"),
    lastCommitTime: toU53(message.lastCommitTime, "lastCommitTime"),
    store: readStore(message.store),
    busClients: message.busClients.map(readBusClient),
    lifecycle: readLifecycle(message.lifecycle),
    registry: message.registry.map(readStanding),
    supervised: message.supervised.map(readSupervised),
    counters: readCounters(message.counters),
  }));
}

function encode<Desc extends DescMessage>(schema: Desc, status: MessageInitShape<Desc>): Uint8Array<ArrayBuffer> {
  return toBinary(schema, create(schema, status));
}

function decode<Desc extends DescMessage, Status>(
  schema: Desc,
  bytes: Uint8Array,
  read: (message: MessageShape<Desc>) => Status,
): Status {
  try {
    if (bytes.length > MAX_STATUS_BYTES) throw new WireError(`it has ${bytes.length} bytes`);
    boundFields(bytes, MAX_FIELDS);
    boundFields(bodyOf(bytes, TIER) ?? new Uint8Array(0), MAX_FIELDS);
    return read(parse(schema, bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new WireError(`This is no status: ${reason}`, { cause: error });
  }
}

function writeTier(status: TierStatus): MessageInitShape<typeof TierStatusSchema> {
  return {
    bootId: status.bootId,
    time: fromU53(status.time, "time"),
    uptimeMs: status.uptimeMs,
    pid: status.pid,
    userId: status.userId ?? undefined,
    version: status.version,
    state: status.state,
    memoryBytes: fromU53(status.memoryBytes, "memoryBytes"),
    cpuMs: status.cpuMs,
    notices: status.notices.map(({ time, text }) => ({ time: fromU53(time, "a notice's time"), text })),
    noticeCount: fromU53(status.noticeCount, "noticeCount"),
  };
}

function readTier(tier: ipc.TierStatus | undefined): TierStatus {
  if (tier === undefined) throw new WireError("it does not say of which daemon");
  return {
    bootId: tier.bootId,
    time: toU53(tier.time, "time"),
    uptimeMs: finite(tier.uptimeMs, "uptimeMs"),
    pid: tier.pid,
    userId: tier.userId ?? null,
    version: tier.version,
    state: tier.state,
    memoryBytes: toU53(tier.memoryBytes, "memoryBytes"),
    cpuMs: finite(tier.cpuMs, "cpuMs"),
    notices: tier.notices.map(({ time, text }) => ({ time: toU53(time, "a notice's time"), text })),
    noticeCount: toU53(tier.noticeCount, "noticeCount"),
  };
}

function writeLog(log: LogStatus): MessageInitShape<typeof LogStatusSchema> {
  return {
    ...log,
    bytes: fromU53(log.bytes, "bytes"),
    maxBytes: fromU53(log.maxBytes, "maxBytes"),
    pendingBytes: fromU53(log.pendingBytes, "pendingBytes"),
    refused: fromU53(log.refused, "refused"),
    missing: fromU53(log.missing, "missing"),
    damaged: fromU53(log.damaged, "damaged"),
    faults: fromU53(log.faults, "faults"),
    hastened: fromU53(log.hastened, "hastened"),
    oldestTime: log.oldestTime === null ? undefined : fromU53(log.oldestTime, "oldestTime"),
  };
}

/** Of a collector that does not speak of its log yet, nothing is known. */
function readLog(log: ipc.LogStatus | undefined): LogStatus {
  if (log === undefined) return NO_LOG;
  const { place, trouble, segments, isSlowed, fault } = log;
  return {
    place,
    trouble,
    bytes: toU53(log.bytes, "bytes"),
    maxBytes: toU53(log.maxBytes, "maxBytes"),
    segments,
    pendingBytes: toU53(log.pendingBytes, "pendingBytes"),
    load: finite(log.load, "load"),
    isSlowed,
    refused: toU53(log.refused, "refused"),
    missing: toU53(log.missing, "missing"),
    damaged: toU53(log.damaged, "damaged"),
    faults: toU53(log.faults, "faults"),
    hastened: toU53(log.hastened, "hastened"),
    fault,
    oldestTime: log.oldestTime === undefined ? null : toU53(log.oldestTime, "oldestTime"),
  };
}

const LEDGER_NUMBERS = [
  "size",
  "signed",
  "checkpointTime",
  "sealedEpochs",
  "pendingBytes",
  "refused",
  "faults",
] as const;

function writeLedger(ledger: LedgerStatus): MessageInitShape<typeof LedgerStatusSchema> {
  const { state, place, trouble, origin } = ledger;
  const numbers = Object.fromEntries(LEDGER_NUMBERS.map((name) => [name, fromU53(ledger[name], name)]));
  return { state, place, trouble, origin, ...numbers };
}

function readLedger(ledger: ipc.LedgerStatus | undefined): LedgerStatus {
  if (ledger === undefined) return NO_LEDGER;
  const { state, place, trouble, origin } = ledger;
  const numbers = Object.fromEntries(LEDGER_NUMBERS.map((name) => [name, toU53(ledger[name], name)]));
  return { state, place, trouble, origin, ...numbers } as LedgerStatus;
}

function readRule(rule: ipc.RuleStatus): RuleStatus {
  const { id, title, severity, file, state } = rule;
  return {
    id,
    title,
    severity,
    file,
    state,
    line: rule.line ?? null,
    column: rule.column ?? null,
    reason: rule.reason ?? null,
    hits: toU53(rule.hits, "hits"),
    lane: rule.lane ?? null,
    hash: rule.hash ?? null,
    evaluations: toU53(rule.evaluations, "evaluations"),
    matches: toU53(rule.matches, "matches"),
    cpuMs: finite(rule.cpuMs, "cpuMs"),
    rows: toU53(rule.rows, "rows"),
    suppressed: toU53(rule.suppressed, "suppressed"),
    degraded: rule.degraded,
  };
}

function readStore(store: ipc.StoreStatus | undefined): StoreStatus {
  // One that an agent of an earlier version left says nothing of it.
  if (store === undefined) {
    return { state: "unknown", reason: "", since: 0, freeBytes: null, checkedTime: 0, check: "" };
  }
  return {
    state: store.state,
    reason: store.reason,
    since: toU53(store.since, "since"),
    freeBytes: store.freeBytes === undefined ? null : toU53(store.freeBytes, "freeBytes"),
    checkedTime: toU53(store.checkedTime, "checkedTime"),
    check: store.check,
  };
}

function readConnection(connection: ipc.ConnectionStatus): ConnectionStatus {
  return {
    collectorId: connection.collectorId,
    epoch: connection.epoch,
    connectedSince: toU53(connection.connectedSince, "connectedSince"),
    lastSequence: toU53(connection.lastSequence, "lastSequence"),
    lastEventTime: toU53(connection.lastEventTime, "lastEventTime"),
  };
}

function writeBusClient({ queued, delivered, lost, refused, ...rest }: BusClientStatus) {
  return {
    ...rest,
    queued: fromU53(queued, "queued"),
    delivered: fromU53(delivered, "delivered"),
    lost: fromU53(lost, "lost"),
    refused: fromU53(refused, "refused"),
  };
}

function readBusClient({ name, connected, patterns, ...counts }: ipc.BusClientStatus): BusClientStatus {
  return {
    name,
    connected,
    patterns,
    queued: toU53(counts.queued, "queued"),
    delivered: toU53(counts.delivered, "delivered"),
    lost: toU53(counts.lost, "lost"),
    refused: toU53(counts.refused, "refused"),
  };
}

/** A copy whose names, chosen by the writer of the file, are all its own properties. */
function readCounters(counters: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, count]) => [name, finite(count, "a counter")]));
}

function finite(value: number, what: string): number {
  if (!Number.isFinite(value)) throw new WireError(`${what} must be a finite number, got ${value}`);
  return value;
}
