/**
 * The faults that a daemon shows in its status: the newest few, and how many there were.
 *
 * A notice may carry what a peer or a process chose, so every text is made harmless and cut here, once.
 *
 * @module
 */
import { printable } from "./printable.ts";
import type { Notice } from "./status.ts";

/** How many notices a status lists. */
export const MAX_NOTICES = 50;
/** Longest text of a notice, in UTF-16 units. */
export const MAX_NOTICE_LENGTH = 500;

export class NoticeLog {
  #notices: Notice[] = [];
  #count = 0;

  /** How many there were, also those no longer kept. */
  get count(): number {
    return this.#count;
  }

  /** Oldest first. */
  get notices(): readonly Notice[] {
    return this.#notices;
  }

  /** Keeps a notice, and returns its text as it may be shown. A text said again right away only takes the new time. */
  add(text: string, time: number): string {
    const shown = printable(text.length > MAX_NOTICE_LENGTH ? text.slice(0, MAX_NOTICE_LENGTH) + "…" : text);
    this.#count += 1;
    if (this.#notices.at(-1)?.text === shown) this.#notices.pop();
    else if (this.#notices.length === MAX_NOTICES) this.#notices.shift();
    this.#notices.push({ time, text: shown });
    return shown;
  }
}
