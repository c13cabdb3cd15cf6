/**
 * Notices copies of the store, which a process of its own makes beside it, for the audit ledger.
 *
 * A copy that is made and taken away between two looks is not noticed: who can read the store can copy it by other means
 * as well, of which the ledger knows nothing.
 *
 * @module
 */
import { every, type Repeated } from "./beat.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";

const LOOK_MS = 10_000;
/** Under this name the store keeps the time of the newest copy that was noticed. */
const NOTICED = "ledgered_export";
const MAX_NAME = 255;

export class ExportWatch {
  #store: Store | null = null;
  #looks: Repeated | null = null;

  constructor(private readonly directory: string) {}

  /** From here on looks. */
  attach(store: Store): void {
    this.#store = store;
    this.#looks?.stop();
    this.#looks = every(LOOK_MS, () => this.look());
    this.look();
  }

  detach(): void {
    this.#looks?.stop();
    this.#store = null;
  }

  look(): void {
    const store = this.#store;
    if (store === null) return;
    try {
      const last = store.number(NOTICED) ?? -1;
      const found = this.#copies().filter(({ time }) => time > last).sort((a, b) => a.time - b.time);
      for (const { name, time, userId } of found) {
        const value = { what: "copy of the store", name, time, userId };
        store.note({ action: "exported", value }, Date.now());
        store.setNumber(NOTICED, time);
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error; // the store's own outage says it, and then it is looked again
    }
  }

  #copies(): { readonly name: string; readonly time: number; readonly userId: number | null }[] {
    const found = [];
    try {
      for (const { name, isFile } of Deno.readDirSync(this.directory)) {
        if (!isFile || name.startsWith(".") || name.length > MAX_NAME || /-(wal|shm|journal)$/.test(name)) continue;
        const { mtime, uid } = Deno.lstatSync(`${this.directory}/${name}`);
        found.push({ name, time: Math.max(0, mtime?.getTime() ?? 0), userId: uid });
      }
    } catch {
      // No copy was ever made, or one was just taken away.
    }
    return found;
  }
}
