/**
 * Brings what becomes of analyses into the store, along with the events that come in where it can: a transaction costs a
 * sync of the disk, and one for each step of each analysis would be paid for by the events.
 *
 * What has ended goes with the next batch, what is under way with one a while later, and what no batch came for goes by
 * itself. Rows are those of the moment in which they are written, so that several steps are one write; a crash loses no
 * more than that while. What a store did not take for a fault of its own waits for the next store; what it refused is
 * given up and counted.
 *
 * @module
 */
import type { AnalysisRider, AnalysisTables } from "../store/analysis_tables.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import type { Run } from "./run.ts";

/** So long a change waits for a batch to go with; for so long a progress is not written again. */
const WRITE_AFTER_MS = 250;

export interface RunWriterOptions {
  readonly store: () => Store | null;
  /** The store did not take rows. */
  readonly failed: (store: Store, error: unknown) => void;
  /** Rows were at fault themselves, and are given up. */
  readonly refused: (reason: string) => void;
}

export class RunWriter implements AnalysisRider {
  readonly #options: RunWriterOptions;
  /** Those whose rows in the store are not what they are now, with the time since when. */
  readonly #changed = new Map<Run, number>();
  /** Those that the open transaction writes. */
  #put: readonly Run[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Analyses whose rows no store took. */
  unstored = 0;

  constructor(options: RunWriterOptions) {
    this.#options = options;
  }

  changed(run: Run): void {
    if (!this.#changed.has(run)) this.#changed.set(run, performance.now());
    this.#timer ??= setTimeout(() => this.settle(), WRITE_AFTER_MS);
  }

  /** Writes now what waits. */
  settle(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const store = this.#options.store();
    if (store === null || this.#changed.size === 0) return;
    try {
      store.analysing("The store did not take analyses", (tables) => this.#write(tables, [...this.#changed.keys()]));
      this.committed();
    } catch (error) {
      if (error instanceof StoreError && error.kind === "other") this.refused(error);
      this.#options.failed(store, error);
    }
  }

  /** Nothing is written any more: what is not in a store by now is counted. */
  stop(): void {
    this.settle();
    this.unstored += this.#changed.size;
    this.#changed.clear();
  }

  get isDue(): boolean {
    return this.#changed.size > 0 && this.#due().length > 0;
  }

  put(tables: AnalysisTables): void {
    this.#write(tables, this.#due());
  }

  committed(): void {
    for (const run of this.#put) this.#changed.delete(run);
    this.#put = [];
  }

  refused(error: unknown): void {
    this.unstored += this.#put.length;
    this.committed();
    this.#options.refused(error instanceof Error ? error.message : String(error));
  }

  #due(): Run[] {
    const before = performance.now() - WRITE_AFTER_MS;
    return [...this.#changed].filter(([run, since]) => run.state !== "running" || since <= before).map(([run]) => run);
  }

  #write(tables: AnalysisTables, runs: readonly Run[]): void {
    this.#put = runs;
    for (const run of runs) tables.put(run.order.id, run.rows());
  }
}
