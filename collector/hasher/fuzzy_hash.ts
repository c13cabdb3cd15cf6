/**
 * Fuzzy hashes of files, and how alike two of them are, as ssdeep has them.
 *
 * A rolling hash over seven bytes cuts the input into pieces where its content says so, and each piece leaves one
 * character: a changed place changes the characters near it and no others. Two digests are alike as far as the one can be
 * edited into the other.
 *
 * Source: Kornblum, "Identifying almost identical files using context triggered piecewise hashing" (2006), in the form of
 * ssdeep 2.14 (`fuzzy.c`), whose digests and scores these are.
 *
 * @module
 */

/** Characters of a digest's first half at most. */
const LENGTH = 64;
/** Longest text of a digest: ten digits, two halves, two colons. */
export const MAX_FUZZY_LENGTH = 10 + 64 + 64 + 2;
const SMALLEST_BLOCK = 3;
/** The sizes of blocks are the smallest times the powers of two below this one. */
const SIZES = 31;
const WINDOW = 7;
/** A digest keeps six bits of each piece's FNV hash, and six bits depend on no others. */
const FNV_START = 0x27, FNV_PRIME = 0x13, SIX_BITS = 0x3f;
/** Two such hashes stand in one number, so far apart that neither reaches the other when it is multiplied. */
const SECOND_HALF = 16, BOTH = SIX_BITS << SECOND_HALF | SIX_BITS;
/** The inverse of three modulo 2^32: a multiple of three times this is its third, anything else is more than a third of 2^32. */
const THIRD = 0xaaaa_aaab, LARGEST_THIRD = 0x5555_5555;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** No character yet. */
const NONE = 0xff;

/** The digest for one size of blocks so far. Characters are six-bit numbers until the end. */
class Digest {
  readonly characters = new Uint8Array(LENGTH).fill(NONE);
  length = 0;
  /** The digest's second half is half as long: what its last character would be. */
  halfLast = NONE;
}

/** Makes the digest of bytes that come in pieces. */
export class FuzzyHasher {
  /** By size of blocks, smallest first. */
  readonly #digests: Digest[] = [new Digest()];
  /** For each size the hash of the current piece, and above it the one for a second half. */
  readonly #hashes = new Int32Array(SIZES).fill(FNV_START << SECOND_HALF | FNV_START);
  /** The last bytes, oldest first. */
  #window = new Uint8Array(WINDOW);
  #sum = 0;
  #weighted = 0;
  #shifted = 0;
  #size = 0;
  /** Smaller sizes than this cannot be chosen any more. */
  #first = 0;
  #border = SMALLEST_BLOCK * LENGTH;
  #mask = 0;
  /** The hash for the size after the largest, once it is needed. */
  #lastHash: number | null = null;
  /** How many bytes will come; 0 where that is not known. */
  readonly #expected: number;
  /** With so many digests the sizes reach what the bytes can need. */
  readonly #mostDigests: number;

  /** With `expected`, the very number of bytes that will come, the same digest is made with less work. */
  constructor(expected = 0) {
    this.#expected = expected;
    let index = 0;
    while (blockSize(index) * LENGTH < expected) index++;
    this.#mostDigests = expected === 0 ? SIZES : Math.min(index + 2, SIZES);
  }

