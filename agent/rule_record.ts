/**
 * Keeps the store's list of rules, and what the audit ledger says of them, what the rules are.
 *
 * Thousands of rows are written in steps with room for events between them, one list after the other. A list that was not
 * written whole is written anew with the next, and at the latest when the store is opened again.
 *
 * @module
 */
import type { Detection } from "./detection.ts";
import { pacedWhile } from "./paced.ts";
import { noteRules } from "./self_notes.ts";
import type { Store } from "./store/store.ts";
import { Turn } from "./turn.ts";

export interface RuleRecordOptions {
  readonly detection: () => Pick<Detection, "rows" | "loaded" | "paused">;
  /** The open store, `null` during an outage. */
  readonly store: () => Store | null;
  /** The store did not take the list. */
  readonly failed: (store: Store, error: unknown) => void;
}

export class RuleRecord {
  readonly #options: RuleRecordOptions;
  readonly #turn = new Turn();
  #asked = false;

  constructor(options: RuleRecordOptions) {
    this.#options = options;
  }

  /** Writes the list soon; what changes before that is in it. */
  ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    void this.#turn.run(async () => {
      this.#asked = false;
      const store = this.#options.store();
      if (store === null) return; // it is written when there is one
      try {
        await this.#write(store);
      } catch (error) {
        this.#options.failed(store, error);
      }
    });
  }

  /** Writes the list. @throws StoreError */
  write(store: Store): Promise<void> {
    return this.#turn.run(() => this.#write(store));
  }

  async #write(store: Store): Promise<void> {
    const detection = this.#options.detection(), isOpen = (): boolean => this.#options.store() === store;
    if (await pacedWhile(store.replacingRules(detection.rows()), isOpen)) {
      noteRules(store, detection.loaded, detection.paused);
    }
  }
}
