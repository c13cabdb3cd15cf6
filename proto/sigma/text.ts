/**
 * Texts of Sigma rules: their wildcards and escapes, and what modifiers make of them.
 *
 * A text becomes parts: pieces of plain text, {@linkcode ANY} for `*` and {@linkcode ONE} for `?`. Nothing here folds
 * case. What would make many texts of one is bounded by {@linkcode MAX_VARIANTS}.
 *
 * @module
 */
import { ANY, ONE } from "../rules/predicate.ts";

export type TextPart = string | typeof ANY | typeof ONE;
export type SigmaText = readonly TextPart[];

/** Most texts that one value may become: four dashes of `windash`, each in five forms. */
export const MAX_VARIANTS = 625;

/**
 * Reads a value: `*` and `?` are wildcards, `\*`, `\?` and `\\` the characters themselves, and any other backslash is one.
 * A text that holds nothing is no parts.
 */
export function parseText(source: string): SigmaText {
  const parts: TextPart[] = [];
  let plain = "";
  const flush = (): void => {
    if (plain !== "") parts.push(plain);
    plain = "";
  };
  for (let at = 0; at < source.length; at++) {
    const character = source[at]!;
    if (character === "\\" && /[*?\\]/.test(source[at + 1] ?? "")) plain += source[++at]!;
    else if (character === "*") {
      flush();
      if (parts.at(-1) !== ANY) parts.push(ANY);
    } else if (character === "?") {
      flush();
      parts.push(ONE);
    } else plain += character;
  }
  flush();
  return parts;
}

/** The text without wildcards; `null` when it has some. */
export function plainText(parts: SigmaText): string | null {
  return parts.every((part) => typeof part === "string") ? parts.join("") : null;
}

export type TextPosition = "contains" | "startswith" | "endswith";

/** With a wildcard at the ends that the modifier leaves open. */
export function positioned(parts: SigmaText, position: TextPosition): SigmaText {
  const made = [...parts];
  if (position !== "startswith" && made[0] !== ANY) made.unshift(ANY);
  // What is open at both ends and holds nothing is one wildcard
  if (position !== "endswith" && (made.at(-1) !== ANY)) made.push(ANY);
  return made;
}

/** What a command line may begin an option with; the last three are the en dash, the em dash and the horizontal bar. */
const DASHES = ["-", "/", "\u2013", "\u2014", "\u2015"] as const;
/** A dash that begins a word, and none within one. */
const DASH = /\B[-/\u2013-\u2015]\b/g;

/** The text with each dash that begins a word in each of its forms; `null` when that makes too many. */
export function dashed(parts: SigmaText): SigmaText[] | null {
  let variants: TextPart[][] = [[]];
  for (const part of parts) {
    if (typeof part !== "string") {
      for (const variant of variants) variant.push(part);
      continue;
    }
    let texts = [""], from = 0;
    for (const { index } of part.matchAll(DASH)) {
      const before = part.slice(from, index);
      texts = texts.flatMap((text) => DASHES.map((dash) => text + before + dash));
      if (texts.length * variants.length > MAX_VARIANTS) return null;
      from = index + 1;
    }
    const rest = part.slice(from);
    variants = variants.flatMap((variant) => texts.map((text) => [...variant, text + rest]));
  }
  return variants;
}

export type Utf16 = "utf16" | "utf16le" | "utf16be" | "wide";

/** The bytes of a text in UTF-8 or one of the forms of UTF-16; `utf16` begins with a byte order mark. */
export function bytesOf(text: string, encoding: Utf16 | null): Uint8Array {
  if (encoding === null) return new TextEncoder().encode(text);
  const marked = encoding === "utf16" ? `\ufeff${text}` : text;
  const bytes = new Uint8Array(marked.length * 2), view = new DataView(bytes.buffer);
  for (let at = 0; at < marked.length; at++) view.setUint16(at * 2, marked.charCodeAt(at), encoding !== "utf16be");
  return bytes;
}

/** Characters at the begin of the base64 form that bytes before the text have a part in, by their number modulo 3. */
const SHARED_BEGIN = [0, 2, 3] as const;
/** Characters at its end that bytes after the text have a part in, by the length modulo 3. */
const SHARED_END = [0, 3, 2] as const;

/**
 * What of the base64 form of bytes is always there, wherever in a longer text they stand: one form for each place modulo
 * 3. `null` when nothing is left of one of them, which would be in every text.
 */
export function base64Offsets(bytes: Uint8Array): string[] | null {
  const forms = SHARED_BEGIN.map((begin, offset) => {
    const shifted = new Uint8Array(offset + bytes.length);
    shifted.set(bytes, offset);
    const form = shifted.toBase64();
    return form.slice(begin, form.length - SHARED_END[shifted.length % 3]!);
  });
  return forms.includes("") ? null : forms;
}

/** A placeholder of `expand`, and plain text. */
export type ExpandPiece = { readonly text: string } | { readonly placeholder: string };

/** Splits a value at its placeholders `%name%`; `\%` is a percent character. */
export function placeholdersOf(source: string): ExpandPiece[] {
  const pieces: ExpandPiece[] = [];
  let text = "";
  for (let at = 0; at < source.length;) {
    if (source.startsWith("\\%", at)) {
      text += "%";
      at += 2;
      continue;
    }
    const name = source[at] === "%" ? /^%([A-Za-z0-9_.-]+)%/.exec(source.slice(at, at + 130))?.[1] : undefined;
    if (name === undefined) {
      // What a backslash escapes is no begin of a placeholder
      const length = source[at] === "\\" && /[*?\\]/.test(source[at + 1] ?? "") ? 2 : 1;
      text += source.slice(at, at + length);
      at += length;
      continue;
    }
    if (text !== "") pieces.push({ text });
    text = "";
    pieces.push({ placeholder: name });
    at += name.length + 2;
  }
  if (text !== "") pieces.push({ text });
  return pieces;
}
