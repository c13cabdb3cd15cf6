/**
 * Whether an answer can be whole: what was not seen in the time that it speaks of.
 *
 * An empty answer means "nothing happened" only if somebody looked. Every command that reads events therefore asks here,
 * says what it learns on stderr, and exits with 3 when the answer is degraded.
 *
 * @module
 */
import type { Call } from "./command.ts";
import type { Statuses, StatusReading } from "./status_reader.ts";
import type { Cell } from "./output.ts";
import type { Store } from "./store_reader.ts";
import type { TierStatus } from "../proto/status.ts";
import { counted, localTime, span, type TimeRange } from "./units.ts";

/** What is asked of a store here; a report may ask something else that has its tables. */
type Rows = Pick<Store, "rows">;

export interface GapSummary {
  readonly gaps: number;
  readonly from: number;
  readonly to: number;
  /** Records known to be lost. */
  readonly lost: number;
  /** Gaps whose loss cannot be counted. */
  readonly uncounted: number;
}

/** The condition on `gaps` that one touches a time. */
export const touching = {
  sql: "to_time >= ? AND from_time <= ?",
  parameters: ({ from, until }: TimeRange): [number, number] => [
    from ?? Number.MIN_SAFE_INTEGER,
    until ?? Number.MAX_SAFE_INTEGER,
  ],
} as const;

const SUMS = "coalesce(sum(count), 0), coalesce(sum(count IS NULL), 0)";

/** The gaps that touch a time; `null` when there are none. */
export function gapsWithin(store: Rows, range: TimeRange): GapSummary | null {
  const [row] = store.rows(
    `SELECT count(*), min(from_time), max(to_time), ${SUMS} FROM gaps WHERE ${touching.sql}`,
    ...touching.parameters(range),
  );
  const [gaps, from, to, lost, uncounted] = row!.map(Number) as [number, number, number, number, number];
  return gaps === 0 ? null : { gaps, from, to, lost, uncounted };
}

/** Gaps of one source for one reason. */
export interface GapReason {
  readonly source: string;
  readonly reason: string;
  readonly gaps: number;
  readonly lost: number;
  readonly uncounted: number;
}

/** The gaps that touch a time by source and reason, the most frequent first. Reasons are a peer's: only some come. */
export function gapReasons(store: Rows, range: TimeRange, limit: number): GapReason[] {
  const rows = store.rows(
    `SELECT source, reason, count(*) AS n, ${SUMS} FROM gaps WHERE ${touching.sql}
     GROUP BY source, reason ORDER BY n DESC, source, reason LIMIT ?`,
    ...touching.parameters(range),
    limit,
  );
  return rows.map(([source, reason, gaps, lost, uncounted]) => ({
    source: String(source ?? ""),
    reason: String(reason ?? ""),
    gaps: Number(gaps),
    lost: Number(lost),
    uncounted: Number(uncounted),
  }));
}

/** What gaps cost, as far as it is known: nothing when they lost nothing. */
export function lossWords({ lost, uncounted }: Pick<GapSummary, "lost" | "uncounted">): string {
  const known = lost > 0 ? `${counted(lost, "record")} lost` : "";
  const unknown = uncounted > 0 ? `${counted(uncounted, "loss", "losses")} that cannot be counted` : "";
  return [known, unknown].filter((part) => part !== "").join(", ");
}

/** One sentence about gaps. */
export function gapWords(summary: GapSummary): string {
  const what = lossWords(summary);
  const where = summary.gaps === 1
    ? `from ${localTime(summary.from)} to ${localTime(summary.to)} (${span(summary.to - summary.from)})`
    : `between ${localTime(summary.from)} and ${localTime(summary.to)}`;
  return `${counted(summary.gaps, "gap")} ${where}${what === "" ? "" : `: ${what}`}`;
}

/**
 * Why nothing newer than a moment can be in the store, `null` while the whole chain works. Both daemons must say so: an
 * agent without a collector stores nothing, and a collector without an agent tells nobody.
 */
export function blindness(statuses: Statuses): string | null {
  const { agent, collector } = statuses;
  const down = deaf("agent", agent) ?? deaf("collector", collector);
  if (down !== null) return down;
  if (agent.kind === "read" && agent.status.collectors.length === 0) return "no collector is connected to the agent";
  return null;
}

function deaf(tier: string, reading: StatusReading<TierStatus>): string | null {
  if (reading.kind === "absent") return `the ${tier} does not run here`;
  if (reading.kind === "unreadable") return `the status of the ${tier} cannot be read`;
  if (reading.live) return null;
  return reading.status.state === "stopped" ? `the ${tier} is stopped` : `the ${tier} does not run or does not answer`;
}

