/**
 * Fills the window of the rules over several rows from the store: when the agent starts, the store was opened anew, or other
 * rules take the place of these.
 *
 * What was judged before is there again, newest first, and what was raised is known as raised: a restart neither repeats
 * an alert nor forgets half of a sequence. It is bounded in rows by the window's own bounds and in time by
 * {@linkcode MAX_READ_MS}; what did not come back is a reason with every verdict until it has left the window.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { MAX_AHEAD_MS, type WindowLane } from "../proto/rules/window_lane.ts";
import type { Store } from "./store/store.ts";

/** No event is taken meanwhile. */
const MAX_READ_MS = 3_000;
/** The window is read in so many pieces at least, with a look at the clock after each. */
const PIECES = 32;
/** How long one piece should take, and the time that the first one spans. */
const PIECE_MS = 10, FIRST_SPAN_MS = 1_000;
/** Findings that are taken for raised. */
const MAX_RAISED = 50_000;

/** How long what a rule remembered is kept after the last that it saw, when it is gone. */
const KEEP_GONE_MS = 30 * 86_400_000;

export const NOT_READ_BACK = "the window could not be read back whole when the agent started";

const PLACES = columnPlaces("process_events");
const WIDTH = tableNamed("process_events").columns.length;

/** What was read back. */
export interface Refilled {
  readonly rows: number;
  readonly ms: number;
  /** Whether a bound left some out. */
  readonly isCut: boolean;
}

/**
 * Makes the window what it was when the last batch was stored, with room for other work between the steps; no batch is
 * stored meanwhile.
 *
 * @throws StoreError
 */
export function* refilling(lane: WindowLane, store: Store, now: number): Generator<void, Refilled> {
  const newest = store.recent.newestEventTime(now + MAX_AHEAD_MS);
  lane.clear(newest ?? -Infinity);
  for (const { memory, values } of store.recent.seenMemories()) {
    const isTaken = lane.restoreSeen(memory, values), last = values.at(-1)?.[1] ?? memory.began;
    // One that comes back soon, or was another version for a while, knows what it knew
    if (!isTaken && last < now - KEEP_GONE_MS) store.forgetSeen(memory.ruleId);
  }
  if (newest === null) return { rows: 0, ms: 0, isCut: false };
  const names = [...lane.columns], places = names.map((name) => PLACES.get(name)!), { windowMs } = lane;
  const widest = Math.ceil(windowMs / PIECES);
  let isCut = false, until = newest, width = Math.min(widest, FIRST_SPAN_MS), ms = 0;
  while (until > newest - windowMs && !isCut) {
    const began = performance.now(), after = Math.max(until - width, newest - windowMs);
    for (const values of store.recent.eventsBetween(names, after, until)) {
      const cells: SqlValue[] = Array(WIDTH).fill(null);
      places.forEach((place, i) => cells[place] = values[i]!);
      if (lane.restore(cells)) continue;
      isCut = true;
      break;
    }
    until = after;
    const elapsed = performance.now() - began;
    ms += elapsed;
    isCut ||= until > newest - windowMs && ms > MAX_READ_MS;
    if (elapsed < PIECE_MS / 2) width = Math.min(width * 2, widest);
    else if (elapsed > PIECE_MS * 2) width = Math.ceil(width / 2);
    yield;
  }
  if (isCut) lane.mark(NOT_READ_BACK, until);
  for (const { ruleId, finding, time } of store.recent.findingsSince(newest - windowMs, MAX_RAISED)) {
    lane.restoreRaised(ruleId, finding, time);
  }
  return { rows: lane.rows, ms: Math.round(ms), isCut };
}
