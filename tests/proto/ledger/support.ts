/**
 * Trees in memory for tests: the whole tree at once, written down as RFC 9162 defines it, and its tiles.
 *
 * @module
 */
import { CompactRange } from "../../../proto/ledger/compact_range.ts";
import { HASH_BYTES, type LedgerHash } from "../../../proto/ledger/hash.ts";
import type { TileReader } from "../../../proto/ledger/tiles.ts";

/** Root over leaves `from` … `to` - 1 by the definition of RFC 9162, section 2.1.1. */
export function definedRoot(hash: LedgerHash, leaves: readonly Uint8Array[], from = 0, to = leaves.length): Uint8Array {
  if (to === from) return hash.digest(new Uint8Array(0));
  if (to - from === 1) return leaves[from]!;
  let split = 1;
  while (split * 2 < to - from) split *= 2;
  return hash.node(definedRoot(hash, leaves, from, from + split), definedRoot(hash, leaves, from + split, to));
}

/** Keeps the tiles of a tree that grows. */
export class TilesInMemory implements TileReader {
  readonly range: CompactRange;
  readonly #levels: { bytes: Uint8Array; count: number }[] = [];
  reads = 0;

  constructor(hash: LedgerHash) {
    this.range = new CompactRange(hash);
  }

  append(leaf: Uint8Array): void {
    this.range.append(leaf, (level, index, node) => {
      if (level % 8 !== 0) return;
      const tiles = this.#levels[level / 8] ??= { bytes: new Uint8Array(1_024), count: 0 };
      if (tiles.bytes.length < (index + 1) * HASH_BYTES) {
        const more = new Uint8Array(2 * tiles.bytes.length);
        more.set(tiles.bytes);
        tiles.bytes = more;
      }
      tiles.bytes.set(node, index * HASH_BYTES);
      tiles.count = index + 1;
    });
  }

  hashes(level: number, first: number, count: number): Uint8Array {
    this.reads += 1;
    const tiles = this.#levels[level];
    if (tiles === undefined || first + count > tiles.count) throw new RangeError(`Level ${level} has no ${first}`);
    if (Math.floor(first / 256) !== Math.floor((first + count - 1) / 256)) throw new RangeError("Two tiles at once");
    return tiles.bytes.subarray(first * HASH_BYTES, (first + count) * HASH_BYTES);
  }
}

/**
 * The same hash, which remembers the nodes it made: for making all proofs of a tree, that have most of their nodes in
 * common. Nothing is verified with it. A node is known by 53 bits of each of its children.
 */
export function remembering(hash: LedgerHash): LedgerHash {
  const nodes = new Map<number, Map<number, Uint8Array>>();
  const key = (bytes: Uint8Array): number => {
    let value = 0;
    for (let at = 0; at < 6; at++) value = value * 256 + bytes[at]!;
    return value * 32 + (bytes[6]! & 31);
  };
  return {
    ...hash,
    node(left, right) {
      const a = key(left), b = key(right);
      let row = nodes.get(a);
      if (row === undefined) nodes.set(a, row = new Map());
      let node = row.get(b);
      if (node === undefined) row.set(b, node = hash.node(left, right));
      return node;
    },
  };
}

/** Hashes of leaves that are the numbers from 0 on. */
export function numberedLeaves(hash: LedgerHash, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => hash.leaf(new TextEncoder().encode(String(i))));
}
