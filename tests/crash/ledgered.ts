/**
 * What the audit ledger holds after a run, held against what is stored: every alert once, every event under a digest.
 *
 * @module
 */
import { SEQUENCES_PER_STREAM } from "../../agent/store/store.ts";
import { StorageSource } from "../../collector/ledger/storage_source.ts";
import { verifyLedger } from "../../proto/ledger/directory.ts";
import { decodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { decodeStatement, isStated, type Statement } from "../../proto/ledger/statement.ts";
import { rows } from "../agent/support.ts";
import type { SimStorage } from "../support/sim_storage.ts";

/** Reads everything; wants both tiers to stand still. */
export async function judgeLedger(
  storage: SimStorage,
  store: string,
  now: number,
): Promise<{ readonly entered: number; readonly faults: readonly string[] }> {
  using source = new StorageSource(storage);
  const faults: string[] = [];
  const { fault } = await verifyLedger({ source: { ...live(source) }, now });
  if (fault !== null) faults.push(`the ledger: ${fault.message}`);
  const said = statementsOf(source), entered = new Map<string, number>();
  for (const { action, value } of said) {
    if (action !== "alert") continue;
    for (const { id } of value.alerts) entered.set(id, (entered.get(id) ?? 0) + 1);
  }
  for (const { alert_id } of rows(store, "SELECT alert_id FROM alerts")) {
    const times = entered.get(alert_id as string) ?? 0;
    if (times !== 1) faults.push(`alert ${alert_id} was entered ${times} times`);
    entered.delete(alert_id as string);
  }
  for (const id of entered.keys()) faults.push(`alert ${id} was entered and is not in the store`);
  return { entered: said.filter(({ action }) => action === "alert").length, faults: [...faults, ...bare(said, store)] };
}

/** Numbers that the collector says it has no digest of. */
const GONE = /^numbers (\d+) to (\d+) of epoch (\S+):/;

/** Stored events that no digest covers. */
function bare(said: readonly Statement[], store: string): string[] {
  const faults: string[] = [];
  for (const { stream, epoch } of rows(store, "SELECT stream, epoch FROM collectors")) {
    const ranges: { first: number; last: number }[] = said.flatMap(({ action, value }) =>
      action === "events" && value.epoch === epoch ? [value] : []
    );
    const base = (stream as number) * SEQUENCES_PER_STREAM, within = [base, base + SEQUENCES_PER_STREAM - 1];
    for (const { action, value } of said) {
      const [, first, last, of] = action === "suppressed" ? GONE.exec(value.what) ?? [] : [];
      if (of === epoch) ranges.push({ first: Number(first), last: Number(last) });
    }
    const ids = rows(store, "SELECT event_id AS id FROM process_events WHERE event_id BETWEEN ? AND ?", ...within);
    const left = ids.map(({ id }) => id as number - base).filter((sequence) =>
      !ranges.some(({ first, last }) => sequence >= first && sequence <= last)
    );
    if (left.length > 0) {
      faults.push(`${left.length} events of epoch ${epoch} from ${left[0]} to ${left.at(-1)} are under no digest`);
    }
  }
  return faults;
}

function live(
  source: StorageSource,
): {
  names(): readonly string[];
  size(name: string): number | null;
  read(name: string, position: number, into: Uint8Array): number;
  live: boolean;
} {
  return {
    names: () => source.names(),
    size: (name) => source.size(name),
    read: (name, position, into) => source.read(name, position, into),
    live: true,
  };
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
