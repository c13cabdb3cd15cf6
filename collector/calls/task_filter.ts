/**
 * Which processes a task means, and how they stand in its result.
 *
 * A task was written by an agent that is not trusted: a pattern costs time in proportion to what it is held against, and a
 * result is cut where a frame would be too long, which it says.
 *
 * @module
 */
import { splitArgv } from "../../proto/argv.ts";
import { MAX_RESULT_PROCESSES, type ProcessFilter, type ProcessRecord } from "../../proto/task.ts";
import { HASH_ALGORITHM } from "../hasher/protocol.ts";
import type { KnownHash } from "../hash_memory.ts";
import type { TrackedProcess } from "../tracked_process.ts";

/** Bounds of a filter. */
export const MAX_NAMES = 1_000, MAX_PATTERN_LENGTH = 1_024, MAX_STARS = 16;
/** Bytes of the records of one result: a frame has room for them and what goes around. */
const MAX_RECORD_BYTES = 900_000;
/** Bytes of a record's numbers and tags, at most. */
const OVERHEAD_BYTES = 160;

/** Why a filter is refused, `null` when it is not. */
export function faultOfFilter({ processNames, pids, executablePattern }: ProcessFilter): string | null {
  if (processNames.length > MAX_NAMES || pids.length > MAX_NAMES) {
    return `A filter names at most ${MAX_NAMES} of a kind`;
  }
  if (executablePattern === null) return null;
  if (executablePattern.length > MAX_PATTERN_LENGTH || executablePattern.split("*").length - 1 > MAX_STARS) {
    return `A pattern has at most ${MAX_PATTERN_LENGTH} characters and ${MAX_STARS} stars`;
  }
  return null;
}

/** Says of a process whether it is meant. Empty lists leave nobody out. */
export function meaning(filter: ProcessFilter | null): (process: TrackedProcess) => boolean {
  if (filter === null) return () => true;
  const names = new Set(filter.processNames), pids = new Set(filter.pids);
  const parts = filter.executablePattern?.split("*") ?? null;
  return ({ pid, image }) =>
    (names.size === 0 || names.has(image.name)) && (pids.size === 0 || pids.has(pid)) &&
    (parts === null || (image.executablePath !== null && fits(parts, image.executablePath)));
}

/** Whether a text is these parts with anything between them. */
function fits(parts: readonly string[], text: string): boolean {
  const first = parts[0]!, last = parts.at(-1)!;
  if (parts.length === 1) return text === first;
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    at = text.indexOf(part, at);
    if (at < 0 || at + part.length > end) return false;
    at += part.length;
  }
  return true;
}

/** Records of these processes, as many as a result has room for; `total` is how many there were. */
export function recordsOf(
  processes: Iterable<TrackedProcess>,
  hashOf: (path: string) => KnownHash | null,
  now: number,
): { readonly records: ProcessRecord[]; readonly total: number } {
  const records: ProcessRecord[] = [];
  let total = 0, bytes = 0;
  for (const process of processes) {
    total++;
    if (records.length < total - 1) continue; // it was cut already
    const record = recordOf(process, hashOf, now), weight = weightOf(record);
    if (records.length >= MAX_RESULT_PROCESSES || bytes + weight > MAX_RECORD_BYTES) continue;
    bytes += weight;
    records.push(record);
  }
  return { records, total };
}

function recordOf(
  { pid, ppid, image, startMs, memoryUsage, userId, context }: TrackedProcess,
  hashOf: (path: string) => KnownHash | null,
  now: number,
): ProcessRecord {
  const path = image.executablePath, hash = path === null || image.onDiskMismatch === true ? null : hashOf(path);
  return {
    pid,
    ppid,
    name: image.name,
    executablePath: path,
    commandLine: image.argv === null ? [] : splitArgv(image.argv),
    startTime: startMs === null ? null : Math.max(0, Math.floor(startMs / 1_000)),
    cpuUsage: null,
    memoryUsage,
    executableHash: hash?.hash ?? null,
    hashAlgorithm: hash === null ? null : HASH_ALGORITHM,
    userId: userId === null ? null : String(userId),
    // What is left out where the collector may not look: the rest came from the kernel itself.
    accessible: context !== null || path !== null,
    fileExists: path !== null && image.onDiskMismatch !== true,
    collectionTime: now,
    fuzzyHash: hash?.fuzzyHash ?? null,
    onDiskMismatch: image.onDiskMismatch === true,
    fuzzyHashDegraded: hash !== null && hash.fuzzyHash === null,
  };
}

const encoder = new TextEncoder();

function weightOf({ name, executablePath, commandLine }: ProcessRecord): number {
  let bytes = OVERHEAD_BYTES + 256; // and its hashes
  for (const text of [name, executablePath ?? "", ...commandLine]) bytes += encoder.encode(text).length + 4;
  return bytes;
}
