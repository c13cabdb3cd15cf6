/**
 * SQLite's operations on values, as far as they are exact in JavaScript.
 *
 * A number is an integer or floating by what is known of its expression, never by its value. Throws
 * {@linkcode UNDECIDED} for an integer beyond 2^53 and for a text that SQLite might not make.
 *
 * @module
 */
import { type ArithmeticOperator, INTEGER } from "./predicate.ts";
import { UNDECIDED } from "./undecided.ts";

/** Longest text that is made, in UTF-16 code units: SQLite's own limit is near for longer ones. */
const MAX_MADE_LENGTH = 1_000_000;

/** The order of SQLite: numbers before texts, texts by code points. */
export function compareValues(a: string | number, b: string | number): number {
  if (typeof a === "number") return typeof b === "number" ? (a < b ? -1 : a > b ? 1 : 0) : -1;
  if (typeof b === "number") return 1;
  if (a === b) return 0;
  const shorter = Math.min(a.length, b.length);
  let at = 0;
  while (at < shorter && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === shorter) return a.length < b.length ? -1 : 1;
  const x = a.charCodeAt(at), y = b.charCodeAt(at);
  // A half of a pair stands for a character beyond the others
  const pairX = x >= 0xd800 && x <= 0xdfff, pairY = y >= 0xd800 && y <= 0xdfff;
  return pairX !== pairY ? (pairX ? 1 : -1) : x < y ? -1 : 1;
}

type Compute = (a: string | number, b: string | number) => string | number | null;

/** The operation for operands of these types, which are never NULL. `~` takes its operand as the second. */
export function arithmeticOf(operator: ArithmeticOperator | "~", left: number, right: number): Compute {
  const integers = left === INTEGER && right === INTEGER;
  const numbers = (compute: (a: number, b: number) => number): Compute => {
    // An integer may only come of integers; where both may be, a large result may be either
    const mayBeInteger = (left & right & INTEGER) !== 0;
    return (a, b) => {
      const result = compute(a as number, b as number);
      if (mayBeInteger && !Number.isSafeInteger(result) && (integers || Math.abs(result) > Number.MAX_SAFE_INTEGER)) {
        throw UNDECIDED;
      }
      return Number.isNaN(result) ? null : result + 0;
    };
  };
  switch (operator) {
    case "||":
      return (a, b) => made(String(a) + String(b));
    case "+":
      return numbers((a, b) => a + b);
    case "-":
      return numbers((a, b) => a - b);
    case "*":
      return numbers((a, b) => a * b);
    case "/":
      if (integers) return (a, b) => b === 0 ? null : Math.trunc(a as number / (b as number)) + 0;
      return (a, b) => b === 0 ? null : finite(a as number / (b as number));
    case "%":
      return (a, b) => {
        const divisor = wholeOf(b as number), dividend = wholeOf(a as number);
        return divisor === 0 ? null : dividend % divisor + 0;
      };
    case "&":
      return (a, b) => {
        const x = wholeOf(a as number), y = wholeOf(b as number);
        if (x < 0 || y < 0) return exact(BigInt(x) & BigInt(y));
        return ((x / 0x1_0000_0000) & (y / 0x1_0000_0000)) * 0x1_0000_0000 + ((x & y) >>> 0);
      };
    case "|":
      return (a, b) => exact(BigInt(wholeOf(a as number)) | BigInt(wholeOf(b as number)));
    case "~":
      return (_, b) => -wholeOf(b as number) - 1;
    case "<<":
      return (a, b) => shifted(wholeOf(a as number), wholeOf(b as number));
    case ">>":
      return (a, b) => shifted(wholeOf(a as number), -wholeOf(b as number));
  }
}

function finite(number: number): number | null {
  return Number.isNaN(number) ? null : number + 0;
}

/** A number as an integer, as SQLite casts it. */
function wholeOf(number: number): number {
  const integer = Math.trunc(number) + 0;
  if (!Number.isSafeInteger(integer)) throw UNDECIDED;
  return integer;
}

function exact(integer: bigint): number {
  const number = Number(integer);
  if (!Number.isSafeInteger(number)) throw UNDECIDED;
  return number;
}

/** Shifted to the left, or to the right by a negative count. */
function shifted(number: number, count: number): number {
  if (count <= -64) return number < 0 ? -1 : 0;
  if (count >= 64) return 0;
  if (count < 0) return exact(BigInt(number) >> BigInt(-count));
  return exact(BigInt.asIntN(64, BigInt(number) << BigInt(count)));
}

function made(text: string): string {
  if (text.length > MAX_MADE_LENGTH) throw UNDECIDED;
  return text;
}

/** Code points of a text. */
export function characterCount(text: string): number {
  let count = text.length;
  for (let at = 0; at < text.length; at++) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xd800) count--; // the first half of a pair: texts are well-formed
  }
  return count;
}

/** `substr`, whose places count from 1, and from the end when they are negative. @throws UNDECIDED for far places */
export function substring(text: string, from: number, count: number): string {
  // Without a count SQLite takes its longest length, which then is what a far place is counted against
  if (from < -MAX_MADE_LENGTH) throw UNDECIDED;
  const characters = /[\ud800-\udfff]/.test(text) ? [...text] : text;
  const { length } = characters;
  let start = from, size = count;
  if (start < 0) {
    start += length;
    if (start < 0) {
      if (size < 0) size = 0;
      else size += start;
      start = 0;
    }
  } else if (start > 0) start--;
  else if (size > 0) size--;
  if (size < 0) {
    if (start < -size) {
      size = start;
      start = 0;
    } else {
      start += size;
      size = -size;
    }
  }
  const piece = characters.slice(start, Math.max(start, start + size));
  return typeof piece === "string" ? piece : piece.join("");
}

/** A text without the given characters at its begin and end. */
export function trimmed(text: string, characters: string, begin: boolean, end: boolean): string {
  const cut = new Set(characters), points = [...text];
  let from = 0, to = points.length;
  while (begin && from < to && cut.has(points[from]!)) from++;
  while (end && to > from && cut.has(points[to - 1]!)) to--;
  return points.slice(from, to).join("");
}

/** `replace`. @throws UNDECIDED when the text grows long */
export function replaced(text: string, piece: string, by: string): string {
  if (piece === "") return text;
  if (piece.includes("\0")) throw UNDECIDED;
  if (by.length > piece.length) {
    let grown = text.length;
    for (let at = text.indexOf(piece); at >= 0; at = text.indexOf(piece, at + piece.length)) {
      grown += by.length - piece.length;
      if (grown > MAX_MADE_LENGTH) throw UNDECIDED;
    }
  }
  return text.replaceAll(piece, () => by);
}

/** Bytes of a text, in upper-case hexadecimal. */
export function hexOf(text: string): string {
  let hex = "";
  for (const byte of new TextEncoder().encode(made(text))) hex += DIGITS[byte >> 4]! + DIGITS[byte & 15]!;
  return hex;
}
const DIGITS = "0123456789ABCDEF";
