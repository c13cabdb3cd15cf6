/**
 * How many records two sources agreed on, since the start and over the last hour, minute by minute.
 *
 * @module
 */

/** What became of records: both sources had it, only the second, only the first. */
export interface Tally {
  readonly matched: number;
  readonly missed: number;
  readonly unconfirmed: number;
}

const MINUTES = 60;
const WIDTH = 3;

export class HourlyTally {
  readonly #counts = new Float64Array(MINUTES * WIDTH);
  readonly #total = new Float64Array(WIDTH);
  #minute = 0;

  /** Adds counts that are of the minute `now` (milliseconds of a clock that does not jump back). */
  add(now: number, { matched, missed, unconfirmed }: Tally): void {
    this.#turn(now);
    [matched, missed, unconfirmed].forEach((count, index) => {
      this.#counts[this.#minute % MINUTES * WIDTH + index]! += count;
      this.#total[index]! += count;
    });
  }

  get total(): Tally {
    return tally(this.#total);
  }

  lastHour(now: number): Tally {
    this.#turn(now);
    const sum = new Float64Array(WIDTH);
    for (let at = 0; at < this.#counts.length; at++) sum[at % WIDTH]! += this.#counts[at]!;
    return tally(sum);
  }

  /** Forgets the minutes that are more than an hour ago. */
  #turn(now: number): void {
    const minute = Math.floor(now / 60_000);
    const passed = Math.min(MINUTES, minute - this.#minute);
    for (let back = 0; back < passed; back++) {
      const at = (minute - back) % MINUTES * WIDTH;
      this.#counts.fill(0, at, at + WIDTH);
    }
    this.#minute = Math.max(this.#minute, minute);
  }
}

function tally([matched, missed, unconfirmed]: Float64Array): Tally {
  return { matched: matched!, missed: missed!, unconfirmed: unconfirmed! };
}

/** The share of records that both sources had, as words: never `100 %` when one was missing. */
export function shareOf({ matched, missed, unconfirmed }: Tally): string {
  const all = matched + missed + unconfirmed;
  if (all === 0) return "no records";
  const percent = matched === all ? "100" : Math.min(99.9999, 100 * matched / all).toFixed(4);
  return `${percent} % of ${all} records`;
}
