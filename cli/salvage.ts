/**
 * What `export --salvage` leaves out of a damaged store: times whose events, or row numbers whose rows, cannot be read.
 *
 * A slice of time, or of row numbers, that fails is cut down to one, then stepped over, each step after another failed one twice
 * as long: a damaged page costs some dozens of attempts, however much time it held, and what is lost beside the damage
 * is at most about as long as the damage. How many rows were there nobody can say; the stretches are counted.
 *
 * @module
 */
import { type Call, CommandError } from "./command.ts";
import { DamagedError } from "./store_error.ts";
import { count, counted, localTime, span } from "./units.ts";

/** Attempts that may fail before the store is given up. */
const MAX_FAILURES = 20_000;
const LONGEST_STEP = { times: 86_400_000, rows: Number.MAX_SAFE_INTEGER };

export class Salvage {
  readonly #of: "times" | "rows";
  #failures = 0;
  #places = 0;
  #lost = 0;
  #first: number | null = null;
  #last = 0;
  #step = 1;

  constructor(of: "times" | "rows") {
    this.#of = of;
  }

  /** Whether `read` could be read; anything but damage is thrown. */
  attempt<T>(read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      this.#failures += 1;
      if (this.#failures > MAX_FAILURES) {
        throw new CommandError(`Given up after ${count(MAX_FAILURES)} places that cannot be read: ${error.message}`);
      }
      return null;
    }
  }

  /** Steps over what begins at `at` and ends at `end` at the latest; where to go on. */
  skip(at: number, end: number): number {
    const to = Math.min(end, at + this.#step);
    if (this.#first === null || at !== this.#last) this.#places += 1;
    this.#first ??= at;
    this.#last = to;
    this.#lost += to - at;
    this.#step = Math.min(LONGEST_STEP[this.#of], this.#step * 2);
    return to;
  }

  /** Something was read: the next step is short again. */
  found(): void {
    this.#step = 1;
  }

  /** Says what was left out. Returns whether anything was. */
  tell(call: Call): boolean {
    if (this.#first === null) return false;
    const where = this.#of === "times"
      ? `of time, ${span(this.#lost)} in all, between ${localTime(this.#first)} and ${localTime(this.#last)}`
      : `of rows, the first from number ${count(this.#first)} on,`;
    call.note(
      `The store is damaged: ${counted(this.#places, "stretch", "stretches")} ${where} could not be read and ` +
        `${this.#places === 1 ? "is" : "are"} left out; how many ${
          this.#of === "times" ? "events" : "rows"
        } were there cannot be known`,
    );
    return true;
  }
}
