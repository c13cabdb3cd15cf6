/**
 * Lets go of pages of this program's own executable that are mapped and not in use: those that only the start needed, two
 * thirds of what a collector holds of the executable. They are read from the page cache again when they are wanted; until
 * then a kernel that is short of memory can take them first.
 *
 * Where they lie is found in the program headers (ELF, `elf(5)`) that the kernel names in the auxiliary vector
 * (`getauxval(3)`): no file is read. Only segments that nobody can write are let go, so nothing that was changed after it
 * was read from the file can be lost: relocations lie in the writable segments. Where the headers say anything unexpected,
 * nothing is done.
 *
 * @module
 */
import { copyFrom, libc } from "./libc.ts";

const AT_PHDR = 3n, AT_PHENT = 4n, AT_PHNUM = 5n;
const PT_LOAD = 1, PT_PHDR = 6, PF_W = 2;
/** Bytes of a program header of a 64-bit program. */
const HEADER_BYTES = 56;
const MAX_HEADERS = 64;
const MADV_DONTNEED = 4;

export interface Segment {
  readonly address: bigint;
  readonly bytes: bigint;
}

/** Takes less than a millisecond. */
export function releaseProgramPages(): void {
  const at = libc.getauxval(AT_PHDR), count = Number(libc.getauxval(AT_PHNUM));
  if (at === 0n || libc.getauxval(AT_PHENT) !== BigInt(HEADER_BYTES) || count > MAX_HEADERS) return;
  const headers = new Uint8Array(count * HEADER_BYTES);
  copyFrom(at, headers);
  for (const { address, bytes } of readOnlySegments(headers, at, BigInt(libc.getpagesize()))) {
    libc.madvise(address, bytes, MADV_DONTNEED);
  }
}

/**
 * The whole pages of the segments that nobody can write.
 *
 * @param headers Program headers
 * @param at The address where they lie, which says how far the program was moved
 */
export function readOnlySegments(headers: Uint8Array, at: bigint, pageBytes: bigint): Segment[] {
  const view = new DataView(headers.buffer, headers.byteOffset, headers.byteLength), found: Segment[] = [];
  let moved: bigint | null = null;
  for (let header = 0; header + HEADER_BYTES <= headers.length; header += HEADER_BYTES) {
    const type = view.getUint32(header, true), flags = view.getUint32(header + 4, true);
    const address = view.getBigUint64(header + 16, true), bytes = view.getBigUint64(header + 40, true);
    if (type === PT_PHDR) moved = at - address;
    if (type !== PT_LOAD || (flags & PF_W) !== 0) continue;
    const first = (address + pageBytes - 1n) / pageBytes * pageBytes, end = (address + bytes) / pageBytes * pageBytes;
    if (end > first) found.push({ address: first, bytes: end - first });
  }
  if (moved === null) return [];
  return found.map(({ address, bytes }) => ({ address: address + moved, bytes }));
}
