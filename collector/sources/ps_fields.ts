/**
 * The words that `ps` prints, as values. Pure; a word that is not what it should be is -1 or NaN, never an exception.
 *
 * @module
 */
import { stateName } from "../kernel/procfs_parse.ts";
import { decodeName, TextCache } from "../kernel/text_cache.ts";

/** `Thu Jan  1 00:00:00 1970`, as `ctime()` and `strftime("%c")` write it in the C locale. */
export const START_BYTES = 24;

const MINUS = 45, ZERO = 48, NINE = 57, COLON = 58, DOT = 46, UPPER_U = 85;
/** Digits that a double holds exactly. */
const MAX_DIGITS = 15;

/** The whole number from `from` to `to`, -1 when it is none or too long. */
export function parseDigits(line: Uint8Array, from: number, to: number): number {
  if (to <= from || to - from > MAX_DIGITS) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const byte = line[i]!;
    if (byte < ZERO || byte > NINE) return -1;
    value = value * 10 + byte - ZERO;
  }
  return value;
}

/** A user or group: macOS shows those from 2^31 as negative numbers. */
export function parseId(line: Uint8Array, from: number, to: number): number {
  if (line[from] !== MINUS) {
    const value = parseDigits(line, from, to);
    return value > 0xffff_ffff ? -1 : value;
  }
  const value = parseDigits(line, from + 1, to);
  return value < 1 || value > 0x8000_0000 ? -1 : 0x1_0000_0000 - value;
}

/** `[[days-]hours:]minutes:seconds[.hundredths]` in nanoseconds; -1 when it is none. BSD's minutes go on past 59. */
export function parseCpuTime(line: Uint8Array, from: number, to: number): number {
  let days = 0, begin = from, units = 0, seconds = 0;
  for (let i = from; i <= to; i++) {
    const byte = i < to ? line[i]! : COLON;
    if (byte === MINUS && begin === from && days === 0) {
      days = parseDigits(line, begin, i);
      if (days < 0) return -1;
      begin = i + 1;
    } else if (byte === COLON || byte === DOT) {
      const value = parseDigits(line, begin, i);
      if (value < 0 || ++units > 3) return -1;
      seconds = seconds * 60 + value;
      if (byte === DOT) {
        const hundredths = to - i - 1 === 2 ? parseDigits(line, i + 1, to) : -1;
        if (hundredths < 0 || units < 2) return -1;
        return bounded((days * 86_400 + seconds) * 1e9 + hundredths * 1e7);
      }
      begin = i + 1;
    }
  }
  return units < 2 ? -1 : bounded((days * 86_400 + seconds) * 1e9);
}

/** Three centuries: a thousand processors for four months. */
const MAX_CPU_TIME_NS = 1e19;

function bounded(time: number): number {
  return time > MAX_CPU_TIME_NS ? -1 : time;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const START = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;
/** The same second stands in the lines of many processes, and of each process in every table. */
const starts = new TextCache(decodeName), startTimes = new Map<string, number>();
const MAX_KNOWN_STARTS = 4_096;

/** Unix seconds, NaN when it is no such time. */
export function parseStart(line: Uint8Array, at: number): number {
  if (at + START_BYTES > line.length) return NaN;
  const text = starts.text(line, at, at + START_BYTES);
  let time = startTimes.get(text);
  if (time === undefined) {
    if (startTimes.size >= MAX_KNOWN_STARTS) startTimes.clear();
    time = unixSeconds(text);
    startTimes.set(text, time);
  }
  return time;
}

function unixSeconds(text: string): number {
  const [, monthName, day, hour, minute, second, year] = START.exec(text) ?? [];
  const month = MONTHS.indexOf(monthName ?? "");
  if (month < 0) return NaN;
  const time = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second));
  const back = new Date(time);
  // Date.UTC() takes the 31st of February for the 3rd of March. A leap second is the one before it to the kernel.
  return back.getUTCMonth() === month && back.getUTCDate() === Number(day) && back.getUTCHours() === Number(hour) &&
      Number(second) < 60 && time >= 0
    ? time / 1000
    : NaN;
}

/** BSD's letters beside those of Linux: waits that no signal ends. */
export function parseState(letter: number): string {
  return letter === UPPER_U ? "disk_sleep" : stateName(letter);
}

const terminals = new TextCache(decodeName);

/** Without a terminal: `?` (Linux), `??` (macOS, OpenBSD), `-` (FreeBSD). */
export function parseTerminal(line: Uint8Array, from: number, to: number): string | null {
  const text = terminals.text(line, from, to);
  return text === "?" || text === "??" || text === "-" ? null : text;
}
