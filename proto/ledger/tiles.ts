/**
 * Tiles of a Merkle tree, and proofs made from them (C2SP tlog-tiles).
 *
 * A tile holds up to 256 hashes side by side: level 0 those of leaves, level L + 1 the roots of full tiles of level L.
 * What lies between is hashed anew from them, so a proof reads a few tiles and never the entries.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { foldRoots } from "./compact_range.ts";
import { HASH_BYTES, type LedgerHash } from "./hash.ts";

/** Hashes of a full tile. */
const TILE_WIDTH = 256;
/** Levels of the tree that one level of tiles spans. */
const TILE_HEIGHT = 8;
/** Levels of tiles that a tree below 2^53 leaves has. */
export const MAX_TILE_LEVELS = 7;

/** Reads hashes of a tree. */
export interface TileReader {
  /** `count` hashes from `first` on of a level of tiles, all of them in one tile, side by side. @throws when they are not there */
  hashes(level: number, first: number, count: number): Uint8Array;
}

/** Path of a tile below a log's prefix, as C2SP tlog-tiles has it; a width of less than 256 names a partial one. */
export function tilePath(level: number | "entries", index: number, width: number = TILE_WIDTH): string {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, "0");
  const groups = digits.match(/\d{3}/g)!;
  const path = groups.map((group, at) => at < groups.length - 1 ? `x${group}` : group).join("/");
  return `tile/${level}/${path}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

/** Hashes that a level of tiles has in a tree of `size` leaves. */
export function tileHashes(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** The proof that leaf `index` is in the tree of `size` leaves. @throws RangeError */
export function inclusionProof(hash: LedgerHash, tiles: TileReader, index: number, size: number): Uint8Array[] {
  if (!(index >= 0 && index < size)) throw new RangeError(`Entry ${index} is not among the first ${size}`);
  const proof: Uint8Array[] = [];
  const subtrees = new Subtrees(hash, tiles);
  // Down from the root: each step keeps the half that holds the leaf, and the root of the other belongs to the proof.
  for (let from = 0, to = size; to - from > 1;) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      proof.push(subtrees.root(middle, to));
      to = middle;
    } else {
      proof.push(subtrees.root(from, middle));
      from = middle;
    }
  }
  return proof.reverse();
}

/** The proof that the tree of `oldSize` leaves is the beginning of the one of `newSize`. @throws RangeError */
export function consistencyProof(hash: LedgerHash, tiles: TileReader, oldSize: number, newSize: number): Uint8Array[] {
  if (!(oldSize > 0 && oldSize <= newSize)) {
    throw new RangeError(`There is no proof from ${oldSize} to ${newSize} entries`);
  }
  const proof: Uint8Array[] = [];
  const subtrees = new Subtrees(hash, tiles);
  let from = 0, to = newSize;
  // Down to the smallest subtree that ends where the old tree ends.
  while (to !== oldSize) {
    const middle = from + splitOf(to - from);
    if (oldSize <= middle) {
      proof.push(subtrees.root(middle, to));
      to = middle;
    } else {
      proof.push(subtrees.root(from, middle));
      from = middle;
    }
  }
  // Who checks knows the old root already, when that subtree is the whole old tree.
  if (from > 0) proof.push(subtrees.root(from, to));
  return proof.reverse();
}

/** The tree's root from its tiles. */
export function rootOf(hash: LedgerHash, tiles: TileReader, size: number): Uint8Array {
  if (size === 0) return foldRoots(hash, []);
  return new Subtrees(hash, tiles).root(0, size);
}

class Subtrees {
  constructor(private readonly hash: LedgerHash, private readonly tiles: TileReader) {}

  /** Root over the leaves `from` … `to` - 1, which begin at a multiple of the power of two that holds them. */
  root(from: number, to: number): Uint8Array {
    const roots: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const width = powerAtMost(to - at);
      roots.push(this.#perfect(at, width));
      at += width;
    }
    return foldRoots(this.hash, roots);
  }

  /** Root of a perfect subtree, from the one tile that spans it. */
  #perfect(from: number, width: number): Uint8Array {
    const height = Math.round(Math.log2(width)), level = Math.floor(height / TILE_HEIGHT);
    const below = TILE_WIDTH ** level, count = width / below;
    const bytes = this.tiles.hashes(level, from / below, count);
    if (bytes.length !== count * HASH_BYTES) {
      throw new WireError(`${tilePath(level, Math.floor(from / below / TILE_WIDTH))} is shorter than the tree says`);
    }
    // Row by row in one buffer: a proof folds thousands of nodes.
    const row = bytes.slice();
    for (let nodes = count / 2; nodes >= 1; nodes /= 2) {
      for (let node = 0; node < nodes; node++) {
        const at = 2 * node * HASH_BYTES, middle = at + HASH_BYTES;
        row.set(this.hash.node(row.subarray(at, middle), row.subarray(middle, middle + HASH_BYTES)), node * HASH_BYTES);
      }
    }
    return row.slice(0, HASH_BYTES);
  }
}

/** The largest power of two below `size`: where a tree splits. */
function splitOf(size: number): number {
  return powerAtMost(size - 1);
}

function powerAtMost(size: number): number {
  const power = 2 ** Math.floor(Math.log2(size));
  return power > size ? power / 2 : power; // the logarithm is rounded
}
