/**
 * Says when an exception has ended, and tells the audit ledger what exceptions took.
 *
 * An exception that ends makes alerts come back: whoever reads them should know why. It is said once, at the start or
 * when it happens, and stays in `health` and `rules list` until somebody renews or removes it.
 *
 * @module
 */
import { lastDay } from "../proto/rules/suppressor.ts";
import { every, type Repeated } from "./beat.ts";
import type { Journal } from "./journal.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";
import type { Suppressions } from "./suppressions.ts";

const LOOK_MS = 15_000;

export interface ExceptionWatchOptions {
  readonly suppressions: Suppressions;
  readonly journal: Journal;
  readonly store: () => Store | null;
  /** The store did not take a note. */
  readonly failed: (store: Store, error: unknown) => void;
}

export class ExceptionWatch {
  readonly #options: ExceptionWatchOptions;
  #looks: Repeated | null = null;
  /** Those that were said, with their end. */
  readonly #said = new Set<string>();

  constructor(options: ExceptionWatchOptions) {
    this.#options = options;
  }

  begin(): void {
    this.look(Date.now());
    this.#looks = every(LOOK_MS, () => this.look(Date.now()));
  }

  /** The ledger is told what it was not told yet. */
  stop(): void {
    this.#looks?.stop();
    this.#tell(Date.now(), true);
  }

  look(now: number): void {
    for (const { kind, id, file, line, expiresMs } of this.#options.suppressions.expired(now)) {
      const name = `${kind} ${id} ${expiresMs}`;
      if (this.#said.has(name)) continue;
      this.#said.add(name);
      this.#options.journal.notice(
        `the ${kind} ${id} (${file}:${line}) held until ${lastDay(expiresMs!)} and suppresses nothing any more; ` +
          "renew or remove it",
      );
    }
    this.#tell(now, false);
  }

  #tell(now: number, isLast: boolean): void {
    const { suppressions, store, failed } = this.#options, open = store();
    if (open === null) return;
    try {
      for (const { key, note } of suppressions.due(now, isLast)) {
        open.note(note, now);
        suppressions.told(key, now);
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!isLast) failed(open, error);
    }
  }
}
