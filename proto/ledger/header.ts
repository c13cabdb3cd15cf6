/**
 * The header of a ledger: which one it is, what hashes it, whose key signs it first.
 *
 * A text of lines in one order, and the payload of the first entry, so that no byte of it changes unseen. Its salt is the
 * ledger's id: nothing in it is worth guessing, and it is never erased.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { parseDecimal } from "./checkpoint.ts";
import { LEDGER_ID_BYTES } from "./entry.ts";
import { type HashName, hashName } from "./hash.ts";
import { formatVkey, type NoteKey, noteText, parseVkey } from "./note.ts";

const FIRST_LINE = "daemoneye-ledger/1";
export const MAX_HEADER_BYTES = 2_048;
/** Shortest and longest epoch. */
export const MIN_EPOCH_MS = 1_000, MAX_EPOCH_MS = 86_400_000;
/** Entries that one file of a ledger holds, at most: 256 tiles. */
const MAX_SEGMENT_ENTRIES = 65_536;

/** What a ledger says of itself for good, in its first file. */
export interface LedgerHeader {
  /** 16 random bytes. */
  readonly id: Uint8Array;
  /** The hash of its entries and its tree. */
  readonly hash: HashName;
  /** The first key; its name is the origin of checkpoints. */
  readonly key: NoteKey;
  /** Milliseconds of one epoch of its seals. */
  readonly epochMs: number;
  /** Entries of one file: a power of two. */
  readonly segmentEntries: number;
  /** Unix milliseconds; where epoch 0 begins. */
  readonly created: number;
  /** Name of the machine. */
  readonly host: string;
}

/** @throws WireError */
export function encodeHeader(header: LedgerHeader): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(
    [
      FIRST_LINE,
      `id ${header.id.toHex()}`,
      `hash ${header.hash}`,
      `key ${formatVkey(header.key)}`,
      `epoch ${header.epochMs}`,
      `segment ${header.segmentEntries}`,
      `created ${header.created}`,
      `host ${header.host}`,
      "",
    ].join("\n"),
  );
  decodeHeader(bytes);
  return bytes;
}

/** The version of a header that is of another one; `null` for ours, and for what is no header at all. */
export function otherHeaderVersion(bytes: Uint8Array): string | null {
  const start = new TextDecoder().decode(bytes.subarray(0, 40));
  const version = /^daemoneye-ledger\/([0-9]{1,9})\n/.exec(start)?.[1];
  return version === undefined || FIRST_LINE.endsWith(`/${version}`) ? null : version;
}

/** The header in all of `bytes`. @throws WireError */
export function decodeHeader(bytes: Uint8Array): LedgerHeader {
  if (bytes.length > MAX_HEADER_BYTES) throw new WireError(`A ledger's header has ${bytes.length} bytes`);
  const lines = noteText(bytes).split("\n");
  if (lines.shift() !== FIRST_LINE) throw new WireError(`A ledger's header begins with ${FIRST_LINE}`);
  const value = (name: string): string => {
    const line = lines.shift();
    if (line === undefined || !line.startsWith(`${name} `)) throw new WireError(`A ledger's header has no ${name}`);
    return line.slice(name.length + 1);
  };
  const id = value("id"), hash = hashName(value("hash")), key = parseVkey(value("key"));
  const epochMs = parseDecimal(value("epoch")), segmentEntries = parseDecimal(value("segment"));
  const created = parseDecimal(value("created")), host = value("host");
  if (lines.length !== 1 || lines[0] !== "") throw new WireError("A ledger's header goes on where it should end");
  if (!/^[0-9a-f]+$/.test(id) || id.length !== 2 * LEDGER_ID_BYTES) throw new WireError("A ledger's id is 16 bytes");
  if (hash === null) throw new WireError("A ledger's hash is blake3 or sha256");
  if (key.type !== "ed25519") throw new WireError("A ledger's key is not one that signs checkpoints");
  if (epochMs < MIN_EPOCH_MS || epochMs > MAX_EPOCH_MS) {
    throw new WireError("A ledger's epoch is too short or too long");
  }
  if (segmentEntries < 1 || segmentEntries > MAX_SEGMENT_ENTRIES || (segmentEntries & (segmentEntries - 1)) !== 0) {
    throw new WireError(`A ledger's files hold a power of two of entries, at most ${MAX_SEGMENT_ENTRIES}`);
  }
  return { id: Uint8Array.fromHex(id), hash, key, epochMs, segmentEntries, created, host };
}
