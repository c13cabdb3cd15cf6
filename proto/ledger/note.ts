/**
 * Signed notes and their keys (C2SP signed-note), with Ed25519 signatures and cosignatures (C2SP tlog-cosignature).
 *
 * A note is a text of lines, an empty line, and a line `— NAME BASE64` for each signature. Notes come from anywhere:
 * {@linkcode parseNote} bounds and checks their form, and nothing in a note counts before {@linkcode verifyNote}. There is
 * one text for each set of bytes: base64 must be padded and its unused bits zero, so that no flipped bit goes unseen.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { WireError } from "../wire_error.ts";
import { PUBLIC_KEY_BYTES, type Signer, verifyEd25519 } from "./ed25519.ts";

/** Type bytes of signatures. */
export const SIGNATURE_TYPES = { ed25519: 0x01, cosignature: 0x04 } as const;
/** A type of {@linkcode SIGNATURE_TYPES}. */
export type SignatureType = keyof typeof SIGNATURE_TYPES;

/** Longest note, and most signatures of one: witnesses with post-quantum keys find room too. */
export const MAX_NOTE_BYTES = 262_144, MAX_NOTE_SIGNATURES = 100;
const KEY_ID_BYTES = 4, TIME_BYTES = 8;

/** A key by which notes are known. */
export interface NoteKey {
  /** Name of who signs: a ledger's origin, or that of a witness. */
  readonly name: string;
  /** What its signatures are. */
  readonly type: SignatureType;
  /** The key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Eight hexadecimal digits. */
  readonly id: string;
}

/** A signature as it stands in a note; not verified. */
export interface NoteSignature {
  /** Name of who is said to have signed. */
  readonly name: string;
  /** Eight hexadecimal digits. */
  readonly id: string;
  /** Without the key id. */
  readonly bytes: Uint8Array;
}

/** A signed note (C2SP `signed-note`), not verified. */
export interface Note {
  /** With its last line end. */
  readonly text: string;
  /** In their order. */
  readonly signatures: readonly NoteSignature[];
}

/** A key whose signature was checked. */
export interface VerifiedSignature {
  /** The key whose signature holds. */
  readonly key: NoteKey;
  /** Unix seconds that a cosignature states; `null` for a signature. */
  readonly time: number | null;
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws WireError for a name or key that notes cannot have. */
export function noteKey(name: string, publicKey: Uint8Array, type: SignatureType = "ed25519"): NoteKey {
  if (!isKeyName(name)) throw new WireError("A key's name has 1 to 255 bytes, no space, no plus sign, no line end");
  if (publicKey.length !== PUBLIC_KEY_BYTES) throw new WireError(`A public key has ${PUBLIC_KEY_BYTES} bytes`);
  const start = encoder.encode(`${name}\n`), bytes = new Uint8Array(start.length + 1 + PUBLIC_KEY_BYTES);
  bytes.set(start);
  bytes[start.length] = SIGNATURE_TYPES[type];
  bytes.set(publicKey, start.length + 1);
  return { name, type, publicKey, id: sha256(bytes).subarray(0, KEY_ID_BYTES).toHex() };
}

/** `NAME+ID+BASE64`: a key to give away. */
export function formatVkey(key: NoteKey): string {
  return `${key.name}+${key.id}+${Uint8Array.of(SIGNATURE_TYPES[key.type], ...key.publicKey).toBase64()}`;
}

/** A key from its text (C2SP `signed-note`, verifier key). @throws WireError */
export function parseVkey(text: string): NoteKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text);
  if (match === null) throw new WireError("A verifier key reads NAME+8 HEXADECIMAL DIGITS+BASE64");
  const [, name, id, base64] = match as unknown as [string, string, string, string];
  const bytes = fromBase64(base64), type = typeOf(bytes[0]!);
  if (type === null) throw new WireError(`A verifier key has type ${bytes[0]}, which this program does not know`);
  const key = noteKey(name, bytes.subarray(1), type);
  if (key.id !== id) throw new WireError(`A verifier key has the id ${id}, but its bytes make ${key.id}`);
  return key;
}

/** The note in all of `bytes`. Its signatures are not checked. @throws WireError */
export function parseNote(bytes: Uint8Array): Note {
  if (bytes.length > MAX_NOTE_BYTES) {
    throw new WireError(`A note has ${bytes.length} bytes; at most ${MAX_NOTE_BYTES} are allowed`);
  }
  const all = noteText(bytes), split = all.lastIndexOf("\n\n");
  if (split < 0 || !all.endsWith("\n")) throw new WireError("A note has a text, an empty line and signatures");
  const lines = all.slice(split + 2, -1).split("\n");
  if (lines.length > MAX_NOTE_SIGNATURES) throw new WireError(`A note has ${lines.length} signatures`);
  return { text: all.slice(0, split + 1), signatures: lines.map(parseSignature) };
}

