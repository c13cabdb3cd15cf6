/**
 * Values of alerts made fit for a format: cut with a mark, and well-formed.
 *
 * Texts come from processes that attackers start. A value that is too long for a receiver, or that it cannot parse, must
 * cost that value its end and not the alert its delivery.
 *
 * @module
 */
import { printable } from "../printable.ts";

const encoder = new TextEncoder();
const scratch = new Uint8Array(65_536);
/** The longest mark is `…[cut from 9007199254740991 bytes]`. */
const MAX_MARK_BYTES = 36;

/** The text in at most `maxBytes` of UTF-8, its mark included; a limit below 64 counts as 64. */
export function cut(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  const limit = Math.min(Math.max(maxBytes, 64), scratch.length);
  const { read, written } = encoder.encodeInto(text, scratch.subarray(0, limit));
  if (read === text.length) return text;
  const kept = encoder.encodeInto(text, scratch.subarray(0, limit - MAX_MARK_BYTES)).read;
  const all = written + encoder.encode(text.slice(read)).length;
  return `${text.slice(0, kept).toWellFormed()}…[cut from ${all} bytes]`;
}

/** For formats of one line of text: cut, and everything that is no plain character written as an escape. */
export function shown(text: string, maxBytes: number): string {
  return printable(cut(text, maxBytes));
}

/** For formats whose keys have a limit of characters: cut to it, with a mark. */
export function clipped(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  return text.slice(0, maxCharacters - 1).toWellFormed() + "…";
}

/**
 * The JSON of a value, on one line that no terminal or line reader takes for anything else: C1 controls, format
 * characters and separators stand as escapes, which every parser reads back.
 *
 * Lone surrogates, by which events hold bytes that are no UTF-8, become U+FFFD: many receivers refuse a text with one
 * (RFC 7493, section 2.1), and a process must not be able to have its alert refused.
 */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value)
    .replace(ESCAPE, (escape) => /^\\ud[89a-f]/.test(escape) ? "\\ufffd" : escape)
    .replace(UNSAFE_IN_LINE, (character) => escapes(character));
}

/** Each escape whole, so that an escaped backslash before `ud800` is not taken for the begin of another. */
const ESCAPE = /\\(?:u[0-9a-f]{4}|.)/g;
const UNSAFE_IN_LINE = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

function escapes(character: string): string {
  let text = "";
  for (let i = 0; i < character.length; i++) text += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return text;
}

/** ISO 8601; `undefined` for a time beyond what a date can hold, which came from a peer. */
export function isoTime(time: number): string | undefined {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : undefined;
}
