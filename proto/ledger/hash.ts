/**
 * The hash functions of ledgers: BLAKE3 by default, SHA-256 where other people's tools must follow.
 *
 * BLAKE3 comes twice: compiled to WebAssembly, which everything uses, and as the plain program that is its oracle in
 * tests. SHA-256 is the plain program alone: for the 65 to 300 bytes that a ledger hashes at a time it is as fast as the
 * runtime's own, and it runs in a browser. Both are in the RFC 9162 shape (section 2.1.1): a byte in front says whether a
 * leaf or a node was hashed, so that no node passes for a leaf; a third one keeps payloads apart from both.
 *
 * @module
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { createBLAKE3 } from "hash-wasm";
import { DIGEST_BYTES } from "./digest_bytes.ts";

/** The hashes that a ledger may use. */
export const HASH_NAMES = ["blake3", "sha256"] as const;
/** One of {@linkcode HASH_NAMES}. */
export type HashName = typeof HASH_NAMES[number];

/** Bytes of every hash. */
export const HASH_BYTES = DIGEST_BYTES;
const LEAF = 0, NODE = 1, PAYLOAD = 2;

/** One hash function, as a ledger uses it. Every result is an array of its own. */
export interface LedgerHash {
  /** Which hash it is. */
  readonly name: HashName;
  /** The digest of `bytes`, 32 bytes. */
  digest(bytes: Uint8Array): Uint8Array;
  /** Of a leaf of the tree: an entry. */
  leaf(entry: Uint8Array): Uint8Array;
  /** Of an inner node: two hashes of 32 bytes. */
  node(left: Uint8Array, right: Uint8Array): Uint8Array;
  /** Of a payload and the salt that keeps it from being guessed. */
  payload(salt: Uint8Array, payload: Uint8Array): Uint8Array;
}

/** A ledger's use of any function that hashes bytes. */
export function ledgerHash(name: HashName, digest: (bytes: Uint8Array) => Uint8Array): LedgerHash {
  const pair = new Uint8Array(1 + 2 * HASH_BYTES);
  pair[0] = NODE;
  let scratch = new Uint8Array(1_024);
  const two = (prefix: number, a: Uint8Array, b: Uint8Array): Uint8Array => {
    const length = 1 + a.length + b.length;
    if (length > scratch.length) scratch = new Uint8Array(2 * length);
    scratch[0] = prefix;
    scratch.set(a, 1);
    scratch.set(b, 1 + a.length);
    return digest(scratch.subarray(0, length));
  };
  return {
    name,
    digest,
    leaf: (entry) => two(LEAF, entry, NOTHING),
    node(left, right) {
      pair.set(left, 1);
      pair.set(right, 1 + HASH_BYTES);
      return digest(pair);
    },
    payload: (salt, payload) => two(PAYLOAD, salt, payload),
  };
}

/** The hash that `name` says, as fast as it gets. Compiles WebAssembly the first time, which is why one waits for it. */
export async function loadHash(name: HashName): Promise<LedgerHash> {
  if (name === "sha256") return plainHash(name);
  // One for each: it keeps state between its calls, which end before the next begins.
  const hasher = await createBLAKE3();
  return ledgerHash(name, (bytes) => hasher.init().update(bytes).digest("binary"));
}

/** The hash that `name` says, in JavaScript alone: the reference, and for where WebAssembly is not allowed. */
export function plainHash(name: HashName): LedgerHash {
  return ledgerHash(name, name === "sha256" ? (bytes) => sha256(bytes) : (bytes) => blake3(bytes));
}

/** The name as one of ours; `null` for any other. */
export function hashName(text: string): HashName | null {
  return HASH_NAMES.find((name) => name === text) ?? null;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

const NOTHING = new Uint8Array(0);
