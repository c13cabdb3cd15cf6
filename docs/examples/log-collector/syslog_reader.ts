/**
 * A syslog file's bytes as its lines, piece by piece as they come.
 *
 * A line that is longer than it may be is passed over to its end, and counted: whoever chooses a part of a long line must not
 * have the rest of it taken for a line of its own.
 *
 * @module
 */
import type { LogLine } from "./messages.ts";
import { parseSyslogLine } from "./syslog_line.ts";

/** Longest line that is kept, in characters. */
const MAX_LINE = 16_384;

export class SyslogReader {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #rest = "";
  #isPassingOver = false;
  /** Bytes at the end that are no whole line yet. */
  unread = 0;
  /** Lines that were too long. */
  damaged = 0;

  /** Takes more bytes; gives the lines that are whole now. `now`: Unix milliseconds. */
  take(bytes: Uint8Array, now: number = Date.now()): LogLine[] {
    const end = bytes.lastIndexOf(0x0a);
    this.unread = end < 0 ? this.unread + bytes.length : bytes.length - end - 1;
    const parts = this.#decoder.decode(bytes, { stream: true }).split("\n"), lines: LogLine[] = [];
    for (const [at, part] of parts.entries()) {
      if (!this.#isPassingOver) this.#rest += part;
      if (this.#rest.length > MAX_LINE) {
        this.damaged += 1;
        this.#isPassingOver = true;
        this.#rest = "";
      }
      if (at === parts.length - 1) break;
      const line = this.#isPassingOver ? null : parseSyslogLine(this.#rest, now);
      if (line !== null) lines.push(line);
      this.#isPassingOver = false;
      this.#rest = "";
    }
    return lines;
  }
}
