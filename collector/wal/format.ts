/**
 * The bytes of the write-ahead log: names and headers of segments, and records. No I/O.
 *
 * All numbers are little endian; 48-bit ones hold sequence numbers and Unix milliseconds. A record is
 *
 * ```
 *  0 marker  u32     where to go on after damage
 *  4 length  u32     bytes of payload, at most 1 MiB: checked before anything is read for it
 *  8 first   u48     the first sequence number that it carries
 * 14 count   u16     how many: it carries first … first + count - 1
 * 16 time    u48     of its oldest item
 * 22 kind    u8      the log's user says what that means
 * 23         u8      0
 * 24 settles u32     which tally of refused items this gap record settles; 0 for none
 * 28 crc     u32     CRC-32C of the 28 bytes before
 * 32 payload
 *    crc     u32     CRC-32C of header and payload
 *    zeros           up to a multiple of 8
 * ```
 *
 * Both checksums begin with the segment's seed, made of a secret of this log and the segment's number. So a record is
 * valid in its own segment only: stale bytes of another file do not pass, and a process whose arguments hold what looks
 * like a record cannot pass it off as one, wherever damage makes the reader look for the next. The checksums are not
 * chained from record to record: numbers without a hole already show what was removed or moved, and a chain would make
 * everything behind the first damage unreadable.
 *
 * @module
 */
import { crc32c, crc32cBehind } from "../../proto/crc32c.ts";

/** Of segment and state file; a program reads its own version only. */
export const WAL_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 512;
export const RECORD_HEADER_BYTES = 32;
/** Longest payload; the limit of a frame (`proto/frame.ts`). */
export const MAX_PAYLOAD_BYTES = 1_048_576;
/** Longest record, with everything around its payload. */
export const MAX_RECORD_BYTES: number = recordBytes(MAX_PAYLOAD_BYTES);
/** Most sequence numbers of one record. */
export const MAX_COUNT = 0xffff;
/** Sequence numbers and times are below this. */
const MAX_U48: number = 2 ** 48 - 1;

/** `D E W R`, read as a little endian number. */
const MARKER = 0x5257_4544;
/** Not text, and damaged by whoever converts line ends, as PNG's is. */
const MAGIC: Uint8Array = Uint8Array.of(0xde, 0x57, 0x41, 0x4c, 0x0d, 0x0a, 0x1a, 0x0a);
/** Longest collector id, host and epoch, in bytes. */
const MAX_NAME_BYTES = 64;
export const SECRET_BYTES = 8;
/** Kinds of items whose losses are counted apart; see `shedding.ts`. */
export const TALLY_CLASSES = 6;

/** Whose log it is, and which. */
export interface WalIdentity {
  readonly host: string;
  readonly collectorId: string;
  readonly epoch: string;
}

export interface SegmentHeader extends WalIdentity {
  /** Random, the same in all segments of a log. */
  readonly secret: Uint8Array;
  /** Counts segments from 1, also those that failed. */
  readonly index: number;
  /** The first sequence number that can be in it; what earlier segments hold from here on does not count. */
  readonly first: number;
  /** By class, the last tally that was settled before this segment. */
  readonly settled: readonly number[];
}

export interface RecordHeader {
  readonly length: number;
  readonly first: number;
  readonly count: number;
  readonly time: number;
  readonly kind: number;
  readonly settles: number;
}

/** Bytes of a whole record with a payload of `length`. */
export function recordBytes(length: number): number {
  return (RECORD_HEADER_BYTES + length + 4 + 7) & ~7;
}

export function segmentName(index: number, first: number): string {
  return `${String(index).padStart(10, "0")}-${String(first).padStart(15, "0")}.wal`;
}

/** What the name of a segment says; `null` for any other name. */
export function parseSegmentName(name: string): { index: number; first: number } | null {
  const match = /^(\d{10})-(\d{15})\.wal$/.exec(name);
  if (match === null) return null;
  const index = Number(match[1]), first = Number(match[2]);
  // Nobody counts as far as half of the numbers; a name that says so leaves the other half to go on with.
  return index >= 1 && first >= 1 && first <= MAX_U48 / 2 ? { index, first } : null;
}

/** What the checksums of records in a segment begin with. */
export function recordSeed(secret: Uint8Array, index: number): number {
  const bytes = new Uint8Array(SECRET_BYTES + 8);
  bytes.set(secret);
  putU48(new DataView(bytes.buffer), SECRET_BYTES, index);
  return crc32c(bytes);
}

/**
 * The bytes at the beginning of a segment.
 *
 * @throws RangeError when a name is longer than {@linkcode MAX_NAME_BYTES}.
 */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES), view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(8, WAL_VERSION, true);
  putU48(view, 12, header.index);
  putU48(view, 20, header.first);
  bytes.set(header.secret, 28);
  header.settled.forEach((generation, at) => view.setUint32(36 + 4 * at, generation, true));
  let at = 64;
  for (const text of [header.host, header.collectorId, header.epoch]) at = putName(bytes, at, text);
  view.setUint32(SEGMENT_HEADER_BYTES - 4, crc32c(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)), true);
  return bytes;
}