  /** Takes the next bytes. */
  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    const hashes = this.#hashes, window = this.#window;
    let sum = this.#sum, weighted = this.#weighted, shifted = this.#shifted;
    let first = this.#first, end = this.#digests.length, mask = this.#mask, hasLast = this.#lastHash !== null;
    for (let position = 0; position < bytes.length; position++) {
      const byte = bytes[position]!, oldest = position < WINDOW ? window[position]! : bytes[position - WINDOW]!;
      weighted = (weighted - sum + WINDOW * byte) | 0;
      sum = (sum + byte - oldest) | 0;
      shifted = shifted << 5 ^ byte;
      const both = byte << SECOND_HALF | byte;
      for (let i = first; i < end; i++) hashes[i] = (Math.imul(hashes[i]!, FNV_PRIME) ^ both) & BOTH;
      if (hasLast) this.#lastHash = (this.#lastHash! * FNV_PRIME ^ byte) & SIX_BITS;
      // A piece of the smallest size ends where the rolling hash is -1 modulo that size, one of twice the size where the
      // quotient is even as well, and so on.
      const next = (sum + weighted + shifted + 1) | 0, quotient = Math.imul(next, THIRD) >>> 0;
      if (quotient > LARGEST_THIRD || next === 0 || (quotient & mask) !== 0) continue;
      this.#endPieces(quotient >>> first);
      first = this.#first;
      end = this.#digests.length;
      mask = this.#mask;
      hasLast = this.#lastHash !== null;
    }
    this.#window = lastOf(window, bytes);
    this.#sum = sum;
    this.#weighted = weighted;
    this.#shifted = shifted;
  }

  /** `SIZE:FIRST:SECOND`: the block size, the digest for it and the one for twice the size. */
  digest(): string {
    const digests = this.#digests;
    let index = this.#first;
    while (blockSize(index) * LENGTH < this.#size && index < SIZES - 1) index++;
    index = Math.min(index, digests.length - 1);
    while (index > this.#first && digests[index]!.length < LENGTH / 2) index--;
    const first = digests[index]!, second = digests[index + 1];
    // Whether bytes came after the last piece that ended.
    const isOpen = ((this.#sum + this.#weighted + this.#shifted) >>> 0) !== 0;
    const tail = isOpen ? this.#hashes[index]! & SIX_BITS : first.characters[first.length]!;
    const halfTail = second === undefined
      ? isOpen ? (index === 0 ? this.#hashes[0]! & SIX_BITS : this.#lastHash!) : NONE
      : isOpen
      ? this.#hashes[index + 1]! >> SECOND_HALF
      : second.halfLast;
    const halfLength = Math.min(second?.length ?? 0, LENGTH / 2 - 1);
    return `${blockSize(index)}:${text(first, first.length, tail)}:${text(second ?? first, halfLength, halfTail)}`;
  }

  #endPieces(quotient: number): void {
    for (let i = this.#first; i < this.#digests.length; i++, quotient >>>= 1) {
      this.#endPiece(i);
      if ((quotient & 1) === 1) return;
    }
  }

  #endPiece(index: number): void {
    const digest = this.#digests[index]!;
    if (digest.length === 0) this.#addSize();
    const hash = this.#hashes[index]!;
    digest.characters[digest.length] = hash & SIX_BITS;
    digest.halfLast = hash >> SECOND_HALF;
    if (digest.length === LENGTH - 1) return this.#dropSmallest(); // all that follows is one last piece
    digest.length++;
    const isHalf = digest.length >= LENGTH / 2;
    this.#hashes[index] = (isHalf ? hash & ~SIX_BITS : FNV_START << SECOND_HALF) | FNV_START;
    if (!isHalf) digest.halfLast = NONE;
  }

  #addSize(): void {
    const next = this.#digests.length;
    if (next === SIZES) this.#lastHash ??= this.#hashes[next - 1]! & SIX_BITS;
    else if (next < this.#mostDigests) {
      this.#hashes[next] = this.#hashes[next - 1]!;
      this.#digests.push(new Digest());
    }
  }

  #dropSmallest(): void {
    if (this.#digests.length - this.#first < 2 || this.#border >= (this.#expected || this.#size)) return;
    if (this.#digests[this.#first + 1]!.length < LENGTH / 2) return;
    this.#first++;
    this.#border *= 2;
    this.#mask = this.#mask * 2 + 1;
  }
}

/** The last bytes of two pieces that follow each other. */
function lastOf(before: Uint8Array<ArrayBuffer>, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const last = new Uint8Array(WINDOW), kept = Math.max(0, WINDOW - bytes.length);
  last.set(before.subarray(WINDOW - kept));
  last.set(bytes.subarray(Math.max(0, bytes.length - WINDOW)), kept);
  return last;
}

function blockSize(index: number): number {
  return SMALLEST_BLOCK * 2 ** index;
}

function text(digest: Digest, length: number, tail: number): string {
  let characters = "";
  for (let i = 0; i < length; i++) characters += ALPHABET[digest.characters[i]!];
  return tail === NONE ? characters : characters + ALPHABET[tail]!;
}

/**
 * How alike the inputs of two digests are, from 0 (nothing in common that can be told) to 100; `null` when one of the
 * texts is no digest.
 */
export function similarity(left: string, right: string): number | null {
  const a = parseDigest(left), b = parseDigest(right);
  if (a === null || b === null) return null;
  if (a.size === b.size) {
    if (a.first === b.first && a.second === b.second) return 100;
    return Math.max(score(a.first, b.first, a.size), score(a.second, b.second, 2 * a.size));
  }
  if (2 * a.size === b.size) return score(a.second, b.first, b.size);
  if (a.size === 2 * b.size) return score(a.first, b.second, a.size);
  return 0;
}

const DIGEST = /^(\d{1,10}):([A-Za-z0-9+/]{0,64}):([A-Za-z0-9+/]{0,64})$/;

function parseDigest(digest: string): { size: number; first: string; second: string } | null {
  const [, size, first, second] = DIGEST.exec(digest) ?? [];
  if (size === undefined) return null;
  // Long runs of one character say little.
  const shorten = (part: string): string => part.replace(/(.)\1{3,}/g, "$1$1$1");
  return { size: Number(size), first: shorten(first!), second: shorten(second!) };
}

function score(left: string, right: string, size: number): number {
  if (!haveCommonPart(left, right)) return 0;
  const scaled = Math.floor(distance(left, right) * LENGTH / (left.length + right.length));
  const alike = 100 - Math.floor(100 * scaled / LENGTH);
  // Where blocks are small a match of few characters must not look great.
  return Math.min(alike, Math.floor(size / SMALLEST_BLOCK) * Math.min(left.length, right.length));
}

/** Whether a window of one is somewhere in the other. */
function haveCommonPart(left: string, right: string): boolean {
  for (let at = 0; at + WINDOW <= left.length; at++) if (right.includes(left.slice(at, at + WINDOW))) return true;
  return false;
}

/** Least cost of edits: 1 for a character put in or taken out, 2 for another in its place. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let i = 0; i < left.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < right.length; j++) {
      const replaced = row[j]! + (left[i] === right[j] ? 0 : 2);
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, replaced));
    }
    row = next;
  }
  return row[right.length]!;
}
