/**
 * The note of a bundle: the hash of its manifest, which holds the hashes of everything else, signed or not.
 *
 * ```
 * daemoneye-bundle/1
 * manifest.json SIZE SHA-256
 *
 * — NAME SIGNATURE
 * ```
 *
 * A C2SP signed note, as checkpoints of the ledger are, with the same kind of key; without a key the two lines stand
 * alone. There is one text for each content, so that no flipped bit of it goes unseen.
 *
 * @module
 */
import { SEED_BYTES, type Signer } from "../../proto/ledger/ed25519.ts";
import {
  formatNote,
  type NoteKey,
  noteKey,
  noteText,
  parseNote,
  signNote,
  verifyNote,
} from "../../proto/ledger/note.ts";
import { parseDecimal } from "../../proto/ledger/checkpoint.ts";
import { seedSigner } from "../../proto/ledger/seed_signer.ts";
import { WireError } from "../../proto/wire_error.ts";
import { CommandError } from "../command.ts";
import { FORMAT_NAME, FORMAT_VERSION, NewerBundleError } from "./manifest.ts";
import { MANIFEST_NAME } from "./members.ts";

export interface BundleSigner {
  readonly key: NoteKey;
  readonly signer: Signer;
}

/** What a note says of the manifest. */
export interface BundleNote {
  readonly size: number;
  readonly sha256: string;
  readonly bytes: Uint8Array;
  readonly isSigned: boolean;
}

/** Longest key with the spaces around it. */
export const MAX_SEED_TEXT = 256;

/** The signer of a key as `ledger.key` holds one: 64 hexadecimal digits. The bytes are erased. @throws CommandError */
export function readSigner(name: string, bytes: Uint8Array): BundleSigner {
  const text = new TextDecoder().decode(bytes).trim();
  bytes.fill(0);
  if (text.length !== 2 * SEED_BYTES || /[^0-9a-f]/.test(text)) {
    throw new CommandError(
      `The key on standard input is not ${
        2 * SEED_BYTES
      } hexadecimal digits; make one by: openssl rand -hex ${SEED_BYTES}`,
    );
  }
  const signer = seedSigner(Uint8Array.fromHex(text));
  try {
    return { key: noteKey(name, signer.publicKey), signer };
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new CommandError(`The name ${name} is none for a key: ${cause.message}`, { cause });
  }
}

export function formatBundleNote(size: number, sha256: string, by: BundleSigner | null): string {
  const text = `${FORMAT_NAME}\n${MANIFEST_NAME} ${size} ${sha256}\n`;
  return by === null ? text : signNote(text, by.key, by.signer);
}

/** @throws NewerBundleError @throws WireError */
export function parseBundleNote(bytes: Uint8Array): BundleNote {
  const all = noteText(bytes), [, version] = /^daemoneye-bundle\/([1-9][0-9]{0,8})\n/.exec(all) ?? [];
  if (version !== undefined && Number(version) !== FORMAT_VERSION) {
    throw new NewerBundleError(
      `it is a bundle of version ${version}, and this program knows version ${FORMAT_VERSION}: use a newer one`,
    );
  }
  const isSigned = all.includes("\n\n"), text = isSigned ? parseNote(bytes).text : all;
  const found = /^([^\n]+)\n([^ \n]+) ([0-9]+) ([0-9a-f]{64})\n$/.exec(text);
  if (found === null || found[1] !== FORMAT_NAME || found[2] !== MANIFEST_NAME) {
    throw new WireError(`It does not say the hash of ${MANIFEST_NAME}`);
  }
  return { size: parseDecimal(found[3]!), sha256: found[4]!, bytes, isSigned };
}

/** That the key that the manifest names, and no other, has signed. @throws WireError */
export async function checkSignature(note: BundleNote, signer: NoteKey | null): Promise<void> {
  if (signer === null) {
    if (note.isSigned) throw new WireError("It is signed, and the manifest says that nobody signs");
    return;
  }
  if (!note.isSigned) throw new WireError(`The signature of ${signer.name} is missing`);
  if (signer.type !== "ed25519") throw new WireError(`${signer.name} is the key of a witness, which signs no bundle`);
  const parsed = parseNote(note.bytes);
  if (parsed.signatures.length !== 1 || formatNote(parsed) !== new TextDecoder().decode(note.bytes)) {
    throw new WireError("It has more than one signature, or not in the one form");
  }
  await verifyNote(parsed, [signer]);
}
