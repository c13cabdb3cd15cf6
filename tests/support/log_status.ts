/** What a collector says of its log and its ledger when all is well. */
import type { LedgerStatus, LogStatus } from "../../proto/status.ts";

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
