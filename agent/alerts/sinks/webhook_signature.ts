/**
 * Signatures by Standard Webhooks 1.0.0: `v1` with a shared secret (HMAC-SHA-256), `v1a` with an Ed25519 key.
 *
 * @module
 */
import { createHash, createHmac, createPrivateKey, type KeyObject, sign } from "node:crypto";

/** Signs `id.timestamp.body`. */
export type Signer = (content: Uint8Array) => string;

/** PKCS #8 of an Ed25519 key up to the key itself (RFC 8410, section 7). */
const PKCS8_ED25519 = Uint8Array.fromHex("302e020100300506032b657004220420");

/**
 * The signer of a secret as the specification writes it.
 *
 * @throws when it is none; the text does not have it.
 */
export function signerOf(secret: string, origin: string): Signer {
  const [, prefix, base64] = /^(whsec|whsk)_([A-Za-z0-9+/_-]+={0,2})$/.exec(secret) ?? [];
  const wrong = (expected: string): Error => new Error(`${origin} must hold ${expected}`);
  if (prefix === undefined) throw wrong("a secret that begins with whsec_ or whsk_, and base64 after it");
  const bytes = decoded(base64!, wrong);
  if (prefix === "whsec") {
    if (bytes.length < 24 || bytes.length > 64) throw wrong("a secret of 24 to 64 bytes after whsec_");
    return (content) => `v1,${createHmac("sha256", bytes).update(content).digest("base64")}`;
  }
  // Some tools write the public half behind the seed.
  if (bytes.length !== 32 && bytes.length !== 64) throw wrong("an Ed25519 key of 32 or 64 bytes after whsk_");
  const key = ed25519(bytes.subarray(0, 32));
  return (content) => `v1a,${sign(null, content, key).toString("base64")}`;
}

function decoded(text: string, wrong: (expected: string) => Error): Uint8Array {
  try {
    return Uint8Array.fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw wrong("base64 after its prefix");
  }
}

function ed25519(seed: Uint8Array): KeyObject {
  const der = new Uint8Array(PKCS8_ED25519.length + seed.length);
  der.set(PKCS8_ED25519);
  der.set(seed, PKCS8_ED25519.length);
  return createPrivateKey({ key: der as unknown as Buffer, format: "der", type: "pkcs8" });
}

/** The id of an alert's message: the same at every attempt, and without a dot, which would part what is signed. */
export function messageId(alertId: string): string {
  return `msg_${createHash("sha256").update(alertId).digest("base64url").slice(0, 32)}`;
}

/** The three headers of one attempt. */
export function signedHeaders(
  alertId: string,
  seconds: number,
  body: Uint8Array,
  signers: readonly Signer[],
): Record<string, string> {
  const id = messageId(alertId), before = new TextEncoder().encode(`${id}.${seconds}.`);
  const content = new Uint8Array(before.length + body.length);
  content.set(before);
  content.set(body, before.length);
  return {
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": signers.map((signer) => signer(content)).join(" "),
  };
}
