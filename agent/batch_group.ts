/**
 * Judged batches that are stored together: a transaction costs a sync of the disk, whether it brings one event or a
 * thousand.
 *
 * A batch that raised an alert is stored at once, with all that waits before it, and so is the first one after a quiet
 * time; others wait for each other, some milliseconds or some dozen events: few enough that an alert does not feel them.
 * Where events come fast, batches are large by themselves. Nobody is told that a batch is stored before it is. What waits
 * when the agent dies was not acknowledged: it is sent again.
 *
 * What rules remember (windows, correlations) knows a batch as soon as it waits. So a transaction that fails takes more
 * back than the store: the store is then opened anew, whatever was wrong, which ends all connections and gives the rules
 * back what they knew by the last commit.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import type { Batch } from "./store/batch.ts";
import type { Store } from "./store/store.ts";
import type { Stream } from "./store/streams.ts";
import { StoreError } from "./store/store_error.ts";

/** Events of one transaction; more are taken over in several, with room for other connections between them. */
export const GROUP_EVENTS = 1_000;
/** Events that may wait, and bytes of their arguments: an alert is stored in one transaction with all of them. */
export const WAITING_EVENTS = 64;
const WAITING_BYTES = 262_144;

/** Says that something of a stream is stored; `false` when its connection has ended. */
export type Committed = () => Promise<boolean>;

/** A batch and what is to be noted once it is stored. */
export interface JudgedBatch {
  readonly batch: Batch;
  /** Bytes of its arguments. */
  readonly bytes: number;
  readonly stored: () => void;
  readonly committed: Committed;
}

export interface BatchGroupOptions {
  readonly store: Store;
  /** The longest time between two commits while batches wait, in milliseconds; 0 stores each batch by itself. */
  readonly waitMs: number;
  /** The store did not take what waited. */
  readonly failed: (store: Store, error: unknown) => void;
}

export class BatchGroup {
  readonly #options: BatchGroupOptions;
  #waiting: JudgedBatch[] = [];
  #events = 0;
  #bytes = 0;
  readonly #watermarks = new Map<Stream, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #committedAt = -Infinity;
  /** Why what waited is lost to the rules' memory: nothing may follow it here. */
  #failure: { readonly error: unknown } | null = null;

  constructor(options: BatchGroupOptions) {
    this.#options = options;
  }

  /** Last sequence of a stream that is stored or waits to be. */
  lastSequence(stream: Stream): number {
    return this.#watermarks.get(stream) ?? stream.lastSequence;
  }

  /** Events for which there is room in one transaction. */
  get room(): number {
    return GROUP_EVENTS - this.#events;
  }

  /** Whether a batch of so many events and bytes that raised no alert may wait for others. */
  mayWait(batch: Pick<Batch, "events" | "snapshots" | "rows">, bytes: number): boolean {
    const { waitMs } = this.#options;
    return batch.snapshots.length === 0 && this.#events + itemsOf(batch) < WAITING_EVENTS &&
      this.#bytes + bytes < WAITING_BYTES && performance.now() - this.#committedAt < waitMs;
  }

  /** Has a batch wait for others. */
  add(judged: JudgedBatch): void {
    this.#check();
    const { batch } = judged;
    this.#waiting.push(judged);
    this.#events += itemsOf(batch);
    this.#bytes += judged.bytes;
    this.#watermarks.set(batch.stream, batch.lastSequence);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      try {
        this.store();
      } catch {
        // The store is opened anew, and says why
      }
    }, Math.max(0, this.#committedAt + this.#options.waitMs - performance.now()));
  }

  /** Stores what waits, and `last` after it; gives what became an alert. @throws StoreError, and nothing of it is stored. */
  store(last: JudgedBatch | null = null): readonly Alert[] {
    this.#check();
    const waited = this.#waiting, all = last === null ? waited : [...waited, last];
    this.drop();
    if (all.length === 0) return [];
    const { store, failed } = this.#options;
    let added: readonly Alert[];
    try {
      added = store.commit(all.map(({ batch }) => batch), Date.now());
    } catch (error) {
      if (waited.length > 0) this.#failure = { error };
      failed(store, waited.length === 0 ? error : ofStore(error));
      throw error;
    }
    this.#committedAt = performance.now();
    for (const { stored } of all) stored();
    const others = new Set(waited.map(({ committed }) => committed));
    if (last !== null) others.delete(last.committed); // it tells its own
    // What fails here ends its connection, which says why
    for (const committed of others) void committed().catch(() => {});
    return added;
  }

  /** Forgets what waits: its store is closed. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.#events = this.#bytes = 0;
    this.#watermarks.clear();
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}

function itemsOf({ events, rows = [] }: Pick<Batch, "events" | "rows">): number {
  return rows.reduce((sum, { rows: { length } }) => sum + length, events.length);
}

/** Of what the rules know already nothing can be left out: such a fault is the store's, whatever it was. */
function ofStore(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.kind !== "other") return error;
  return new StoreError(error.message, { cause: error, kind: "io" });
}
