/**
 * Carries the alerts that the store owes to one sink.
 *
 * The store is the queue: a delivery is owed from the commit of its alert on and done when it is noted after the write.
 * So nothing is kept in memory but the part at hand, and a sink that fails holds up itself alone. The most severe go
 * first, of those the oldest. After faults it waits as its breaker says, also over a restart; what the sink refuses for
 * good becomes a dead letter. The store may go and come back, or another come in its place: what was written and could
 * not be noted is known by the alert's id.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { PendingDelivery } from "../store/outbox.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { Breaker, type BreakerClock, FIRST_DELAY_MS, LAST_DELAY_MS } from "./breaker.ts";
import { type Sink, SinkError, textOf } from "./sink.ts";

/** Alerts of one write. */
const MAX_ALERTS = 100;
/** After each write of a backlog: a sink that takes them at once would leave nothing else its turn, detection neither. */
const REST_MS = 2;

export interface DeliveryEvents {
  /** An attempt failed, or the sink refused an alert; `text` says why. */
  fault(text: string): void;
  /** The store did not say what it owes, or did not take a note. */
  storeFault(store: Store, error: StoreError): void;
  /** The sink has so many alerts, and has them for good, `ms` after the oldest of them was owed. */
  delivered?(ms: number, count: number): void;
}

export interface DeliveryOptions {
  /** Bound of the first wait after a fault. */
  readonly firstRetryMs?: number;
  readonly clock?: BreakerClock;
  /** The sink is another one than the one that failed under its name: what is known of that is not waited for. */
  readonly isFresh?: boolean;
}

/** What a write came to, alert by alert, and is not noted yet. */
interface Unnoted {
  readonly deliveryId: number;
  readonly alertId: string;
  /** Why the sink will never take it; `null` for one that it has. */
  readonly refusal: string | null;
}

const CLOCK: BreakerClock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
};

export class Delivery {
  readonly #sink: Sink;
  readonly #events: DeliveryEvents;
  readonly #breaker: Breaker;
  readonly #firstRetryMs: number;
  #store: Store | null = null;
  /** The store is new here: it may owe what was written already. */
  #unknown = false;
  /** The breaker is as the last run left it. */
  #restored = false;
  #running: Promise<void> | null = null;
  /** The write that goes on, of whoever. */
  #writing: Promise<unknown> = Promise.resolve();
  #again = false;
  #closed = false;
  #stopping = false;
  #retired = false;
  #wake: () => void = () => {};
  /** Since when it was said that something is owed, `null` while nothing new is. */
  #owedAt: number | null = null;
  /** Written, but the store did not take the note: they must not be written again. */
  #unnoted: readonly Unnoted[] = [];

  constructor(
    sink: Sink,
    events: DeliveryEvents,
    { firstRetryMs = FIRST_DELAY_MS, clock = CLOCK, isFresh = false }: DeliveryOptions = {},
  ) {
    this.#restored = isFresh;
    this.#sink = sink;
    this.#events = events;
    this.#breaker = new Breaker(clock, firstRetryMs);
    this.#firstRetryMs = firstRetryMs;
  }

  get name(): string {
    return this.#sink.name;
  }

