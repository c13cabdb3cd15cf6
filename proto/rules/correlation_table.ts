/**
 * The events of one correlation, in memory, put apart by group, and what it finds in those that came.
 *
 * Only groups with new events are looked at, and of a group only the events whose window a new one is in. So a verdict does
 * not depend on how events were cut into batches, nor on the order in which they came. A group for which a finding was
 * raised is not looked at until the next may be raised.
 *
 * An absence is told when its time has passed, of the events' time or, on a quiet host, of the clock: whoever evaluates says
 * which time has been reached.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { AbsenceQueue } from "./absence_queue.ts";
import { evidenceOf } from "./correlation_evidence.ts";
import { groupsOf, keyFor, keyOfValues } from "./correlation_groups.ts";
import { byTime, type Course, courseOf, type Hit, HitFinder, indexFrom } from "./correlation_hits.ts";
import { GROUP_PLACE, type Plan, planOf, type Row } from "./correlation_plan.ts";
import { QueryDeadlineError } from "./deadline_views.ts";
import type { Form } from "./predicate.ts";
import type { ValidatedRule } from "./rule.ts";
import { type Evaluated, type Found, MAX_FOUND, type WatchTable } from "./watch_table.ts";
import { keyOf } from "./window_evaluation.ts";

/** What a row takes beside its texts, in a large group, measured; and what a cell does. */
const ROW_BYTES = 300, CELL_BYTES = 8;
/** Groups of so many events keep what is known of them. */
const COURSE_ROWS = 12;

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, EVENT_ID = PLACES.get("event_id")!, EXEC_ID = PLACES.get("exec_id")!;

export class CorrelationTable implements WatchTable {
  readonly bases: readonly Form[];
  readonly suppressible: number;
  readonly columns: ReadonlySet<string>;
  readonly keepMs: number;
  readonly takesLate = false;
  readonly judgesAgain = false;
  /** Whether an event had more names of files than are taken, since this was last set back. */
  isCut = false;
  readonly #plan: Plan;
  readonly #windowMs: number;
  readonly #groups = new Map<string, Row[]>();
  #rows = 0;
  #bytes = 0;
  /** No row is older. */
  #oldest = Infinity;
  /** Rows that came since the last evaluation, by group. */
  readonly #fresh = new Map<string, Row[]>();
  /** What came since the last {@linkcode keep}. */
  #added: { readonly key: string; readonly row: Row }[] = [];
  /** What an `absence` waits for; `null` for another correlation. */
  readonly #absences: AbsenceQueue | null;
  /** What is known of large groups whose events came in order, by group. */
  readonly #courses = new Map<string, Course>();
  /** The names of findings that were raised, by group. */
  readonly #names = new Map<string, string>();
  /** No row is earlier, nor will be from the next {@linkcode keep} on. */
  #floor = -Infinity;
  #leaving = -Infinity;

  constructor(rule: ValidatedRule) {
    this.#plan = planOf(rule.correlation!);
    this.#windowMs = rule.windowMs!;
    this.bases = this.#plan.forms;
    this.suppressible = this.#plan.suppressible;
    this.columns = this.#plan.columns;
    this.keepMs = this.#plan.keepMs;
    const { kind, windowMs } = this.#plan.top.correlation;
    this.#absences = kind === "absence" ? new AbsenceQueue(windowMs) : null;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): number {
    return this.#oldest;
  }

  get isEnough(): boolean {
    return this.#rows >= this.#plan.least;
  }

  get due(): number {
    return this.#absences?.due ?? Infinity;
  }

  begin(): void {}

