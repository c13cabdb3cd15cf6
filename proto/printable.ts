/**
 * Text from processes, files and peers made harmless for a terminal or a log line.
 *
 * @module
 */

// C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls, zero-width marks, lone surrogates.
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu;

/**
 * The text with everything that could move a cursor, change a colour, break a line or hide a character written as an
 * escape (`\n`, `\x1b`, `\u202e`). A surrogate that stands for a byte that was not UTF-8 becomes `\xNN`.
 *
 * @example
 * ```ts
 * import { printable } from "./printable.ts";
 * import assert from "node:assert/strict";
 * assert.equal(printable("a\x1b[31mb\n"), "a\\x1b[31mb\\n");
 * ```
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, escapeOne);
}

function escapeOne(character: string): string {
  const code = character.charCodeAt(0);
  if (code === 0x0a) return "\\n";
  if (code === 0x0d) return "\\r";
  if (code === 0x09) return "\\t";
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  return `\\u${code.toString(16).padStart(4, "0")}`;
}
