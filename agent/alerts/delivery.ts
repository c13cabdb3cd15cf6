/**
 * Carries the alerts that the store owes to one sink.
 *
 * The store is the queue: a delivery is owed from the commit of its alert on and done when it is noted after the write.
 * So nothing is kept in memory but the part at hand, and a sink that fails holds up itself alone. The store may go and
 * come back, or another come in its place: what was written and could not be noted is known by the alert's id.
 *
 * @module
 */
import type { PendingDelivery, Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { type Sink, SinkClosedError } from "./sink.ts";

/** Alerts of one write. */
const MAX_ALERTS = 100;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export interface DeliveryEvents {
  /** An attempt failed; `text` says why. */
  fault(text: string): void;
  /** The store did not say what it owes, or did not take a note. */
  storeFault(store: Store, error: StoreError): void;
  /** The sink has so many alerts, and has them for good, `ms` after the oldest of them was owed. */
  delivered?(ms: number, count: number): void;
}

/** A delivery that was made and is not noted yet. */
interface Unnoted {
  readonly deliveryId: number;
  readonly alertId: string;
}

export class Delivery {
  readonly #sink: Sink;
  readonly #events: DeliveryEvents;
  readonly #firstRetryMs: number;
  #store: Store | null = null;
  /** The store is new here: it may owe what was written already. */
  #unknown = false;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #stopping = false;
  #wake: () => void = () => {};
  /** Since when it was said that something is owed, `null` while nothing new is. */
  #owedAt: number | null = null;
  /** Written, but the store did not take the note: they must not be written again. */
  #unnoted: readonly Unnoted[] = [];

  constructor(sink: Sink, events: DeliveryEvents, firstRetryMs: number = FIRST_RETRY_MS) {
    this.#sink = sink;
    this.#events = events;
    this.#firstRetryMs = firstRetryMs;
  }

  /** From here on delivers what this store owes, but for what a crash or the loss of a store left written, not noted. */
  attach(store: Store): void {
    this.#store = store;
    this.#unknown = true;
    this.#wake();
    this.poke();
  }

  /** The store is not used after this returns; what is being written is noted in the next one. */
  detach(): void {
    this.#store = null;
  }

  /** Says that the store may owe something new. */
  poke(): void {
    if (this.#closed || this.#stopping) return;
    this.#owedAt ??= performance.now();
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
      const store = this.#store;
      if (store === null) return;
      try {
        if (this.#unknown) await this.#recover(store);
        if (await this.#step(store) === 0) return;
        delay = this.#firstRetryMs;
      } catch (error) {
        if (store !== this.#store) continue; // it was closed meanwhile: that is no fault
        this.#fault(error);
        if (error instanceof StoreError) this.#events.storeFault(store, error);
        if (error instanceof SinkClosedError) this.#closed = true;
        if (this.#closed || this.#stopping) return;
        if (this.#store === null) continue;
        await this.#pause(delay);
        delay = Math.min(delay * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Finds out which of the oldest owed are written: one write is all that a crash can have left unnoted. */
  async #recover(store: Store): Promise<void> {
    const oldest = store.pendingDeliveries(this.#sink.name, MAX_ALERTS);
    const written = await this.#sink.written(new Set(oldest.map(({ alert }) => alert.alertId)));
    const noted = new Set([...written, ...this.#unnoted.map(({ alertId }) => alertId)]);
    if (store !== this.#store) return;
    this.#unnoted = oldest.filter(({ alert }) => noted.has(alert.alertId)).map(unnoted);
    this.#unknown = false;
  }

  /** Notes what is written, or writes and notes the oldest owed; how many that were. */
  async #step(store: Store): Promise<number> {
    if (this.#unnoted.length === 0) {
      const owedAt = this.#owedAt, owed = store.pendingDeliveries(this.#sink.name, MAX_ALERTS);
      this.#owedAt = null;
      if (owed.length === 0) return 0;
      try {
        await this.#write(store, owed);
      } catch (error) {
        this.#owedAt = owedAt ?? this.#owedAt;
        throw error;
      }
      if (owedAt !== null) this.#events.delivered?.(performance.now() - owedAt, owed.length);
      if (owed.length === MAX_ALERTS) this.#owedAt = owedAt ?? this.#owedAt; // more may have waited as long
      this.#unnoted = owed.map(unnoted);
    }
    // The store went, or another came, while the sink wrote: its own ids are found by recover().
    if (store !== this.#store) return 1;
    // A crash here leaves them owed: recover() finds them in a file; on stdout they are shown twice.
    store.markDelivered(this.#unnoted.map(({ deliveryId }) => deliveryId), Date.now());
    const count = this.#unnoted.length;
    this.#unnoted = [];
    return count;
  }

  async #write(store: Store, owed: readonly PendingDelivery[]): Promise<void> {
    try {
      await this.#sink.write(owed.map(({ alert }) => alert));
    } catch (error) {
      if (store === this.#store) this.#noteFailure(store, owed);
      throw error;
    }
  }

  /** The number of attempts is worth less than the reason why this one failed: the disk may be full for both. */
  #noteFailure(store: Store, owed: readonly PendingDelivery[]): void {
    try {
      store.markFailed(owed.map(({ deliveryId }) => deliveryId));
    } catch (error) {
      if (error instanceof StoreError) this.#events.storeFault(store, error);
      else this.#fault(error);
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

function unnoted({ deliveryId, alert }: PendingDelivery): Unnoted {
  return { deliveryId, alertId: alert.alertId };
}