  insert(cells: readonly SqlValue[], arrival: number, leaves: number): void {
    if (cells[TIME] as number <= this.#floor) return;
    for (const partitioning of this.#plan.partitionings) {
      const met = leaves & partitioning.leaves;
      if (met === 0) continue;
      if (partitioning.places === null) {
        const { groups, isCut } = groupsOf(cells, partitioning);
        this.isCut ||= isCut;
        for (const values of groups) {
          const key = keyOfValues(values);
          if (key !== null) this.#take(key, cells, values, arrival, met);
        }
        continue;
      }
      const { places } = partitioning, key = keyFor(cells, places);
      const values = this.#plan.hasFiles ? places.map((place) => cells[place]!) : [];
      if (key !== null) this.#take(key, cells, values, arrival, met);
    }
  }

  /** An event of one group, whose values these are where the plan keeps them. */
  #take(
    key: string,
    cells: readonly SqlValue[],
    values: readonly SqlValue[],
    arrival: number,
    leaves: number,
  ): void {
    const row: Row = {
      time: cells[TIME] as number,
      id: cells[EVENT_ID] as number,
      arrival,
      leaves,
      execId: cells[EXEC_ID] as string | null,
      cells: this.#plan.kept.map((place) => place < GROUP_PLACE ? cells[place]! : values[place - GROUP_PLACE]!),
    };
    if (!this.#put(key, row) || arrival <= 0) return;
    this.#added.push({ key, row });
    const fresh = this.#fresh.get(key);
    if (fresh === undefined) this.#fresh.set(key, [row]);
    else fresh.push(row);
  }

  /** Says no to one that is there. */
  #put(key: string, row: Row): boolean {
    let rows = this.#groups.get(key);
    if (rows === undefined) this.#groups.set(key, rows = []);
    const at = placeOf(rows, row);
    if (at > 0 && byTime(rows[at - 1]!, row) === 0) {
      // One partition may take an event twice, for leaves that name their group by other columns
      const there = rows[at - 1]!;
      if ((there.leaves | row.leaves) === there.leaves) return false;
      rows[at - 1] = { ...there, leaves: there.leaves | row.leaves };
      this.#courses.delete(key);
      if (row.arrival > 0) this.#replaceFresh(key, there, rows[at - 1]!);
      return false;
    }
    if (at < rows.length) this.#courses.delete(key);
    rows.splice(at, 0, row);
    this.#rows += 1;
    if (row.time < this.#oldest) this.#oldest = row.time;
    this.#bytes += bytesOf(row);
    if (row.leaves & 1) this.#absences?.put(key, row.time, row.arrival <= 0);
    return true;
  }

  #replaceFresh(key: string, there: Row, row: Row): void {
    const fresh = this.#fresh.get(key), at = fresh?.indexOf(there) ?? -1;
    if (at >= 0) fresh![at] = row;
    const added = this.#added.findLastIndex((each) => each.row === there);
    if (added >= 0) this.#added[added] = { key, row };
  }

  /** What a batch that is undone needs again goes when it is kept. */
  evict(until: number): void {
    this.#leaving = Math.max(this.#leaving, until);
  }

  shrink(): number | null {
    const until = this.#tenth();
    this.#courses.clear(); // they would go on knowing what is given up
    if (until !== null) this.#evict(until);
    return until;
  }

  #evict(until: number): void {
    this.#floor = Math.max(this.#floor, until);
    this.#oldest = Infinity;
    for (const [key, rows] of this.#groups) {
      if (rows[0]!.time <= until) this.#drop(key, rows, 0, indexFrom(rows, until + 1));
      if (rows.length > 0 && rows[0]!.time < this.#oldest) this.#oldest = rows[0]!.time;
    }
    this.#absences?.evict(until);
  }

  evictAfter(from: number): void {
    for (const [key, rows] of this.#groups) this.#drop(key, rows, indexFrom(rows, from + 1), rows.length);
    this.#absences?.evictAfter(from);
    this.#floor = this.#leaving = -Infinity;
  }

  #drop(key: string, rows: Row[], begin: number, end: number): void {
    if (begin === end) return;
    const course = this.#courses.get(key);
    // What leaves at the front has left its window before
    if (begin === 0 && course !== undefined && course.length >= end) course.length -= end;
    else this.#courses.delete(key);
    for (let i = begin; i < end; i++) this.#bytes -= bytesOf(rows[i]!);
    this.#rows -= end - begin;
    rows.splice(begin, end - begin);
    if (rows.length > 0) return;
    this.#groups.delete(key);
    this.#courses.delete(key);
    this.#names.delete(key);
  }

  /** Time up to which the rows are some tenth; `null` when there are none. */
  #tenth(): number | null {
    const times = [...this.#groups.values()].flatMap((rows) => rows.map(({ time }) => time)).sort((a, b) => a - b);
    return times[Math.floor(times.length / 10)] ?? null;
  }

