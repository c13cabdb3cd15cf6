/**
 * The pieces that `export` reads: slices of time, or of row numbers, each read whole and its cursor closed.
 *
 * Events are read from the partitions that a slice touches and from no other, so that SQLite gives them in the order of
 * one index: over all partitions it would merge or sort them. A piece is small: its rows are gone before the memory for
 * young objects is full.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { type PartitionLayout, partitionRows, partitionTable } from "../proto/partition_layout.ts";
import type { Cell } from "./output.ts";
import type { Salvage } from "./salvage.ts";
import type { Store } from "./store_reader.ts";
import type { TimeRange } from "./units.ts";

/** Rows of a piece: about one megabyte of events. */
export const PIECE_ROWS = 2_000;

const EVENT_COLUMNS = tableNamed("process_events").columns.map(({ name }) => name).join(", ");

/** How the numbers that a slice is of lie. */
export interface Slicing {
  readonly from: number;
  /** The last one. */
  readonly end: number;
  readonly firstLength: number;
  readonly longest: number;
}

/**
 * Rows in slices of a number (of time, of a row), which `read` appends to each: all from `at` to before `to`, in its
 * order, or the first {@linkcode PIECE_ROWS} and one more. `crowded` gives the rows of one number that are more, and
 * `next` where after nothing for long there is something again, or what it was asked for when that cannot be read.
 */
function* slices(
  { from, end, firstLength, longest }: Slicing,
  salvage: Salvage | null,
  read: (at: number, to: number) => Cell[][],
  crowded: (at: number) => Iterable<Cell[][]>,
  next: (from: number) => number | null,
): Generator<Cell[][]> {
  let at = from, length = firstLength;
  while (at <= end) {
    const to = Math.min(end + 1, at + length);
    const rows = salvage === null ? read(at, to) : salvage.attempt(() => read(at, to));
    if (rows === null) {
      length = Math.max(1, Math.floor((to - at) / 4));
      if (to - at === 1) at = salvage!.skip(at, end + 1);
      continue;
    }
    if (rows.length > 0) salvage?.found();
    const numbers = rows.map((row) => Number(row.pop()));
    if (rows.length <= PIECE_ROWS) {
      yield rows;
      at = to;
      if (rows.length < PIECE_ROWS / 2) length = Math.min(longest, length * 2);
      // A clock that was wrong once may have put an event thousands of years from the others
      if (rows.length === 0 && length === longest && at <= end) at = Math.max(at, next(at) ?? end + 1);
      continue;
    }
    // Of the last number there may be more rows than were read: they come with the next piece
    const last = numbers.at(-1)!;
    if (last === at) {
      yield* crowded(at);
      at += 1;
      continue;
    }
    yield rows.slice(0, numbers.indexOf(last));
    length = Math.max(1, last - at);
    at = last;
  }
}

/** Events in the order of their times. @param columns columns, or what is computed of them */
export function* eventPieces(
  store: Store,
  columns: readonly string[],
  { from, until }: TimeRange,
  salvage: Salvage | null = null,
): Generator<Cell[][]> {
  const slicing = eventSlicing(store, { from, until }, salvage);
  if (slicing === null) return;
  yield* slices(
    slicing,
    salvage,
    (at, to) => store.atOneMoment(() => eventsWithin(store, columns, at, to)),
    (at) => millisecond(store, columns, at),
    (from) => salvage === null ? nextTime(store, from) : salvage.attempt(() => nextTime(store, from)) ?? from,
  );
}

/** The time of the first event that is not before a moment. */
export function nextTime(store: Store, from: number): number | null {
  const [row] = store.rows("SELECT time FROM process_events WHERE time >= ? ORDER BY time LIMIT 1", from);
  return row === undefined ? null : Number(row[0]);
}

