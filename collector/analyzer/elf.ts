/**
 * What an ELF file says of itself, as far as it can be believed: pure, over all of its bytes.
 *
 * The bytes are hostile. Every number in them is taken for a claim: what lies outside of the file, contradicts itself or is
 * more than any real program has is left out and named in `faults`. Time is linear in the length of the file and memory is
 * bounded, whatever headers say: tables are cut, and overlapping sections share one allowance of bytes to look at. Only
 * what has no ELF header at all throws, and only {@linkcode ElfError}.
 *
 * @see {@link https://gabi.xinuos.com} System V ABI, and `elf.h` of glibc for GNU's additions
 * @module
 */
import { ByteView } from "./byte_view.ts";
import { ELF_MACHINES, ELF_TYPES } from "./elf_words.ts";
import { readDynamic } from "./elf_dynamic.ts";
import { packerOf } from "./elf_packers.ts";
import { allSteps } from "../../proto/steps.ts";
import { measuringEntropy } from "./entropy.ts";

/** Program and section headers that are read. */
const MAX_SEGMENTS = 256, MAX_SECTIONS = 1_024;
/** Faults that are named. */
const MAX_FAULTS = 16;

// elf.h
const PT_LOAD = 1, PT_DYNAMIC = 2, PT_INTERP = 3, PT_NOTE = 4, PT_GNU_STACK = 0x6474e551, PT_GNU_RELRO = 0x6474e552;
const PF_X = 1, PF_W = 2;
const SHT_SYMTAB = 2, SHT_NOTE = 7, SHT_NOBITS = 8;
const SHF_WRITE = 1, SHF_ALLOC = 2, SHF_EXECINSTR = 4;
const NT_GNU_BUILD_ID = 3;
/** Build ids are hashes; a longer note is none. */
const MAX_BUILD_ID_BYTES = 64;

/** These bytes are no ELF file. */
export class ElfError extends Error {
  override name = "ElfError";
}

export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
}

export interface ElfSection {
  readonly name: string;
  readonly size: number;
  /** `a` in memory, `w` writable, `x` executable. */
  readonly flags: string;
  /** Bits a byte; `null` for one without bytes in the file, or that was not looked at. */
  readonly entropy: number | null;
}

export interface ElfFacts {
  readonly class: 32 | 64;
  readonly endianness: "little" | "big";
  readonly type: string;
  readonly machine: string;
  readonly interpreter: string | null;
  /** No interpreter and nothing to link: it brings all of its code. */
  readonly isStatic: boolean;
  readonly isPie: boolean;
  readonly relro: "none" | "partial" | "full";
  /** Whether the stack is not executable. */
  readonly nx: boolean;
  /** Whether a segment is writable and executable at once. */
  readonly hasWritableCode: boolean;
  readonly isStripped: boolean;
  /** Hexadecimal. */
  readonly buildId: string | null;
  readonly soname: string | null;
  readonly runPath: string | null;
  /** Libraries that it is linked to. */
  readonly needed: readonly string[];
  /** Undefined symbols: what it takes from those. */
  readonly imports: number;
  readonly notableImports: readonly string[];
  readonly sections: readonly ElfSection[];
  /** How many sections the header claims. */
  readonly sectionCount: number;
  /** Bits a byte of the whole file. */
  readonly entropy: number;
  /** Name of a packer or bundler, or what speaks for one that has no name. */
  readonly packer: string | null;
  /** What in the file cannot be so. */
  readonly faults: readonly string[];
}

/** Collects what cannot be so, each once. */
export class Faults {
  readonly #found = new Set<string>();

