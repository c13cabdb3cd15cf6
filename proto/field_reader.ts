/**
 * Reads protobuf fields as `BinaryReader` does, at less cost where texts come again: see `text_cache.ts`.
 *
 * That reader makes an array of the characters of every short text and calls the runtime for every other, which in a
 * storm is most of what decoding costs.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { TextCache } from "./text_cache.ts";

const texts = new TextCache();

export class FieldReader extends BinaryReader {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.#bytes = bytes;
  }

  override string(strict?: boolean): string {
    const begin = this.pos, length = this.uint32(), from = this.pos, to = from + length;
    // What goes beyond the end is told by the reader itself
    const known = to <= this.len ? texts.known(this.#bytes, from, to) : null;
    if (known !== null) {
      this.pos = to;
      return known;
    }
    this.pos = begin;
    const text = super.string(strict);
    texts.keep(text, length);
    return text;
  }
}
