/**
 * A text inside an argument that knows where each of its characters stands there.
 *
 * Shell strings are read in layers (an argument, a word of the command in it, a word of the command inside that), and
 * what a layer masks must be cut out of the argument's own bytes. Text here has one character per byte (Latin-1), so
 * that positions are byte positions and every byte survives.
 *
 * @module
 */

export interface Piece {
  readonly text: string;
  /** Positions of the characters in the argument; `null` when they follow each other from `base` on. */
  readonly map: Int32Array | null;
  readonly base: number;
  /** Whether the argument was cut at the end of this piece, so that a pattern may end early. */
  readonly cut: boolean;
  /** Spans of the argument to mask, as pairs of begin and end; shared by all pieces of the argument. */
  readonly masks: number[];
}

/** A whole argument. */
export function pieceOf(text: string, cut: boolean): Piece {
  return { text, map: null, base: 0, cut, masks: [] };
}

/** Marks the characters from `from` up to `to` for masking. */
export function mask(piece: Piece, from: number, to: number): void {
  if (to <= from) return;
  piece.masks.push(position(piece, from), position(piece, to - 1) + 1);
}

/** Where a character of the piece stands in the argument. */
export function position(piece: Piece, index: number): number {
  return piece.map === null ? piece.base + index : piece.map[index]!;
}

/** The part of a piece from `from` up to `to`. */
export function part(piece: Piece, from: number, to: number): Piece {
  return {
    text: piece.text.slice(from, to),
    map: piece.map === null ? null : piece.map.subarray(from, to),
    base: piece.base + from,
    cut: piece.cut && to === piece.text.length,
    masks: piece.masks,
  };
}
