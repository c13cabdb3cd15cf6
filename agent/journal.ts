/**
 * What the agent says on stderr, and the faults among it, which its status shows as well.
 *
 * Texts may hold what a peer chose: they are made harmless here. A peer that connects again and again must not fill the
 * log of the host, so lines are rationed; the status counts every one.
 *
 * @module
 */
import { NoticeLog } from "../proto/notice_log.ts";
import { printable } from "../proto/printable.ts";

/** Notices written to stderr in one window; more are only counted. */
const NOTICES_PER_WINDOW = 40;
const WINDOW_MS = 10_000;

export class Journal {
  readonly log = new NoticeLog();
  #windowBegan = 0;
  #inWindow = 0;

  constructor(private readonly write: (line: string) => void = (line) => console.error(line)) {}

  /** Something an operator may like to know. */
  say(text: string): void {
    this.write(`agent: ${printable(text)}`);
  }

  /** A fault that an operator should see. */
  notice(text: string): void {
    const now = Date.now(), shown = this.log.add(text, now);
    if (Math.abs(now - this.#windowBegan) >= WINDOW_MS) {
      if (this.#inWindow > NOTICES_PER_WINDOW) {
        this.write(`agent: ${this.#inWindow - NOTICES_PER_WINDOW} further notices were not written`);
      }
      this.#windowBegan = now;
      this.#inWindow = 0;
    }
    if (++this.#inWindow <= NOTICES_PER_WINDOW) this.write(`agent: ${shown}`);
  }
}
