/**
 * Keeps the store's log short, a few looks a second, and says when that fails.
 *
 * @module
 */
import type { Journal } from "../journal.ts";
import { PINNED_LOG_BYTES } from "./checkpoint.ts";
import type { Store } from "./store.ts";

const INTERVAL_MS = 250;

export class Upkeep {
  readonly #timer: ReturnType<typeof setInterval>;
  #complaint = "";

  constructor(store: Store, journal: Journal) {
    this.#timer = setInterval(() => {
      const complaint = this.#look(store);
      if (complaint !== "" && complaint !== this.#complaint) journal.notice(complaint);
      this.#complaint = complaint;
    }, INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(store: Store): string {
    try {
      store.tick();
      if (store.logBytes <= PINNED_LOG_BYTES) return "";
      return "the store's log grows because a reader holds it; end queries that run long";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}
