/**
 * Tells rules that wait for an event that none came, when the host is so quiet that no other event says how late it is.
 *
 * The clock counts only while a collector is connected that has nothing to send: what one has not sent yet may be what is
 * waited for, and after a restart it comes first. While none is connected nothing is told; the collectors' logs have what
 * happens meanwhile, with its own time.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import { every, type Repeated } from "./beat.ts";
import type { Counters } from "./counters.ts";
import type { Detection } from "./detection.ts";
import type { NewNote } from "./ledger_notes.ts";
import type { AlertTaker } from "./store/batch.ts";
import type { Store } from "./store/store.ts";
import type { Turn } from "./turn.ts";

const LOOK_MS = 1_000;
/** An event that happened is here after so long, when its collector has nothing to send. */
export const QUIET_MS = 5_000;

export interface QuietWatchOptions {
  readonly detection: Pick<Detection, "due" | "judgeAbsence" | "stored">;
  readonly turn: Turn;
  /** Decides what becomes of alerts; without one each is stored and owed. */
  readonly manager?: AlertTaker;
  readonly counters: Counters;
  readonly store: () => Store | null;
  /** Has stored what was judged and waits for it. @throws StoreError, and the store is not used any more */
  readonly settle?: () => void;
  readonly isConnected: () => boolean;
  readonly notesOf: (alerts: readonly Alert[]) => readonly NewNote[];
  readonly alerted: (alerts: readonly Alert[]) => void;
  readonly failed: (store: Store, error: unknown) => void;
}

export class QuietWatch {
  readonly #options: QuietWatchOptions;
  #looks: Repeated | null = null;
  /** Since when it is quiet, on a clock that does not jump; `null` while it is not. */
  #since: number | null = null;
  /** What had come when it was looked last: events, and collectors that have something to send at first. */
  #came = "";

  constructor(options: QuietWatchOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#looks = every(LOOK_MS, () => void this.look(Date.now(), performance.now()));
  }

  stop(): void {
    this.#looks?.stop();
  }

  /** One look, by the host's clock and one that does not jump. Resolves when alerts, if any, are stored. */
  async look(now: number, monotonic: number): Promise<void> {
    const { detection, turn, isConnected, store, counters } = this.#options;
    const came = (): string => `${counters.events} ${counters.connections}`, before = came();
    if (!isConnected() || before !== this.#came) {
      this.#came = before;
      this.#since = isConnected() ? monotonic : null;
      return;
    }
    this.#since ??= monotonic;
    if (monotonic - this.#since < QUIET_MS || detection.due > now - QUIET_MS || store() === null) return;
    await turn.run(async () => {
      try {
        this.#options.settle?.();
      } catch {
        return; // whoever keeps the store has been told
      }
      const opened = store();
      // What came while this waited for its turn says what time it is
      if (opened === null || came() !== before) return;
      const alerts = await detection.judgeAbsence(now, now - QUIET_MS);
      let added: readonly Alert[] = [];
      try {
        if (alerts.length > 0) added = opened.addAlerts(alerts, this.#options.notesOf, now, this.#options.manager);
      } catch (error) {
        counters.store_faults += 1;
        this.#options.failed(opened, error);
        return;
      }
      detection.stored(alerts);
      counters.alerts += added.length;
      if (added.length > 0) this.#options.alerted(added);
    });
  }
}
