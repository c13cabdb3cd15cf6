/**
 * Writes protobuf fields one after the other into one buffer that is kept.
 *
 * The bytes are those of `BinaryWriter` of `@bufbuild/protobuf`, for the few kinds of fields that are written by hand;
 * that one makes an array of bytes for every text and every nested message, which in a storm is most of what encoding
 * costs. Numbers are checked as it checks them; lengths are checked by whoever knows the field (`wire_fields.ts`).
 *
 * @module
 */

const FIRST_BYTES = 65_536;
/** Kept when a message is finished; a larger one served a process table and is given back. */
const KEPT_BYTES = 524_288;
/** Bytes of the longest number of 32 bits, and of the length of a nested message as it is guessed. */
const MAX_VARINT = 5, GUESSED_LENGTH = 2;
/** Longer texts are encoded by the runtime, which takes many characters at a time and some time to begin. */
const SHORT_TEXT = 200;

const encoder = new TextEncoder();

export class FieldWriter {
  readonly #firstBytes: number;
  #bytes!: Uint8Array<ArrayBuffer>;
  #view!: DataView;
  #at = 0;
  /** Where the nested messages that are open begin, with room for their lengths. */
  #begins: number[] = [];

  /** `firstBytes`: what it begins with; it grows as it must. */
  constructor(firstBytes: number = FIRST_BYTES) {
    this.#firstBytes = firstBytes;
    this.#hold(new Uint8Array(firstBytes));
  }

  /** A number as a varint; tags are such numbers too. @throws RangeError when it has not 32 bits */
  uint32(value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`invalid uint32: ${value}`);
    if (this.#at + MAX_VARINT > this.#bytes.length) this.#grow(MAX_VARINT);
    this.#at = putVarint(this.#bytes, this.#at, value);
    return this;
  }

  /** @throws RangeError when it has not 32 bits */
  fixed32(value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`invalid uint32: ${value}`);
    if (this.#at + 4 > this.#bytes.length) this.#grow(4);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }

  double(value: number): this {
    if (this.#at + 8 > this.#bytes.length) this.#grow(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
    return this;
  }

  bool(value: boolean): this {
    return this.uint32(value ? 1 : 0);
  }

  /** The length of some bytes, and the bytes. */
  bytes(value: Uint8Array): this {
    return this.uint32(value.length).raw(value);
  }

  /** Bytes as they are. */
  raw(value: Uint8Array): this {
    if (this.#at + value.length > this.#bytes.length) this.#grow(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** The length of a text in UTF-8, and the text; a lone surrogate becomes U+FFFD. */
  string(text: string): this {
    const { length } = text, most = MAX_VARINT + 3 * length;
    if (this.#at + most > this.#bytes.length) this.#grow(most);
    const bytes = this.#bytes, begin = this.#at;
    if (length <= SHORT_TEXT) {
      let to = putVarint(bytes, begin, length), at = 0;
      for (; at < length; at++) {
        const code = text.charCodeAt(at);
        if (code > 0x7f) break;
        bytes[to++] = code;
      }
      if (at === length) {
        this.#at = to;
        return this;
      }
    }
    const guessed = varintBytes(length), { written } = encoder.encodeInto(text, bytes.subarray(begin + guessed));
    this.#at = this.#closed(begin, guessed, begin + guessed + written);
    return this;
  }

  /** Begins a nested message, whose length comes before it. */
  fork(): this {
    if (this.#at + GUESSED_LENGTH > this.#bytes.length) this.#grow(GUESSED_LENGTH);
    this.#begins.push(this.#at);
    this.#at += GUESSED_LENGTH;
    return this;
  }

  /** Ends the nested message that was begun last. */
  join(): this {
    const begin = this.#begins.pop();
    if (begin === undefined) throw new TypeError("No nested message is open");
    if (this.#at + MAX_VARINT > this.#bytes.length) this.#grow(MAX_VARINT);
    this.#at = this.#closed(begin, GUESSED_LENGTH, this.#at);
    return this;
  }

  /** Everything that was written, and begins anew. */
  finish(): Uint8Array<ArrayBuffer> {
    const written = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    this.#begins = [];
    if (this.#bytes.length > KEPT_BYTES) this.#hold(new Uint8Array(this.#firstBytes));
    return written;
  }

  /** Puts the length before what ends at `end` and had `guessed` bytes for it; gives where it ends then. */
  #closed(begin: number, guessed: number, end: number): number {
    const length = end - begin - guessed, needed = varintBytes(length);
    if (needed !== guessed) this.#bytes.copyWithin(begin + needed, begin + guessed, end);
    putVarint(this.#bytes, begin, length);
    return end + needed - guessed;
  }

  #grow(more: number): void {
    const larger = new Uint8Array(Math.max(this.#at + more, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#hold(larger);
  }

  #hold(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[at] = value;
  return at + 1;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}
