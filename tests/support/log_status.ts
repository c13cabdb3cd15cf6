/**
 * What a collector says of itself, its log and its ledger when all is well.
 *
 * @module
 */
import type { CollectorStatus, LedgerStatus, LogStatus } from "../../proto/status.ts";

export const HEALTHY_LOG: LogStatus = {
  place: "/var/lib/daemoneye/collector/wal/1",
  trouble: "",
  bytes: 1_234_567,
  maxBytes: 268_435_456,
  segments: 2,
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

export const HEALTHY_LEDGER: LedgerStatus = {
  state: "on",
  place: "/var/lib/daemoneye/collector/ledger",
  trouble: "",
  origin: "daemoneye/0a1b/2c3d",
  size: 120,
  signed: 118,
  checkpointTime: 1_700_000_000_000,
  sealedEpochs: 4,
  pendingBytes: 0,
  refused: 0,
  faults: 0,
};

/** A collector that runs. */
export const COLLECTOR_STATUS: CollectorStatus = {
  bootId: "boot-1",
  time: 10_000,
  uptimeMs: 5_000,
  pid: 42,
  userId: 64171,
  version: "0.1.0",
  state: "running",
  memoryBytes: 1,
  cpuMs: 1,
  notices: [],
  noticeCount: 0,
  collectorId: "procmond",
  epoch: "epoch-1",
  sources: [],
  confinement: "",
  redaction: "on",
  completeness: { state: "unproven", detail: "" },
  attributes: [],
  connected: true,
  lastSequence: 9,
  acknowledgedSequence: 7,
  durableTime: 9_000,
  log: HEALTHY_LOG,
  ledger: HEALTHY_LEDGER,
  queuedEvents: 2,
  trackedProcesses: 3,
  forksSinceBoot: 100,
  counters: {},
};
