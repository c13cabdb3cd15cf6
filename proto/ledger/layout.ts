/**
 * Names of a ledger's files, and the two slots in which it remembers what it signed last.
 *
 * A ledger is one flat directory. Its entries, payloads and tiles grow at their ends only and are cut into files of
 * `segmentEntries` items, counted from 0, so that nothing has to be listed to be found:
 *
 * ```
 * header               header.ts
 * entries-000000       u16 length and entry, again and again: the entry bundles of C2SP tlog-tiles, one after the other
 * payloads-000000      a record for each entry (payload.ts)
 * tiles-0-000000       hashes of leaves: tile N of level 0 is 8,192 bytes at N * 8,192
 * tiles-1-000000       roots of full tiles of level 0, and so on
 * checkpoint           the newest signed checkpoint
 * state                two slots of 4 KiB, written in turn
 * ```
 *
 * @module
 */
import { crc32c } from "../crc32c.ts";
import { WireError } from "../wire_error.ts";
import { MAX_LEVELS, ones } from "./compact_range.ts";
import { getU64, putU64 } from "./entry.ts";
import { HASH_BYTES } from "./hash.ts";

export const HEADER_NAME = "header", STATE_NAME = "state", CHECKPOINT_NAME = "checkpoint";

export type SegmentKind = "entries" | "payloads" | `tiles-${number}`;

export function segmentName(kind: SegmentKind, index: number): string {
  return `${kind}-${String(index).padStart(6, "0")}`;
}

/** What a name says; `null` for names that are not of segments. */
export function parseSegmentName(name: string): { readonly kind: SegmentKind; readonly index: number } | null {
  const match = /^(entries|payloads|tiles-[0-6])-(\d{6,11})$/.exec(name);
  if (match === null) return null;
  const kind = match[1] as SegmentKind, index = Number(match[2]);
  return segmentName(kind, index) === name ? { kind, index } : null;
}

export const SLOT_BYTES = 4_096, SLOTS = 2;
/** Longest content of a slot. */
const MAX_SLOT_CONTENT: number = SLOT_BYTES - 24;
const SLOT_MAGIC = 0x4445_534c, SLOT_VERSION = 1;

/** A slot: magic, version, generation, length, content, zeros, CRC-32C over all before it. @throws RangeError */
export function encodeSlot(generation: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  if (content.length > MAX_SLOT_CONTENT) throw new RangeError(`A slot holds ${MAX_SLOT_CONTENT} bytes`);
  const bytes = new Uint8Array(SLOT_BYTES), view = new DataView(bytes.buffer);
  view.setUint32(0, SLOT_MAGIC);
  view.setUint32(4, SLOT_VERSION);
  putU64(view, 8, generation);
  view.setUint32(16, content.length);
  bytes.set(content, 20);
  view.setUint32(SLOT_BYTES - 4, crc32c(bytes.subarray(0, SLOT_BYTES - 4)));
  return bytes;
}

/** What a slot holds; `null` when it is damaged or of another version. */
export function decodeSlot(bytes: Uint8Array): { readonly generation: number; readonly content: Uint8Array } | null {
  if (bytes.length !== SLOT_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SLOT_BYTES), length = view.getUint32(16);
  if (view.getUint32(0) !== SLOT_MAGIC || view.getUint32(4) !== SLOT_VERSION || length > MAX_SLOT_CONTENT) return null;
  if (crc32c(bytes.subarray(0, SLOT_BYTES - 4)) !== view.getUint32(SLOT_BYTES - 4)) return null;
  return { generation: getU64(view, 8), content: bytes.slice(20, 20 + length) };
}

/** What a ledger remembers of the tree that it signed last, on disk before the checkpoint is. */
export interface LedgerState {
  readonly size: number;
  /** The latest time that the ledger has seen, in Unix milliseconds: epochs never go back. */
  readonly time: number;
  /** Bytes of the files in which the next entry and its payload go, before they do. */
  readonly entriesEnd: number;
  readonly payloadsEnd: number;
  /** Hash of the last entry. */
  readonly last: Uint8Array;
  /** The key that signs. */
  readonly publicKey: Uint8Array;
  /** Epochs that are sealed, and the mac of the last seal. */
  readonly sealed: number;
  readonly sealMac: Uint8Array;
  /** Payloads of entries before this one may be erased. */
  readonly prunedBefore: number;
  /** Right edge of the tree. */
  readonly roots: readonly Uint8Array[];
  /** The signed checkpoint; empty before the first. */
  readonly checkpoint: Uint8Array;
}

const NUMBERS = 6, FIXED_BYTES = 8 * NUMBERS + 3 * HASH_BYTES;

export function encodeState(state: LedgerState): Uint8Array {
  const { size, time, entriesEnd, payloadsEnd, sealed, prunedBefore, roots, checkpoint } = state;
  const bytes = new Uint8Array(FIXED_BYTES + roots.length * HASH_BYTES + checkpoint.length);
  const view = new DataView(bytes.buffer);
  [size, time, entriesEnd, payloadsEnd, sealed, prunedBefore].forEach((number, at) => putU64(view, 8 * at, number));
  [state.last, state.publicKey, state.sealMac, ...roots].forEach((hash, at) => {
    bytes.set(hash, 8 * NUMBERS + at * HASH_BYTES);
  });
  bytes.set(checkpoint, FIXED_BYTES + roots.length * HASH_BYTES);
  return bytes;
}

/** @throws WireError */
export function decodeState(bytes: Uint8Array): LedgerState {
  if (bytes.length < FIXED_BYTES) throw new WireError("A ledger's state is too short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = (at: number): number => getU64(view, 8 * at);
  const hash = (at: number): Uint8Array => {
    return bytes.slice(8 * NUMBERS + at * HASH_BYTES, 8 * NUMBERS + (at + 1) * HASH_BYTES);
  };
  const count = ones(number(0)), end = FIXED_BYTES + count * HASH_BYTES;
  if (count > MAX_LEVELS || end > bytes.length) throw new WireError("A ledger's state is too short");
  return {
    size: number(0),
    time: number(1),
    entriesEnd: number(2),
    payloadsEnd: number(3),
    sealed: number(4),
    prunedBefore: number(5),
    last: hash(0),
    publicKey: hash(1),
    sealMac: hash(2),
    roots: Array.from({ length: count }, (_, at) => hash(3 + at)),
    checkpoint: bytes.slice(end),
  };
}
