/**
 * Arguments of a process between the kernel's bytes and text.
 *
 * The kernel has arguments as bytes ended by NUL; nothing says that they are UTF-8. Text keeps a byte that is not as a
 * lone surrogate U+DC80 to U+DCFF (the "surrogateescape" of PEP 383), so that the bytes can be had back.
 *
 * @module
 */

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Bytes as text; bytes that are not UTF-8 as lone surrogates. */
export function decodeBytes(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return decodeDamaged(bytes);
  }
}

/** The inverse of {@linkcode decodeBytes}. */
export function encodeText(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  const out: number[] = [];
  for (const character of text) {
    const code = character.charCodeAt(0);
    if (character.length === 1 && code >= 0xdc80 && code <= 0xdcff) out.push(code - 0xdc00);
    else out.push(...encoder.encode(character));
  }
  return Uint8Array.from(out);
}

/** Arguments of NUL-ended bytes. A last argument without its NUL was cut, and counts. */
export function splitArgv(argv: Uint8Array): string[] {
  return splitText(decodeBytes(argv));
}

/** The same of their text. */
export function splitText(text: string): string[] {
  if (text === "") return [];
  const parts = text.split("\0");
  if (text.endsWith("\0")) parts.pop();
  return parts;
}

/** NUL-ended bytes of arguments. */
export function joinArgv(parts: readonly string[]): Uint8Array {
  return encodeText(parts.map((part) => part + "\0").join(""));
}

/** The command line as people read it: arguments joined by spaces, bytes that are not UTF-8 as U+FFFD. */
export function commandLine(parts: readonly string[]): string {
  return parts.join(" ").toWellFormed();
}

function decodeDamaged(bytes: Uint8Array): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) text += String.fromCharCode(0xdc00 + bytes[at++]!);
    else {
      text += strict.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** Bytes of the valid UTF-8 sequence at `at`, 0 when there is none (RFC 3629, table in section 4). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const second = bytes[at + 1] ?? 0;
  const continues = (offset: number): boolean => ((bytes[at + offset] ?? 0) & 0xc0) === 0x80;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const low = first === 0xe0 ? 0xa0 : 0x80, high = first === 0xed ? 0x9f : 0xbf;
    return second >= low && second <= high && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const low = first === 0xf0 ? 0x90 : 0x80, high = first === 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}
