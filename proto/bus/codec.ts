/**
 * Messages of the bus as bytes: those that come by the thousand in straight-line code, in the format of `bus.proto`.
 *
 * What is read was written by a peer: counts, lengths and enumerations are checked, and nothing of what is returned lies
 * in the bytes that were given.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { member } from "../cold_codec.ts";
import { crc32c, crc32cShift, crc32cShifted } from "../crc32c.ts";
import { FieldReader } from "../field_reader.ts";
import { FieldWriter } from "../field_writer.ts";
import { FRAME_HEADER_BYTES, sealed } from "../frame.ts";
import { WireError } from "../wire_error.ts";
import { readBytes, readEnd, readText, readU53, skipUnknown, tooMany, writeText, writeU53 } from "../wire_fields.ts";
import { type Correlation, CORRELATION_LIMITS } from "./correlation.ts";
import { type BusMessage, MAX_PAYLOAD_BYTES, MESSAGE_TYPES, PRIORITIES, REFUSALS } from "./message.ts";
import { PIECE_BYTES, readerOfCopy } from "./piece_reader.ts";
import { MAX_TOPIC_LENGTH } from "./topic.ts";
import {
  type BusConsumed,
  type BusDeliveries,
  type BusPublish,
  type BusTaken,
  MAX_DELIVERIES,
  MAX_REFUSED,
} from "./wire.ts";

// In what follows a tag is the field's number times 8 plus its wire type: 0 varint, 1 eight bytes, 2 length and bytes.

const NOTHING = new Uint8Array(0);
/** Longest name of a publisher. */
const MAX_SOURCE_LENGTH = 64;

/** One for all messages: it keeps its memory, and every use begins and ends with it empty. */
const writer = new FieldWriter();

/** One message as all its receivers get it. */
export function encodeBusMessage(message: BusMessage): Uint8Array {
  try {
    writeBusMessage(writer, message);
  } catch (error) {
    writer.finish();
    throw error;
  }
  return writer.finish();
}

function writeBusMessage(w: FieldWriter, message: BusMessage): void {
  writeText(w, 10, message.topic);
  w.uint32(16).uint32(MESSAGE_TYPES.indexOf(message.type));
  writeText(w, 26, message.source);
  writeU53(w, 33, message.sequence);
  writeU53(w, 41, message.time);
  w.uint32(48).uint32(PRIORITIES.indexOf(message.priority));
  if (message.ttlMs > 0) w.uint32(56).uint32(message.ttlMs);
  if (message.correlation !== null) {
    w.uint32(66).fork();
    writeCorrelation(w, message.correlation);
    w.join();
  }
  w.uint32(74).bytes(checkedPayload(message.payload));
}

/** Messages as deliveries hold them, each already as {@linkcode encodeBusMessage} makes it: alike for all who get the same. */
export function joinMessages(messages: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const { length: each } of messages) length += 1 + sizeOfVarint(each) + each;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const message of messages) {
    bytes[at++] = 26;
    at = putVarint(bytes, at, message.length);
    bytes.set(message, at);
    at += message.length;
  }
  return bytes;
}

/** What {@linkcode joinMessages} made, with what is known of it once for all frames that it goes into. */
export class JoinedMessages {
  readonly #checksum: number;
  readonly #shift: number;
  /** Bytes of a frame that holds them. */
  readonly frameLength: number;

  constructor(readonly bytes: Uint8Array) {
    this.#checksum = crc32c(bytes);
    this.#shift = crc32cShift(bytes.length);
    const length = NUMBERS_BYTES + bytes.length;
    this.frameLength = FRAME_HEADER_BYTES + 2 + sizeOfVarint(length) + length;
  }

