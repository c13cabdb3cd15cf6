/**
 * Records of the programs of the tracepoint rung.
 *
 * @module
 */
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import { RECORD_KINDS } from "../../../collector/kernel/process_records.ts";
import { EXECUTED, EXITED, FORKED, TracepointDecoder } from "../../../collector/kernel/tracepoint_records.ts";
import type { FuzzTarget } from "../fuzz.ts";
import { layoutOf, recordTarget } from "./records.ts";

export const tracepointRecords: FuzzTarget = recordTarget(
  "ring: tracepoint records",
  100_000,
  [
    layoutOf(RECORD_KINDS.indexOf("exec"), EXECUTED),
    layoutOf(RECORD_KINDS.indexOf("fork"), FORKED),
    layoutOf(RECORD_KINDS.indexOf("exit"), EXITED),
  ],
  () => new TracepointDecoder(new EnvironmentFilter(["LD_*", "PATH", "TOKEN"])),
);
