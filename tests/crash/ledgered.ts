/**
 * What the audit ledger holds after a run, held against what is stored: every alert once, every event under a digest.
 *
 * Of a log that was replaced, or was in memory when the collector died, what came after the last digest is under none:
 * such events are counted.
 *
 * @module
 */
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import { StorageSource } from "../../collector/ledger/storage_source.ts";
import { verifyLedger } from "../../proto/ledger/directory.ts";
import { decodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { type LedgerSource, SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { decodeStatement, isStated, type Statement } from "../../proto/ledger/statement.ts";
import { rows } from "../agent/support.ts";
import type { SimStorage } from "../support/sim_storage.ts";

export interface LedgerVerdict {
  /** Alerts that are entered. */
  readonly entered: number;
  /** Stored events of earlier logs that no digest covers. */
  readonly bare: number;
  readonly faults: readonly string[];
}

/** Reads everything; wants both tiers to stand still. `epoch` is that of the log in the end. */
export async function judgeLedger(
  storage: SimStorage,
  store: string,
  now: number,
  epoch: string,
): Promise<LedgerVerdict> {
  using source = new StorageSource(storage);
  const faults: string[] = [];
  const { fault } = await verifyLedger({ source: new LiveSource(source), now });
  if (fault !== null) faults.push(`the ledger: ${fault.message}`);
  const said = statementsOf(source), alerts = new Map<string, number>();
  for (const { action, value } of said) {
    if (action !== "alert") continue;
    for (const { id } of value.alerts) alerts.set(id, (alerts.get(id) ?? 0) + 1);
  }
  const entered = alerts.size;
  for (const { alert_id } of rows(store, "SELECT alert_id FROM alerts")) {
    const times = alerts.get(alert_id as string) ?? 0;
    if (times !== 1) faults.push(`alert ${alert_id} was entered ${times} times`);
    alerts.delete(alert_id as string);
  }
  for (const id of alerts.keys()) faults.push(`alert ${id} was entered and is not in the store`);
  let bare = 0;
  for (const stream of rows(store, "SELECT stream, epoch FROM collectors")) {
    const left = bareNumbers(said, store, stream["stream"] as number, stream["epoch"] as string);
    if (left.length === 0) continue;
    if (stream["epoch"] !== epoch) bare += left.length;
    else faults.push(`${left.length} events of epoch ${epoch} from ${left[0]} to ${left.at(-1)} are under no digest`);
  }
  return { entered, bare, faults };
}

/** Numbers that the collector says it has no digest of. */
const GONE = /^numbers (\d+) to (\d+) of epoch (\S+):/;

/** Numbers of a stream's stored events that no digest covers. */
function bareNumbers(said: readonly Statement[], store: string, stream: number, epoch: string): number[] {
  const ranges: { first: number; last: number }[] = [];
  for (const { action, value } of said) {
    if (action === "events" && value.epoch === epoch) ranges.push(value);
    const [, first, last, of] = action === "suppressed" ? GONE.exec(value.what) ?? [] : [];
    if (of === epoch) ranges.push({ first: Number(first), last: Number(last) });
  }
  const base = stream * SEQUENCES_PER_STREAM, within = [base, base + SEQUENCES_PER_STREAM - 1];
  return rows(store, "SELECT event_id AS id FROM process_events WHERE event_id BETWEEN ? AND ?", ...within)
    .map(({ id }) => id as number - base)
    .filter((sequence) => !ranges.some(({ first, last }) => sequence >= first && sequence <= last));
}

/** The files while somebody has them open. */
class LiveSource implements LedgerSource {
  readonly live = true;
  constructor(private readonly source: StorageSource) {}

  names(): readonly string[] {
    return this.source.names();
  }
  size(name: string): number | null {
    return this.source.size(name);
  }
  read(name: string, position: number, into: Uint8Array): number {
    return this.source.read(name, position, into);
  }
}

function statementsOf(source: StorageSource): Statement[] {
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES), found: Statement[] = [];
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD), { segmentEntries } = readHeader(source);
  for (let segment = 0; entries.open(segment) && payloads.open(segment); segment++) {
    for (let count = 0; count < segmentEntries; count++) {
      const entry = entries.next(MIN_ENTRY_BYTES), record = entry === null ? null : payloads.next(0);
      if (entry === null || record === null) return found;
      const { action } = decodeEntry(entry), payload = decodePayload(record);
      if (isStated(action) && payload !== null) found.push(decodeStatement(action, payload.bytes));
    }
  }
  return found;
}
