/** What a collector says of its log when all is well. */
import type { LogStatus } from "../../proto/status.ts";

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
