/**
 * What the last run left, and what is to be said of the time since: nobody looked, the host was booted, the source is
 * another.
 *
 * @module
 */

import { bootTag } from "../proto/identity.ts";
import type { Gap } from "../proto/process_event.ts";
import type { CollectorStatus } from "../proto/status.ts";
import { type KnownTable, readKnownTable } from "./known_table.ts";
import { gapSince, readStatus } from "./status_file.ts";

/** This run, at its start. */
export interface Present {
  /** Unix milliseconds. */
  readonly time: number;
  readonly bootId: string;
  readonly forksSinceBoot: number | null;
  /** The rung of the source ladder that was opened. */
  readonly source: string;
  /** Of the log that is there. */
  readonly epoch: string;
  /** Unix milliseconds of the last record in it, 0 when there is none. */
  readonly lastRecordTime: number;
}

export interface Recovered {
  /** In the order in which they go into the stream. */
  readonly gaps: readonly Gap[];
  /** The last run's table, `null` when it left none that can be used here. */
  readonly known: KnownTable | null;
  /** What an operator should hear of it. */
  readonly notices: readonly string[];
}

/** Reads what the last run left. Nothing of it is trusted, and nothing that is wrong with it keeps this run from working. */
export function recover(statusFile: string, knownFile: string, present: Present): Recovered {
  const notices: string[] = [];
  let known: KnownTable | null = null;
  try {
    known = readKnownTable(knownFile);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    notices.push(`the last known process table cannot be used, what happened unwatched is not told: ${why}`);
  }
  const previous = readStatus(statusFile);
  if (previous === null) return { gaps: gapsWithoutStatus(present), known, notices };
  // Nothing of another boot lives on. Its processes have all ended; a stop for each would say no more than their number.
  const isOfThisBoot = known?.bootTag === bootTag(present.bootId);
  const ended = known !== null && !isOfThisBoot && known.bootTag === bootTag(previous.bootId)
    ? known.processes.size
    : null;
  const gaps = [gapSince(previous, present, ended)];
  const change = sourceChange(previous, present);
  if (change !== null) gaps.push(change);
  return { gaps, known: isOfThisBoot ? known : null, notices };
}

/** There was a run, as the log says, but nothing says how it ended. */
function gapsWithoutStatus({ lastRecordTime, time }: Present): Gap[] {
  if (lastRecordTime === 0) return [];
  const reason = "the collector did not run; how it ended is not known, its status is gone";
  return [{
    source: "collector",
    recordKind: "all",
    from: Math.min(lastRecordTime, time),
    to: time,
    count: null,
    reason,
  }];
}

/**
 * The gap where another rung of the ladder took over: nothing was lost by it, but what is seen after it is more or less
 * than what was seen before.
 */
function sourceChange(previous: CollectorStatus, present: Present): Gap | null {
  const before = previous.sources.find(({ state }) => state === "active")?.name;
  if (before === undefined || before === present.source) return null;
  return {
    source: present.source,
    recordKind: "all",
    from: Math.min(previous.time, present.time),
    to: present.time,
    count: 0,
    reason: `the source changed from ${before} to ${present.source}`,
  };
}