/** What retention took of the events of a time. */
export interface RemovedSummary {
  /** Events; 0 while those that nobody had counted are still being removed. */
  readonly events: number;
  readonly from: number | null;
  readonly to: number | null;
  /** Whether some went for the size of the store, before the time that they should be kept. */
  readonly forSize: boolean;
}

/** What retention took of the events of a time; `null` for nothing. Days are summed up, so it may be more than that. */
export function removedWithin(store: Rows, { from, until }: TimeRange): RemovedSummary | null {
  const [row] = store.rows(
    `SELECT count(*), sum(count), min(from_time), max(to_time), max(reason = 'size') FROM retention
     WHERE table_name = 'process_events' AND coalesce(to_time, time) >= ? AND coalesce(from_time, 0) <= ?`,
    ...touching.parameters({ from, until }),
  );
  const [rows, events, first, last, forSize] = row!;
  if (Number(rows) === 0) return null;
  const time = (cell: Cell | undefined): number | null => cell === null || cell === undefined ? null : Number(cell);
  return { events: Number(events), from: time(first), to: time(last), forSize: Number(forSize) === 1 };
}

/** One sentence about what retention took. */
export function removedWords({ events, from, to, forSize }: RemovedSummary): string {
  const what = events === 0 ? "events" : counted(events, "event");
  const when = from === null || to === null ? "" : ` from ${localTime(from)} to ${localTime(to)}`;
  return `${what}${when} were removed ${
    forSize ? "to keep the store within agent.store_max_bytes" : "when agent.retention_hours had passed"
  }`;
}

/**
 * Says on stderr that events of the time were removed. The answer is only then not what was asked for when a time was
 * given that reaches back so far: who gives none asks for what there is.
 */
function tellRemoved(call: Call, store: Store, range: TimeRange): boolean {
  const removed = removedWithin(store, range);
  if (removed !== null) call.note(`Not everything is kept: ${removedWords(removed)}`);
  return removed !== null && range.from !== null;
}

/** Says on stderr what the answer lacks. Returns whether it lacks anything. */
export function tellCoverage(call: Call, store: Store, statuses: Statuses, range: TimeRange): boolean {
  const isRemoved = tellRemoved(call, store, range);
  const gaps = gapsWithin(store, range);
  if (gaps !== null) call.note(`Not everything was seen: ${gapWords(gaps)} (gaps lists them)`);
  const isBlind = tellBlindness(call, store, statuses, range), isShort = tellLost(call, store, statuses);
  return gaps !== null || isBlind || isRemoved || isShort;
}

/**
 * Says on stderr that the store lacks what it had, by the word of who stored it and of who was told so: SQLite takes a log
 * that is cut or damaged for one that ends there, and says nothing. Returns whether it does. The statuses must be older
 * than what the store shows.
 */
function tellLost(call: Call, store: Store, { agent, collector }: Statuses): boolean {
  // A bundle has what was asked for
  if (store.isHeld) return false;
  const said = agent.kind === "read" ? agent.status.collectors.map((each) => ({ ...each, to: each.lastSequence })) : [];
  const told = collector.kind === "read" ? [{ ...collector.status, to: collector.status.acknowledgedSequence }] : [];
  for (const { collectorId, epoch, to } of [...said, ...told]) {
    const [row] = store.rows(
      "SELECT last_sequence FROM collectors WHERE collector_id = ? AND epoch = ?",
      collectorId,
      epoch,
    );
    const has = Number(row?.[0] ?? 0);
    if (has >= to) continue;
    const what = counted(to - has, "record");
    call.note(`The store lacks ${what} of ${collectorId} that it had: its log is damaged or not whole, or it is older`);
    return true;
  }
  return false;
}

/** Says on stderr since when nobody looks, where the time reaches so far. Returns whether it does. */
export function tellBlindness(call: Call, store: Store, statuses: Statuses, range: TimeRange): boolean {
  const blind = blindness(statuses);
  const last = blind === null ? null : lastKnown(store);
  const past = range.until !== null && last !== null && range.until <= last;
  if (blind !== null && !past) {
    call.note(`Nothing is known ${last === null ? "yet" : `after ${localTime(last)}`}: ${blind} (health says more)`);
  }
  return blind !== null && !past;
}

/** Time of the newest thing in the store. */
function lastKnown(store: Store): number | null {
  const [row] = store.rows(
    `SELECT max(coalesce((SELECT time FROM process_events ORDER BY time DESC LIMIT 1), 0),
       (SELECT coalesce(max(time), 0) FROM scan_metadata))`,
  );
  const last = Number(row![0]);
  return last === 0 ? null : last;
}