  /** Makes `frame`, which is as long as it must be, the frame of these deliveries. */
  write(frame: Uint8Array<ArrayBuffer>, stream: number, first: number, lost: number): void {
    let at = putVarint(frame, FRAME_HEADER_BYTES, DELIVERIES_TAG);
    at = putVarint(frame, at, NUMBERS_BYTES + this.bytes.length);
    frame[at++] = 9;
    at = putU53(frame, at, first);
    frame[at++] = 17;
    at = putU53(frame, at, lost);
    frame[at++] = 33;
    at = putU53(frame, at, stream);
    frame.set(this.bytes, at);
    sealed(frame, crc32cShifted(crc32c(frame, 0, FRAME_HEADER_BYTES, at), this.#checksum, this.#shift));
  }
}

/** Of three numbers with their tags. */
const NUMBERS_BYTES = 27;
/** Of `bus_deliveries` in `Envelope`: field 22, with a length. */
const DELIVERIES_TAG = 22 << 3 | 2;

export function writeDeliveries(w: FieldWriter, { stream, firstNumber, lost, messages }: BusDeliveries): void {
  if (messages.length > MAX_DELIVERIES) throw tooMany("messages of the bus", MAX_DELIVERIES);
  writeU53(w, 9, firstNumber);
  writeU53(w, 17, lost);
  writeU53(w, 33, stream);
  for (const message of messages) {
    w.uint32(26).fork();
    writeBusMessage(w, message);
    w.join();
  }
}

export function readDeliveries(body: Uint8Array): BusDeliveries {
  // Copied at once where that is cheaper than one by one, and a payload that is kept holds little else in memory.
  const isCopied = body.length <= PIECE_BYTES, r = isCopied ? readerOfCopy(body) : new FieldReader(body);
  const end = r.len, messages: BusMessage[] = [];
  let stream = 0, firstNumber = 0, lost = 0;
  while (r.pos < end) {
    const tag = r.uint32();
    if (tag === 26) {
      if (messages.length === MAX_DELIVERIES) throw tooMany("messages of the bus", MAX_DELIVERIES);
      messages.push(readBusMessage(r, readEnd(r, end), isCopied));
    } else if (tag === 9) firstNumber = readU53(r, tag);
    else if (tag === 17) lost = readU53(r, tag);
    else if (tag === 33) stream = readU53(r, tag);
    else skipUnknown(r, tag);
  }
  checkEnd(r, end);
  return { kind: "busDeliveries", stream, firstNumber, lost, messages };
}

function readBusMessage(r: BinaryReader, end: number, isCopied: boolean): BusMessage {
  let topic = "", source = "", type = 0, priority = 0, sequence = 0, time = 0, ttlMs = 0;
  let correlation: Correlation | null = null, payload: Uint8Array = NOTHING;
  while (r.pos < end) {
    const tag = r.uint32();
    if (tag === 10) topic = readShort(r, tag, MAX_TOPIC_LENGTH);
    else if (tag === 16) type = r.uint32();
    else if (tag === 26) source = readShort(r, tag, MAX_SOURCE_LENGTH);
    else if (tag === 33) sequence = readU53(r, tag);
    else if (tag === 41) time = readU53(r, tag);
    else if (tag === 48) priority = r.uint32();
    else if (tag === 56) ttlMs = r.uint32();
    else if (tag === 66) correlation = readCorrelation(r, readEnd(r, end));
    else if (tag === 74) payload = isCopied ? r.bytes() : readBytes(r, tag, MAX_PAYLOAD_BYTES);
    else skipUnknown(r, tag);
  }
  checkEnd(r, end);
  return {
    topic,
    type: member(MESSAGE_TYPES, type, "type of message"),
    source,
    sequence,
    time,
    priority: member(PRIORITIES, priority, "priority"),
    ttlMs,
    correlation,
    payload,
  };
}

export function writePublish(w: FieldWriter, message: BusPublish): void {
  writeU53(w, 9, message.number);
  if (message.isReliable) w.uint32(16).bool(true);
  writeText(w, 26, message.topic);
  w.uint32(32).uint32(MESSAGE_TYPES.indexOf(message.type));
  w.uint32(40).uint32(PRIORITIES.indexOf(message.priority));
  if (message.ttlMs > 0) w.uint32(48).uint32(message.ttlMs);
  if (message.correlation !== null) {
    w.uint32(58).fork();
    writeCorrelation(w, message.correlation);
    w.join();
  }
  w.uint32(66).bytes(checkedPayload(message.payload));
}

/** What its topic is worth is for the broker to say: here it is only bounded. */
export function readPublish(body: Uint8Array): BusPublish {
  const r = new FieldReader(body);
  let number = 0, isReliable = false, topic = "", type = 0, priority = 0, ttlMs = 0;
  let correlation: Correlation | null = null, payload: Uint8Array = NOTHING;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === 9) number = readU53(r, tag);
    else if (tag === 16) isReliable = r.bool();
    else if (tag === 26) topic = readShort(r, tag, MAX_PATTERN_LENGTH);
    else if (tag === 32) type = r.uint32();
    else if (tag === 40) priority = r.uint32();
    else if (tag === 48) ttlMs = r.uint32();
    else if (tag === 58) correlation = readCorrelation(r, readEnd(r, r.len));
    else if (tag === 66) payload = readBytes(r, tag, MAX_PAYLOAD_BYTES);
    else skipUnknown(r, tag);
  }
  if (isReliable !== number > 0) {
    throw new WireError("What is published at least once is numbered from 1, the rest not");
  }
  return {
    kind: "busPublish",
    number,
    isReliable,
    topic,
    type: member(MESSAGE_TYPES, type, "type of message"),
    priority: member(PRIORITIES, priority, "priority"),
    ttlMs,
    correlation,
    payload,
  };
}

/** Longer than any topic, so that one that is a little too long is refused by its name and not as damage. */
export const MAX_PATTERN_LENGTH: number = 4 * MAX_TOPIC_LENGTH;

export function writeConsumed(w: FieldWriter, { number, window }: BusConsumed): void {
  writeU53(w, 9, number);
  w.uint32(16).uint32(window);
}

