/**
 * Ed25519 (RFC 8032) by WebCrypto, which every runtime and browser has.
 *
 * @module
 */

export const PUBLIC_KEY_BYTES = 32, SIGNATURE_BYTES = 64, SEED_BYTES = 32;

/** Signs with a private key that it alone holds. */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** Whether `signature` is one of `message`. Bytes of the wrong length, and keys that are none, make it `false`. */
export async function verifyEd25519(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  try {
    const key = await crypto.subtle.importKey("raw", publicKey.slice(), "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, signature.slice(), message.slice());
  } catch (error) {
    if (error instanceof DOMException && error.name === "DataError") return false;
    throw error;
  }
}
