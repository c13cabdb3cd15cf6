/**
 * Text from processes, files and peers made harmless for a terminal or a log line.
 *
 * @module
 */

// Controls (C0, C1, DEL), format characters (bidirectional controls, zero-width marks, tags), line and paragraph
// separators, lone surrogates.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

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
  const code = character.codePointAt(0)!;
  if (code === 0x0a) return "\\n";
  if (code === 0x0d) return "\\r";
  if (code === 0x09) return "\\t";
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}
