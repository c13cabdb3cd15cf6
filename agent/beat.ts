/**
 * What is done again and again, at the same moments as all else of that kind.
 *
 * To wake an agent that sleeps costs a quiet host more than what most wake it for. So what has no moment of its own is
 * done together, at whole multiples of its interval on the one clock of this process, from one timer: some 170 µs of CPU
 * a waking were measured, with whatever is done in it mostly beside that.
 *
 * What throws ends the agent, as in any timer; the others of that moment are not done then.
 *
 * @module
 */

/** Less than this share of an interval is none: a timer may be early. */
const LEAST_SHARE = 0.25;
/** What is due so soon is done now: no waking of its own is worth that. */
const TOGETHER_MS = 8;

/** Milliseconds to the next beat of an interval. */
export function untilBeat(intervalMs: number, now: number = performance.now()): number {
  const left = intervalMs - now % intervalMs;
  return left < intervalMs * LEAST_SHARE ? left + intervalMs : left;
}

/** Something that is done again and again. */
export interface Repeated {
  /** Has it done at another interval from now on. */
  pace(intervalMs: number): void;
  /** It is not done any more. */
  stop(): void;
}

interface Entry {
  readonly act: () => void;
  intervalMs: number;
  /** On the clock of `performance.now()`. */
  due: number;
}

const entries = new Set<Entry>();
let timer: ReturnType<typeof setTimeout> | undefined;
/** When the timer is due; `Infinity` while there is none. */
let timerDue = Infinity;

/** Does something at every beat of an interval, the first time at the next one. */
export function every(intervalMs: number, act: () => void): Repeated {
  const entry: Entry = { act, intervalMs, due: 0 };
  const pace = (intervalMs: number): void => {
    entry.intervalMs = intervalMs;
    entry.due = performance.now() + untilBeat(intervalMs);
    if (entry.due < timerDue) arm();
  };
  entries.add(entry);
  pace(intervalMs);
  return {
    pace,
    stop: () => {
      entries.delete(entry);
      if (entries.size === 0) arm();
    },
  };
}

function arm(): void {
  clearTimeout(timer);
  timerDue = Math.min(...[...entries].map(({ due }) => due));
  timer = timerDue === Infinity ? undefined : setTimeout(beat, Math.max(0, timerDue - performance.now()));
}

function beat(): void {
  timerDue = -Infinity; // who changes a pace meanwhile leaves the timer to this
  const now = performance.now();
  try {
    for (const entry of [...entries]) {
      // One of the others may have stopped it.
      if (entry.due > now + TOGETHER_MS || !entries.has(entry)) continue;
      entry.due = now + untilBeat(entry.intervalMs, now);
      entry.act();
    }
  } finally {
    arm();
  }
}
