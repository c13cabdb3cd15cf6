/**
 * Long reading that gives way to the agent while that is behind.
 *
 * Priority alone does not do it: a reader on another processor takes memory, caches and the disk from the one that
 * stores. The collector says once a second how many events wait to be stored; while those are many, a reader rests many
 * times as long as it read, and goes on at full speed when they are few again. How long it rests is drawn by lot: readers
 * that began together would read together for ever, each slowed down by the others, and the agent's log could not be
 * begun anew as long as any of them reads.
 *
 * @module
 */
import type { CollectorStatus } from "../proto/status.ts";
import type { StatusReading } from "./status_reader.ts";

/** Events that wait: more than come together in a second on a busy host. */
export const BEHIND_EVENTS = 10_000;
/** Between two looks at what the collector says. */
const LOOK_MS = 500;
/** Rest for each millisecond of reading, and its bounds, before the lot: ten readers take a tenth of a processor. */
const REST = 100, LEAST_REST_MS = 250, LONGEST_REST_MS = 10_000;

export class Pacing {
  readonly #read: () => StatusReading<CollectorStatus>;
  readonly #clock: () => number;
  readonly #sleep: (ms: number) => void;
  readonly #random: () => number;
  #since: number;
  #looked = -Infinity;
  #waiting: number | null = null;

  /**
   * @param clock in milliseconds, never set
   * @param random numbers from 0 to 1
   */
  constructor(
    read: () => StatusReading<CollectorStatus>,
    clock: () => number = () => performance.now(),
    sleep: (ms: number) => void = sleepSync,
    random: () => number = Math.random,
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#sleep = sleep;
    this.#random = random;
    this.#since = clock();
  }

  /** To be called when a piece was read and written. Gives how many events wait where it rested for them. */
  rest(): number | null {
    const now = this.#clock();
    if (now - this.#looked >= LOOK_MS) this.#look(now);
    const waiting = this.#waiting;
    if (waiting !== null) {
      const wanted = Math.min(Math.max((now - this.#since) * REST, LEAST_REST_MS), LONGEST_REST_MS);
      const end = now + wanted * (0.5 + this.#random());
      for (let at = now; at < end && this.#waiting !== null; this.#look(at)) {
        this.#sleep(Math.min(end - at, LOOK_MS));
        at = this.#clock();
      }
    }
    this.#since = this.#clock();
    return waiting;
  }

  #look(now: number): void {
    this.#looked = now;
    const reading = this.#read();
    const waiting = reading.kind === "read" && reading.live ? reading.status.queuedEvents : 0;
    this.#waiting = waiting > BEHIND_EVENTS ? waiting : null;
  }
}

const nothing = new Int32Array(new SharedArrayBuffer(4));

function sleepSync(ms: number): void {
  Atomics.wait(nothing, 0, 0, ms);
}
