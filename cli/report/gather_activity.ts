/**
 * How much happened when, by whom, and what ran for the first time.
 *
 * Every event of the time is counted, by SQL, in slices of time that hold so many events that neither the store's memory
 * nor its deadline is in danger; nothing is sampled. What has no bound of its own, such as the number of different
 * programs, has one here, and what goes beyond it is counted and told.
 *
 * @module
 */
import { count } from "../units.ts";
import type {
  ActivityFacts,
  NewProgram,
  NewProgramFacts,
  Progress,
  Reader,
  ReportRange,
  Talker,
  Talkers,
} from "./data.ts";
import { HOUR_MS } from "./bar_width.ts";
import { shortened } from "./stored_text.ts";

const DAY_MS = 24 * HOUR_MS;
/** Events of one slice. */
const SLICE_EVENTS = 200_000;
/** Different programs, users and parents that are told apart. */
const MAX_DISTINCT = 100_000;
/** Those that are listed. */
const MAX_TOP = 15;
const MAX_NEW = 200;
/** Time after its first start in which the hash of a program comes. */
const HASH_MS = 60_000;
/** Longest path or command that is listed whole. */
const MAX_SHOWN = 500;

interface Seen {
  events: number;
  starts: number;
  /** Its first start. */
  first: number | null;
}

export interface Activity {
  readonly activity: ActivityFacts;
  readonly programs: NewProgramFacts;
}

export function gatherActivity(reader: Reader, range: ReportRange, progress: Progress): Activity {
  const [ends] = reader.rows(
    `SELECT (SELECT time FROM process_events ORDER BY time LIMIT 1),
       (SELECT time FROM process_events ORDER BY time DESC LIMIT 1)`,
  );
  const oldest = ends![0] === null ? null : Number(ends![0]), newest = ends![1] === null ? null : Number(ends![1]);
  const counts = new Counts();
  if (oldest !== null && newest !== null) {
    const from = Math.max(range.from, oldest), until = Math.min(range.until, newest);
    const hours = countHours(reader, { from, until }, counts, progress);
    let done = 0;
    for (const slice of slicesOf(hours, { from, until })) {
      countSlice(reader, slice, counts);
      done += slice.events;
      progress(`counted ${count(done)} of ${count(counts.events)} events`);
    }
  }
  return {
    activity: {
      events: counts.events,
      starts: counts.starts,
      stops: counts.stops,
      others: counts.events - counts.starts - counts.stops,
      hours: counts.hours,
      programs: counts.programs.talkers(),
      users: counts.users.talkers(),
      parents: counts.parents.talkers(),
    },
    programs: newPrograms(reader, range, oldest, counts.programs, progress),
  };
}

class Counts {
  events = 0;
  starts = 0;
  stops = 0;
  readonly hours = new Map<number, number>();
  readonly programs = new Tally();
  readonly users = new Tally();
  readonly parents = new Tally();
}

/** Counts by name, of so many names as there is room for. */
class Tally {
  readonly seen = new Map<string, Seen>();
  untold = 0;

  add(name: string, events: number, starts: number, first: number | null): void {
    const known = this.seen.get(name);
    if (known === undefined) {
      if (this.seen.size === MAX_DISTINCT) this.untold += events;
      else this.seen.set(name, { events, starts, first });
      return;
    }
    known.events += events;
    known.starts += starts;
    if (first !== null) known.first = Math.min(known.first ?? first, first);
  }

  talkers(): Talkers {
    const top = [...this.seen].sort(([a, x], [b, y]) => y.events - x.events || (a < b ? -1 : 1)).slice(0, MAX_TOP);
    return {
      top: top.map(([name, { events, starts }]): Talker => ({ name: shortened(name, MAX_SHOWN), events, starts })),
      distinct: this.seen.size,
      untold: this.untold,
    };
  }
}

/**
 * Counts events by hour and kind; how many each hour has. An hour is a question of its own that only adds up: one that
 * groups would sort all events of its time in memory.
 */
function countHours(
  reader: Reader,
  { from, until }: ReportRange,
  counts: Counts,
  progress: Progress,
): Map<number, number> {
  for (let hour = Math.floor(from / HOUR_MS); hour * HOUR_MS <= until; hour++) {
    const [row] = reader.rows(
      `SELECT count(*), sum(event_type = 'start'), sum(event_type = 'stop') FROM process_events
       WHERE time >= ? AND time < ? AND time <= ?`,
      Math.max(from, hour * HOUR_MS),
      (hour + 1) * HOUR_MS,
      until,
    );
    const [events, starts, stops] = row!.map(Number) as [number, number, number];
    if (events > 0) {
      counts.events += events;
      counts.starts += starts;
      counts.stops += stops;
      counts.hours.set(hour, events);
      progress(`found ${count(counts.events)} events`);
      continue;
    }
    // Over a time without events at once
    const [next] = reader.rows(
      "SELECT time FROM process_events WHERE time >= ? ORDER BY time LIMIT 1",
      (hour + 1) * HOUR_MS,
    );
    if (next === undefined) break;
    hour = Math.floor(Number(next[0]) / HOUR_MS) - 1;
  }
  return counts.hours;
}

