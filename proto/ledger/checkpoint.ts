/**
 * Checkpoints: a tree's size and root in a signed note (C2SP tlog-checkpoint).
 *
 * The root is the hash that the ledger's header names. Other people's tools expect SHA-256, and can check that a BLAKE3
 * checkpoint is signed but not proofs to it.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import type { Signer } from "./ed25519.ts";
import { HASH_BYTES } from "./hash.ts";
import {
  fromBase64,
  type Note,
  type NoteKey,
  parseNote,
  signNote,
  type VerifiedSignature,
  verifyNote,
} from "./note.ts";

/** What a ledger says of itself at a time: how many entries it has, and the root of the tree over them. */
export interface Checkpoint {
  /** Which log it is. */
  readonly origin: string;
  /** Number of entries. */
  readonly size: number;
  /** Root of the tree, 32 bytes. */
  readonly root: Uint8Array;
  /** Lines that this program does not read. */
  readonly extensions: readonly string[];
}

/** A checkpoint as it was signed. */
export interface SignedCheckpoint extends Checkpoint {
  /** The note that it stood in, with its signatures. */
  readonly note: Note;
}

/** The note's text. @throws WireError */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const lines = [checkpoint.origin, String(checkpoint.size), checkpoint.root.toBase64(), ...checkpoint.extensions];
  const text = `${lines.join("\n")}\n`;
  parseCheckpointText(text);
  return text;
}

/** The signed text. Ed25519 signs one text in one way, so it can be made again. @throws WireError */
export function signCheckpoint(checkpoint: Checkpoint, key: NoteKey, signer: Signer): string {
  return signNote(formatCheckpoint(checkpoint), key, signer);
}

/** The checkpoint in all of `bytes`, not verified. @throws WireError */
export function parseCheckpoint(bytes: Uint8Array): SignedCheckpoint {
  const note = parseNote(bytes);
  return { ...parseCheckpointText(note.text), note };
}

/** Who of `keys` has signed. @throws WireError when nobody has, or a known signature is wrong. */
export function verifyCheckpoint(
  checkpoint: SignedCheckpoint,
  keys: readonly NoteKey[],
): Promise<VerifiedSignature[]> {
  return verifyNote(checkpoint.note, keys);
}

function parseCheckpointText(text: string): Checkpoint {
  const [origin, size, root, ...extensions] = text.slice(0, -1).split("\n");
  if (origin === undefined || size === undefined || root === undefined || !text.endsWith("\n")) {
    throw new WireError("A checkpoint has the lines origin, size and root");
  }
  if (origin === "" || extensions.includes("")) throw new WireError("A checkpoint has an empty line");
  const hash = fromBase64(root);
  if (hash.length !== HASH_BYTES) throw new WireError(`A checkpoint's root has ${hash.length} bytes`);
  return { origin, size: parseDecimal(size), root: hash, extensions };
}

/** A decimal without leading zeros. @throws WireError */
export function parseDecimal(text: string): number {
  const number = Number(text);
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(number)) {
    throw new WireError("A number is not a decimal below 2^53 without leading zeros");
  }
  return number;
}
