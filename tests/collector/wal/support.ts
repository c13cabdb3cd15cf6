/**
 * A small log for tests: its records say who they are, so that each can be known again wherever it turns up.
 *
 * @module
 */
import { WriteAheadLog } from "../../../collector/wal/log.ts";
import type { NewRecord, WalOptions } from "../../../collector/wal/log_options.ts";
import type { LogItem } from "../../../collector/wal/log_reader.ts";
import { ITEM_CLASSES, type ItemClass, type Tally } from "../../../collector/wal/shedding.ts";
import type { Storage } from "../../../collector/wal/storage.ts";
import { Random } from "../../fuzz/random.ts";

/** Kinds of the records that tests write. */
export const EVENTS = 1, GAP = 2;

/** Options of a small log; the generator makes its epoch and its secret. */
export function smallLog(storage: Storage, more: Partial<WalOptions> & { clock: () => number }): WalOptions {
  const random = new Random(7);
  return {
    storage,
    host: "host-1",
    collectorId: "procmond",
    segmentBytes: 4_096,
    totalBytes: 65_536,
    maxPendingBytes: 16_384,
    keepMs: 1_000,
    gapRecord,
    notice: () => {},
    random: (length) => random.bytes(length),
    ...more,
  };
}

export function gapRecord(_sequence: number, tally: Tally): { kind: number; payload: Uint8Array } {
  const payload = new Uint8Array(32), view = new DataView(payload.buffer);
  view.setUint32(0, ITEM_CLASSES.indexOf(tally.itemClass), true);
  view.setUint32(4, tally.count, true);
  view.setFloat64(8, tally.from, true);
  view.setFloat64(16, tally.to, true);
  return { kind: GAP, payload };
}

/** How many items a gap record tells of. */
export function gapCount(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(4, true);
}

export function record(
  first: number,
  { count = 1, bytes = 40, fill = 0, itemClass = "start" as ItemClass, time = 1_000 + first } = {},
): NewRecord {
  const payload = new Uint8Array(bytes).fill(fill + first);
  new DataView(payload.buffer).setUint32(0, first, true);
  return { kind: EVENTS, itemClass, count, time, lastTime: time + count - 1, payload };
}

/** Appends records of one number each and flushes after each. */
export function write(log: WriteAheadLog, count: number, options: Parameters<typeof record>[1] = {}): void {
  for (let i = 0; i < count; i++) {
    log.append(record(log.nextSequence, options));
    log.flush();
  }
}

/** Everything that can be read after `after`. */
export function readAll(log: WriteAheadLog, after = 0): LogItem[] {
  const items: LogItem[] = [];
  for (let from = after; from < log.durable;) {
    const more = log.read(from, 4_096);
    if (more.length === 0) throw new Error(`Nothing after ${from}, but ${log.durable} is on disk`);
    items.push(...more);
    from = lastOf(more.at(-1)!);
  }
  return items;
}

export function lastOf(item: LogItem): number {
  return item.kind === "record" ? item.record.first + item.record.count - 1 : item.last;
}

/** `1 2 3 [4-6] 7`: numbers of records, and in brackets what is missing. */
export function outline(items: readonly LogItem[]): string {
  return items.map((item) => item.kind === "record" ? String(item.record.first) : `[${item.first}-${item.last}]`).join(
    " ",
  );
}

export function open(storage: Storage, more: Partial<WalOptions> = {}): WriteAheadLog {
  return new WriteAheadLog(smallLog(storage, { clock: () => 0, ...more }));
}
