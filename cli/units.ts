/**
 * Times, spans and sizes between people and numbers.
 *
 * @module
 */

/** Unix milliseconds; `null` is the begin of the store, or now. */
export interface TimeRange {
  readonly from: number | null;
  readonly until: number | null;
}

const SPAN_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds of a span such as `500ms`, `10m`, `1h30m` or `2d`; `null` when it is none. A bare number is seconds. */
export function parseSpan(text: string): number | null {
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1_000;
  const part = /(\d{1,12})(ms|s|m|h|d|w)/gy;
  let total = 0, at = 0;
  for (const match of text.matchAll(part)) {
    total += Number(match[1]) * SPAN_MS[match[2]!]!;
    at = match.index + match[0].length;
  }
  return at === text.length && at > 0 ? total : null;
}

/** ISO 8601 in the local zone, which it names: `2026-08-05T12:03:11.123+02:00`. */
export function localTime(time: number, fraction: "ms" | "s" = "ms"): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "invalid time";
  const east = -date.getTimezoneOffset();
  const shifted = new Date(time + east * 60_000);
  // Beyond the year 9999 or out of range after the shift: a number is better than an exception
  if (Number.isNaN(shifted.getTime())) return String(time);
  const wall = shifted.toISOString().slice(0, -1);
  return (fraction === "ms" ? wall : wall.slice(0, -4)) + zone(east);
}

function zone(minutesEast: number): string {
  if (minutesEast === 0) return "Z";
  const size = Math.abs(minutesEast);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${minutesEast < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** A span as people say it, in at most two units: `3 ms`, `1.2 s`, `4 min 10 s`, `2 d 3 h`. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 0) return `-${span(-ms)}`;
  if (ms < 1_000) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, "")} s`;
  const seconds = Math.round(ms / 1_000);
  const two = (big: number, bigName: string, small: number, smallName: string): string =>
    small === 0 ? `${big} ${bigName}` : `${big} ${bigName} ${small} ${smallName}`;
  if (seconds < 3_600) return two(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 86_400) return two(Math.floor(seconds / 3_600), "h", Math.floor(seconds / 60) % 60, "min");
  return two(Math.floor(seconds / 86_400), "d", Math.floor(seconds / 3_600) % 24, "h");
}

/** A size in binary units: `512 B`, `1.4 MiB`. */
export function bytes(size: number): string {
  let value = size, unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  while (Math.abs(value) >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A whole number with commas: `20,000`. */
export function count(value: number | bigint): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 gap`, `2 gaps`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