  add(text: string): void {
    if (this.#found.size < MAX_FAULTS) this.#found.add(text);
  }

  get all(): string[] {
    return [...this.#found];
  }
}

interface Header {
  readonly view: ByteView;
  readonly is64: boolean;
  readonly type: number;
  readonly machine: number;
  readonly segmentsAt: number;
  readonly segmentSize: number;
  readonly segmentCount: number;
  readonly sectionsAt: number;
  readonly sectionSize: number;
  readonly sectionCount: number;
  readonly namesIndex: number;
}

interface RawSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

/** Whether bytes begin as ELF files do. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/** @throws {ElfError} for what has no whole ELF header */
export function parseElf(bytes: Uint8Array): ElfFacts {
  return allSteps(parsingElf(bytes));
}

/** The same in steps. @throws {ElfError} */
export function* parsingElf(bytes: Uint8Array): Generator<void, ElfFacts> {
  const faults = new Faults(), header = readHeader(bytes), { view, is64 } = header;
  const segments = readSegments(header, faults), sections = readSections(header, faults);
  const find = (type: number): ElfSegment | undefined => segments.find((segment) => segment.type === type);
  const interp = find(PT_INTERP), stack = find(PT_GNU_STACK);
  const interpreter = interp === undefined ? null : view.text(interp.offset, interp.offset + interp.fileSize) || null;
  const dynamicSection = sections.find(({ name }) => name === ".dynsym");
  const dynamic = readDynamic(
    view,
    is64,
    find(PT_DYNAMIC) ?? null,
    segments.filter(({ type }) => type === PT_LOAD),
    dynamicSection === undefined ? null : dynamicSection.size,
    faults,
  );
  const relro = find(PT_GNU_RELRO) === undefined ? "none" : dynamic.bindsNow ? "full" : "partial";
  const shown = yield* withEntropy(view, sections, faults), entropy = yield* measuringEntropy(bytes);
  const hasWritableCode = segments.some(({ type, flags }) => type === PT_LOAD && (flags & PF_W) && (flags & PF_X));
  const isStatic = header.type !== 1 && interpreter === null && dynamic.needed.length === 0;
  return {
    class: is64 ? 64 : 32,
    endianness: view.littleEndian ? "little" : "big",
    type: ELF_TYPES.get(header.type) ?? `type ${header.type}`,
    machine: ELF_MACHINES.get(header.machine) ?? `machine ${header.machine}`,
    interpreter,
    isStatic,
    isPie: header.type === 3 && (interpreter !== null || dynamic.isPie),
    relro,
    nx: stack !== undefined && (stack.flags & PF_X) === 0,
    hasWritableCode,
    isStripped: !sections.some(({ type }) => type === SHT_SYMTAB),
    buildId: buildIdOf(view, segments, sections),
    soname: dynamic.soname,
    runPath: dynamic.runPath,
    needed: dynamic.needed,
    imports: dynamic.imports,
    notableImports: dynamic.notableImports,
    sections: shown,
    sectionCount: header.sectionCount,
    entropy,
    packer: packerOf(view, { sections: shown, sectionCount: header.sectionCount, entropy, hasWritableCode, isStatic }),
    faults: faults.all,
  };
}

/** @throws {ElfError} */
function readHeader(bytes: Uint8Array): Header {
  if (!isElf(bytes)) throw new ElfError("It does not begin as an ELF file does");
  const wordSize = bytes[4], order = bytes[5];
  if (wordSize !== 1 && wordSize !== 2) throw new ElfError("Its header names neither 32 nor 64 bits");
  if (order !== 1 && order !== 2) throw new ElfError("Its header names no order of bytes");
  const is64 = wordSize === 2, view = new ByteView(bytes, order === 1);
  if (bytes.length < (is64 ? 64 : 52)) throw new ElfError("It ends within its header");
  const counts = is64 ? 54 : 42;
  return {
    view,
    is64,
    type: view.u16(16),
    machine: view.u16(18),
    segmentsAt: is64 ? view.u64(32) : view.u32(28),
    sectionsAt: is64 ? view.u64(40) : view.u32(32),
    segmentSize: view.u16(counts),
    segmentCount: view.u16(counts + 2),
    sectionSize: view.u16(counts + 4),
    sectionCount: view.u16(counts + 6),
    namesIndex: view.u16(counts + 8),
  };
}

function readSegments({ view, is64, segmentsAt, segmentSize, segmentCount }: Header, faults: Faults): ElfSegment[] {
  const least = is64 ? 56 : 32, segments: ElfSegment[] = [];
  if (segmentCount > 0 && segmentSize < least) {
    faults.add(`program headers of ${segmentSize} bytes`);
    return segments;
  }
  if (segmentCount > MAX_SEGMENTS) faults.add(`${segmentCount} program headers`);
  for (let i = 0; i < Math.min(segmentCount, MAX_SEGMENTS); i++) {
    const at = segmentsAt + i * segmentSize;
    if (!view.has(at, least)) {
      faults.add("program headers outside of the file");
      break;
    }
    const type = view.u32(at), flags = view.u32(at + (is64 ? 4 : 24));
    const offset = is64 ? view.u64(at + 8) : view.u32(at + 4), address = is64 ? view.u64(at + 16) : view.u32(at + 8);
    const fileSize = is64 ? view.u64(at + 32) : view.u32(at + 16);
    if (!view.has(offset, fileSize)) faults.add("a segment outside of the file");
    segments.push({ type, flags, offset, address, fileSize });
  }
  return segments;
}

function readSections(header: Header, faults: Faults): RawSection[] {
  const { view, is64, sectionsAt, sectionSize, sectionCount, namesIndex } = header, least = is64 ? 64 : 40;
  if (sectionCount === 0) return [];
  if (sectionSize < least) {
    faults.add(`section headers of ${sectionSize} bytes`);
    return [];
  }
  if (sectionCount > MAX_SECTIONS) faults.add(`${sectionCount} sections`);
  const place = (i: number): { type: number; flags: number; offset: number; size: number; nameAt: number } => {
    const at = sectionsAt + i * sectionSize;
    return {
      nameAt: view.u32(at),
      type: view.u32(at + 4),
      flags: is64 ? view.u64(at + 8) % 8 : view.u32(at + 8),
      offset: is64 ? view.u64(at + 24) : view.u32(at + 16),
      size: is64 ? view.u64(at + 32) : view.u32(at + 20),
    };
  };
  if (!view.has(sectionsAt, sectionSize)) {
    faults.add("section headers outside of the file");
    return [];
  }
  const names = place(namesIndex), sections: RawSection[] = [];
  if (namesIndex >= sectionCount) faults.add("the names of sections are in no section");
  for (let i = 0; i < Math.min(sectionCount, MAX_SECTIONS); i++) {
    if (!view.has(sectionsAt + i * sectionSize, least)) {
      faults.add("section headers outside of the file");
      break;
    }
    const { type, flags, offset, size, nameAt } = place(i);
    if (type === 0) continue;
    if (type !== SHT_NOBITS && !view.has(offset, size)) faults.add("a section outside of the file");
    const name = nameAt < names.size ? view.text(names.offset + nameAt, names.offset + names.size) : "";
    sections.push({ name, type, flags, offset, size });
  }
  return sections;
}

/** Sections as they are shown. Those that overlap share what is looked at: the length of the file, once. */
function* withEntropy(
  view: ByteView,
  sections: readonly RawSection[],
  faults: Faults,
): Generator<void, ElfSection[]> {
  let left = view.length;
  const shown: ElfSection[] = [];
  for (const { name, type, flags, offset, size } of sections) {
    const text = `${flags & SHF_ALLOC ? "a" : ""}${flags & SHF_WRITE ? "w" : ""}${flags & SHF_EXECINSTR ? "x" : ""}`;
    let entropy: number | null = null;
    if (type !== SHT_NOBITS && size > 0 && view.has(offset, size)) {
      if (size > left) faults.add("sections that overlap");
      else {
        left -= size;
        entropy = yield* measuringEntropy(view.bytes.subarray(offset, offset + size));
      }
    }
    shown.push({ name, size, flags: text, entropy });
  }
  return shown;
}

/** The note that names a build; of segments too, since sections may be cut off. */
function buildIdOf(view: ByteView, segments: readonly ElfSegment[], sections: readonly RawSection[]): string | null {
  const places = [
    ...sections.filter(({ type }) => type === SHT_NOTE).map(({ offset, size }) => ({ offset, size })),
    ...segments.filter(({ type }) => type === PT_NOTE).map(({ offset, fileSize }) => ({ offset, size: fileSize })),
  ];
  for (const { offset, size } of places) {
    if (!view.has(offset, size)) continue;
    const end = offset + Math.min(size, 4_096);
    for (let at = offset; at + 12 <= end;) {
      const nameSize = view.u32(at), valueSize = view.u32(at + 4), type = view.u32(at + 8);
      const valueAt = at + 12 + padded(nameSize), next = valueAt + padded(valueSize);
      if (next > end) break;
      if (type === NT_GNU_BUILD_ID && nameSize === 4 && view.text(at + 12, at + 16) === "GNU") {
        if (valueSize === 0 || valueSize > MAX_BUILD_ID_BYTES) break;
        return view.bytes.slice(valueAt, valueAt + valueSize).toHex();
      }
      at = next;
    }
  }
  return null;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
