/**
 * The load of `bench:bus`: how much is published, at which rate, and how long one message took.
 *
 * @module
 */
import process from "node:process";

export const TOPIC = "events.process.lifecycle";
/** As long as an event. */
export const PAYLOAD_BYTES = 300;
export const RUNS = 3;
/** Messages that one turn publishes: what waits for a subscriber is at most 1,000. */
export const BURST = 100;
const MAX_AT_ONCE = 500;
/** A steady load, for the time that one message takes: what `TARGETS` ask of the socket. Rounds, since a host is not the same all the time. */
const PACED_DELIVERIES = 50_000;
export const PACED_ROUNDS = 7;

export const pacedPerSecond = (subscribers: number): number => PACED_DELIVERIES / subscribers;

/** One clock for all processes, in milliseconds. */
export const wallClock = (): number => performance.timeOrigin + performance.now();

/** What begins a payload: when it was published. One for all, as a benchmark is not to measure its own garbage. */
const stamp = new Float64Array(1), stampBytes = new Uint8Array(stamp.buffer);

/** Microseconds of processor that this process has used, with all its threads. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Publishes for a second at a steady rate, each message with the time at which it was published. */
export async function paced(
  subscribers: number,
  publish: (payload: Uint8Array<ArrayBuffer>) => void,
  { now = wallClock, published = () => {} }: { now?: () => number; published?: () => void } = {},
): Promise<void> {
  const began = performance.now(), messages = pacedPerSecond(subscribers);
  for (let sent = 0; sent < messages;) {
    // After a stop of the host no more at once than may wait.
    const due = Math.min(messages, sent + MAX_AT_ONCE, (performance.now() - began) / 1_000 * messages);
    for (; sent < due; sent++) {
      const payload = new Uint8Array(PAYLOAD_BYTES);
      stamp[0] = now();
      payload.set(stampBytes);
      publish(payload);
    }
    published();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** How long deliveries took, in milliseconds. */
export interface DelayTimes {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** Times of one round after another. */
export class Delays {
  readonly #times: Float64Array;
  #count = 0;

  /** `expected` are those of one round; `ended` is told of each. */
  constructor(expected: number, private readonly ended: (times: DelayTimes) => void) {
    this.#times = new Float64Array(expected);
  }

  /** A message came that {@linkcode paced} published. */
  came(payload: Uint8Array, now: number): void {
    for (let at = 0; at < stampBytes.length; at++) stampBytes[at] = payload[at]!;
    this.#times[this.#count++] = now - stamp[0]!;
    if (this.#count < this.#times.length) return;
    this.#count = 0;
    const sorted = this.#times.toSorted(), at = (part: number): number => sorted[Math.ceil(sorted.length * part) - 1]!;
    this.ended({ p50: at(0.5), p99: at(0.99), most: at(1) });
  }
}
