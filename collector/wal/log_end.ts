/**
 * Finds where a log ends: the last record, what a crash tore off, and what nothing proves to be on disk.
 *
 * @module
 */
import { attempt, setAside } from "./aside.ts";
import { SEGMENT_HEADER_BYTES, TALLY_CLASSES } from "./format.ts";
import type { Segment, Survey, UnprovenRecord } from "./recovery.ts";
import { SegmentReader } from "./segment_reader.ts";
import type { Storage } from "./storage.ts";

/**
 * Bytes of the log's end that are written again when no hint proves them; beyond that the file is synced and trusted.
 * By so much a log may exceed its bound after a crash, until it is acknowledged.
 */
const MAX_UNPROVEN_BYTES = 8_388_608;
export type LogEnd = Pick<
  Survey,
  "last" | "durable" | "lastTime" | "unproven" | "unprovenFrom" | "settled" | "onTheWay" | "cutBytes"
>;

/** Reads the last segment that holds records; takes segments behind it, which are torn, off the list. */
export function findEnd(storage: Storage, segments: Segment[], promised: number, findings: string[]): LogEnd {
  const settled = new Array<number>(TALLY_CLASSES).fill(0), onTheWay = [...settled];
  for (let segment = segments.at(-1); segment !== undefined; segment = segments.at(-1)) {
    const own = readTail(storage, segment, promised);
    if (own.last > 0) {
      const { tail, from } = withTorn(storage, segments, own, promised);
      noteSettled(storage, segments, tail, settled, onTheWay);
      const last = Math.max(tail.last, promised);
      if (tail.last < promised) {
        findings.push(`${segment.name} ends at number ${tail.last}, but ${promised} was on disk: the rest is lost`);
      }
      const cutBytes = cutTail(storage, segment, tail, promised, findings);
      const { durable, time: lastTime, unproven } = tail;
      return { last, durable, lastTime, unproven, unprovenFrom: from, settled, onTheWay, cutBytes };
    }
    segments.pop();
    if (segment.size <= SEGMENT_HEADER_BYTES || segment.first > promised) {
      // Torn while its first flush was under way, which therefore promised nothing.
      if (segment.size <= SEGMENT_HEADER_BYTES) attempt(findings, () => storage.remove(segment.name));
      else setAside(storage, segment.name, findings, "was torn by a crash at its first write");
    } else setAside(storage, segment.name, findings, `holds no record, but numbers up to ${promised} were on disk`);
  }
  return {
    last: promised,
    durable: promised,
    lastTime: 0,
    unproven: [],
    unprovenFrom: null,
    settled,
    onTheWay,
    cutBytes: 0,
  };
}

/**
 * Adds what a crash tore of the first write of the last segment and what an earlier segment still holds: the end of a log
 * that was on disk, and that the write was to repeat. So that end is complete however often that is cut short.
 */
function withTorn(storage: Storage, segments: Segment[], own: Tail, promised: number): { tail: Tail; from: Segment } {
  const segment = segments.at(-1)!, { first } = segment;
  let tail = own, from = segment;
  // Once anything in it is proven, its first write was whole.
  if (first !== promised + 1 || own.unproven.length === 0) return { tail, from };
  for (let at = segments.length - 2; at >= 0; at--) {
    const earlier = segments[at]!, found = readTail(storage, earlier, promised);
    const numbers = new Set(tail.unproven.map((record) => record.first));
    const more = found.unproven.filter((record) => !numbers.has(record.first));
    if (more.length > 0) {
      from = earlier;
      tail = {
        ...tail,
        last: Math.max(tail.last, found.last),
        time: found.last > tail.last ? found.time : tail.time,
        unproven: [...tail.unproven, ...more].sort((one, other) => one.first - other.first),
        settles: [...tail.settles, ...found.settles.filter(([, number]) => number > promised && !numbers.has(number))],
      };
    }
    if (earlier.first < first) break; // the one whose end it was
  }
  return { tail, from };
}

/** Finds out which tallies have their gap record in the log: what a whole header says, and all records from there on. */
function noteSettled(
  storage: Storage,
  segments: readonly Segment[],
  end: Tail,
  settled: number[],
  onTheWay: number[],
): void {
  for (let at = segments.length - 1; at >= 0; at--) {
    const segment = segments[at]!, last = at === segments.length - 1;
    const tail = last ? end : readTail(storage, segment, Infinity);
    for (const [settles, first] of tail.settles) {
      if (first >= (segments[at + 1]?.first ?? Infinity)) break; // the next segment took over
      const itemClass = settles % 8, place = first <= end.durable ? settled : onTheWay;
      if (itemClass < TALLY_CLASSES) place[itemClass] = Math.max(place[itemClass]!, settles >>> 3);
    }
    if (segment.settled === null) continue;
    segment.settled.forEach((generation, itemClass) => settled[itemClass] = Math.max(settled[itemClass]!, generation));
    return;
  }
}

interface Tail {
  /** The last number in the segment, 0 for none. */
  readonly last: number;
  readonly durable: number;
  readonly time: number;
  /** Where the last record ends. */
  readonly end: number;
  readonly unproven: UnprovenRecord[];
  readonly settles: [settles: number, first: number][];
}

function readTail(storage: Storage, segment: Segment, promised: number): Tail {
  const file = storage.open(segment.name);
  try {
    const reader = new SegmentReader(file, segment.seed, segment.first);
    const unproven: UnprovenRecord[] = [], settles: [number, number][] = [];
    let last = 0, end = SEGMENT_HEADER_BYTES, bytes = 0, durable = promised, time = 0;
    for (let item = reader.next(); item !== null; item = reader.next()) {
      if (item.kind === "damage") continue;
      const { first, count } = item.header;
      last = first + count - 1;
      end = item.end;
      time = item.header.time;
      if (item.header.settles !== 0) settles.push([item.header.settles, first]);
      if (first <= promised) {
        durable = Math.max(durable, last);
        continue;
      }
      bytes += item.header.length;
      if (bytes <= MAX_UNPROVEN_BYTES) unproven.push({ ...item.header, payload: reader.payload(item).slice() });
    }
    // What can be read here may be in memory only, if a sync failed before the collector ended: so it is written again.
    if (bytes <= MAX_UNPROVEN_BYTES) return { last, durable, time, end, unproven, settles };
    file.syncData();
    return { last, durable: Math.max(last, promised), time, end, unproven: [], settles };
  } finally {
    file.close();
  }
}

/** Cuts off what follows the last record, when no flush promised that there is more. */
function cutTail(storage: Storage, segment: Segment, tail: Tail, promised: number, findings: string[]): number {
  const torn = segment.size - tail.end;
  if (torn <= 0 || tail.last < promised) return 0;
  findings.push(`${segment.name}: ${torn} bytes of a record that a crash tore were cut off`);
  attempt(findings, () => {
    const file = storage.open(segment.name);
    try {
      file.truncate(tail.end);
      file.syncData();
      segment.size = tail.end;
    } finally {
      file.close();
    }
  });
  return torn;
}
