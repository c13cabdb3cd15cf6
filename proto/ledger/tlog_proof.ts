/**
 * Proofs that a person carries: one text file that shows an entry to be in the ledger (C2SP tlog-proof).
 *
 * The file needs nothing but the ledger's public key. Its `extra` line holds the entry and, if it is to be shown, the
 * payload: a u16 length, the entry, then the payload's record without its length. Extra data is not signed by anybody;
 * it counts because the entry's hash is proven, and the payload's hash is in the entry.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { parseCheckpoint, parseDecimal, type SignedCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { decodeEntry, type Entry } from "./entry.ts";
import { HASH_BYTES, type LedgerHash, sameBytes } from "./hash.ts";
import { fromBase64, MAX_NOTE_BYTES, type NoteKey, noteText, type VerifiedSignature } from "./note.ts";
import { decodePayload, encodePayload, type Payload } from "./payload.ts";
import { MAX_PROOF_HASHES, verifyInclusion } from "./proofs.ts";

const FIRST_LINE = "c2sp.org/tlog-proof@v1";
/** Longest file: a note, its proof, and an entry with its payload in base64. */
export const MAX_PROOF_BYTES: number = MAX_NOTE_BYTES + 32_768;

/** A proof that an entry is in a tree (C2SP `tlog-proof`). */
export interface TlogProof {
  /** Place of the entry, from 0. */
  readonly index: number;
  /** Hashes beside its way to the root, from below, 32 bytes each. */
  readonly hashes: readonly Uint8Array[];
  /** Opaque; what our own proofs hold there, {@linkcode readExtra} reads. */
  readonly extra: Uint8Array | null;
  /** The checkpoint's bytes as they were signed. */
  readonly checkpoint: Uint8Array;
}

/** What a proof proves. */
export interface ProvenEntry {
  /** The entry that is proven. */
  readonly entry: Entry;
  /** `null` when the proof does not show it. */
  readonly payload: Payload | null;
  /** The checkpoint that it is proven against. */
  readonly checkpoint: SignedCheckpoint;
  /** Those of its signatures that hold. */
  readonly signatures: readonly VerifiedSignature[];
}

export function formatProof(proof: TlogProof): string {
  const lines = [FIRST_LINE];
  if (proof.extra !== null) lines.push(`extra ${proof.extra.toBase64()}`);
  lines.push(`index ${proof.index}`, ...proof.hashes.map((hash) => hash.toBase64()), "");
  return `${lines.join("\n")}\n${noteText(proof.checkpoint)}`;
}

/** The proof in all of `bytes`; its checkpoint is parsed and nothing is verified. @throws WireError */
export function parseProof(bytes: Uint8Array): TlogProof {
  if (bytes.length > MAX_PROOF_BYTES) {
    throw new WireError(`A proof has ${bytes.length} bytes; at most ${MAX_PROOF_BYTES} are allowed`);
  }
  const text = noteText(bytes), end = text.indexOf("\n\n");
  if (end < 0) throw new WireError("A proof has an empty line before its checkpoint");
  const lines = text.slice(0, end).split("\n");
  if (lines.shift() !== FIRST_LINE) throw new WireError(`A proof begins with ${FIRST_LINE}`);
  const extra = lines[0]?.startsWith("extra ") ? fromBase64(lines.shift()!.slice(6)) : null;
  const index = lines.shift();
  if (index === undefined || !index.startsWith("index ")) throw new WireError("A proof says the entry's index");
  if (lines.length > MAX_PROOF_HASHES) throw new WireError(`A proof has ${lines.length} hashes`);
  const hashes = lines.map(fromBase64);
  if (hashes.some(({ length }) => length !== HASH_BYTES)) throw new WireError("A proof has a hash of another length");
  const checkpoint = new TextEncoder().encode(text.slice(end + 2));
  parseCheckpoint(checkpoint);
  return { index: parseDecimal(index.slice(6)), hashes, extra, checkpoint };
}

/** What our own proofs hold as extra data. */
export function makeExtra(entry: Uint8Array, payload: Payload | null): Uint8Array {
  return Uint8Array.of(entry.length >>> 8, entry.length & 0xff, ...entry, ...encodePayload(payload).subarray(2));
}

/** @throws WireError */
export function readExtra(extra: Uint8Array): { readonly entry: Uint8Array; readonly payload: Payload | null } {
  const length = extra.length < 2 ? -1 : extra[0]! * 256 + extra[1]!;
  if (length < 0 || 2 + length > extra.length) throw new WireError("A proof's extra data holds no entry");
  return { entry: extra.subarray(2, 2 + length), payload: decodePayload(extra.subarray(2 + length)) };
}

/**
 * The entry that a proof of ours shows, when one of `keys` has signed the checkpoint.
 *
 * @throws WireError that says what does not hold.
 */
export async function checkProof(
  bytes: Uint8Array,
  keys: readonly NoteKey[],
  hash: LedgerHash,
): Promise<ProvenEntry> {
  const proof = parseProof(bytes), checkpoint = parseCheckpoint(proof.checkpoint);
  if (proof.extra === null) throw new WireError("The proof does not hold its entry, so it shows nothing by itself");
  const signatures = await verifyCheckpoint(checkpoint, keys);
  if (!signatures.some(({ key }) => key.type === "ed25519" && key.name === checkpoint.origin)) {
    throw new WireError(`The checkpoint is not signed by ${checkpoint.origin}, the log that it is of`);
  }
  const { entry: entryBytes, payload } = readExtra(proof.extra), entry = decodeEntry(entryBytes);
  if (!verifyInclusion(hash, proof.hashes, proof.index, checkpoint.size, hash.leaf(entryBytes), checkpoint.root)) {
    throw new WireError("The entry is not in the tree of the checkpoint, or its proof was damaged");
  }
  if (entry.sequence !== proof.index) {
    throw new WireError(`The entry says that it is number ${entry.sequence}, the proof says ${proof.index}`);
  }
  if (payload !== null && !sameBytes(hash.payload(payload.salt, payload.bytes), entry.payloadHash)) {
    throw new WireError("The payload is not the entry's");
  }
  return { entry, payload, checkpoint, signatures };
}
