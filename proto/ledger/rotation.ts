/**
 * Change of the key that signs checkpoints: an entry whose payload both keys have signed.
 *
 * The payload is the old public key, the new one, the old one's signature and the new one's, over a text of its own that
 * binds ledger and place, so that it can be moved nowhere else.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, type Signer, verifyEd25519 } from "./ed25519.ts";

const ROTATION_BYTES = 2 * PUBLIC_KEY_BYTES + 2 * SIGNATURE_BYTES;

export interface Rotation {
  readonly oldKey: Uint8Array;
  readonly newKey: Uint8Array;
  readonly oldSignature: Uint8Array;
  readonly newSignature: Uint8Array;
}

export function encodeRotation(ledgerId: Uint8Array, sequence: number, from: Signer, to: Signer): Uint8Array {
  const message = signedText(ledgerId, sequence, from.publicKey, to.publicKey);
  return Uint8Array.of(...from.publicKey, ...to.publicKey, ...from.sign(message), ...to.sign(message));
}

/** @throws WireError */
export function decodeRotation(bytes: Uint8Array): Rotation {
  if (bytes.length !== ROTATION_BYTES) throw new WireError(`A change of keys has ${ROTATION_BYTES} bytes`);
  return {
    oldKey: bytes.slice(0, 32),
    newKey: bytes.slice(32, 64),
    oldSignature: bytes.slice(64, 128),
    newSignature: bytes.slice(128),
  };
}

/** Whether both keys have signed the change at this place. */
export async function verifyRotation(rotation: Rotation, ledgerId: Uint8Array, sequence: number): Promise<boolean> {
  const message = signedText(ledgerId, sequence, rotation.oldKey, rotation.newKey);
  return await verifyEd25519(rotation.oldKey, message, rotation.oldSignature) &&
    await verifyEd25519(rotation.newKey, message, rotation.newSignature);
}

/** What both keys sign. It is no note: a checkpoint's first line is never this. */
function signedText(
  ledgerId: Uint8Array,
  sequence: number,
  oldKey: Uint8Array,
  newKey: Uint8Array,
): Uint8Array {
  return new TextEncoder().encode(
    `daemoneye-ledger-key/1\nledger ${ledgerId.toHex()}\nentry ${sequence}\nfrom ${oldKey.toHex()}\nto ${newKey.toHex()}\n`,
  );
}
