/**
 * Checks of inclusion and consistency proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2).
 *
 * Proof, sizes and roots may come from anybody: a proof of the wrong length is refused before anything is hashed, and
 * nothing throws.
 *
 * @module
 */
import { HASH_BYTES, type LedgerHash, sameBytes } from "./hash.ts";

/** Longest proof of either kind for trees below 2^53 leaves. */
export const MAX_PROOF_HASHES = 63;

/** Whether the entry with the hash `leaf` is number `index` of the tree with `size` leaves and this root. */
export function verifyInclusion(
  hash: LedgerHash,
  proof: readonly Uint8Array[],
  index: number,
  size: number,
  leaf: Uint8Array,
  root: Uint8Array,
): boolean {
  if (!isSize(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  if (!wellFormed([...proof, leaf, root]) || proof.length > MAX_PROOF_HASHES) return false;
  let at = index, last = size - 1, node = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      node = hash.node(sibling, node);
      while (at % 2 === 0 && at !== 0) {
        at /= 2;
        last = Math.floor(last / 2);
      }
    } else node = hash.node(node, sibling);
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameBytes(node, root);
}

/**
 * Whether the tree with `oldSize` leaves is the beginning of the one with `newSize`. The empty tree is the beginning of
 * every tree and proves nothing, so it is refused.
 */
export function verifyConsistency(
  hash: LedgerHash,
  proof: readonly Uint8Array[],
  oldSize: number,
  newSize: number,
  oldRoot: Uint8Array,
  newRoot: Uint8Array,
): boolean {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (!wellFormed([...proof, oldRoot, newRoot]) || proof.length > MAX_PROOF_HASHES) return false;
  if (oldSize === newSize) return proof.length === 0 && sameBytes(oldRoot, newRoot);
  let at = oldSize - 1, last = newSize - 1, next = 0;
  while (at % 2 === 1) {
    at = (at - 1) / 2;
    last = Math.floor(last / 2);
  }
  // The old tree is a perfect one: its root is the first hash.
  const first = at === 0 ? oldRoot : proof[next++];
  if (first === undefined) return false;
  let oldNode = first, newNode = first;
  for (; next < proof.length; next++) {
    const sibling = proof[next]!;
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      oldNode = hash.node(sibling, oldNode);
      newNode = hash.node(sibling, newNode);
      while (at % 2 === 0 && at !== 0) {
        at /= 2;
        last = Math.floor(last / 2);
      }
    } else newNode = hash.node(newNode, sibling);
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameBytes(oldNode, oldRoot) && sameBytes(newNode, newRoot);
}

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size > 0;
}

function wellFormed(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((each) => each.length === HASH_BYTES);
}