interface Slice {
  readonly from: number;
  /** Not in it. */
  readonly to: number;
  readonly events: number;
}

/** Hours put together, or cut, so that each slice has about as many events as it may. */
function* slicesOf(hours: ReadonlyMap<number, number>, { from, until }: ReportRange): Generator<Slice> {
  let begin: number | null = null, events = 0, end = 0;
  const whole = (): Slice[] =>
    begin === null ? [] : [{ from: Math.max(from, begin), to: Math.min(until + 1, end), events }];
  for (const [hour, here] of [...hours].sort(([a], [b]) => a - b)) {
    if (begin !== null && events + here > SLICE_EVENTS) {
      yield* whole();
      begin = null;
    }
    if (here > SLICE_EVENTS) {
      const parts = Math.ceil(here / SLICE_EVENTS), step = Math.max(1, Math.ceil(HOUR_MS / parts));
      for (let at = hour * HOUR_MS; at < (hour + 1) * HOUR_MS; at += step) {
        const to = Math.min(at + step, (hour + 1) * HOUR_MS);
        if (to > from && at <= until) {
          yield {
            from: Math.max(from, at),
            to: Math.min(until + 1, to),
            events: Math.round(here * (to - at) / HOUR_MS),
          };
        }
      }
      continue;
    }
    if (begin === null) [begin, events] = [hour * HOUR_MS, 0];
    events += here;
    end = (hour + 1) * HOUR_MS;
  }
  yield* whole();
}

function countSlice(reader: Reader, { from, to }: Slice, counts: Counts): void {
  const rows = reader.each(
    `SELECT coalesce(executable_path, '[' || name || ']'), coalesce(user_name, user_id),
       coalesce(parent_executable_path, '[' || parent_name || ']'), count(*), sum(event_type = 'start'),
       min(CASE WHEN event_type = 'start' THEN time END)
     FROM process_events WHERE time >= ? AND time < ? GROUP BY 1, 2, 3`,
    from,
    to,
  );
  for (const [program, user, parent, cell, started, first] of rows) {
    const events = Number(cell),
      starts = Number(started),
      at = first === null || first === undefined ? null : Number(first);
    if (program !== null) counts.programs.add(String(program), events, starts, at);
    if (user !== null) counts.users.add(String(user), events, starts, null);
    if (parent !== null) counts.parents.add(String(parent), events, starts, null);
  }
}

/** Programs whose first start that the store knows of lies in the time. */
function newPrograms(
  reader: Reader,
  range: ReportRange,
  oldest: number | null,
  programs: Tally,
  progress: Progress,
): NewProgramFacts {
  const fresh = new Map<string, Seen & { first: number }>();
  for (const [path, seen] of programs.seen) {
    // In brackets is what has no file
    if (seen.first !== null && path.startsWith("/")) fresh.set(path, { ...seen, first: seen.first });
  }
  if (oldest !== null) {
    for (let at = oldest; at < range.from && fresh.size > 0; at += DAY_MS) {
      progress("looking for programs that ran before");
      for (
        const [path] of reader.each(
          `SELECT DISTINCT executable_path FROM process_events
           WHERE event_type = 'start' AND time >= ? AND time < ? AND time < ?`,
          at,
          at + DAY_MS,
          range.from,
        )
      ) {
        fresh.delete(String(path));
      }
    }
  }
  const newest = [...fresh].sort(([a, x], [b, y]) => y.first - x.first || (a < b ? -1 : 1)).slice(0, MAX_NEW);
  return {
    count: fresh.size,
    listed: newest.map(([path, { first, starts }]) => describedProgram(reader, path, first, starts)),
    knownSince: oldest,
    isCut: programs.untold > 0,
  };
}

function describedProgram(reader: Reader, path: string, first: number, starts: number): NewProgram {
  const [start] = reader.rows(
    `SELECT coalesce(user_name, user_id), coalesce(parent_executable_path, parent_name), command_line
     FROM process_events WHERE time = ? AND executable_path = ? AND event_type = 'start' ORDER BY event_id LIMIT 1`,
    first,
    path,
  );
  const [hashed] = reader.rows(
    `SELECT executable_hash FROM process_events
     WHERE time >= ? AND time <= ? AND executable_path = ? AND executable_hash IS NOT NULL ORDER BY time LIMIT 1`,
    first,
    first + HASH_MS,
    path,
  );
  const [user = null, parent = null, command = null] = start ?? [], hash = hashed?.[0] ?? null;
  const text = (cell: typeof user): string | null => cell === null ? null : shortened(String(cell), MAX_SHOWN);
  return {
    path: shortened(path, MAX_SHOWN),
    first,
    starts,
    user: text(user),
    parent: text(parent),
    command: text(command),
    hash: text(hash),
  };
}
