/**
 * Lines of auth.log, in the old form (`Nov  2 03:04:05 host sshd[1]: …`, of this host's time zone and without a year) and
 * the new one (`2026-11-02T03:04:05.123456+01:00 host sshd[1]: …`).
 *
 * @module
 */
import type { LogLine } from "./messages.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const OLD = /^([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) /;
const NEW = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})) /;
const REST = /^([^\s]{1,255}) ([A-Za-z0-9_.\/-]{1,64})(?:\[(\d{1,10})\])?: (.*)$/s;
const DAY_MS = 86_400_000;

/** What a line says; `null` for one that is none. `now`: Unix milliseconds, by which a year is found. */
export function parseSyslogLine(line: string, now: number): LogLine | null {
  const old = OLD.exec(line), newer = old === null ? NEW.exec(line) : null, head = old ?? newer;
  if (head === null) return null;
  const time = old === null ? Date.parse(newer![1]!) : oldTime(old, now);
  const rest = REST.exec(line.slice(head[0].length));
  if (rest === null || !Number.isSafeInteger(time) || time < 0 || time > now + DAY_MS) return null;
  const [, host, program, pid, message] = rest;
  return { time, host: host!, program: program!, pid: pid === undefined ? null : Number(pid), message: message! };
}

function oldTime([, month, day, hours, minutes, seconds]: RegExpExecArray, now: number): number {
  const at = MONTHS.indexOf(month!), year = new Date(now).getFullYear();
  const of = (year: number): number =>
    new Date(year, at, Number(day), Number(hours), Number(minutes), Number(seconds)).getTime();
  // A line of December that is read in January
  return at < 0 ? NaN : of(year) > now + DAY_MS ? of(year - 1) : of(year);
}