  /** The sink takes nothing any more: it says that a person has to do something first. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** It failed so often that it is tried only now and then, or not any more. */
  get isFailing(): boolean {
    return this.#closed || this.#breaker.isProbing;
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

  /** Tries at once what would be tried later. */
  hasten(): void {
    this.#breaker.hasten();
    this.#wake();
    this.poke();
  }

  /** Hands one alert to the sink past the queue, to see whether it takes any. @throws Error of the sink */
  async test(alert: Alert): Promise<void> {
    await this.#alone(() => this.#sink.write([alert]));
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

  /**
   * Ends with the write that goes on, for which it waits at most `deadlineMs`: another sink takes the place of this one.
   * What is not noted by then is found again, or comes twice under its id.
   */
  async retire(deadlineMs: number): Promise<void> {
    this.#retired = true;
    await this.stop(deadlineMs);
    this.detach();
  }

  async #run(): Promise<void> {
    let storeDelay = this.#firstRetryMs;
    for (;;) {
      this.#again = false;
      const store = this.#store;
      if (store === null || this.#closed || this.#retired) return;
      const wait = this.#unnoted.length > 0 ? 0 : this.#breaker.waitMs;
      if (wait > 0) {
        if (this.#stopping) return;
        await this.#pause(wait);
        continue;
      }
      try {
        if (this.#unknown) await this.#recover(store);
        else {
          const length = await this.#step(store);
          if (length === 0) return;
          if (length === MAX_ALERTS && !this.#stopping) await this.#pause(REST_MS);
        }
        storeDelay = this.#firstRetryMs;
      } catch (error) {
        if (store !== this.#store) continue; // it was closed meanwhile: that is no fault
        this.#fault(error);
        if (!(error instanceof StoreError)) {
          this.#breaker.failed(textOf(error));
          continue;
        }
        this.#events.storeFault(store, error);
        if (this.#stopping) return;
        if (this.#store === null) continue;
        await this.#pause(storeDelay);
        storeDelay = Math.min(storeDelay * 2, LAST_DELAY_MS);
      }
    }
  }

  /** Finds out which of the oldest owed are written: one write is all that a crash can have left unnoted. */
  async #recover(store: Store): Promise<void> {
    if (!this.#restored) {
      this.#breaker.restore(store.delivering("The store cannot be read", (outbox) => outbox.standing(this.#sink.name)));
      this.#restored = true;
    }
    const heads = store.owedHeads(this.#sink.name, MAX_ALERTS);
    const written = await this.#sink.written(new Set(heads.map(({ alertId }) => alertId)));
    const known = new Map(this.#unnoted.map((unnoted) => [unnoted.alertId, unnoted.refusal]));
    for (const id of written) known.set(id, null);
    if (store !== this.#store) return;
    this.#unnoted = heads.filter(({ alertId }) => known.has(alertId))
      .map((head) => ({ ...head, refusal: known.get(head.alertId)! }));
    this.#unknown = false;
  }

  /** Notes what is written, or writes and notes the most urgent of what is owed; how many that were. */
  async #step(store: Store): Promise<number> {
    let failed: readonly PendingDelivery[] = [], length = this.#unnoted.length;
    if (length === 0) {
      const limit = this.#breaker.isProbing ? 1 : MAX_ALERTS, owedAt = this.#owedAt;
      const owed = store.pendingDeliveries(this.#sink.name, limit);
      this.#owedAt = null;
      if (owed.length === 0) return 0;
      length = owed.length;
      const taken = await this.#write(owed);
      if (taken > 0 && owedAt !== null) this.#events.delivered?.(performance.now() - owedAt, taken);
      failed = owed.slice(this.#unnoted.length);
      if (failed.length > 0 || length === limit) this.#owedAt = owedAt ?? this.#owedAt; // more may have waited as long
    }
    // The store went, or another came, while the sink wrote: its own ids are found by recover().
    if (store !== this.#store) return length;
    // A crash here leaves them owed: recover() finds them in a file; others have them twice, under one id.
    this.#note(store, failed);
    this.#unnoted = [];
    return length;
  }

  #note(store: Store, failed: readonly PendingDelivery[]): void {
    const { name } = this.#sink, done = this.#unnoted.filter(({ refusal }) => refusal === null);
    try {
      store.delivering("The store did not note a delivery", (outbox) => {
        outbox.delivered(name, done.map(({ deliveryId }) => deliveryId), Date.now());
        for (const { deliveryId, refusal } of this.#unnoted) {
          if (refusal !== null) outbox.bury(name, deliveryId, refusal);
        }
        if (failed.length > 0) outbox.failed(name, failed.map(({ deliveryId }) => deliveryId));
        outbox.keepStanding(name, this.#breaker.standing);
      });
    } catch (error) {
      // The number of attempts is worth less than the reason why this one failed: the disk may be full for both
      if (this.#unnoted.length > 0 || !(error instanceof StoreError)) throw error;
      this.#events.storeFault(store, error);
    }
  }

  /** Hands alerts to the sink and keeps what came of it in `#unnoted`; how many it has. Those behind are owed still. */
  async #write(owed: readonly PendingDelivery[]): Promise<number> {
    const outcome = ({ deliveryId, alert }: PendingDelivery, refusal: string | null): Unnoted => ({
      deliveryId,
      alertId: alert.alertId,
      refusal,
    });
    try {
      await this.#alone(() => this.#sink.write(owed.map(({ alert }) => alert)));
      this.#breaker.succeeded();
      this.#unnoted = owed.map((each) => outcome(each, null));
      return owed.length;
    } catch (error) {
      const taken = error instanceof SinkError ? Math.min(Math.max(0, error.taken), owed.length) : 0;
      const remedy = error instanceof SinkError ? error.remedy : { kind: "retry" } as const, text = textOf(error);
      this.#unnoted = owed.slice(0, taken).map((each) => outcome(each, null));
      if (taken > 0) this.#breaker.succeeded(); // it is getting on
      const first = owed[taken];
      if (remedy.kind === "refused" && first !== undefined) {
        this.#breaker.succeeded(); // it answers
        this.#unnoted = [...this.#unnoted, outcome(first, text)];
        this.#fault(new Error(`${first.alert.alertId} is a dead letter: ${text}`));
        return taken;
      }
      if (remedy.kind === "disabled") {
        this.#closed = true;
        this.#breaker.disable(text);
      } else this.#breaker.failed(text, remedy.kind === "retryAfter" ? remedy.ms : 0);
      this.#fault(error);
      return taken;
    }
  }

  /** One write at a time. */
  async #alone(write: () => Promise<void>): Promise<void> {
    const before = this.#writing, { promise, resolve } = Promise.withResolvers<void>();
    this.#writing = promise;
    await before;
    try {
      await write();
    } finally {
      resolve();
    }
  }

  #fault(error: unknown): void {
    this.#events.fault(`alerts to ${this.#sink.name}: ${textOf(error)}`);
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
