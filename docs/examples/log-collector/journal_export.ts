/**
 * The journal's export format (`journalctl -o export`), piece by piece as it comes.
 *
 * An entry is fields, `NAME=value` to the end of the line, or the name alone, the length in eight bytes, and so many
 * bytes; an empty line ends it. What is longer than it may be is passed over to its end: whoever writes to the journal
 * chooses values, and the rest of a long one must not be taken for fields. An entry with a piece that is no field is none,
 * and counted.
 *
 * @module
 */
import type { LogLine } from "./messages.ts";

/** Longest value that is kept, in bytes. */
const MAX_VALUE = 16_384;
/** Longest line that is waited for; the rest of a longer one is passed over. */
const MAX_LINE = 65_536;
/** The journal takes no longer values (`DATA_SIZE_MAX` of systemd is 768 MiB): a greater length is damage. */
const MAX_LENGTH = 1 << 30;
const MAX_FIELDS = 256, NEWLINE = 0x0a;
const NAME = /^[A-Z_][A-Z0-9_]{0,63}$/, NUMBER = /^\d{1,16}$/;
const WANTED: ReadonlySet<string> = new Set([
  "__REALTIME_TIMESTAMP",
  "_HOSTNAME",
  "SYSLOG_IDENTIFIER",
  "_PID",
  "MESSAGE",
]);
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class JournalExport {
  #bytes: Uint8Array = new Uint8Array(0);
  /** Bytes of a long value that are still to be passed over. */
  #skip = 0;
  /** Whether a long line is passed over to its end. */
  #isPassingOver = false;
  #fields = new Map<string, string>();
  #count = 0;
  #isDamaged = false;
  /** Bytes since the end of the last entry. */
  #entry = 0;
  /** Entries with pieces that were no fields. */
  damaged = 0;

  /** Bytes at the end that belong to an entry which is not whole. */
  get unread(): number {
    return this.#entry;
  }

  /** Takes more bytes; gives the lines of the entries that are whole now. */
  take(more: Uint8Array): LogLine[] {
    const lines: LogLine[] = [];
    this.#entry += more.length;
    const skipped = Math.min(this.#skip, more.length);
    this.#skip -= skipped;
    const bytes = new Uint8Array(this.#bytes.length + more.length - skipped);
    bytes.set(this.#bytes);
    bytes.set(more.subarray(skipped), this.#bytes.length);
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, at);
      if (end < 0) break;
      if (this.#isPassingOver) {
        this.#isPassingOver = false;
        at = end + 1;
        continue;
      }
      if (end === at) {
        at += 1;
        const line = this.#end();
        if (line !== null) lines.push(line);
        this.#entry = bytes.length - at;
        continue;
      }
      const text = decoder.decode(bytes.subarray(at, Math.min(end, at + MAX_VALUE))), equals = text.indexOf("=");
      if (equals > 0) {
        this.#keep(text.slice(0, equals), text.slice(equals + 1));
        at = end + 1;
        continue;
      }
      // A name alone: a value of bytes follows
      if (NAME.test(text) && bytes.length < end + 9) break;
      const length = NAME.test(text) ? lengthAt(bytes, end + 1) : MAX_LENGTH + 1;
      if (length > MAX_LENGTH) {
        this.#isDamaged = true;
        at = end + 1;
        continue;
      }
      const from = end + 9, to = from + length + 1;
      if (length > MAX_VALUE) {
        this.#skip = Math.max(0, to - bytes.length);
        at = Math.min(to, bytes.length);
        continue;
      }
      if (bytes.length < to) break;
      this.#keep(text, decoder.decode(bytes.subarray(from, from + length)));
      at = to;
    }
    this.#bytes = bytes.slice(at);
    const isLong = this.#bytes.length > MAX_LINE && !this.#bytes.includes(NEWLINE);
    if (isLong && !this.#isPassingOver) {
      // As of a whole line: its beginning is kept
      const text = decoder.decode(this.#bytes.subarray(0, MAX_VALUE)), equals = text.indexOf("=");
      if (equals > 0) this.#keep(text.slice(0, equals), text.slice(equals + 1));
      else this.#isDamaged = true;
      this.#isPassingOver = true;
    }
    if (this.#isPassingOver) this.#bytes = new Uint8Array(0);
    return lines;
  }

  #keep(name: string, value: string): void {
    this.#count += 1;
    if (this.#count <= MAX_FIELDS && WANTED.has(name) && !this.#fields.has(name)) this.#fields.set(name, value);
  }

  #end(): LogLine | null {
    const fields = this.#fields, isDamaged = this.#isDamaged;
    this.#fields = new Map();
    this.#count = 0;
    this.#isDamaged = false;
    if (isDamaged) {
      this.damaged += 1;
      return null;
    }
    const micros = fields.get("__REALTIME_TIMESTAMP") ?? "", pid = fields.get("_PID") ?? "";
    const message = fields.get("MESSAGE"), time = Math.floor(Number(micros) / 1_000);
    if (message === undefined || !NUMBER.test(micros)) return null;
    return {
      time,
      host: fields.get("_HOSTNAME") ?? "",
      program: fields.get("SYSLOG_IDENTIFIER") ?? "",
      pid: NUMBER.test(pid) && Number.isSafeInteger(Number(pid)) ? Number(pid) : null,
      message,
    };
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigUint64(0, true));
}
