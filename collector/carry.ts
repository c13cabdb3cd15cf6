/**
 * Carries what waits in one log over into another, under the other's numbers.
 *
 * Everything above the last acknowledged number is taken: records from the disk, then those that wait in memory. What
 * cannot be read becomes a gap with the number of its items, as far as numbers count them. Counts of what was refused and
 * not told are taken apart from that. Whether anything comes twice is decided by the caller, who must know what the agent
 * has.
 *
 * @module
 */
import type { Gap } from "../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../proto/wire.ts";
import { WireError } from "../proto/wire_error.ts";
import type { WriteAheadLog } from "./wal/log.ts";
import type { LogItem } from "./wal/log_reader.ts";
import type { LogRecord } from "./wal/recovery.ts";
import { ITEM_CLASSES, type ItemClass, type Tally } from "./wal/shedding.ts";
import { StorageError } from "./wal/storage.ts";

const READ_BYTES = 1_048_576;
/** More than the log itself takes to call a file lost. */
const MAX_TRIES = 10;

/** The kind of a record is the class of the most valued item in it: what is told of it when it is not kept. */
export function kindOf(itemClass: ItemClass): number {
  return ITEM_CLASSES.indexOf(itemClass) + 1;
}

function classOf(kind: number): ItemClass {
  return ITEM_CLASSES[kind - 1] ?? "start";
}

/**
 * `stored`: what the agent is known to have, which may be more than is acknowledged.
 *
 * @throws {StorageError} when `from` cannot be read at all.
 */
export function carry(from: WriteAheadLog, to: WriteAheadLog, now: number, stored = 0): void {
  const has = Math.max(from.acknowledged, stored);
  for (let after = has; after < from.durable;) {
    for (const item of readAfter(from, after)) {
      if (item.kind === "record") {
        take(item.record, has, to);
        after = item.record.first + item.record.count - 1;
      } else {
        put(gapOf(item, now), to);
        after = item.last;
      }
    }
  }
  for (const record of from.unflushed()) take(record, has, to);
}

/** Has `to` tell of items that another log counted. */
export function carryTallies(tallies: readonly Tally[], to: WriteAheadLog): void {
  for (const { itemClass, count, from, to: last } of tallies) to.inherit(itemClass, count, from, last);
}

function readAfter(log: WriteAheadLog, after: number): LogItem[] {
  for (let tries = 1;; tries++) {
    try {
      return log.read(after, READ_BYTES);
    } catch (error) {
      if (!(error instanceof StorageError) || tries === MAX_TRIES) throw error;
    }
  }
}

/** Puts a record into `to`, without the items of it that were acknowledged. */
function take({ kind, time, payload }: LogRecord, acknowledged: number, to: WriteAheadLog): void {
  const itemClass = classOf(kind), next = to.nextSequence;
  try {
    const message = decodeMessage(payload);
    switch (message.kind) {
      case "events": {
        const events = message.events.slice(Math.max(0, acknowledged + 1 - message.firstSequence));
        if (events.length === 0) return;
        const lastTime = events.at(-1)!.time;
        const encoded = encodeMessage({ ...message, firstSequence: next, events });
        return void to.append({ kind, itemClass, count: events.length, time, lastTime, payload: encoded });
      }
      case "rows": {
        const rows = message.rows.slice(Math.max(0, acknowledged + 1 - message.firstSequence));
        if (rows.length === 0) return;
        const lastTime = rows.at(-1)!.time;
        const encoded = encodeMessage({ ...message, firstSequence: next, rows });
        return void to.append({ kind, itemClass, count: rows.length, time, lastTime, payload: encoded });
      }
      case "gap":
        if (message.sequence > acknowledged) put(message.gap, to);
        return;
      case "snapshot":
      case "sources": {
        const encoded = encodeMessage({ ...message, sequence: next });
        return void to.append({ kind, itemClass, count: 1, time, lastTime: time, payload: encoded });
      }
      default:
        throw new WireError(`A log holds ${message.kind}`);
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    // Its checksum holds, so another version wrote it.
    to.refuse(itemClass, 1, time, time);
  }
}

function gapOf(item: Extract<LogItem, { kind: "missing" }>, now: number): Gap {
  const from = item.from ?? item.to ?? now;
  return {
    source: "collector",
    recordKind: "all",
    from,
    to: Math.max(from, item.to ?? now),
    count: item.last - item.first + 1,
    reason: "the write-ahead log was damaged, what it held cannot be read",
  };
}

function put(gap: Gap, to: WriteAheadLog): void {
  const payload = encodeMessage({ kind: "gap", sequence: to.nextSequence, gap });
  if (!to.admits("note", payload.length)) {
    // Its count is kept, and told with what else finds no room. What the log itself tells of was counted before.
    const count = gap.count ?? 1;
    return gap.source === "collector"
      ? to.inherit("note", count, gap.from, gap.to)
      : to.refuse("note", count, gap.from, gap.to);
  }
  to.append({ kind: kindOf("note"), itemClass: "note", count: 1, time: gap.from, lastTime: gap.to, payload });
}
