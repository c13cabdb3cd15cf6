/**
 * Circumstances that come again and again in messages, decoded once: what one user, session or service runs shares them.
 *
 * The bytes are not trusted. A context is given only for bytes that were compared with its own one by one; their hash
 * does no more than choose where to look. Memory is bounded, and who sends circumstances that push each other out pays
 * what they would cost without this.
 *
 * @module
 */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import { byteHash } from "./byte_hash.ts";
import { readContext } from "./context_codec.ts";
import type { ProcessContext } from "./process_event.ts";

/** Contexts that are kept, a power of two, and the longest, in bytes: all together some hundred kilobytes. */
const PLACES = 128;
const MAX_KEPT_BYTES = 512;

interface Kept {
  readonly bytes: Uint8Array;
  readonly context: ProcessContext;
}

const kept: (Kept | null)[] = new Array(PLACES).fill(null);

/** Reads the fields of a context up to `end`; `bytes` are those that the reader reads. As `readContext` does. */
export function contextAt(reader: BinaryReader, bytes: Uint8Array, end: number): ProcessContext {
  const from = reader.pos;
  if (end - from > MAX_KEPT_BYTES) return readContext(reader, end);
  const place = byteHash(bytes, from, end) & (PLACES - 1), known = kept[place]!;
  if (known !== null && isAt(known.bytes, bytes, from, end)) {
    reader.pos = end;
    return known.context;
  }
  const context = readContext(reader, end);
  kept[place] = { bytes: bytes.slice(from, end), context };
  return context;
}

function isAt(own: Uint8Array, bytes: Uint8Array, from: number, end: number): boolean {
  if (own.length !== end - from) return false;
  for (let at = 0; at < own.length; at++) if (own[at] !== bytes[from + at]) return false;
  return true;
}
