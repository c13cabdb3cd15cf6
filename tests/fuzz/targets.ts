/**
 * All that is fed: a target's name begins with the group by which `deno task fuzz:GROUP` takes it.
 *
 * @module
 */
import type { FuzzTarget } from "./fuzz.ts";
import { btf } from "./targets/btf.ts";
import { bundle } from "./targets/bundle.ts";
import { executables } from "./targets/elf.ts";
import { frame } from "./targets/frame.ts";
import { ledger } from "./targets/ledger.ts";
import { ledgerEvidence } from "./targets/ledger_evidence.ts";
import { lifecycle } from "./targets/lifecycle.ts";
import { connectorMessages } from "./targets/netlink.ts";
import { procfs } from "./targets/procfs.ts";
import { logs } from "./targets/logs.ts";
import { processRecords } from "./targets/records.ts";
import { hostileRing, soundRing } from "./targets/ring.ts";
import { ps } from "./targets/ps.ts";
import { subscriber } from "./targets/subscriber.ts";
import { tracepointRecords } from "./targets/tracepoint.ts";
import { wal } from "./targets/wal.ts";
import { taskRecords } from "./targets/table.ts";

export const targets: readonly FuzzTarget[] = [
  soundRing,
  hostileRing,
  processRecords,
  tracepointRecords,
  taskRecords,
  connectorMessages,
  btf,
  ...procfs,
  ...ps,
  lifecycle,
  ...frame,
  subscriber,
  ...wal,
  ...ledger,
  ...ledgerEvidence,
  ...bundle,
  ...executables,
  ...logs,
];

/** The targets of a group; all without a name. */
export function targetsOf(group: string | undefined): readonly FuzzTarget[] {
  return targets.filter(({ name }) => group === undefined || name === group || name.startsWith(`${group}:`));
}