/** A note of this text, which may have signatures already, and one more signature. @throws WireError */
export function signNote(text: string, key: NoteKey, signer: Signer, before: readonly NoteSignature[] = []): string {
  return formatNote({ text, signatures: [...before, { ...key, bytes: signer.sign(encoder.encode(text)) }] });
}

/**
 * The signature with which a witness says that it has seen no larger and no other tree at `time`, in Unix seconds.
 *
 * @throws WireError
 */
export function cosign(text: string, key: NoteKey, signer: Signer, time: number): NoteSignature {
  if (key.type !== "cosignature") throw new WireError(`The key ${key.name} is not one for cosignatures`);
  if (!Number.isSafeInteger(time) || time < 0) throw new WireError(`A cosignature cannot state the time ${time}`);
  const bytes = new Uint8Array(TIME_BYTES + 64);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(time));
  bytes.set(signer.sign(cosignedText(text, time)), TIME_BYTES);
  return { name: key.name, id: key.id, bytes };
}

/** @throws WireError */
export function formatNote(note: Note): string {
  if (!note.text.endsWith("\n") || hasControls(note.text) || !note.text.isWellFormed()) {
    throw new WireError("A note's text ends with a line end and has no other control characters");
  }
  const lines = note.signatures.map(({ name, id, bytes }) => {
    return `— ${name} ${Uint8Array.of(...Uint8Array.fromHex(id), ...bytes).toBase64()}\n`;
  });
  return `${note.text}\n${lines.join("")}`;
}

/**
 * Which of these keys have signed. Signatures by other keys do not count, nor do they harm.
 *
 * @throws WireError when a known key's signature is wrong, or no known key has signed.
 */
export async function verifyNote(note: Note, keys: readonly NoteKey[]): Promise<VerifiedSignature[]> {
  const verified: VerifiedSignature[] = [];
  for (const signature of note.signatures) {
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.id);
    if (key === undefined) continue;
    const time = await checkedTime(note.text, key, signature.bytes);
    if (time === false) throw new WireError(`The signature of ${key.name} (${key.id}) is wrong`);
    if (!verified.some((each) => each.key === key)) verified.push({ key, time });
  }
  if (verified.length === 0) throw new WireError("No known key has signed the note");
  return verified;
}

/** Text of a note or of what contains one: UTF-8, line ends its only control characters. @throws WireError */
export function noteText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw new WireError("A note is not UTF-8", { cause });
  }
  if (hasControls(text)) throw new WireError("A note has control characters");
  return text;
}

/** Standard base64 with its padding, in its one spelling. @throws WireError */
export function fromBase64(text: string): Uint8Array {
  try {
    if (/\s/.test(text)) throw new SyntaxError("It has spaces");
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch (cause) {
    throw new WireError("A text is not base64", { cause });
  }
}

function parseSignature(line: string): NoteSignature {
  const parts = line.split(" ");
  const [dash, name, base64] = parts;
  if (parts.length !== 3 || dash !== "—" || !isKeyName(name!)) {
    throw new WireError("A signature of a note reads — NAME BASE64");
  }
  const bytes = fromBase64(base64!);
  if (bytes.length <= KEY_ID_BYTES) throw new WireError("A signature of a note has no bytes");
  return { name: name!, id: bytes.subarray(0, KEY_ID_BYTES).toHex(), bytes: bytes.slice(KEY_ID_BYTES) };
}

/** What a right signature says; `false` for a wrong one. */
async function checkedTime(text: string, key: NoteKey, bytes: Uint8Array): Promise<number | null | false> {
  if (key.type === "ed25519") return await verifyEd25519(key.publicKey, encoder.encode(text), bytes) ? null : false;
  if (bytes.length <= TIME_BYTES) return false;
  const time = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0));
  if (!Number.isSafeInteger(time)) return false;
  return await verifyEd25519(key.publicKey, cosignedText(text, time), bytes.subarray(TIME_BYTES)) ? time : false;
}

function cosignedText(text: string, time: number): Uint8Array {
  return encoder.encode(`cosignature/v1\ntime ${time}\n${text}`);
}

function typeOf(byte: number): SignatureType | null {
  const found = Object.entries(SIGNATURE_TYPES).find(([, number]) => number === byte);
  return found === undefined ? null : found[0] as SignatureType;
}

function isKeyName(name: string): boolean {
  return name.length > 0 && !/[\s+\u0085]/u.test(name) && !hasControls(name) && name.isWellFormed() &&
    encoder.encode(name).length <= 255;
}

function hasControls(text: string): boolean {
  // deno-lint-ignore no-control-regex -- that is what must not be in it
  return /[\u0000-\u0009\u000b-\u001f]/.test(text);
}
