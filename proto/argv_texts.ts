/**
 * What rows show of arguments, made once for arguments that come again: the end of a process brings those of its start,
 * and a script runs the same commands over and over.
 *
 * The bytes are not trusted. Texts are given only for bytes that were compared with what they were made of, one by one;
 * their hash does no more than choose where to look. Memory is bounded, and who sends arguments that push each other out
 * pays what they would cost without this.
 *
 * @module
 */
import { commandLine, decodeBytes, splitText } from "./argv.ts";
import { byteHash } from "./byte_hash.ts";

/** Arguments that are kept, a power of two, and the longest, in bytes: all together less than half a megabyte. */
const PLACES = 512;
const MAX_KEPT_BYTES = 256;

/** Arguments as a row of the catalog has them. */
export interface ArgvTexts {
  /** The command line as people read it. */
  readonly line: string;
  /** A JSON array. */
  readonly json: string;
}

interface Kept extends ArgvTexts {
  /** The bytes as text: all are ASCII. */
  readonly text: string;
}

const NOTHING: Kept = { text: "", line: "", json: "[]" };
const kept: Kept[] = new Array(PLACES).fill(NOTHING);

/** Command line and JSON array of arguments that are ended by NUL bytes. */
export function argvTexts(argv: Uint8Array): ArgvTexts {
  if (argv.length > MAX_KEPT_BYTES) return textsOf(decodeBytes(argv));
  const place = byteHash(argv, 0, argv.length) & (PLACES - 1), known = kept[place]!;
  if (isOf(known.text, argv)) return known;
  const text = decodeBytes(argv), texts = { text, ...textsOf(text) };
  // As many characters as bytes: only then can one be compared with the other, where a byte is its character's number
  if (text.length === argv.length) kept[place] = texts;
  return texts;
}

function textsOf(text: string): ArgvTexts {
  const parts = splitText(text);
  return { line: commandLine(parts), json: JSON.stringify(parts) };
}

function isOf(text: string, bytes: Uint8Array): boolean {
  if (text.length !== bytes.length) return false;
  for (let at = 0; at < bytes.length; at++) if (text.charCodeAt(at) !== bytes[at]) return false;
  return true;
}
