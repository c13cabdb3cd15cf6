/**
 * Moments as people name them, for `--since`, `--until` and parameters.
 *
 * @module
 */
import { parseSpan } from "./units.ts";

const UNITS: Readonly<Record<string, string>> = { sec: "s", second: "s", min: "m", minute: "m", hr: "h", hour: "h" };
const CLOCK = String.raw`(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?(Z|[+-]\d{2}:?\d{2})?`;
const ON_A_DAY = new RegExp(String.raw`^(?:(\d{4})-(\d{2})-(\d{2})|today|yesterday)(?:[T ]${CLOCK})?$`);
const AT_A_TIME = new RegExp(`^()()()${CLOCK}$`);

/**
 * Unix milliseconds of a moment that a person names; `null` when it is none. Local unless it names a zone:
 *
 * - a span before `now`: `10m`, `2 hours ago`; or `now` itself
 * - an ISO date, `today` or `yesterday`, which is its beginning, or a time of that day behind it
 * - a time of day alone: when it was last
 * - Unix seconds (10 digits) or milliseconds (13), as programs print them
 */
export function parseMoment(text: string, now: number): number | null {
  if (text === "now") return now;
  // A bare number of seconds back that is longer was meant otherwise
  if (/^\d{9,}$/.test(text)) {
    return text.length === 10 ? Number(text) * 1_000 : text.length === 13 ? Number(text) : null;
  }
  const span = parseSpan(
    text.replace(/ ago$/, "").replaceAll(/(\d) ?([a-z]+)(?: |$)/g, (_, digit, unit) => digit + shortUnit(unit)),
  );
  if (span !== null) return now - span;
  const today = new Date(now), alone = AT_A_TIME.exec(text), at = alone ?? ON_A_DAY.exec(text);
  if (at === null) return null;
  const [, year, month, day, ...clock] = at;
  if (year) return isDay(Number(year), Number(month), Number(day)) ? moment(+year, +month!, +day!, clock) : null;
  const back = (days: number): number | null =>
    moment(today.getFullYear(), today.getMonth() + 1, today.getDate() - days, clock);
  if (alone === null) return back(text.startsWith("yesterday") ? 1 : 0);
  const time = back(0);
  return time === null || time <= now ? time : back(1);
}

function shortUnit(unit: string): string {
  const one = unit.length > 2 ? unit.replace(/s$/, "") : unit;
  return UNITS[one] ?? (one === "day" || one === "week" ? one[0]! : unit);
}

function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return year >= 1970 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

/** What a change to summer time leaves out lies after it; of what a change back brings twice, it is the first. */
function moment(year: number, month: number, day: number, clock: readonly (string | undefined)[]): number | null {
  const [hour = 0, minute = 0, second = 0] = clock.slice(0, 3).map((digits) => Number(digits ?? 0)), zone = clock[4];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const wall = [year, month - 1, day, hour, minute, second, Number((clock[3] ?? "").padEnd(3, "0"))] as const;
  if (zone === undefined) return new Date(...wall).getTime();
  const [, sign, hours, minutes] = /^([+-])(\d{2}):?(\d{2})$/.exec(zone) ?? [zone, "+", "0", "0"];
  return Date.UTC(...wall) - (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
}
