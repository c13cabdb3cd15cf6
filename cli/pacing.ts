/**
 * Long reading that gives way to the agent while that is behind.
 *
 * Priority alone does not do it: a reader on another processor takes memory, caches and the disk from the one that
 * stores. The collector says once a second how many events wait to be stored; while those are many, a reader rests many
 * times as long as it read, and goes on at full speed when they are few again.
 *
 * @module
 */
import type { CollectorStatus } from "../proto/status.ts";
import type { StatusReading } from "./status_reader.ts";

/** Events that wait: more than come together in a second on a busy host. */
export const BEHIND_EVENTS = 10_000;
/** Between two looks at what the collector says. */
const LOOK_MS = 500;
/** Rest for each millisecond of reading, and its bounds. */
const REST = 50, LEAST_REST_MS = 250, LONGEST_REST_MS = 4_000;

export class Pacing {
  readonly #read: () => StatusReading<CollectorStatus>;
  readonly #clock: () => number;
  readonly #sleep: (ms: number) => void;
  #since: number;
  #looked = -Infinity;
  #waiting: number | null = null;

  /** @param clock in milliseconds, never set */
  constructor(
    read: () => StatusReading<CollectorStatus>,
    clock: () => number = () => performance.now(),
    sleep: (ms: number) => void = sleepSync,
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#sleep = sleep;
    this.#since = clock();
  }

  /** To be called when a piece was read and written. Gives how many events wait where it rested for them. */
  rest(): number | null {
    const now = this.#clock();
    if (now - this.#looked >= LOOK_MS) {
      this.#looked = now;
      const reading = this.#read();
      const waiting = reading.kind === "read" && reading.live ? reading.status.queuedEvents : 0;
      this.#waiting = waiting > BEHIND_EVENTS ? waiting : null;
    }
    if (this.#waiting !== null) {
      this.#sleep(Math.min(Math.max((now - this.#since) * REST, LEAST_REST_MS), LONGEST_REST_MS));
    }
    this.#since = this.#clock();
    return this.#waiting;
  }
}

const nothing = new Int32Array(new SharedArrayBuffer(4));

function sleepSync(ms: number): void {
  Atomics.wait(nothing, 0, 0, ms);
}
