/**
 * What a log's directory holds when it is opened: which segments are ours and whole, where the log ends, what is wrong.
 *
 * Reads the header of every segment and the records of the last one only. What belongs to another host, collector, log
 * or version is refused before anything is touched. Of what is ours nothing is destroyed: a segment that cannot be read
 * is set aside under another name, and only what no flush ever promised, a torn end or an empty file, is cut off.
 *
 * @module
 */
import { attempt, isAside, limitAside, setAside } from "./aside.ts";
import {
  decodeSegmentHeader,
  parseSegmentName,
  recordSeed,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  WAL_VERSION,
  type WalIdentity,
} from "./format.ts";
import { findEnd } from "./log_end.ts";
import { FRESH_STATE_NAME, readState, STATE_NAME, type WalState } from "./state_file.ts";
import { readFully, type Storage } from "./storage.ts";

/** The directory holds a log that this collector must not go on with. Nothing in it was changed. */
export class WalRefusedError extends Error {
  override name = "WalRefusedError";
  constructor(readonly reason: "host" | "collector" | "epoch" | "version", readonly file: string, message: string) {
    super(message);
  }
}

/** A segment that counts. */
export interface Segment {
  readonly name: string;
  readonly index: number;
  readonly first: number;
  readonly seed: number;
  /** By class, the last tally that was settled before it; `null` when its header is damaged. */
  readonly settled: readonly number[] | null;
  size: number;
  /** When everything in it was acknowledged, by the log's clock; `null` before. */
  acknowledgedAt: number | null;
}

/** A record that is read whole. */
export interface LogRecord {
  readonly kind: number;
  readonly first: number;
  readonly count: number;
  /** Unix milliseconds of its oldest item. */
  readonly time: number;
  readonly payload: Uint8Array;
}

/** A record of the log's end that no flush is known to have promised; it is written again. */
export interface UnprovenRecord extends LogRecord {
  readonly settles: number;
}

export interface Survey {
  /** Of the log that is there; `null` when there is none. */
  readonly identity: WalIdentity | null;
  readonly secret: Uint8Array | null;
  readonly segments: Segment[];
  readonly state: (WalState & { readonly generations: readonly number[] }) | null;
  /** The last number that is given out, whether its record is still there or not. */
  readonly last: number;
  /** Every number up to here was on disk. */
  readonly durable: number;
  /** Unix milliseconds of the last record, 0 when there is none. */
  readonly lastTime: number;
  readonly unproven: readonly UnprovenRecord[];
  /** The first segment that holds any of them; `null` when there are none. */
  readonly unprovenFrom: Segment | null;
  /** By class, the last tally whose gap record is on disk, and the last whose record is among the unproven. */
  readonly settled: number[];
  readonly onTheWay: number[];
  readonly highestIndex: number;
  /** Bytes of a torn last record that were cut off. */
  readonly cutBytes: number;
  /** What was found wrong, in words, with the names of files. */
  readonly findings: readonly string[];
}

/** Names of files told one by one. */
const MAX_NAMES = 8;
/** Looks at the directory and makes it ready to go on. @throws {WalRefusedError} @throws {StorageError} */
export function survey(storage: Storage, owner: { readonly host: string; readonly collectorId: string }): Survey {
  const findings: string[] = [];
  const found = readDirectory(storage, findings);
  checkOwner(found, owner);

  // Only from here on is anything changed.
  const known = found.state?.state ?? null;
  const identity = known ?? found.headers.at(-1)?.header ?? null;
  for (const name of found.planted) setAside(storage, name, findings, "is not a regular file");
  let segments: Segment[] = [];
  if (identity === null) {
    for (const { name } of found.headless) {
      setAside(storage, name, findings, "cannot be read: no header and no state file says whose it is");
    }
  } else segments = orderSegments(storage, found, identity.secret, findings);

  if (known === null && segments.length > 0) {
    findings.push(`${STATE_NAME} is missing or unreadable: what was refused and not told yet is not known any more`);
  }
  // A segment begins where everything before was on disk. Its name says so too, which a crash cannot tear.
  const begun = Math.max(0, ...segments.map(({ first }) => first - 1));
  const promised = Math.max(known?.durable ?? 0, known?.acknowledged ?? 0, begun);
  const end = findEnd(storage, segments, promised, findings);
  limitAside(storage, findings);
  // What an earlier run removed must not come back in a crash, when its numbers have been given out again.
  attempt(findings, () => storage.syncDirectory());
  const { host, collectorId, epoch } = identity ?? { host: "", collectorId: "", epoch: "" };
  return {
    identity: identity === null ? null : { host, collectorId, epoch },
    secret: identity?.secret ?? null,
    segments,
    state: known === null ? null : { ...known, generations: found.state!.generations },
    highestIndex: found.highestIndex,
    findings,
    ...end,
  };
}

/** @throws {WalRefusedError} when what is there is another's log; nothing is changed. @throws {StorageError} */
export function checkOwnership(storage: Storage, owner: { readonly host: string; readonly collectorId: string }): void {
  checkOwner(readDirectory(storage, []), owner);
}