export function readConsumed(body: Uint8Array): BusConsumed {
  const r = new BinaryReader(body);
  let number = 0, window = 0;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === 9) number = readU53(r, tag);
    else if (tag === 16) window = r.uint32();
    else skipUnknown(r, tag);
  }
  return { kind: "busConsumed", number, window };
}

export function writeTaken(w: FieldWriter, { number, refused }: BusTaken): void {
  if (refused.length > MAX_REFUSED) throw tooMany("refusals", MAX_REFUSED);
  writeU53(w, 9, number);
  for (const { number: which, refusal } of refused) {
    w.uint32(18).fork();
    writeU53(w, 9, which);
    w.uint32(16).uint32(REFUSALS.indexOf(refusal));
    w.join();
  }
}

export function readTaken(body: Uint8Array): BusTaken {
  const r = new BinaryReader(body), refused: BusTaken["refused"][number][] = [];
  let number = 0;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === 18) {
      if (refused.length === MAX_REFUSED) throw tooMany("refusals", MAX_REFUSED);
      const end = readEnd(r, r.len);
      let which = 0, refusal = 0;
      while (r.pos < end) {
        const inner = r.uint32();
        if (inner === 9) which = readU53(r, inner);
        else if (inner === 16) refusal = r.uint32();
        else skipUnknown(r, inner);
      }
      checkEnd(r, end);
      refused.push({ number: which, refusal: member(REFUSALS, refusal, "refusal") });
    } else if (tag === 9) number = readU53(r, tag);
    else skipUnknown(r, tag);
  }
  return { kind: "busTaken", number, refused };
}

/** Of one within the limits: see `limited()`. */
function writeCorrelation(w: FieldWriter, correlation: Correlation): void {
  writeText(w, 10, correlation.id);
  if (correlation.parentId !== null) writeText(w, 18, correlation.parentId);
  writeText(w, 26, correlation.rootId);
  if (correlation.sequence > 0) writeU53(w, 33, correlation.sequence);
  if (correlation.stage !== null) writeText(w, 42, correlation.stage);
  for (const [key, value] of Object.entries(correlation.tags)) {
    w.uint32(50).fork();
    writeText(w, 10, key);
    writeText(w, 18, value);
    w.join();
  }
  writeU53(w, 57, correlation.createdAt);
}

/** Bounded loosely: what is too long is cut by whoever takes it over. */
function readCorrelation(r: BinaryReader, end: number): Correlation {
  let id = "", parentId: string | null = null, rootId = "", sequence = 0, stage: string | null = null, createdAt = 0;
  const tags: Record<string, string> = {};
  let count = 0;
  while (r.pos < end) {
    const tag = r.uint32();
    if (tag === 10) id = readText(r, tag);
    else if (tag === 18) parentId = readText(r, tag);
    else if (tag === 26) rootId = readText(r, tag);
    else if (tag === 33) sequence = readU53(r, tag);
    else if (tag === 42) stage = readText(r, tag);
    else if (tag === 50) {
      if (++count > 4 * CORRELATION_LIMITS.tags) throw tooMany("tags of a correlation", 4 * CORRELATION_LIMITS.tags);
      const inside = readEnd(r, end);
      let key = "", value = "";
      while (r.pos < inside) {
        const inner = r.uint32();
        if (inner === 10) key = readText(r, inner);
        else if (inner === 18) value = readText(r, inner);
        else skipUnknown(r, inner);
      }
      checkEnd(r, inside);
      Object.defineProperty(tags, key, { value, enumerable: true, configurable: true, writable: true });
    } else if (tag === 57) createdAt = readU53(r, tag);
    else skipUnknown(r, tag);
  }
  checkEnd(r, end);
  return { id, parentId, rootId, sequence, stage, tags, createdAt };
}

function checkedPayload(payload: Uint8Array): Uint8Array {
  if (payload.length <= MAX_PAYLOAD_BYTES) return payload;
  throw new WireError(`A message of the bus holds ${payload.length} bytes; at most ${MAX_PAYLOAD_BYTES} are allowed`);
}

function readShort(r: BinaryReader, tag: number, limit: number): string {
  const text = r.string(true);
  if (text.length > limit) throw new WireError(`Field ${tag >>> 3} holds ${text.length} characters; at most ${limit}`);
  return text;
}

function checkEnd(r: BinaryReader, end: number): void {
  if (r.pos !== end) throw new WireError("A field goes beyond the end of its message");
}

function sizeOfVarint(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
}

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = value & 0x7f | 0x80;
    value >>>= 7;
  }
  bytes[at++] = value;
  return at;
}

function putU53(bytes: Uint8Array, at: number, value: number): number {
  const low = value >>> 0, high = Math.floor(value / 0x1_0000_0000);
  for (let i = 0; i < 4; i++) bytes[at++] = low >>> (8 * i);
  for (let i = 0; i < 4; i++) bytes[at++] = high >>> (8 * i);
  return at;
}
