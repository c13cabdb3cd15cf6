/**
 * Gaps of one batch, and no more than one a second of each cause.
 *
 * What goes wrong in a storm goes wrong all the time, and gaps are never refused: without this, whoever can make the
 * collector lose records could fill its queue with reports of it. Counts stay exact, times reach from first to last.
 *
 * @module
 */

import type { Gap } from "../proto/process_event.ts";

/** The least time between two gaps of one cause, in nanoseconds. */
const INTERVAL_NS = 1e9;
/** Causes of which the last report is remembered; there are few. */
const MAX_CAUSES = 64;

export class GapBook {
  readonly #waiting = new Map<string, Gap>();
  readonly #reported = new Map<string, number>();

  /** Adds a gap to what waits; one of the same cause grows by it. */
  add(gap: Gap): void {
    const cause = `${gap.source} ${gap.recordKind} ${gap.reason}`;
    const before = this.#waiting.get(cause);
    this.#waiting.set(cause, before === undefined ? gap : joined(before, gap));
  }

  /** Hands out what is due at `now` (nanoseconds since boot); everything when it is the last time. */
  take(now: number, isLast: boolean): Gap[] {
    if (this.#waiting.size === 0) return NONE;
    const due: Gap[] = [];
    for (const [cause, gap] of this.#waiting) {
      const last = this.#reported.get(cause);
      if (!isLast && last !== undefined && now - last < INTERVAL_NS) continue;
      if (this.#reported.size >= MAX_CAUSES) this.#reported.clear();
      this.#reported.set(cause, now);
      this.#waiting.delete(cause);
      due.push(gap);
    }
    return due;
  }
}

const NONE: Gap[] = [];

function joined(before: Gap, gap: Gap): Gap {
  const count = before.count === null || gap.count === null ? null : before.count + gap.count;
  return { ...before, from: Math.min(before.from, gap.from), to: Math.max(before.to, gap.to), count };
}
