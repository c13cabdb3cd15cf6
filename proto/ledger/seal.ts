/**
 * Forward-secure seals: what was sealed in an epoch cannot be sealed again by who takes over the host later.
 *
 * The key of an epoch makes that of the next by a one-way function and is then erased. Each epoch ends with one seal,
 * also when nothing happened, and a seal binds its epoch, the tree before it and the seal before it. Who has the first
 * key, which was shown once and is on no disk, makes every key again and checks every seal with that of its epoch.
 * Keys and seals use BLAKE3 whatever the ledger's hash is: its key derivation and keyed modes are made for this.
 *
 * @module
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { WireError } from "../wire_error.ts";
import { getU64, LEDGER_ID_BYTES, putU64 } from "./entry.ts";
import { HASH_BYTES } from "./hash.ts";

export const SEAL_KEY_BYTES = 32;
const encoder = new TextEncoder();
const NEXT = encoder.encode("daemoneye ledger 2026-11 key of the next epoch");
const MAC = encoder.encode("daemoneye ledger 2026-11 seal of an epoch");
const SEAL_BYTES = 16 + 3 * HASH_BYTES;

export interface Seal {
  readonly epoch: number;
  /** Entries before the one that holds this seal. */
  readonly size: number;
  /** Root of the tree of those. */
  readonly root: Uint8Array;
  /** The mac of the seal before; zeros in the first. */
  readonly previous: Uint8Array;
  readonly mac: Uint8Array;
}

/** The key of the epoch after the one that `key` is of. */
export function nextKey(key: Uint8Array): Uint8Array {
  return blake3(key, { context: NEXT });
}

/** The seal's mac with the key of its epoch. */
export function sealMac(key: Uint8Array, ledgerId: Uint8Array, seal: Omit<Seal, "mac">): Uint8Array {
  const message = new Uint8Array(LEDGER_ID_BYTES + SEAL_BYTES - HASH_BYTES);
  message.set(ledgerId);
  message.set(encodeSeal({ ...seal, mac: NO_MAC }).subarray(0, -HASH_BYTES), LEDGER_ID_BYTES);
  return blake3(message, { key: blake3(key, { context: MAC }) });
}

/** A seal's place in its entry's payload: epoch and size as big-endian u64, root, previous, mac. */
export function encodeSeal(seal: Seal): Uint8Array {
  const bytes = new Uint8Array(SEAL_BYTES), view = new DataView(bytes.buffer);
  putU64(view, 0, seal.epoch);
  putU64(view, 8, seal.size);
  bytes.set(seal.root, 16);
  bytes.set(seal.previous, 48);
  bytes.set(seal.mac, 80);
  return bytes;
}

/** @throws WireError */
export function decodeSeal(bytes: Uint8Array): Seal {
  if (bytes.length !== SEAL_BYTES) throw new WireError(`A seal has ${SEAL_BYTES} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    epoch: getU64(view, 0),
    size: getU64(view, 8),
    root: bytes.slice(16, 48),
    previous: bytes.slice(48, 80),
    mac: bytes.slice(80),
  };
}

/** What stands before the first seal. */
export const NO_MAC: Uint8Array = new Uint8Array(HASH_BYTES);
