/**
 * Ed25519 signatures with a key that is kept as its seed: for the programs that sign, not for a browser.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { SEED_BYTES, type Signer } from "./ed25519.ts";

/** What stands before the seed in a PKCS #8 private key (RFC 8410, section 7). */
const PKCS8 = Uint8Array.fromHex("302e020100300506032b657004220420");

/** The signer whose key this seed is; the seed's bytes are erased. @throws RangeError for a seed of another length */
export function seedSigner(seed: Uint8Array): Signer {
  if (seed.length !== SEED_BYTES) throw new RangeError(`An Ed25519 seed has ${SEED_BYTES} bytes, not ${seed.length}`);
  const der = new Uint8Array(PKCS8.length + SEED_BYTES);
  der.set(PKCS8);
  der.set(seed, PKCS8.length);
  const key = createPrivateKey({ key: der as unknown as Buffer, format: "der", type: "pkcs8" });
  der.fill(0);
  seed.fill(0);
  const { x } = createPublicKey(key).export({ format: "jwk" });
  const publicKey = Uint8Array.fromBase64(x!, { alphabet: "base64url" });
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) };
}
