/**
 * Reading and writing of single fields with the checks that the wire format itself does not make.
 *
 * @module
 */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import type { FieldWriter } from "./field_writer.ts";
import { MAX_ARGV_BYTES } from "./process_event.ts";
import { WireError } from "./wire_error.ts";

/** Longest text of one field, in UTF-16 code units. */
export const MAX_TEXT_LENGTH = 65_536;
/** Longest name or path that is sent whole, in UTF-16 code units: PATH_MAX bytes are no more. */
export const MAX_NAME_LENGTH = 4_096;
/** Stands at the end of a text that was cut. */
const CUT = "…";
/** Stands for an environment that is too long: a JSON object that is cut would be none. */
const CUT_ENVIRONMENT = '{"=cut":true}';
/** Highest sequence number: an event id is the stream's number times 2^40 plus the sequence. */
export const MAX_SEQUENCE = 2 ** 40 - 1;

const TWO_32 = 4_294_967_296;
/** Upper half of 2^53 - 1. */
const MAX_HIGH_HALF = 0x1fffff;

/** Text; a lone surrogate becomes U+FFFD, since a protobuf string is UTF-8. */
export function writeText(writer: FieldWriter, tag: number, text: string): void {
  if (text.length > MAX_TEXT_LENGTH) throw tooLong(tag, text.length);
  writer.uint32(tag).string(text);
}

// Whoever starts a process chooses most of its texts. Where the collector's own bounds should fail, one that is too long
// is cut and marked: an event that cannot be sent would take the stream with it.

export function writeName(writer: FieldWriter, tag: number, text: string): void {
  writer.uint32(tag).string(cut(text, MAX_NAME_LENGTH));
}

export function writeLine(writer: FieldWriter, tag: number, text: string): void {
  writer.uint32(tag).string(cut(text, MAX_TEXT_LENGTH));
}

export function writeEnvironment(writer: FieldWriter, tag: number, json: string): void {
  writer.uint32(tag).string(json.length > MAX_TEXT_LENGTH ? CUT_ENVIRONMENT : json);
}

function cut(text: string, limit: number): string {
  return text.length > limit ? text.slice(0, limit - CUT.length) + CUT : text;
}

export function readText(reader: BinaryReader, tag: number): string {
  const text = reader.string(true);
  if (text.length > MAX_TEXT_LENGTH) throw tooLong(tag, text.length);
  return text;
}

/** A whole number from 0 to 2^53 - 1 as fixed64. */
export function writeU53(writer: FieldWriter, tag: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new WireError(`Field ${tag >>> 3} must be a whole number from 0 to 2^53 - 1, got ${value}`);
  }
  writer.uint32(tag).fixed32(value >>> 0).fixed32(Math.floor(value / TWO_32));
}

/**
 * A number that the kernel gave a file or group. File systems number up to 2^64; what a double cannot hold exactly is
 * left out as unknown, since whoever mounts such a file system must not be able to stop the stream.
 */
export function writeId(writer: FieldWriter, tag: number, value: number | null): void {
  if (value !== null && value <= Number.MAX_SAFE_INTEGER) writeU53(writer, tag, value);
}

export function readU53(reader: BinaryReader, tag: number): number {
  const low = reader.fixed32(), high = reader.fixed32();
  if (high > MAX_HIGH_HALF) throw new WireError(`Field ${tag >>> 3} is above 2^53 - 1`);
  return high * TWO_32 + low;
}

export function writeDouble(writer: FieldWriter, tag: number, value: number): void {
  writer.uint32(tag).double(finite(tag, value));
}

export function readDouble(reader: BinaryReader, tag: number): number {
  return finite(tag, reader.double());
}

/** Bytes, copied: what {@linkcode BinaryReader.bytes} gives lies in the message's own memory. */
export function readBytes(reader: BinaryReader, tag: number, limit: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(viewBytes(reader, tag, limit));
}

/** Bytes that lie in what the reader reads. */
export function viewBytes(reader: BinaryReader, tag: number, limit: number): Uint8Array {
  const bytes = reader.bytes();
  if (bytes.length > limit) {
    throw new WireError(`Field ${tag >>> 3} holds ${bytes.length} bytes; at most ${limit} are allowed`);
  }
  return bytes;
}

export function writeArgv(writer: FieldWriter, tag: number, argv: Uint8Array): void {
  if (argv.length > MAX_ARGV_BYTES) {
    throw new WireError(`Arguments take ${argv.length} bytes; at most ${MAX_ARGV_BYTES} are allowed`);
  }
  writer.uint32(tag).bytes(argv);
}

/** Where the message ends that begins here with its length. */
export function readEnd(reader: BinaryReader, outerEnd: number): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > outerEnd) throw new WireError("A message goes beyond the end of the one that holds it");
  return end;
}

/** Leaves out a field that this version does not know. Groups, which protobuf 3 does not have, are refused. */
export function skipUnknown(reader: BinaryReader, tag: number): void {
  const wireType = tag & 7;
  if (tag >>> 3 === 0 || wireType === 3 || wireType === 4 || wireType > 5) {
    throw new WireError(`There is no field with tag ${tag}`);
  }
  reader.skip(wireType);
}

/** Sequences count from 1, and what has none would not be acknowledged. */
export function checkSequences(first: number, count: number): void {
  if (count < 1) throw new WireError("A batch holds no event");
  if (!(first >= 1 && first + count - 1 <= MAX_SEQUENCE)) {
    throw new WireError(`Sequence numbers must lie in 1 to 2^40 - 1, got ${count} from ${first}`);
  }
}

export function overrun(what: string): WireError {
  return new WireError(`A field of one ${what} goes beyond its end`);
}

export function tooMany(what: string, limit: number): WireError {
  return new WireError(`A message holds more than ${limit} ${what}`);
}

function finite(tag: number, value: number): number {
  if (!Number.isFinite(value)) throw new WireError(`Field ${tag >>> 3} must be a finite number, got ${value}`);
  return value;
}

function tooLong(tag: number, length: number): WireError {
  return new WireError(`Field ${tag >>> 3} holds ${length} characters; at most ${MAX_TEXT_LENGTH} are allowed`);
}
