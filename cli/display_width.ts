/**
 * How many columns of a terminal a text takes, and text cut to fit.
 *
 * The text must be harmless already (`proto/printable.ts`): no control has a width here.
 *
 * @module
 */

// Marks that combine with the character before them; Hangul vowels and finals join the syllable that they follow.
const ZERO = /[\p{Mn}\p{Me}\u1160-\u11ff\ud7b0-\ud7ff]/u;
// East Asian Wide and Fullwidth of UAX #11, in the blocks that hold them, and characters shown as emoji by default.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
// deno-lint-ignore no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

/** Columns that the text takes. */
export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The text, cut to `columns` with `mark` at its end when it is wider. */
export function fit(text: string, columns: number, mark: string): string {
  // Every UTF-16 unit of hostile text may be zero wide: look at no more than can matter to an eye
  const looked = text.length > columns * 16 ? text.slice(0, columns * 16) : text;
  if (looked === text && displayWidth(text) <= columns) return text;
  const room = columns - displayWidth(mark);
  if (room < 0) return mark.slice(0, Math.max(0, columns));
  let width = 0, end = 0;
  for (const character of looked) {
    width += characterWidth(character);
    if (width > room) break;
    end += character.length;
  }
  return text.slice(0, end) + mark;
}

/** The text, filled with spaces to `columns`. */
export function pad(text: string, columns: number, side: "left" | "right"): string {
  const missing = " ".repeat(Math.max(0, columns - displayWidth(text)));
  return side === "left" ? text + missing : missing + text;
}

function characterWidth(character: string): number {
  const code = character.codePointAt(0)!;
  if (code < 0x300) return 1;
  if (ZERO.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}
