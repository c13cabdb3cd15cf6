/**
 * Fills the window of the rules over several rows from the store, when the agent starts or the store was opened anew.
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

/** The agent takes nothing meanwhile. */
const MAX_READ_MS = 3_000;
/** The window is read in so many pieces, with a look at the clock after each. */
const PIECES = 32;
/** Findings that are taken for raised. */
const MAX_RAISED = 50_000;

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

/** Makes the window what it was when the last batch was stored. @throws StoreError */
export function refillWindow(lane: WindowLane, store: Store, now: number): Refilled {
  const began = performance.now();
  const newest = store.newestEventTime(now + MAX_AHEAD_MS);
  lane.clear(newest ?? -Infinity);
  if (newest === null) return { rows: 0, ms: 0, isCut: false };
  const names = [...lane.columns], places = names.map((name) => PLACES.get(name)!), { windowMs } = lane;
  let isCut = false, until = newest;
  const step = Math.ceil(windowMs / PIECES);
  while (until > newest - windowMs && !isCut) {
    const after = Math.max(until - step, newest - windowMs);
    for (const values of store.eventsBetween(names, after, until)) {
      const cells: SqlValue[] = Array(WIDTH).fill(null);
      places.forEach((place, i) => cells[place] = values[i]!);
      if (lane.restore(cells)) continue;
      isCut = true;
      break;
    }
    until = after;
    isCut ||= until > newest - windowMs && performance.now() - began > MAX_READ_MS;
  }
  if (isCut) lane.mark(NOT_READ_BACK, until);
  for (const { ruleId, finding, time } of store.findingsSince(newest - windowMs, MAX_RAISED)) {
    lane.restoreRaised(ruleId, finding, time);
  }
  return { rows: lane.rows, ms: Math.round(performance.now() - began), isCut };
}
