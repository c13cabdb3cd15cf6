/**
 * What the agent reads of its own store when it starts: recent events, alerts, gaps and sources.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import { partitionTable } from "../../proto/partition_layout.ts";
import type { Partition } from "./partitions.ts";

const MAX_GAPS = 64;

/** Time of the newest event that is not later than `most`; `null` when there is none. One look at an index for each. */
export function newestTime(db: DatabaseSync, partitions: readonly Partition[], most: number): number | null {
  let newest: number | null = null;
  for (const { number } of partitions) {
    const row = db.prepare(
      `SELECT time FROM ${partitionTable(number)} WHERE time <= ? ORDER BY time DESC LIMIT 1`,
    ).get(most);
    if (row !== undefined) newest = Math.max(newest ?? -Infinity, row["time"] as number);
  }
  return newest;
}

/** Columns of events later than `after` and not later than `until`, newest first. */
export function* eventsBetween(
  db: DatabaseSync,
  columns: readonly string[],
  after: number,
  until: number,
): Generator<readonly SqlValue[]> {
  const statement = db.prepare(
    `SELECT ${columns.join(", ")} FROM process_events WHERE time > ? AND time <= ? ORDER BY time DESC, event_id DESC`,
  );
  statement.setReturnArrays(true);
  yield* statement.iterate(after, until) as Iterable<unknown> as Iterable<SqlValue[]>;
}

/** A finding of a rule over a window that was raised. */
export interface RaisedFinding {
  readonly ruleId: string;
  readonly finding: string;
  readonly time: number;
}

/** Findings raised for events later than `after`, newest first. Others than those of windows are no keys of any. */
export function findingsSince(db: DatabaseSync, after: number, limit: number): RaisedFinding[] {
  const rows = db.prepare(
    "SELECT rule_id, alert_id, time FROM alerts WHERE time > ? ORDER BY time DESC, alert_id LIMIT ?",
  ).iterate(after, limit);
  return [...rows].flatMap((row) => {
    const id = (row["alert_id"] as string).slice((row["rule_id"] as string).length + 1), end = id.lastIndexOf(":");
    if (!/^[0-9a-f]{24}:/.test(id) || end !== 24) return [];
    return [{ ruleId: row["rule_id"] as string, finding: id.slice(0, end), time: row["time"] as number }];
  });
}

/** The newest gaps that end after a time, oldest first. */
export function gapsSince(db: DatabaseSync, after: number): Gap[] {
  const rows = db.prepare("SELECT * FROM gaps WHERE to_time > ? ORDER BY to_time DESC LIMIT ?").iterate(
    after,
    MAX_GAPS,
  );
  return [...rows].reverse().map((row) => ({
    source: row["source"] as Gap["source"],
    recordKind: row["record_kind"] as Gap["recordKind"],
    from: row["from_time"] as number,
    to: row["to_time"] as number,
    count: row["count"] as number | null,
    reason: row["reason"] as string,
  }));
}

/** Sources as they were reported last, by collector. */
export function sourcesKnown(db: DatabaseSync): Map<string, SourceStatus[]> {
  const known = new Map<string, SourceStatus[]>();
  for (const row of db.prepare("SELECT * FROM sources").iterate()) {
    const collectorId = row["collector_id"] as string;
    const source: SourceStatus = {
      name: row["name"] as string,
      state: row["state"] as string,
      detail: row["detail"] as string,
      misses: list(row["misses"]),
      unknownColumns: list(row["unknown_columns"]),
    };
    known.set(collectorId, [...known.get(collectorId) ?? [], source]);
  }
  return known;
}

function list(text: unknown): string[] {
  return text === null ? [] : JSON.parse(text as string);
}

/** Newest processes among which a user's name is looked for. */
const LOOKED_AT = 2_000;

/** The name of a user as the newest processes have it. */
export function userNameOf(db: DatabaseSync, userId: number): string | null {
  const row = db.prepare(
    `SELECT user_name FROM (SELECT user_id, user_name FROM processes ORDER BY rowid DESC LIMIT ${LOOKED_AT})
      WHERE user_id = ? AND user_name IS NOT NULL LIMIT 1`,
  ).get(userId);
  return (row?.["user_name"] as string | undefined) ?? null;
}
