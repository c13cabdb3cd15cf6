/**
 * Regular expressions of rules and hunts: RE2's language, matched in time that grows with the text and never faster.
 *
 * Patterns are hostile. RE2 has no look-around and no back references, so that nothing in it backtracks; a pattern becomes
 * a program of bounded size, and a text that would take the program more than {@linkcode MAX_STEPS} steps is refused,
 * because a single call cannot be interrupted.
 *
 * @module
 */
import { RE2JS } from "re2js";

/** Longest pattern, in UTF-16 code units. */
export const MAX_PATTERN_LENGTH = 512;
/** Largest program that a pattern may become: counted repetition multiplies. */
export const MAX_PROGRAM = 1_000;
/** Steps, program size times length of the text, that one match may take: at most some 60 ms. */
export const MAX_STEPS = 16_777_216;
/** Compiled patterns that are kept for SQL, which hands over the text of the pattern for each row. */
const MAX_KEPT = 256;

/** A compiled pattern. */
export interface Regex {
  /** Steps of its program. */
  readonly size: number;
  /** Whether the pattern is found in the text; `null` when the text is too long for it. */
  test(text: string): boolean | null;
}

/** Why a pattern cannot be used, for people. */
export class RegexError extends Error {
  override name = "RegexError";
}

/** Compiles a pattern. @throws RegexError */
export function compileRegex(pattern: string): Regex {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new RegexError(`The pattern has ${pattern.length} characters; ${MAX_PATTERN_LENGTH} are allowed`);
  }
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw new RegexError(`The pattern is not understood: ${problemOf(pattern, error)}`, { cause: error });
  }
  const size = compiled.programSize();
  if (size > MAX_PROGRAM) {
    throw new RegexError(`The pattern repeats too much: it has ${size} steps, and ${MAX_PROGRAM} are allowed`);
  }
  const longest = Math.floor(MAX_STEPS / size);
  return { size, test: (text) => text.length > longest ? null : compiled.test(text) };
}

function problemOf(pattern: string, error: unknown): string {
  if (/\(\?(<?[=!])/.test(pattern)) return "RE2 has no look-around; use two conditions, one with NOT";
  if (/\\[1-9]/.test(pattern)) return "RE2 has no back references";
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^error parsing regexp: /, "").slice(0, 120);
}

const kept = new Map<string, Regex>();

/** The same, keeping what was compiled last. @throws RegexError */
export function regexOf(pattern: string): Regex {
  const known = kept.get(pattern);
  if (known !== undefined) return known;
  const regex = compileRegex(pattern);
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!);
  kept.set(pattern, regex);
  return regex;
}

/**
 * Texts that are in every text in which the pattern is found, compared without case; none when nothing is certain.
 *
 * It knows little of the language and gives up early: only what stands outside of groups, classes and choices counts.
 */
export function certainTexts(pattern: string): string[] {
  const found: string[] = [];
  let run = "", at = 0;
  const end = (): void => {
    if (run !== "") found.push(run);
    run = "";
  };
  // Without case K is also U+212A and S U+017F, which folding A to Z does not know
  const folding = /\(\?[A-Za-z]*i/.test(pattern);
  while (at < pattern.length) {
    const character = pattern[at]!;
    let atom: string | null = null;
    if (character === "|") return [];
    if (character === "\\") {
      const next = pattern[at + 1] ?? "";
      if (/[A-Za-z0-9]/.test(next) && !/[dDwWsSbBAztnrfva]/.test(next)) return [];
      if (/[!-\/:-@\[-`{-~]/.test(next)) atom = next;
      at += 2;
    } else if (character === "[") {
      const close = classEnd(pattern, at);
      if (close < 0) return [];
      at = close;
    } else if (character === "(") {
      const close = groupEnd(pattern, at);
      if (close < 0) return [];
      at = close;
    } else {
      // The pieces of a repetition that is none, a control character or one beyond ASCII: left out, which is safe
      if (/[ -~]/.test(character) && !/[.^$*+?{}()[\]]/.test(character)) atom = character;
      at++;
    }
    const repeat = /^(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??/.exec(pattern.slice(at, at + 16))?.[0] ?? "";
    at += repeat.length;
    if (atom !== null && folding && /[kKsS]/.test(atom)) atom = null;
    if (atom === null) end();
    else if (repeat === "") run += atom;
    else {
      if (repeat.startsWith("+")) run += atom;
      end();
    }
  }
  end();
  return found;
}

/** The offset after a class that begins at `at`; -1 for one with another bracket in it. */
function classEnd(pattern: string, at: number): number {
  const end = /^\[\^?\]?(?:[^\]\\[]|\\[^A-Za-z0-9]|\\[dDwWsStnrfva])*\]/.exec(pattern.slice(at))?.[0];
  return end === undefined ? -1 : at + end.length;
}

function groupEnd(pattern: string, at: number): number {
  let depth = 0;
  while (at < pattern.length) {
    const character = pattern[at]!;
    if (character === "\\") {
      if (/[QEpPx]/.test(pattern[at + 1] ?? "")) return -1;
      at += 2;
    } else if (character === "[") {
      at = classEnd(pattern, at);
      if (at < 0) return -1;
    } else {
      if (character === "(") depth++;
      at++;
      if (character === ")" && --depth === 0) return at;
    }
  }
  return -1;
}
