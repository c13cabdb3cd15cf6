/**
 * The right edge of a Merkle tree: all that is needed to append to it and to know its root (RFC 9162, section 2.1).
 *
 * One hash for each bit that is set in the number of leaves: the roots of the perfect subtrees that they fall into,
 * largest first.
 *
 * @module
 */
import type { LedgerHash } from "./hash.ts";

/** Sizes are below 2^53, so a tree has at most this many levels. */
export const MAX_LEVELS = 53;

/** The roots of the full subtrees of a growing Merkle tree: enough to append to it, and for its root. */
export class CompactRange {
  #size: number;
  readonly #roots: Uint8Array[];

  /** A range of no leaves, or of those whose subtrees are given. @throws RangeError */
  constructor(private readonly hash: LedgerHash, size = 0, roots: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(size) || size < 0 || roots.length !== ones(size)) {
      throw new RangeError(`${roots.length} subtrees do not make a tree of ${size} leaves`);
    }
    this.#size = size;
    this.#roots = [...roots];
  }

  /** Leaves so far. */
  get size(): number {
    return this.#size;
  }

  /** Roots of the perfect subtrees, largest first. */
  get roots(): readonly Uint8Array[] {
    return this.#roots;
  }

  /** Takes a leaf's hash. Tells `built` of every subtree that it completes, from the leaf upwards. */
  append(leaf: Uint8Array, built?: (level: number, index: number, hash: Uint8Array) => void): void {
    let node = leaf, index = this.#size, level = 0;
    built?.(0, index, node);
    for (; index % 2 === 1; index = (index - 1) / 2) {
      node = this.hash.node(this.#roots.pop()!, node);
      level += 1;
      built?.(level, (index - 1) / 2, node);
    }
    this.#roots.push(node);
    this.#size += 1;
  }

  /** The tree's root. */
  root(): Uint8Array {
    return foldRoots(this.hash, this.#roots);
  }

  /** Another one of the same leaves, which goes on by itself. */
  copy(): CompactRange {
    return new CompactRange(this.hash, this.#size, this.#roots);
  }
}

/** The root over perfect subtrees, largest first. */
export function foldRoots(hash: LedgerHash, roots: readonly Uint8Array[]): Uint8Array {
  let root = roots.at(-1);
  if (root === undefined) return hash.digest(new Uint8Array(0));
  for (let at = roots.length - 2; at >= 0; at--) root = hash.node(roots[at]!, root);
  return root;
}

/** Bits that are set. */
export function ones(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
