/**
 * Keeps the store's log short and the store within its limits, some milliseconds at a time, and says when that fails.
 *
 * @module
 */
import { every, type Repeated } from "../beat.ts";
import type { Journal } from "../journal.ts";
import { PINNED_LOG_BYTES } from "./checkpoint.ts";
import type { Removed } from "./retention.ts";
import type { Store } from "./store.ts";

/** Between two looks at the log while it fills. */
const PRESSED_MS = 250;
/** The same otherwise, and between two steps of retention while there is nothing to remove. */
const QUIET_MS = 2_000;
/** Between two steps of retention while there is more to remove: batches get most of the time. */
const PAUSE_MS = 8;

export class Upkeep {
  readonly #store: Store;
  readonly #journal: Journal;
  readonly #looks: Repeated;
  #next: ReturnType<typeof setTimeout> | undefined;
  /** When retention is due again. */
  #maintainAt = 0;
  readonly #complaints = { log: "", retention: "" };

  constructor(store: Store, journal: Journal) {
    this.#store = store;
    this.#journal = journal;
    this.#looks = every(PRESSED_MS, () => this.#look());
  }

  stop(): void {
    this.#looks.stop();
    clearTimeout(this.#next);
  }

  #look(): void {
    this.#looks.pace(this.#store.isPressed ? PRESSED_MS : QUIET_MS);
    this.#complain("log", () => this.#moveLog());
    const now = performance.now();
    if (this.#next !== undefined || now < this.#maintainAt) return;
    this.#maintainAt = now + QUIET_MS / 2;
    this.#maintain();
  }

  #moveLog(): string {
    this.#store.tick();
    if (this.#store.logBytes <= PINNED_LOG_BYTES) return "";
    return "the store's log grows because a reader holds it; end queries that run long";
  }

  #maintain(): void {
    this.#next = undefined;
    let more = false;
    this.#complain("retention", () => {
      const step = this.#store.maintain(Date.now());
      more = step.more;
      if (step.removed !== null) this.#journal.say(words(step.removed));
      return "";
    });
    if (more) this.#next = setTimeout(() => this.#maintain(), PAUSE_MS);
  }

  /** Notices what `act` complains of or throws, once. */
  #complain(about: "log" | "retention", act: () => string): void {
    let complaint: string;
    try {
      complaint = act();
    } catch (error) {
      complaint = error instanceof Error ? error.message : String(error);
    }
    if (complaint !== "" && complaint !== this.#complaints[about]) this.#journal.notice(complaint);
    this.#complaints[about] = complaint;
  }
}

function words({ partition: { events, fromTime, toTime }, reason }: Removed): string {
  const what = events === null ? "the events from before the store had partitions" : `${events} events`;
  const when = fromTime === null || toTime === null
    ? ""
    : ` from ${new Date(fromTime).toISOString()} to ${new Date(toTime).toISOString()}`;
  const why = reason === "age" ? "they are older than agent.retention_hours" : "the store holds agent.store_max_bytes";
  return `${what}${when} are removed: ${why}`;
}