interface Directory {
  readonly state: ReturnType<typeof readState> | null;
  readonly headers: { name: string; size: number; header: SegmentHeader }[];
  /** Named like segments, without a header that holds. */
  readonly headless: { name: string; size: number; index: number; first: number }[];
  readonly planted: string[];
  readonly newer: { name: string; version: number } | null;
  readonly highestIndex: number;
}

function readDirectory(storage: Storage, findings: string[]): Directory {
  const headers: Directory["headers"] = [], headless: Directory["headless"] = [], planted: string[] = [];
  const foreign: string[] = [];
  let state: Directory["state"] = null, newer: Directory["newer"] = null, highestIndex = 0;
  for (const { name, kind, size } of storage.list()) {
    const parsed = parseSegmentName(name);
    if (parsed === null && name !== STATE_NAME) {
      if (name !== FRESH_STATE_NAME && !isAside(name)) foreign.push(name);
      continue;
    }
    highestIndex = Math.max(highestIndex, parsed?.index ?? 0);
    if (kind !== "file") {
      planted.push(name);
      continue;
    }
    const file = storage.open(name);
    try {
      if (parsed === null) {
        state = readState(file);
        if (state.version !== null) newer = { name, version: state.version };
        if (state.damaged > 0) {
          findings.push(`${name}: ${state.damaged} of its sectors are damaged; a power cut can do that to one or two`);
        }
        continue;
      }
      const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
      const header = decodeSegmentHeader(bytes.subarray(0, readFully(file, 0, bytes)));
      if (header === null) headless.push({ name, size, ...parsed });
      else if ("version" in header) newer = { name, version: header.version };
      else {
        headers.push({ name, size, header });
        highestIndex = Math.max(highestIndex, header.index);
      }
    } finally {
      file.close();
    }
  }
  headers.sort((a, b) => a.header.index - b.header.index);
  if (foreign.length > 0) findings.push(`not files of the log, left alone: ${names(foreign)}`);
  return { state, headers, headless, planted, newer, highestIndex };
}

function checkOwner(found: Directory, owner: { readonly host: string; readonly collectorId: string }): void {
  const mend = "nothing in it was changed; move the directory away when you have looked at it";
  if (found.newer !== null) {
    const { name, version } = found.newer;
    throw new WalRefusedError(
      "version",
      name,
      `${name} of the write-ahead log has version ${version}, this program reads version ${WAL_VERSION}; ${mend}`,
    );
  }
  const all: [string, WalIdentity][] = found.headers.map(({ name, header }) => [name, header]);
  if (found.state?.state) all.unshift([STATE_NAME, found.state.state]);
  const epoch = all[0]?.[1].epoch;
  for (const [name, it] of all) {
    const refuse = (reason: "host" | "collector" | "epoch", what: string, has: string, expected: string): never => {
      throw new WalRefusedError(
        reason,
        name,
        `${name} of the write-ahead log belongs to ${what} ${JSON.stringify(has)}, not ${
          JSON.stringify(expected)
        }; ${mend}`,
      );
    };
    if (it.host !== owner.host) refuse("host", "host", it.host, owner.host);
    if (it.collectorId !== owner.collectorId) refuse("collector", "collector", it.collectorId, owner.collectorId);
    if (it.epoch !== epoch) refuse("epoch", "epoch", it.epoch, epoch!);
  }
}

/** The segments in the order in which they were written: by what their headers say, else by their names. */
function orderSegments(storage: Storage, found: Directory, secret: Uint8Array, findings: string[]): Segment[] {
  const byIndex = new Map<number, Segment>();
  const add = (name: string, size: number, index: number, first: number, settled: readonly number[] | null): void => {
    byIndex.set(index, { name, index, first, size, settled, seed: recordSeed(secret, index), acknowledgedAt: null });
  };
  // Well named ones first: of two files with one header, the other is the copy.
  const wellNamed = (each: Directory["headers"][number]): boolean =>
    parseSegmentName(each.name)!.index === each.header.index;
  for (const each of found.headers.toSorted((a, b) => Number(wellNamed(b)) - Number(wellNamed(a)))) {
    const { name, size, header } = each, other = byIndex.get(header.index);
    if (other !== undefined) {
      setAside(storage, name, findings, `has the header of ${other.name}`);
      continue;
    }
    if (!wellNamed(each)) findings.push(`${name} is segment ${header.index} by its header, which counts`);
    add(name, size, header.index, header.first, header.settled);
  }
  for (const { name, size, index, first } of found.headless) {
    if (size === 0) {
      // A crash just after the file was made. Nothing was promised: a flush writes the header first.
      attempt(findings, () => storage.remove(name));
    } else if (byIndex.has(index)) {
      setAside(storage, name, findings, "has no header that holds, and its number is taken");
    } else add(name, size, index, first, null);
  }
  const segments = [...byIndex.values()].sort((a, b) => a.index - b.index);
  for (const { name, settled } of segments) {
    if (settled === null) findings.push(`${name}: its header is damaged; its records are looked for all the same`);
  }
  return segments;
}

function names(list: readonly string[]): string {
  const shown = list.slice(0, MAX_NAMES).map((name) => JSON.stringify(name.slice(0, 64))).join(", ");
  return list.length > MAX_NAMES ? `${shown} and ${list.length - MAX_NAMES} more` : shown;
}
