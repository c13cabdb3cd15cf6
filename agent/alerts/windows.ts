/**
 * The windows in which hits do not become alerts of their own, and how many those were.
 *
 * `repeat`: the same hit as that of an alert. `limit`: hits of a rule past its limit. `inhibit`: an alert that keeps others
 * back is fresh. What changes in a transaction of the store is undone with it. Windows end by a clock that does not
 * jump.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { AlertTables, StoredWindow } from "../store/alert_tables.ts";
import { leftOf } from "./mutes.ts";

/** Windows at once; past that the oldest end before their time. */
const MAX_WINDOWS = 20_000;

export interface AlertWindow {
  readonly key: string;
  readonly kind: StoredWindow["kind"];
  readonly ruleId: string;
  /** The alert that it is of. */
  readonly alertId: string;
  /** Hits that did not become alerts, and the times of the first and the last. */
  count: number;
  first: number;
  last: number;
  /** On the clock that does not jump. */
  until: number;
  readonly mutedBy: string | null;
  readonly sample: string | null;
}

export class AlertWindows {
  readonly #windows = new Map<string, AlertWindow>();
  /** Changed in the open transaction: as they were, `null` for those that were not. */
  readonly #before = new Map<AlertWindow, Pick<AlertWindow, "count" | "first" | "last" | "until"> | null>();
  #ended: AlertWindow[] = [];
  /** No window ends before this. */
  #due = Infinity;

  get size(): number {
    return this.#windows.size;
  }

  get(key: string): AlertWindow | undefined {
    return this.#windows.get(key);
  }

  /** When the next may end, on the clock that does not jump. */
  get due(): number {
    return this.#due;
  }

  /** Those of the last run. */
  restore(stored: readonly StoredWindow[], wall: number, monotonic: number): void {
    this.#windows.clear();
    this.#before.clear();
    this.#ended = [];
    this.#due = Infinity;
    for (const { leftMs, notedTime, ...window } of stored) {
      const until = monotonic + leftOf({ leftMs, notedTime }, wall);
      this.#windows.set(window.key, { ...window, until });
      this.#due = Math.min(this.#due, until);
    }
  }

  open(window: AlertWindow): void {
    this.#windows.set(window.key, window);
    this.#before.set(window, null);
    this.#due = Math.min(this.#due, window.until);
  }

  /** One more hit. */
  count(window: AlertWindow, time: number): void {
    this.#touch(window);
    window.first = window.count === 0 ? time : Math.min(window.first, time);
    window.last = window.count === 0 ? time : Math.max(window.last, time);
    window.count += 1;
  }

  extend(window: AlertWindow, until: number): void {
    this.#touch(window);
    window.until = until;
  }

  end(window: AlertWindow, tables: AlertTables): void {
    this.#windows.delete(window.key);
    if (this.#before.get(window) === null) this.#before.delete(window); // it was never stored
    else {
      this.#touch(window);
      this.#ended.push(window);
    }
    tables.dropWindow(window.key);
  }

  /** The one that is there longest, when there are more than there may be. */
  get surplus(): AlertWindow | null {
    if (this.#windows.size <= MAX_WINDOWS) return null;
    for (const oldest of this.#windows.values()) return oldest;
    return null;
  }

  /** Those that have ended by then. */
  ended(monotonic: number): AlertWindow[] {
    if (this.#due > monotonic) return [];
    const ended: AlertWindow[] = [];
    this.#due = Infinity;
    for (const window of this.#windows.values()) {
      if (window.until <= monotonic) ended.push(window);
      else this.#due = Math.min(this.#due, window.until);
    }
    return ended;
  }

  /** Looks again at the next occasion: what was to end did not. */
  retry(): void {
    this.#due = -Infinity;
  }

  /** The window of an alert's repeats. */
  ofAlert(alertId: string): AlertWindow | null {
    for (const window of this.#windows.values()) {
      if (window.kind === "repeat" && window.alertId === alertId) return window;
    }
    return null;
  }

  /** Writes what changed into the store; within its transaction. */
  write(tables: AlertTables, wall: number, monotonic: number): void {
    for (const window of this.#before.keys()) {
      if (this.#windows.get(window.key) !== window) continue;
      const { until, ...rest } = window;
      tables.putWindow({ ...rest, leftMs: until - monotonic, notedTime: wall });
    }
  }

  committed(): void {
    this.#before.clear();
    this.#ended = [];
  }

  rolledBack(): void {
    for (const [window, before] of this.#before) {
      if (before === null && this.#windows.get(window.key) === window) this.#windows.delete(window.key);
      else if (before !== null) Object.assign(window, before);
    }
    for (const window of this.#ended) {
      this.#windows.set(window.key, window);
      this.#due = Math.min(this.#due, window.until);
    }
    this.#before.clear();
    this.#ended = [];
  }

  #touch(window: AlertWindow): void {
    if (this.#before.has(window)) return;
    const { count, first, last, until } = window;
    this.#before.set(window, { count, first, last, until });
  }
}

/** A window in which nothing was counted yet. */
export function newWindow(key: string, kind: AlertWindow["kind"], alert: Alert, until: number): AlertWindow {
  const { ruleId, alertId, time } = alert;
  return { key, kind, ruleId, alertId, count: 0, first: time, last: time, until, mutedBy: null, sample: null };
}