/** How the times of the events lie that a time holds; `null` where there is none. */
export function eventSlicing(store: Store, { from, until }: TimeRange, salvage: Salvage | null): Slicing | null {
  const end = (order: string): number | null => {
    const [row] = store.rows(`SELECT time FROM process_events ORDER BY time ${order} LIMIT 1`);
    return row === undefined ? null : Number(row[0]);
  };
  const [known] = store.rows(
    `SELECT min(from_time), max(to_time) FROM main.partitions WHERE state <> 'removing'`,
  );
  // What the open partition holds, it does not say. Where that cannot be read, the others tell.
  const first = salvage === null ? end("ASC") : salvage.attempt(() => end("ASC")) ?? (known![0] as number | null);
  const last = salvage === null ? end("DESC") : salvage.attempt(() => end("DESC")) ?? (known![1] as number | null);
  if (first === null || last === null) return null;
  return {
    from: Math.max(first, from === null ? first : Math.ceil(from)),
    // Beyond, one more is no other number
    end: Math.min(last, until === null ? last : Math.floor(until), Number.MAX_SAFE_INTEGER),
    firstLength: 1_000,
    longest: 86_400_000,
  };
}

/**
 * What stands after FROM for the events of the times from `?1` to before `?2`: the partitions that hold any from `at` to
 * before `to`. `null` where none does.
 */
export function eventSource(store: Store, at: number, to: number): string | null {
  const parts = store.rows(
    `SELECT partition, layout, from_time IS NULL OR to_time IS NULL FROM main.partitions
     WHERE state <> 'removing' AND coalesce(from_time < ?, 1) AND coalesce(to_time >= ?, 1) ORDER BY partition`,
    to,
    at,
  ).filter(([number, , isOpen]) => {
    const sql = `SELECT 1 FROM ${partitionTable(Number(number))} WHERE time >= ? AND time < ? LIMIT 1`;
    return isOpen === 0 || store.first(sql, at, to) !== null;
  });
  if (parts.length === 0) return null;
  const sources = parts.map(([number, layout]) =>
    partitionRows(Number(number), layout as PartitionLayout, "e.time >= ?1 AND e.time < ?2")
  );
  return sources.length === 1
    ? sources[0]!
    : `(${sources.map((each) => `SELECT ${EVENT_COLUMNS} FROM ${each}`).join(" UNION ALL ")})`;
}

/** Events of a time, oldest first, their time once more at the end. */
export function eventsWithin(store: Store, columns: readonly string[], at: number, to: number): Cell[][] {
  const source = eventSource(store, at, to);
  if (source === null) return [];
  return store.rows(
    `SELECT ${columns.join(", ")}, time FROM ${source} ORDER BY time, event_id LIMIT ?3`,
    at,
    to,
    PIECE_ROWS + 1,
  );
}

/** More events of one millisecond than a piece holds: by their numbers. */
export function* millisecond(store: Store, columns: readonly string[], time: number): Generator<Cell[][]> {
  const sql = `SELECT ${columns.join(", ")}, event_id FROM process_events
    WHERE time = ? AND event_id > ? ORDER BY event_id LIMIT ?`;
  let after: Cell = Number.MIN_SAFE_INTEGER;
  for (;;) {
    const rows: Cell[][] = store.rows(sql, time, after as number | bigint, PIECE_ROWS);
    for (const row of rows) after = row.pop()!;
    yield rows;
    if (rows.length < PIECE_ROWS) return;
  }
}

/** Rows of a table past what is damaged, in the order of their row numbers: no index is needed for that. */
export function rowPieces(
  store: Store,
  table: string,
  columns: readonly string[],
  condition: { readonly sql: string; readonly parameters: readonly number[] },
  salvage: Salvage,
): Generator<Cell[][]> {
  const sql = `SELECT ${columns.join(", ")}, rowid FROM main."${table}"
    WHERE rowid >= ? AND rowid < ? AND ${condition.sql} ORDER BY rowid LIMIT ?`;
  // Where the last row is, a damaged table need not tell; what is empty goes fast
  return slices(
    { from: 0, end: Number.MAX_SAFE_INTEGER - 1, firstLength: 1_000, longest: Number.MAX_SAFE_INTEGER },
    salvage,
    (at, to) => store.rows(sql, at, to, ...condition.parameters, PIECE_ROWS + 1),
    () => [],
    (from) => from,
  );
}
