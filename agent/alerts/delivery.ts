/**
 * Carries the alerts that the store owes to one sink.
 *
 * The store is the queue: a delivery is owed from the commit of its alert on and done when it is noted after the write.
 * So nothing is kept in memory but the part at hand, and a sink that fails holds up itself alone.
 *
 * @module
 */
import type { PendingDelivery, Store } from "../store/store.ts";
import { type Sink, SinkClosedError } from "./sink.ts";

/** Alerts of one write. */
const MAX_ALERTS = 100;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export interface DeliveryEvents {
  /** An attempt failed; `text` says why. */
  fault(text: string): void;
}

export class Delivery {
  readonly #store: Store;
  readonly #sink: Sink;
  readonly #events: DeliveryEvents;
  readonly #firstRetryMs: number;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #stopping = false;
  #wake: () => void = () => {};
  /** Written, but the store did not take the note: they must not be written again. */
  #unnoted: number[] = [];

  constructor(store: Store, sink: Sink, events: DeliveryEvents, firstRetryMs: number = FIRST_RETRY_MS) {
    this.#store = store;
    this.#sink = sink;
    this.#events = events;
    this.#firstRetryMs = firstRetryMs;
  }

  /** Notes what a crash left written but not noted, then delivers what is owed. To be called once, at the start. */
  async recover(): Promise<void> {
    try {
      // One write is all that a crash can have left unnoted, and it was of the oldest.
      const oldest = this.#store.pendingDeliveries(this.#sink.name, MAX_ALERTS);
      const written = await this.#sink.written(new Set(oldest.map(({ alert }) => alert.alertId)));
      this.#unnoted = oldest.filter(({ alert }) => written.has(alert.alertId)).map(({ deliveryId }) => deliveryId);
    } catch (error) {
      this.#fault(error);
    }
    this.poke();
  }

  /** Says that the store may owe something new. */
  poke(): void {
    if (this.#closed || this.#stopping) return;
    if (this.#running !== null) this.#again = true;
    else {
      this.#running = this.#run().finally(() => {
        this.#running = null;
        if (this.#again) this.poke();
      });
    }
  }

  /** Delivers what is owed now, for at most `deadlineMs`; later deliveries wait for the next start. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    this.#wake();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([this.#running, deadline]);
    clearTimeout(timer);
    await this.#sink.close();
  }

  async #run(): Promise<void> {
    let delay = this.#firstRetryMs;
    for (;;) {
      this.#again = false;
      try {
        if (await this.#step() === 0) return;
        delay = this.#firstRetryMs;
      } catch (error) {
        this.#fault(error);
        if (error instanceof SinkClosedError) this.#closed = true;
        if (this.#closed || this.#stopping) return;
        await this.#pause(delay);
        delay = Math.min(delay * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Notes what is written, or writes and notes the oldest owed; how many that were. */
  async #step(): Promise<number> {
    if (this.#unnoted.length === 0) {
      const owed = this.#store.pendingDeliveries(this.#sink.name, MAX_ALERTS);
      if (owed.length === 0) return 0;
      await this.#write(owed);
      this.#unnoted = owed.map(({ deliveryId }) => deliveryId);
    }
    // A crash here leaves them owed: recover() finds them in a file; on stdout they are shown twice.
    this.#store.markDelivered(this.#unnoted, Date.now());
    const count = this.#unnoted.length;
    this.#unnoted = [];
    return count;
  }

  async #write(owed: readonly PendingDelivery[]): Promise<void> {
    try {
      await this.#sink.write(owed.map(({ alert }) => alert));
    } catch (error) {
      this.#store.markFailed(owed.map(({ deliveryId }) => deliveryId));
      throw error;
    }
  }

  #fault(error: unknown): void {
    this.#events.fault(`alerts to ${this.#sink.name}: ${error instanceof Error ? error.message : error}`);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
