/**
 * Frames: how payloads stand in a stream of bytes.
 *
 * A frame is the payload's length (u32, little endian), the CRC-32C of the payload (u32, little endian), the payload.
 * The stream is not trusted: a length of 0 or above the limit is refused before anything is allocated for it, and memory
 * grows only with bytes that have really come. After {@linkcode FrameError} the place of the next frame is unknown, so
 * the stream is at its end.
 *
 * @module
 */
import { crc32c } from "./crc32c.ts";

/** Longest payload, in bytes. */
export const MAX_FRAME_BYTES = 1_048_576;
/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 8;
/** Bytes that one read can bring. */
const READ_BYTES = 262_144;

/** A stream that holds no frame where one must begin. `truncated`: it ended within a frame. */
export class FrameError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "FrameError";
  /** `reason`: what is wrong with it, for programs. */
  constructor(readonly reason: "length" | "checksum" | "truncated", message: string) {
    super(message);
  }
}

/**
 * The payload with its header.
 *
 * @throws RangeError when the payload is empty or longer than {@linkcode MAX_FRAME_BYTES}.
 */
export function encodeFrame(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return frameOf(payload, crc32c(payload));
}

/** {@linkcode encodeFrame} for whoever knows the checksum of the payload already. */
export function frameOf(payload: Uint8Array, checksum: number): Uint8Array<ArrayBuffer> {
  checkLength(payload.length);
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  return sealed(frame, checksum);
}

/** A frame that has its payload, with its header, given the checksum of the payload. */
export function sealed(frame: Uint8Array<ArrayBuffer>, checksum: number): Uint8Array<ArrayBuffer> {
  checkLength(frame.length - FRAME_HEADER_BYTES);
  writeU32(frame, 0, frame.length - FRAME_HEADER_BYTES);
  writeU32(frame, 4, checksum);
  return frame;
}

/**
 * Takes a stream apart, whatever pieces it comes in.
 *
 * Read into {@linkcode FrameReader.space}, say how much came with {@linkcode FrameReader.filled}, and take
 * {@linkcode FrameReader.next} until it gives `null`. What waits is moved only when that frees at least half of the
 * buffer, and the buffer doubles only when it is more than half full, so the work is linear in the bytes.
 */
export class FrameReader {
  /** Made at the first read, so that it fits the limit that holds then. */
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #begin = 0;
  #end = 0;
  /** Longest payload that is taken from here on. */
  maxPayload: number;

  /** `maxPayload`: the longest payload that is taken, in bytes. */
  constructor(maxPayload: number = MAX_FRAME_BYTES) {
    this.maxPayload = maxPayload;
  }

  /** Bytes of a frame that has begun and is not complete. */
  get pending(): number {
    return this.#end - this.#begin;
  }

  /** Where the next bytes go: never empty, valid until the next call of this reader. */
  space(): Uint8Array<ArrayBuffer> {
    if (this.#begin === this.#end) this.#begin = this.#end = 0;
    const size = this.#buffer.length;
    const wanted = Math.min(READ_BYTES, FRAME_HEADER_BYTES + this.maxPayload);
    if (size - this.#end < size / 4 || size < wanted) this.#makeSpace(wanted);
    return this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end);
  }

  /** Says that `count` bytes were put at the beginning of {@linkcode space}. */
  filled(count: number): void {
    if (count < 0 || count > this.#buffer.length - this.#end) throw new RangeError(`Cannot have filled ${count} bytes`);
    this.#end += count;
  }

  /**
   * The next payload, valid until the next call of {@linkcode space}, or `null` when it has not come whole.
   *
   * @throws FrameError
   */
  next(): Uint8Array<ArrayBuffer> | null {
    const buffer = this.#buffer, begin = this.#begin;
    const available = this.#end - begin;
    if (available < 4) return null;
    const length = readU32(buffer, begin);
    if (length === 0 || length > this.maxPayload) {
      throw new FrameError("length", `A frame says that it holds ${length} bytes; 1 to ${this.maxPayload} are allowed`);
    }
    if (available < FRAME_HEADER_BYTES + length) return null;
    const payload = buffer.subarray(begin + FRAME_HEADER_BYTES, begin + FRAME_HEADER_BYTES + length);
    const expected = readU32(buffer, begin + 4), actual = crc32c(payload);
    if (actual !== expected) {
      throw new FrameError("checksum", `A frame says checksum ${hex(expected)}, its payload has ${hex(actual)}`);
    }
    this.#begin += FRAME_HEADER_BYTES + length;
    return payload;
  }

  /** The stream is at its end. @throws FrameError when that is within a frame. */
  finish(): void {
    if (this.pending > 0) throw new FrameError("truncated", `The stream ended ${this.pending} bytes into a frame`);
  }

  /** Room for more: first by moving what waits to the front, else by a larger buffer. */
  #makeSpace(wanted: number): void {
    const waiting = this.#buffer.subarray(this.#begin, this.#end);
    // Moving less than this would let a stream of small pieces move one large frame again and again.
    const full = waiting.length > this.#buffer.length / 2;
    const size = Math.max(wanted, full ? this.#buffer.length * 2 : this.#buffer.length);
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(size);
      larger.set(waiting);
      this.#buffer = larger;
    } else this.#buffer.copyWithin(0, this.#begin, this.#end);
    this.#begin = 0;
    this.#end = waiting.length;
  }
}

function checkLength(payload: number): void {
  if (payload > 0 && payload <= MAX_FRAME_BYTES) return;
  throw new RangeError(`A frame holds 1 to ${MAX_FRAME_BYTES} bytes, got ${payload}`);
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
