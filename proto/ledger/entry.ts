/**
 * The bytes of a ledger's entry: one encoding for each entry, and one entry for each encoding.
 *
 * All numbers are big endian. What follows the version is
 *
 * ```
 *   0 version      u8    1
 *   1 action       u8    a number of ACTIONS
 *   2 ledger       16    random, the same in all entries of a ledger
 *  18 sequence     u64   the entry's index in the tree, from 0
 *  26 wall         u64   Unix milliseconds; may go back
 *  34 monotonic    u64   nanoseconds since boot
 *  42 boot         16    the kernel's boot id
 *  58 payload      32    hash of salt and payload, which lie beside (payload.ts)
 *  90 previous     32    hash of the entry before; zeros in the first
 * 122 length       u8    bytes of the actor, 1 to 64
 * 123 actor              UTF-8, who did it
 * ```
 *
 * The entry's hash is its leaf hash in the Merkle tree, so that one hash serves chain and tree. The chain lets a reader
 * without memory say which entry is the first bad one; the tree proves single entries.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { DIGEST_BYTES as HASH_BYTES } from "./digest_bytes.ts";

const ENTRY_VERSION = 1;
export const LEDGER_ID_BYTES = 16, BOOT_ID_BYTES = 16;
const MAX_ACTOR_BYTES = 64;
const FIXED_BYTES = 123;
export const MIN_ENTRY_BYTES: number = FIXED_BYTES + 1, MAX_ENTRY_BYTES: number = FIXED_BYTES + MAX_ACTOR_BYTES;

/** All that a ledger can tell of. A number is never given to another meaning. */
export const ACTIONS = {
  /** The first entry; its payload is the ledger's header. */
  genesis: 1,
  tierStarted: 2,
  tierStopped: 3,
  confined: 4,
  configurationChanged: 5,
  rulesChanged: 6,
  /** Events were lost. */
  gap: 7,
  suppressed: 8,
  /** Digest of an alert. */
  alert: 9,
  exported: 10,
  /** An operator's request; the actor is the owner of its file. */
  request: 11,
  /** Digest over what the write-ahead log took. */
  events: 12,
  /** End of an epoch (seal.ts). */
  sealed: 13,
  keyRotated: 14,
  /** Payloads were erased (payload.ts). */
  pruned: 15,
  /** A torn end was cut off when the ledger was opened. */
  recovered: 16,
  /** Entries found no room while the disk took nothing. */
  refused: 17,
  /** What rules ask to be collected, and what of it they get. */
  demandChanged: 18,
  /** Something was to be done to a process: that it was asked for, and what came of it. */
  response: 19,
} as const;
/** What an entry says happened. */
export type Action = keyof typeof ACTIONS;

/** One entry of a ledger. */
export interface Entry {
  /** What happened. */
  readonly action: Action;
  /** 16 bytes. */
  readonly ledgerId: Uint8Array;
  /** Its place, from 0. */
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly wallMs: number;
  /** Below 2^64. */
  readonly monotonicNs: bigint;
  /** 16 bytes. */
  readonly bootId: Uint8Array;
  /** Hash of its payload, 32 bytes. */
  readonly payloadHash: Uint8Array;
  /** Hash of the entry before, 32 bytes; of the first, of the ledger's header. */
  readonly previous: Uint8Array;
  /** Who did it: a tier, or an operator as the agent has them. */
  readonly actor: string;
}