/** What stands at the beginning of a segment: its header, the version of another program, or `null` for damage. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | { readonly version: number } | null {
  if (bytes.length < SEGMENT_HEADER_BYTES || !MAGIC.every((byte, at) => bytes[at] === byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER_BYTES);
  const crc = view.getUint32(SEGMENT_HEADER_BYTES - 4, true);
  if (crc32c(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)) !== crc) return null;
  const version = view.getUint16(8, true);
  if (version !== WAL_VERSION) return { version };
  const settled = Array.from({ length: TALLY_CLASSES }, (_, at) => view.getUint32(36 + 4 * at, true));
  const names: string[] = [];
  for (let at = 64; names.length < 3; at += 1 + bytes[at]!) names.push(getName(bytes, at));
  const [host, collectorId, epoch] = names as [string, string, string];
  const index = getU48(view, 12), first = getU48(view, 20);
  return { host, collectorId, epoch, secret: bytes.slice(28, 28 + SECRET_BYTES), index, first, settled };
}

/**
 * Puts a whole record at `at`, where there is room for it; `seed` is the segment's. Returns where it ends.
 *
 * `checksum` is `crc32c(payload)`, which a frame on the socket has too: the record's own begins with its header's, and is
 * made out of it without looking at the bytes once more.
 */
export function encodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  seed: number,
  header: RecordHeader,
  payload: Uint8Array,
  checksum: number,
): number {
  const end = at + recordBytes(payload.length), body = at + RECORD_HEADER_BYTES;
  view.setUint32(at, MARKER, true);
  view.setUint32(at + 4, payload.length, true);
  putU48(view, at + 8, header.first);
  view.setUint16(at + 14, header.count, true);
  putU48(view, at + 16, header.time);
  view.setUint16(at + 22, header.kind, true);
  view.setUint32(at + 24, header.settles, true);
  const crc = crc32c(bytes.subarray(at, at + 28), seed);
  view.setUint32(at + 28, crc, true);
  bytes.set(payload, body);
  bytes.fill(0, body + payload.length + 4, end);
  view.setUint32(body + payload.length, crc32cBehind(crc, payload, checksum), true);
  return end;
}

/** Makes the record at `at` one of the segment with `seed`: its place in the log has changed. */
export function resealRecord(bytes: Uint8Array, view: DataView, at: number, seed: number): number {
  const length = view.getUint32(at + 4, true), body = at + RECORD_HEADER_BYTES;
  const crc = crc32c(bytes.subarray(at, at + 28), seed);
  view.setUint32(at + 28, crc, true);
  view.setUint32(body + length, crc32c(bytes.subarray(body, body + length), crc), true);
  return at + recordBytes(length);
}

/** Whether a record can begin at `at`: cheap, for who looks for the next one. */
export function isMarker(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === MARKER;
}

/** The header of the record at `at`, whose 32 bytes are there; `null` when there is none. */
export function decodeRecordHeader(bytes: Uint8Array, view: DataView, at: number, seed: number): RecordHeader | null {
  if (!isMarker(view, at)) return null;
  if (crc32c(bytes.subarray(at, at + 28), seed) !== view.getUint32(at + 28, true)) return null;
  const length = view.getUint32(at + 4, true), first = getU48(view, at + 8), count = view.getUint16(at + 14, true);
  // A writer of this program makes none of these; a checksum that fits by chance might.
  if (length === 0 || length > MAX_PAYLOAD_BYTES || first === 0 || count === 0 || bytes[at + 23] !== 0) return null;
  return {
    length,
    first,
    count,
    time: getU48(view, at + 16),
    kind: bytes[at + 22]!,
    settles: view.getUint32(at + 24, true),
  };
}

/** Whether the payload of the record at `at`, all of whose bytes are there, is the one that was written. */
export function payloadHolds(bytes: Uint8Array, view: DataView, at: number, length: number): boolean {
  const body = at + RECORD_HEADER_BYTES;
  return crc32c(bytes.subarray(body, body + length), view.getUint32(at + 28, true)) ===
    view.getUint32(body + length, true);
}

export function putU48(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint16(at + 4, Math.floor(value / 2 ** 32), true);
}

export function getU48(view: DataView, at: number): number {
  return view.getUint16(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

/** Puts a length and the text's bytes; returns where they end. @throws RangeError */
export function putName(bytes: Uint8Array, at: number, text: string): number {
  const name = new TextEncoder().encode(text);
  if (name.length > MAX_NAME_BYTES) throw new RangeError(`${text} is longer than ${MAX_NAME_BYTES} bytes`);
  bytes[at] = name.length;
  bytes.set(name, at + 1);
  return at + 1 + name.length;
}

export function getName(bytes: Uint8Array, at: number): string {
  return new TextDecoder().decode(bytes.subarray(at + 1, at + 1 + Math.min(bytes[at]!, MAX_NAME_BYTES)));
}
