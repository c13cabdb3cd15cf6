/**
 * Times and numbers of a report in words. Times are UTC: a report is read elsewhere than where it was made.
 *
 * @module
 */
import { type Markup, markup } from "./html.ts";

/** `2026-08-05 12:03:11`. */
function utc(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "invalid time" : date.toISOString().slice(0, -5).replace("T", " ");
}

/** `2026-08-05 12:03`. */
export function utcMinute(time: number): string {
  const text = utc(time);
  return text.length === 19 ? text.slice(0, -3) : text;
}

/** The time for people, with the exact one for programs. */
export function timeMarkup(time: number, text: string = utc(time)): Markup {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? markup`${text}` : markup`<time datetime="${date.toISOString()}">${text}</time>`;
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** `3 %`, `under 1 %`. */
export function share(part: number, whole: number): string {
  if (whole === 0 || part === 0) return "0 %";
  const percent = Math.round(100 * part / whole);
  return percent === 0 ? "under 1 %" : `${percent} %`;
}
