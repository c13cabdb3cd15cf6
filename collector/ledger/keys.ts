/**
 * Keys of the ledger in the collector: read by name before privilege is given up, held in memory afterwards.
 *
 * The signing key is a file of 64 hexadecimal digits (the 32-byte seed of RFC 8032) that root owns and nobody else can
 * read. Who calls gives the function that reads a file by name, so that nothing here knows where keys are.
 *
 * @module
 */
import { SEED_BYTES, type Signer } from "../../proto/ledger/ed25519.ts";
import { seedSigner } from "../../proto/ledger/seed_signer.ts";

/** The key that signs, and the one that takes over from it at the next start. */
export const SIGNING_KEY = "ledger.key", NEXT_SIGNING_KEY = "ledger-next.key";

/** The bytes of a key file, or `null` when there is none of that name. */
export type ReadKeyFile = (name: string) => Uint8Array | null;

export interface SigningKeys {
  readonly current: Signer;
  readonly next: Signer | null;
}

/** A key file is missing or holds no key. */
export class KeyFileError extends Error {
  override name = "KeyFileError";
}

/** @throws KeyFileError */
export function readSigningKeys(read: ReadKeyFile): SigningKeys {
  const current = readSigner(read, SIGNING_KEY);
  if (current === null) {
    throw new KeyFileError(`The key file ${SIGNING_KEY} is missing; make it: openssl rand -hex 32, mode 0400, root's`);
  }
  return { current, next: readSigner(read, NEXT_SIGNING_KEY) };
}

/** The signer whose key this seed is; the seed's bytes are erased. */
export function signerOf(seed: Uint8Array): Signer {
  if (seed.length !== SEED_BYTES) throw new KeyFileError(`An Ed25519 seed has ${SEED_BYTES} bytes, not ${seed.length}`);
  return seedSigner(seed);
}

function readSigner(read: ReadKeyFile, name: string): Signer | null {
  const bytes = read(name);
  if (bytes === null) return null;
  const text = new TextDecoder().decode(bytes).trim();
  bytes.fill(0);
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new KeyFileError(`The key file ${name} does not hold 64 hexadecimal digits; make it: openssl rand -hex 32`);
  }
  return signerOf(Uint8Array.fromHex(text));
}
