/**
 * The dynamic part of an ELF file: what it is linked to and what it takes from there.
 *
 * Found through the segments, as the loader finds it, so that a file whose sections were cut off hides nothing.
 *
 * @module
 */
import type { ByteView } from "./byte_view.ts";
import type { ElfSegment, Faults } from "./elf.ts";
import { NOTABLE_IMPORTS } from "./elf_words.ts";

/** Entries, libraries and symbols that are read. */
const MAX_ENTRIES = 2_048, MAX_NEEDED = 256, MAX_SYMBOLS = 200_000;

// elf.h
const DT_NEEDED = 1, DT_HASH = 4, DT_STRTAB = 5, DT_SYMTAB = 6, DT_SONAME = 14, DT_RPATH = 15, DT_BIND_NOW = 24;
const DT_RUNPATH = 29, DT_FLAGS = 30, DT_FLAGS_1 = 0x6ffffffb, DF_BIND_NOW = 8, DF_1_NOW = 1, DF_1_PIE = 0x08000000;

export interface Dynamic {
  readonly needed: readonly string[];
  readonly soname: string | null;
  readonly runPath: string | null;
  readonly bindsNow: boolean;
  readonly isPie: boolean;
  readonly imports: number;
  readonly notableImports: readonly string[];
}

const NONE: Dynamic = {
  needed: [],
  soname: null,
  runPath: null,
  bindsNow: false,
  isPie: false,
  imports: 0,
  notableImports: [],
};

/** `symbolBytes`: the size of the section of dynamic symbols, `null` where there is none. */
export function readDynamic(
  view: ByteView,
  is64: boolean,
  segment: ElfSegment | null,
  loads: readonly ElfSegment[],
  symbolBytes: number | null,
  faults: Faults,
): Dynamic {
  if (segment === null) return NONE;
  if (!view.has(segment.offset, segment.fileSize)) return NONE;
  const word = (at: number): number => is64 ? view.u64(at) : view.u32(at);
  const size = is64 ? 8 : 4, needed: number[] = [], single = new Map<number, number>();
  const most = Math.min(MAX_ENTRIES, Math.floor(segment.fileSize / (2 * size)));
  for (let i = 0; i < most; i++) {
    const at = segment.offset + i * 2 * size, tag = word(at), value = word(at + size);
    if (tag === 0) break;
    if (tag === DT_NEEDED) needed.push(value);
    else single.set(tag, value);
  }
  if (needed.length > MAX_NEEDED) faults.add(`${needed.length} libraries`);
  const strings = placeOf(loads, single.get(DT_STRTAB)), symbols = placeOf(loads, single.get(DT_SYMTAB));
  const text = (offset: number | undefined): string | null =>
    offset === undefined || strings === null ? null : view.text(strings + offset) || null;
  if (strings === null && needed.length > 0) faults.add("names of libraries outside of the file");
  const flags = single.get(DT_FLAGS) ?? 0, flags1 = single.get(DT_FLAGS_1) ?? 0;
  const has = (of: number, bit: number): boolean => Math.floor(of / bit) % 2 === 1;
  const count = symbolCount(view, is64, symbolBytes, symbols, strings, placeOf(loads, single.get(DT_HASH)));
  if (count > MAX_SYMBOLS) faults.add(`${count} dynamic symbols`);
  return {
    needed: needed.slice(0, MAX_NEEDED).map((offset) => text(offset) ?? "?"),
    soname: text(single.get(DT_SONAME)),
    runPath: text(single.get(DT_RUNPATH) ?? single.get(DT_RPATH)),
    bindsNow: single.has(DT_BIND_NOW) || has(flags, DF_BIND_NOW) || has(flags1, DF_1_NOW),
    isPie: has(flags1, DF_1_PIE),
    ...importsOf(view, is64, symbols, strings, Math.min(count, MAX_SYMBOLS)),
  };
}

/** Where in the file an address of memory is; `null` for none. */
function placeOf(loads: readonly ElfSegment[], address: number | undefined): number | null {
  if (address === undefined) return null;
  const load = loads.find((each) => address >= each.address && address < each.address + each.fileSize);
  return load === undefined ? null : load.offset + (address - load.address);
}

/** How many symbols there are: by the section, by the hash table, or up to the names that follow them. */
function symbolCount(
  view: ByteView,
  is64: boolean,
  bytes: number | null,
  symbols: number | null,
  strings: number | null,
  hash: number | null,
): number {
  const size = is64 ? 24 : 16;
  if (symbols === null) return 0;
  if (bytes !== null && view.has(symbols, bytes)) return Math.floor(bytes / size);
  if (hash !== null && view.has(hash, 8)) return view.u32(hash + 4);
  return strings !== null && strings > symbols ? Math.floor((strings - symbols) / size) : 0;
}

function importsOf(
  view: ByteView,
  is64: boolean,
  symbols: number | null,
  strings: number | null,
  count: number,
): Pick<Dynamic, "imports" | "notableImports"> {
  if (symbols === null || strings === null) return { imports: 0, notableImports: [] };
  const size = is64 ? 24 : 16, notable = new Set<string>();
  let imports = 0;
  for (let i = 1; i < count; i++) {
    const at = symbols + i * size;
    if (!view.has(at, size)) break;
    if (view.u16(at + (is64 ? 6 : 14)) !== 0) continue; // it is defined here
    const nameAt = view.u32(at);
    if (nameAt === 0) continue;
    imports++;
    // A name costs at most what the longest notable one has: nobody's symbol table makes this slow.
    const name = shortText(view, strings + nameAt);
    if (NOTABLE_IMPORTS.has(name)) notable.add(name);
  }
  return { imports, notableImports: [...notable].sort() };
}

/** Longer than every notable name. */
const MAX_NAME_BYTES = 24;

function shortText(view: ByteView, at: number): string {
  return view.text(at, at + MAX_NAME_BYTES);
}
