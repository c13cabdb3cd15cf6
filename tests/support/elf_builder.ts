/**
 * Small ELF files for tests: with a dynamic part, symbols, notes and sections as a test wants them, and nothing that runs.
 *
 * @module
 */

export interface ElfShape {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  readonly type?: number;
  readonly interpreter?: string | null;
  readonly needed?: readonly string[];
  readonly imports?: readonly string[];
  readonly buildId?: Uint8Array | null;
  /** Flags of the stack's segment; `null` for none. */
  readonly stack?: number | null;
  readonly relro?: boolean;
  readonly bindsNow?: boolean;
  /** Bytes of `.text`, and the flags of its segment. */
  readonly code?: Uint8Array;
  readonly codeFlags?: number;
  readonly withSymbolTable?: boolean;
  /** Without section headers, as packers leave a file. */
  readonly bare?: boolean;
  /** What stands after everything. */
  readonly tail?: Uint8Array;
}

const encoder = new TextEncoder();
const BASE = 0x400000;

interface Piece {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly segment: number | null;
}

/** The file: header, segments, contents, section headers. */
export function buildElf(shape: ElfShape = {}): Uint8Array<ArrayBuffer> {
  const { is64 = true, littleEndian = true, interpreter = "/lib64/ld-linux-x86-64.so.2", needed = ["libc.so.6"] } =
    shape;
  const { imports = ["execve", "puts"], buildId = new Uint8Array([1, 2, 3, 4]), stack = 6, relro = true } = shape;
  const word = is64 ? 8 : 4, headerSize = is64 ? 64 : 52, segmentSize = is64 ? 56 : 32, sectionSize = is64 ? 64 : 40;
  const out: number[] = [];
  const number = (value: number, size: number): number[] => {
    const bytes: number[] = [];
    for (let i = 0; i < size; i++) bytes.push(Math.floor(value / 2 ** (8 * i)) % 256);
    return littleEndian ? bytes : bytes.reverse();
  };

  const strings: number[] = [0];
  const named = (text: string): number => {
    const at = strings.length;
    strings.push(...encoder.encode(text), 0);
    return at;
  };
  const neededAt = needed.map(named), importsAt = imports.map(named);
  const symbol = (name: number, index: number): number[] =>
    is64
      ? [...number(name, 4), 0x12, 0, ...number(index, 2), ...number(0, 8), ...number(0, 8)]
      : [...number(name, 4), ...number(0, 4), ...number(0, 4), 0x12, 0, ...number(index, 2)];
  const symbols = [...symbol(0, 0), ...importsAt.flatMap((at) => symbol(at, 0)), ...symbol(named("main"), 1)];
  const note = buildId === null
    ? []
    : [...number(4, 4), ...number(buildId.length, 4), ...number(3, 4), ...encoder.encode("GNU\0"), ...buildId];

  const hasDynamic = needed.length > 0;
  const pieces: Piece[] = [
    ...(interpreter === null
      ? []
      : [{ name: ".interp", type: 1, flags: 2, bytes: encoder.encode(`${interpreter}\0`), segment: 3 }]),
    ...(buildId === null
      ? []
      : [{ name: ".note.gnu.build-id", type: 7, flags: 2, bytes: new Uint8Array(note), segment: 4 }]),
    ...(hasDynamic
      ? [
        { name: ".dynsym", type: 11, flags: 2, bytes: new Uint8Array(symbols), segment: null },
        { name: ".dynstr", type: 3, flags: 2, bytes: new Uint8Array(strings), segment: null },
      ]
      : []),
    { name: ".text", type: 1, flags: 6, bytes: shape.code ?? new Uint8Array(64).fill(0x90), segment: null },
    ...(shape.withSymbolTable
      ? [{ name: ".symtab", type: 2, flags: 0, bytes: new Uint8Array(48), segment: null }]
      : []),
  ];
  const segmentCount = 1 + pieces.filter(({ segment }) => segment !== null).length + (hasDynamic ? 1 : 0) +
    (stack === null ? 0 : 1) + (relro ? 1 : 0);

  let at = headerSize + segmentCount * segmentSize;
  const places = new Map<string, { offset: number; size: number }>();
  const contents: number[] = [];
  const put = (name: string, bytes: Iterable<number>): void => {
    while (at % 8 !== 0) {
      contents.push(0);
      at++;
    }
    const all = [...bytes];
    places.set(name, { offset: at, size: all.length });
    for (const byte of all) contents.push(byte);
    at += all.length;
  };
  for (const { name, bytes } of pieces) put(name, bytes);
  if (hasDynamic) {
    const address = (name: string): number => BASE + places.get(name)!.offset;
    const entries = [
      ...neededAt.map((offset) => [1, offset]),
      [5, address(".dynstr")],
      [6, address(".dynsym")],
      ...(shape.bindsNow ? [[30, 8]] : []),
      [0, 0],
    ];
    put(".dynamic", entries.flatMap(([tag, value]) => [...number(tag!, word), ...number(value!, word)]));
  }
  const names: number[] = [0], shown = [...places.keys()], nameAt = new Map<string, number>();
  for (const name of [...shown, ".shstrtab"]) {
    nameAt.set(name, names.length);
    names.push(...encoder.encode(name), 0);
  }
  put(".shstrtab", names);
  const sectionsAt = at, total = at;

  const header = [0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1, ...new Array(9).fill(0)];
  header.push(...number(shape.type ?? 3, 2), ...number(62, 2), ...number(1, 4), ...number(BASE, word));
  header.push(...number(headerSize, word), ...number(shape.bare ? 0 : sectionsAt, word), ...number(0, 4));
  header.push(...number(headerSize, 2), ...number(segmentSize, 2), ...number(segmentCount, 2));
  const sectionCount = shape.bare ? 0 : shown.length + 2;
  header.push(...number(sectionSize, 2), ...number(sectionCount, 2), ...number(Math.max(0, sectionCount - 1), 2));
  out.push(...header);

  const segment = (type: number, flags: number, offset: number, size: number): void => {
    const numbers = is64
      ? [...number(type, 4), ...number(flags, 4), ...number(offset, 8), ...number(BASE + offset, 8), ...number(0, 8)]
      : [...number(type, 4), ...number(offset, 4), ...number(BASE + offset, 4), ...number(0, 4)];
    numbers.push(...number(size, word), ...number(size, word));
    if (is64) numbers.push(...number(4_096, 8));
    else numbers.push(...number(flags, 4), ...number(4_096, 4));
    out.push(...numbers);
  };
  segment(1, shape.codeFlags ?? 5, 0, total);
  for (const { name, segment: type } of pieces) {
    if (type !== null) segment(type, 4, places.get(name)!.offset, places.get(name)!.size);
  }
  if (hasDynamic) segment(2, 6, places.get(".dynamic")!.offset, places.get(".dynamic")!.size);
  if (stack !== null) segment(0x6474e551, stack, 0, 0);
  if (relro) segment(0x6474e552, 4, 0, 0);
  for (const byte of contents) out.push(byte);

  const sectionHeader = (name: number, type: number, flags: number, offset: number, size: number): void => {
    out.push(...number(name, 4), ...number(type, 4), ...number(flags, word), ...number(0, word));
    out.push(...number(offset, word), ...number(size, word), ...number(0, 4), ...number(0, 4));
    out.push(...number(0, word), ...number(0, word));
  };
  if (!shape.bare) {
    sectionHeader(0, 0, 0, 0, 0);
    for (const name of shown) {
      const piece = pieces.find((each) => each.name === name), { offset, size } = places.get(name)!;
      sectionHeader(nameAt.get(name)!, piece?.type ?? 6, piece?.flags ?? 3, offset, size);
    }
    const { offset, size } = places.get(".shstrtab")!;
    sectionHeader(nameAt.get(".shstrtab")!, 3, 0, offset, size);
  }
  return new Uint8Array([...out, ...(shape.tail ?? [])]);
}
