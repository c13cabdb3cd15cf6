/**
 * Texts of the store as a report has them: lists read from JSON that may be damaged, and long ones cut, with how much is
 * missing.
 *
 * @module
 */
import type { Cell } from "../output.ts";
import { count } from "../units.ts";

/** Longest text that is shown whole. */
const MAX_TEXT = 2_000;
/** Longest list. */
const MAX_ITEMS = 60;

/** Texts of a JSON array; none of what is no such. */
export function texts(cell: Cell): string[] {
  const list = parsed(cell);
  return Array.isArray(list) ? list.slice(0, MAX_ITEMS).map((each) => shortened(String(each))) : [];
}

/** JSON of the store; `null` when it is damaged. */
export function parsed(cell: Cell): unknown {
  try {
    return JSON.parse(String(cell));
  } catch {
    return null;
  }
}

/** The text, or its begin and how much is missing. */
export function shortened(text: string, most = MAX_TEXT): string {
  if (text.length <= most) return text;
  // A pair of surrogates is not cut in two
  const end = /[\ud800-\udbff]/.test(text[most - 1]!) ? most - 1 : most;
  return `${text.slice(0, end)}… (${count(text.length - end)} more characters)`;
}
