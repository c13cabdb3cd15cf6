/**
 * Numbers and texts out of the bytes of a file that somebody hostile may have made: no read leaves the bytes.
 *
 * What lies outside is 0 or empty; whoever it matters to asks {@linkcode ByteView.has} first.
 *
 * @module
 */

/** Longest text that is read out of a file, in bytes. */
const MAX_TEXT_BYTES = 512;

export class ByteView {
  readonly #view: DataView;

  constructor(readonly bytes: Uint8Array, readonly littleEndian: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Whether `size` bytes from `at` on are all there. */
  has(at: number, size: number): boolean {
    return Number.isSafeInteger(at) && at >= 0 && size >= 0 && at + size <= this.length;
  }

  u16(at: number): number {
    return this.has(at, 2) ? this.#view.getUint16(at, this.littleEndian) : 0;
  }

  u32(at: number): number {
    return this.has(at, 4) ? this.#view.getUint32(at, this.littleEndian) : 0;
  }

  /** As a double: offsets past 2^53 are none of a file's, and compare as such. */
  u64(at: number): number {
    return this.has(at, 8) ? Number(this.#view.getBigUint64(at, this.littleEndian)) : 0;
  }

  /** The printable ASCII up to a zero byte, an end or {@linkcode MAX_TEXT_BYTES}; other bytes are `?`. */
  text(at: number, end = this.length): string {
    if (!this.has(at, 0)) return "";
    const most = Math.min(end, this.length, at + MAX_TEXT_BYTES);
    let text = "";
    for (let i = at; i < most; i++) {
      const byte = this.bytes[i]!;
      if (byte === 0) break;
      text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?";
    }
    return text;
  }

  /** Where `needle` begins in a range, or -1. */
  find(needle: Uint8Array, from: number, to: number): number {
    const end = Math.min(to, this.length) - needle.length;
    for (let at = this.bytes.indexOf(needle[0]!, Math.max(0, from)); at >= 0 && at <= end;) {
      let i = 1;
      while (i < needle.length && this.bytes[at + i] === needle[i]) i++;
      if (i === needle.length) return at;
      at = this.bytes.indexOf(needle[0]!, at + 1);
    }
    return -1;
  }
}
