/**
 * BTF written by hand, by the format of `Documentation/bpf/btf.rst`.
 *
 * @module
 */

export const VOID = 0;

/** Builds BTF by hand: each call adds a type and gives its id. */
export class BtfBuilder {
  readonly words: number[] = [];
  readonly #strings: number[] = [0];
  #types = 0;

  name(text: string): number {
    if (text === "") return 0;
    const at = this.#strings.length;
    this.#strings.push(...new TextEncoder().encode(text), 0);
    return at;
  }

  type(kind: number, name: string, third: number, extra: readonly number[] = [], count = 0, flag = 0): number {
    this.words.push(this.name(name), (flag << 31 | kind << 24 | count) >>> 0, third, ...extra);
    return ++this.#types;
  }

  integer = (name: string): number => this.type(1, name, 4, [0x0100_0020]);
  pointer = (to: number): number => this.type(2, "", to);
  array = (of: number, length: number): number => this.type(3, "", 0, [of, VOID, length]);
  typedef = (name: string, to: number): number => this.type(8, name, to);
  function = (name: string, prototype: number): number => this.type(12, name, prototype);
  prototype = (parameters: readonly number[]): number =>
    this.type(13, "", VOID, parameters.flatMap((type) => [0, type]), parameters.length);

  struct(name: string, bytes: number, members: readonly [string, number, number][], flag = 0, kind = 4): number {
    const extra = members.flatMap(([member, type, bits]) => [this.name(member), type, bits]);
    return this.type(kind, name, bytes, extra, members.length, flag);
  }

  bytes(change: (header: Uint32Array) => void = () => {}): Uint8Array<ArrayBuffer> {
    const header = Uint32Array.of(
      0x0001_eb9f,
      24,
      0,
      this.words.length * 4,
      this.words.length * 4,
      this.#strings.length,
    );
    change(header);
    const bytes = new Uint8Array(24 + this.words.length * 4 + this.#strings.length);
    bytes.set(new Uint8Array(header.buffer));
    bytes.set(new Uint8Array(Uint32Array.from(this.words).buffer), 24);
    bytes.set(this.#strings, 24 + this.words.length * 4);
    return bytes;
  }
}
