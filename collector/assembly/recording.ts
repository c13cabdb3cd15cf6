/**
 * Parts of the collector that keep what it saw: the write-ahead log and the audit ledger.
 *
 * @module
 */
import { bootTimeNs } from "../kernel/libc.ts";
import { readForkCount } from "../kernel/procfs.ts";
import { LedgerKeeper } from "../ledger_keeper.ts";
import { LogKeeper } from "../log_keeper.ts";
import { refusalRecord } from "../outbox.ts";
import { recover, type Recovered } from "../recovery.ts";
import { DiskStorage, SHARED } from "../wal/disk_storage.ts";
import { DiskHome } from "../wal/home.ts";
import type { CollectorParts } from "./parts.ts";

export function newLedger(parts: CollectorParts): LedgerKeeper {
  const { settings, layout, host, bootId, signing } = parts.inputs;
  return new LedgerKeeper({
    isOn: settings.collector.ledger,
    place: layout.ledger,
    storage: () => new DiskStorage(layout.ledger, SHARED),
    secrets: () => new DiskStorage(layout.ledgerSecrets),
    hash: settings.collector.ledgerHash,
    keys: signing,
    checkpointMs: settings.collector.ledgerCheckpointMs,
    host,
    bootId: Uint8Array.fromHex(bootId.replaceAll("-", "")),
    clock: { wallMs: Date.now, monotonicNs: () => BigInt(Math.floor(bootTimeNs())) },
    log: () => parts.logs.log,
    notice: parts.notice,
    show: (lines) => lines.forEach((line) => console.error(`collector: ${line}`)),
    published: (head) => parts.publisher.tell(head),
    entered: (id) => parts.publisher.tell({ kind: "ledgerTaken", id }),
  });
}

export function newLogs({ inputs: { settings, layout, host }, ledger, notice }: CollectorParts): LogKeeper {
  return new LogKeeper({
    home: new DiskHome(layout.wal),
    host,
    collectorId: settings.collector.id,
    totalBytes: settings.collector.walMaxBytes,
    segmentBytes: settings.collector.walSegmentBytes,
    keepMs: settings.collector.walKeepMs,
    memoryBytes: settings.collector.walMemoryBytes,
    clock: () => performance.now(),
    now: Date.now,
    gapRecord: refusalRecord,
    taken: ledger.taken,
    notice,
  });
}

/** What the last run left in the log is still to be sent, and what it said bounds what was missed since. */
export function recoverLastRun({ inputs: { layout, bootId }, source, outbox }: CollectorParts): Recovered {
  const recovered = recover(layout.collectorStatus, layout.knownTable, {
    time: Date.now(),
    bootId,
    forksSinceBoot: readForkCount(),
    source: source.description.name,
    epoch: outbox.epoch,
    lastRecordTime: outbox.foundTime,
  });
  for (const gap of recovered.gaps) outbox.addGap(gap);
  return recovered;
}