const BY_NUMBER: readonly (Action | undefined)[] = Object.entries(ACTIONS).reduce((table: Action[], [name, number]) => {
  table[number] = name as Action;
  return table;
}, []);

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws WireError for values that an entry cannot hold. */
export function encodeEntry(entry: Entry): Uint8Array<ArrayBuffer> {
  const actor = entry.actor === known.text ? known.bytes : writeActor(entry.actor);
  for (const number of [entry.sequence, entry.wallMs]) {
    if (!Number.isSafeInteger(number) || number < 0) throw new WireError(`An entry cannot hold the number ${number}`);
  }
  if (entry.monotonicNs < 0n || entry.monotonicNs >> 64n !== 0n) {
    throw new WireError(`An entry cannot hold the time ${entry.monotonicNs}`);
  }
  if (
    entry.ledgerId.length !== LEDGER_ID_BYTES || entry.bootId.length !== BOOT_ID_BYTES ||
    entry.payloadHash.length !== HASH_BYTES || entry.previous.length !== HASH_BYTES
  ) throw new WireError("An entry's ids have 16 bytes, its hashes 32");
  const bytes = new Uint8Array(FIXED_BYTES + actor.length), view = new DataView(bytes.buffer);
  bytes[0] = ENTRY_VERSION;
  bytes[1] = ACTIONS[entry.action];
  bytes.set(entry.ledgerId, 2);
  putU64(view, 18, entry.sequence);
  putU64(view, 26, entry.wallMs);
  view.setBigUint64(34, entry.monotonicNs);
  bytes.set(entry.bootId, 42);
  bytes.set(entry.payloadHash, 58);
  bytes.set(entry.previous, 90);
  bytes[122] = actor.length;
  bytes.set(actor, FIXED_BYTES);
  return bytes;
}

/** The entry in all of `bytes`; it shares their memory. @throws WireError */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length < MIN_ENTRY_BYTES || bytes.length > MAX_ENTRY_BYTES) {
    throw new WireError(`An entry has ${MIN_ENTRY_BYTES} to ${MAX_ENTRY_BYTES} bytes, not ${bytes.length}`);
  }
  if (bytes[0] !== ENTRY_VERSION) {
    throw new WireError(`An entry has version ${bytes[0]}; this program reads version ${ENTRY_VERSION}`);
  }
  const action = BY_NUMBER[bytes[1]!];
  if (action === undefined) throw new WireError(`No action has the number ${bytes[1]}`);
  if (bytes.length !== FIXED_BYTES + bytes[122]!) {
    throw new WireError(`An entry of ${bytes.length} bytes says that its actor has ${bytes[122]}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    action,
    ledgerId: bytes.subarray(2, 18),
    sequence: getU64(view, 18),
    wallMs: getU64(view, 26),
    monotonicNs: view.getBigUint64(34),
    bootId: bytes.subarray(42, 58),
    payloadHash: bytes.subarray(58, 90),
    previous: bytes.subarray(90, 122),
    actor: readActor(bytes.subarray(FIXED_BYTES)),
  };
}

/** A big-endian number below 2^53. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}

/** @throws WireError for numbers from 2^53 on, of which none is meant. */
export function getU64(view: DataView, at: number): number {
  const value = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  if (value > Number.MAX_SAFE_INTEGER) throw new WireError(`A number is 2^53 or more`);
  return value;
}

/** The last actor that was read or written: most entries have the same. */
let known = { bytes: encoder.encode("ledger"), text: "ledger" };

function readActor(bytes: Uint8Array): string {
  if (bytes.length === known.bytes.length && bytes.every((byte, at) => byte === known.bytes[at])) return known.text;
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw new WireError("An entry's actor is not UTF-8", { cause });
  }
  if (!isActor(text)) throw new WireError("An entry's actor has control characters");
  known = { bytes: bytes.slice(), text };
  return text;
}

function writeActor(text: string): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(text);
  if (bytes.length < 1 || bytes.length > MAX_ACTOR_BYTES || !isActor(text) || !text.isWellFormed()) {
    throw new WireError(`An actor is a text of 1 to ${MAX_ACTOR_BYTES} bytes without control characters`);
  }
  known = { bytes, text };
  return bytes;
}

function isActor(text: string): boolean {
  // deno-lint-ignore no-control-regex -- that is what must not be in it
  return !/[\u0000-\u001f\u007f-\u009f]/.test(text);
}
