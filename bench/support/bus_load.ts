/**
 * The load of `bench:bus`: how much is published, at which rate, and how long one message took.
 *
 * @module
 */
export const TOPIC = "events.process.lifecycle";
/** As long as an event. */
export const PAYLOAD_BYTES = 300;
export const RUNS = 3;
/** Messages that one turn publishes: what waits for a subscriber is at most 1,000. */
export const BURST = 100;
/** A steady load, for the time that one message takes: what `TARGETS` ask of the socket. Rounds, since a host is not the same all the time. */
const PACED_DELIVERIES = 50_000;
export const PACED_ROUNDS = 7;

export const pacedPerSecond = (subscribers: number): number => PACED_DELIVERIES / subscribers;

/** One clock for all processes, in milliseconds. */
export const wallClock = (): number => performance.timeOrigin + performance.now();

/** Publishes for a second at a steady rate, each message with the time at which it was published. */
export async function paced(
  subscribers: number,
  publish: (payload: Uint8Array) => void,
  now: () => number = wallClock,
): Promise<void> {
  const began = performance.now(), messages = pacedPerSecond(subscribers);
  for (let sent = 0; sent < messages;) {
    const due = Math.min(messages, (performance.now() - began) / 1_000 * messages);
    for (; sent < due; sent++) {
      const payload = new Uint8Array(PAYLOAD_BYTES);
      new DataView(payload.buffer).setFloat64(0, now(), true);
      publish(payload);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Times of one round after another, and what 99 of 100 were below in each. */
export class Delays {
  readonly #times: Float64Array;
  #count = 0;

  /** `expected` are those of one round; `ended` is told of each. */
  constructor(expected: number, private readonly ended: (p99: number) => void) {
    this.#times = new Float64Array(expected);
  }

  /** A message came that {@linkcode paced} published. */
  came(payload: Uint8Array, now: number): void {
    this.#times[this.#count++] = now - new DataView(payload.buffer, payload.byteOffset).getFloat64(0, true);
    if (this.#count < this.#times.length) return;
    this.#count = 0;
    this.ended(this.#times.toSorted()[Math.ceil(this.#times.length * 0.99) - 1]!);
  }
}
