/**
 * Reads short messages out of pieces of memory that some of them share.
 *
 * What is read of a message may lie in its piece: then it is kept as long as the message is, and little else with it. Memory
 * of its own for each message would be the larger part of what collecting garbage costs.
 *
 * @module
 */
import { FieldReader } from "../field_reader.ts";

/** Longest message that is copied, and bytes of a piece. */
export const PIECE_BYTES = 16_384;

class PieceReader extends FieldReader {
  readonly #piece: Uint8Array;
  #filled = 0;

  constructor() {
    const piece = new Uint8Array(PIECE_BYTES);
    super(piece);
    this.#piece = piece;
  }

  /** Copies a message and reads it from here on; says no where there is no room. */
  take(bytes: Uint8Array): boolean {
    const begin = this.#filled, end = begin + bytes.length;
    if (end > PIECE_BYTES) return false;
    this.#piece.set(bytes, begin);
    this.pos = begin;
    this.#filled = (this as { len: number }).len = end;
    return true;
  }
}

let reader = new PieceReader();

/** A reader of a copy of `bytes`, at most {@linkcode PIECE_BYTES}; valid until the next. It ends at its `len`. */
export function readerOfCopy(bytes: Uint8Array): FieldReader {
  if (!reader.take(bytes)) {
    reader = new PieceReader();
    reader.take(bytes);
  }
  return reader;
}
