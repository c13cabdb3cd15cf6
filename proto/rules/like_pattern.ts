/**
 * Patterns of texts: LIKE's language, and tests of texts made from them.
 *
 * A test takes a text that is folded already when its patterns are. It costs at most the length of the text times that of
 * the pattern; without `_` in a pattern, little more than the text's.
 *
 * @module
 */
import { ANY, asciiLower, ONE, type Pattern, patternText } from "./predicate.ts";

/** Reads a pattern of LIKE; `null` for one that ends in its escape character, which matches nothing. */
export function parseLike(source: string, escape: string | null): Pattern | null {
  const parts: (string | typeof ANY | typeof ONE)[] = [];
  let text = "";
  const flush = (): void => {
    if (text !== "") parts.push(asciiLower(patternText(text)));
    text = "";
  };
  const characters = [...source];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === escape) { // first: an escape may be % or _, which then are no wildcards
      if (++at === characters.length) return null;
      text += characters[at]!;
    } else if (character === "%") {
      flush();
      if (parts.at(-1) !== ANY) parts.push(ANY);
    } else if (character === "_") {
      flush();
      parts.push(ONE);
    } else text += character;
  }
  flush();
  return parts;
}

export type TextTest = (text: string) => boolean;

/** A test whether a text matches one of the patterns. */
export function textTest(patterns: readonly Pattern[]): TextTest {
  const whole = new Set<string>(), starts: string[] = [], ends: string[] = [], middles: string[] = [];
  const others: TextTest[] = [];
  for (const pattern of patterns) {
    const [first, second, third] = pattern, { length } = pattern;
    if (length === 0) whole.add("");
    else if (length === 1 && typeof first === "string") whole.add(first);
    else if (length === 2 && first === ANY && typeof second === "string") ends.push(second);
    else if (length === 2 && typeof first === "string" && second === ANY) starts.push(first);
    else if (length === 3 && first === ANY && typeof second === "string" && third === ANY) middles.push(second);
    else others.push(generalTest(pattern));
  }
  const tests: TextTest[] = [...others];
  if (middles.length > 0) tests.unshift(anyOf(middles, (text, middle) => text.includes(middle)));
  if (starts.length > 0) tests.unshift(anyOf(starts, (text, start) => text.startsWith(start)));
  if (ends.length > 0) tests.unshift(anyOf(ends, (text, end) => text.endsWith(end)));
  if (whole.size > 0) tests.unshift((text) => whole.has(text));
  if (tests.length === 1) return tests[0]!;
  return (text) => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(text)) return true;
    return false;
  };
}

function anyOf(pieces: readonly string[], test: (text: string, piece: string) => boolean): TextTest {
  const [only] = pieces;
  if (pieces.length === 1) return (text) => test(text, only!);
  return (text) => {
    for (let i = 0; i < pieces.length; i++) if (test(text, pieces[i]!)) return true;
    return false;
  };
}

/** Characters of one segment between two `%`; `null` stands for any one. */
type Segment = readonly (string | null)[];

function generalTest(pattern: Pattern): TextTest {
  const segments: (string | null)[][] = [[]];
  for (const part of pattern) {
    if (part === ANY) segments.push([]);
    else if (part === ONE) segments.at(-1)!.push(null);
    else segments.at(-1)!.push(...part);
  }
  const first = segments[0]!, last = segments.at(-1)!, middle = segments.slice(1, -1);
  const open = segments.length > 1;
  // Without `_` and outside the BMP a character is one code unit everywhere, and indexOf does the work.
  const plain = segments.every((segment) => segment.every((one) => one !== null));
  if (plain && open) return plainTest(first.join(""), middle.map((segment) => segment.join("")), last.join(""));
  const wildFirst = segments.every((segment) => segment.every((one) => one === null || one.length === 1));
  return (text) => {
    // A pair of surrogates is one character to `_`
    const characters = !wildFirst || /[\ud800-\udfff]/.test(text) ? [...text] : text;
    if (!open) return characters.length === first.length && fits(characters, 0, first);
    const end = characters.length - last.length;
    if (end < first.length || !fits(characters, 0, first) || !fits(characters, end, last)) return false;
    let at = first.length;
    for (const segment of middle) {
      while (at + segment.length <= end && !fits(characters, at, segment)) at++;
      if (at + segment.length > end) return false;
      at += segment.length;
    }
    return true;
  };
}

function fits(characters: ArrayLike<string>, at: number, segment: Segment): boolean {
  for (let i = 0; i < segment.length; i++) {
    const wanted = segment[i]!;
    if (wanted !== null && characters[at + i] !== wanted) return false;
  }
  return true;
}

function plainTest(first: string, middle: readonly string[], last: string): TextTest {
  const least = first.length + last.length;
  return (text) => {
    if (text.length < least || !text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    const end = text.length - last.length;
    for (let i = 0; i < middle.length; i++) {
      const found = text.indexOf(middle[i]!, at);
      if (found < 0 || found + middle[i]!.length > end) return false;
      at = found + middle[i]!.length;
    }
    return true;
  };
}