  evaluate(deadlineMs: number, asOf: number, raisedFor: (key: string) => number | undefined): Evaluated {
    const began = performance.now(), found: Found[] = [];
    let suppressed = 0, fault: Evaluated["fault"] = null;
    const finder = new HitFinder(() => {
      if (performance.now() - began > deadlineMs) throw new QueryDeadlineError(deadlineMs);
    });
    const raised = new Map<string, number>();
    const raise = (partition: string, hit: Hit, completing: Row): void => {
      const key = keyOf(hit.group), before = raised.get(key) ?? raisedFor(key);
      if (before !== undefined && completing.time < before + this.#windowMs) suppressed += 1;
      else if (found.length === MAX_FOUND) {
        fault = { reason: `only the first ${MAX_FOUND} findings were taken`, timedOut: false };
      } else {
        raised.set(key, completing.time);
        if (this.#plan.isByGroup) this.#names.set(partition, key);
        found.push(this.#found(key, hit, completing));
      }
    };
    try {
      if (this.#absences !== null) this.#absent(finder, this.#absences.take(asOf), raise);
      else {
        for (const [key, fresh] of this.#fresh) {
          const rows = this.#groups.get(key), name = this.#names.get(key);
          if (rows === undefined || rows.length < this.#plan.least) continue;
          if (name !== undefined && raisedFor(name)! > asOf - this.#windowMs) continue;
          let from = Infinity;
          for (const { time } of fresh) if (time < from) from = time;
          for (const hit of this.#hits(finder, key, rows, fresh, from)) {
            const completing = this.#completing(hit, fresh);
            if (completing !== null) raise(key, hit, completing);
          }
        }
      }
    } catch (error) {
      if (!(error instanceof QueryDeadlineError)) throw error;
      fault = { reason: `stopped after ${deadlineMs} ms`, timedOut: true };
    }
    this.#fresh.clear();
    return { found, suppressed, fault, ms: performance.now() - began };
  }

  #hits(finder: HitFinder, key: string, rows: readonly Row[], fresh: readonly Row[], from: number): Hit[] {
    const { top, isByGroup } = this.#plan;
    if (rows.length < COURSE_ROWS || !isByGroup) return finder.hits(top, rows, from, isByGroup);
    const before = rows.length - fresh.length;
    let course = this.#courses.get(key), begin = before;
    if (course === undefined || course.length !== before || !(rows[before]!.time > course.lastTime)) {
      const anew = courseOf(top);
      if (anew === null) return finder.hits(top, rows, from, isByGroup);
      this.#courses.set(key, course = anew);
      course.length = begin = indexFrom(rows, from - top.correlation.windowMs + 1);
    }
    try {
      return course.advance(rows.slice(begin), from, finder.look);
    } catch (error) {
      this.#courses.delete(key);
      throw error;
    }
  }

  /** The event that completed a hit: itself when it is new, else the new one before it that came last; `null` without any. */
  #completing({ row }: Hit, fresh: readonly Row[]): Row | null {
    // Of one group all that came since the first new one is new
    if (row.arrival >= fresh[0]!.arrival) return row;
    return fresh.findLast(({ time }) => time <= row.time && time > row.time - this.#plan.spanMs) ?? null;
  }

  /** The events whose time has passed without one that should have followed. */
  #absent(
    finder: HitFinder,
    due: ReadonlyMap<string, readonly number[]>,
    raise: (key: string, hit: Hit, row: Row) => void,
  ): void {
    const { top, isByGroup } = this.#plan, { windowMs } = top.correlation;
    const hits: { key: string; hit: Hit }[] = [];
    for (const [key, times] of due) {
      for (
        const { values, entries } of finder.groups(top, this.#groups.get(key) ?? [], Math.min(...times), isByGroup)
      ) {
        entries.forEach(({ row, bases }, at) => {
          if ((bases & 1) === 0 || !times.includes(row.time)) return;
          for (let next = at + 1; next < entries.length && entries[next]!.row.time <= row.time + windowMs; next++) {
            if ((entries[next]!.bases & ~1) !== 0) return;
          }
          hits.push({ key, hit: { row, group: values, measure: null, causes: () => [row] } });
        });
      }
    }
    hits.sort((a, b) => byTime(a.hit.row, b.hit.row));
    for (const { key, hit } of hits) raise(key, hit, hit.row);
  }

  #found(key: string, hit: Hit, completing: Row): Found {
    const { row } = hit, { correlation } = this.#plan.top, isAbsence = this.#absences !== null;
    let cells: SqlValue[] | null = null;
    if (isAbsence) {
      cells = Array(PLACES.size).fill(null);
      this.#plan.kept.forEach((place, i) => cells![place] = row.cells[i]!);
      cells[TIME] = row.time;
      cells[EVENT_ID] = row.id;
    }
    return {
      key,
      arrival: isAbsence ? null : completing.arrival,
      cells,
      evidence: () => evidenceOf(correlation, hit),
    };
  }

  settle(): void {
    this.#fresh.clear();
  }

  keep(): void {
    this.#added = [];
    this.#absences?.keep();
    if (this.#leaving > this.#floor) this.#evict(this.#leaving);
  }

  undo(): void {
    this.#absences?.undo();
    for (const { key, row } of this.#added) {
      const rows = this.#groups.get(key), at = rows?.indexOf(row) ?? -1;
      if (at >= 0) this.#drop(key, rows!, at, at + 1);
      if (row.leaves & 1) this.#absences?.remove(key, row.time);
    }
    this.#added = [];
    this.#leaving = this.#floor;
    this.#fresh.clear();
  }

  clear(newest: number): void {
    this.#absences?.clear(newest);
    this.#groups.clear();
    this.#courses.clear();
    this.#names.clear();
    this.#rows = this.#bytes = 0;
    this.#oldest = Infinity;
    this.#fresh.clear();
    this.#added = [];
    this.#floor = this.#leaving = -Infinity;
  }
}

/** Where a row goes: behind those that are not later. Mostly the end, and when windows are read back the begin. */
function placeOf(rows: readonly Row[], row: Row): number {
  if (rows.length === 0 || byTime(rows.at(-1)!, row) <= 0) return rows.length;
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byTime(rows[middle]!, row) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function bytesOf({ cells, execId }: Row): number {
  let bytes = ROW_BYTES + cells.length * CELL_BYTES + (execId?.length ?? 0);
  for (const cell of cells) if (typeof cell === "string") bytes += cell.length;
  return bytes;
}
