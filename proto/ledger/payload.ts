/**
 * Payloads of entries, beside them, so that they can be erased without breaking chain or tree.
 *
 * The entry holds a hash over salt and payload; the salt of 16 random bytes lies with the payload, so that what is
 * erased cannot be found again by guessing. In a file of payloads every entry has its record: a big-endian u16 length,
 * then that many bytes, salt first. The length 0 says that the payload was erased.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";

/** 128 bits: more cannot be guessed, and a ledger of a digest a second stays below 20 MB a day. */
export const SALT_BYTES = 16;
/** Longest payload. */
export const MAX_PAYLOAD_BYTES = 16_384;
export const MAX_PAYLOAD_RECORD: number = 2 + SALT_BYTES + MAX_PAYLOAD_BYTES;

/** What an entry says in full, which may be erased without breaking the ledger. */
export interface Payload {
  /** Random bytes that the hash begins with: who has the hash alone cannot try contents. */
  readonly salt: Uint8Array;
  /** The content. */
  readonly bytes: Uint8Array;
}

/** The record of a payload, or of one that was erased. @throws WireError */
export function encodePayload(payload: Payload | null): Uint8Array<ArrayBuffer> {
  if (payload === null) return new Uint8Array(2);
  const { salt, bytes } = payload, length = salt.length + bytes.length;
  if (salt.length !== SALT_BYTES || bytes.length > MAX_PAYLOAD_BYTES) {
    throw new WireError(`A payload has at most ${MAX_PAYLOAD_BYTES} bytes and a salt of ${SALT_BYTES}`);
  }
  const record = new Uint8Array(2 + length);
  record[0] = length >>> 8;
  record[1] = length;
  record.set(salt, 2);
  record.set(bytes, 2 + SALT_BYTES);
  return record;
}

/** What a record holds behind its length, which the caller has read; `null` when it was erased. @throws WireError */
export function decodePayload(body: Uint8Array): Payload | null {
  if (body.length === 0) return null;
  if (body.length < SALT_BYTES || body.length > SALT_BYTES + MAX_PAYLOAD_BYTES) {
    throw new WireError(`A payload's record has 0 or ${SALT_BYTES} to ${SALT_BYTES + MAX_PAYLOAD_BYTES} bytes`);
  }
  return { salt: body.subarray(0, SALT_BYTES), bytes: body.subarray(SALT_BYTES) };
}
