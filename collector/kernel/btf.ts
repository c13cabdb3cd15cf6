/**
 * The kernel's type information (BTF): where members of its structures are, and the ids of its functions.
 *
 * Format: `Documentation/bpf/btf.rst`. The bytes come from the kernel, yet nothing in them is believed: every offset
 * and id is checked, every chain of types is bounded, and damage throws {@linkcode BtfError}.
 *
 * @module
 */

import {
  checked,
  copyFrom,
  cString,
  libc,
  map,
  MAP_PRIVATE,
  O_CLOEXEC,
  O_RDONLY,
  PROT_READ,
  SystemCallError,
} from "./libc.ts";

const KERNEL_BTF = "/sys/kernel/btf/vmlinux";
const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
/** More than ten times what kernels have today. */
const MAX_BTF_BYTES = 64 << 20;
/** Typedefs and qualifiers in a row; and anonymous structures inside each other. The kernel has fewer than ten. */
const MAX_CHAIN = 32;
/** Members that are looked at for one path: structures inside each other may have the same one inside them many times. */
const MAX_LOOKS = 20_000;

const KIND = {
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  prototype: 13,
  typeTag: 18,
};
/** Kinds from 1 on that are known: the last is the enum of 64 bits. */
const LAST_KIND = 19;
/** Words that follow the three of a type, by kind: of integers (1), arrays, variables (14) and declaration tags (17). */
const EXTRA_WORDS = Uint8Array.of(0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0);
/** The same for each member: of structures, unions, enums, prototypes, data sections (15) and enums of 64 bits. */
const MEMBER_WORDS = Uint8Array.of(0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3);

/** BTF is damaged, or names nothing of the kind asked for. */
export class BtfError extends Error {
  override name = "BtfError";
}

/** A member's place in a structure, in bytes, and its type. */
interface Member {
  readonly offset: number;
  readonly type: number;
}

/**
 * Reads the running kernel's types. Through libc: Deno lets nobody read below `/sys` who may not read everything.
 *
 * @throws {SystemCallError} when the kernel has none
 * @throws {BtfError}
 */
export function readKernelBtf(path: string = KERNEL_BTF): Btf {
  const fd = checked(libc.open(cString(path), O_RDONLY | O_CLOEXEC, 0), `open of ${path}`);
  try {
    const size = Number(libc.lseek(fd, 0n, SEEK_END));
    if (size <= 0 || size > MAX_BTF_BYTES) throw new BtfError(`${path} claims ${size} bytes`);
    const bytes = new Uint8Array(size);
    if (!copyMapped(fd, bytes)) readWhole(fd, bytes, path);
    return new Btf(bytes);
  } finally {
    libc.close(fd);
  }
}
const SEEK_END = 2;

/** In one go, since Linux 6.16: reading gives a page for each call. */
function copyMapped(fd: number, bytes: Uint8Array<ArrayBuffer>): boolean {
  let address: bigint;
  try {
    address = map(bytes.length, PROT_READ, MAP_PRIVATE, fd, 0);
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  }
  copyFrom(address, bytes);
  libc.munmap(address, BigInt(bytes.length));
  return true;
}

function readWhole(fd: number, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  for (let used = 0; used < bytes.length;) {
    const rest = bytes.subarray(used);
    const got = checked(libc.pread(fd, rest, rest.length, BigInt(used)), `read of ${path}`);
    if (got === 0) throw new BtfError(`${path} ended after ${used} of ${bytes.length} bytes`);
    used += got;
  }
}

export class Btf {
  /** The type section as words, and where in it each type starts. Type 0 is `void`. */
  #words: Uint32Array;
  #starts = new Uint32Array(0);
  /** One more than the highest type. */
  #end = 1;
  #strings: Uint8Array;
  readonly #found = new Map<string, number | null>();
  /** Members looked at since the search for a path began. */
  #looks = 0;

  /** `bytes` are given up to this object, which frees them. @throws {BtfError} */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    if (bytes.length < HEADER_BYTES || bytes.length > MAX_BTF_BYTES) throw new BtfError(`BTF of ${bytes.length} bytes`);
    const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const magic = header.getUint16(0, true);
    if (magic !== MAGIC) throw new BtfError(`BTF starts with 0x${magic.toString(16)}, not 0x${MAGIC.toString(16)}`);
    const headerBytes = header.getUint32(4, true);
    const section = (at: number): Uint8Array<ArrayBuffer> => {
      const start = headerBytes + header.getUint32(at, true), length = header.getUint32(at + 4, true);
      if (start + length > bytes.length) throw new BtfError("A section of BTF lies outside its bytes");
      return bytes.subarray(start, start + length);
    };
    const types = section(8);
    this.#strings = section(16);
    if (this.#strings.at(-1) !== 0) throw new BtfError("The last string of BTF has no end");
    if (types.length % 4 !== 0) throw new BtfError("The types of BTF are not whole words");
    const aligned = types.byteOffset % 4 === 0 ? types : types.slice();
    this.#words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
    this.#index();
  }

  /** Whether `path` (see {@linkcode offsetOf}) exists. */
  has(path: string): boolean {
    return this.#locate(path) !== null;
  }

  /**
   * Bytes from the start of a structure to a member: `task_struct.se.sum_exec_runtime`. Members of anonymous structures
   * and unions are named as in C.
   *
   * @throws {BtfError}
   */
  offsetOf(path: string): number {
    const member = this.#locate(path);
    if (member === null) throw new BtfError(`This kernel has no ${path}`);
    return member.offset;
  }

  /** Bytes of a structure. @throws {BtfError} */
  sizeOf(struct: string): number {
    return this.#words[this.#start(this.#find(struct, [KIND.struct, KIND.union])) + 2]!;
  }

  /** Whether the member at `path` is an array. @throws {BtfError} */
  isArray(path: string): boolean {
    const member = this.#locate(path);
    if (member === null) throw new BtfError(`This kernel has no ${path}`);
    return this.#kind(this.#resolve(member.type)) === KIND.array;
  }

  /** The id of a function, or null. */
  functionId(name: string): number | null {
    return this.#search(name, [KIND.function]);
  }

  /** The id of a structure. @throws {BtfError} */
  structId(name: string): number {
    return this.#find(name, [KIND.struct, KIND.union]);
  }

  /** The number behind a name of an enumeration, or null. */
  enumValue(name: string, value: string): number | null {
    const type = this.#search(name, [KIND.enum]);
    if (type === null) return null;
    const first = this.#start(type) + 3, count = this.#memberCount(type), words = this.#words;
    for (let at = first; at < first + 2 * count; at += 2) if (this.#isNamed(words[at]!, value)) return words[at + 1]!;
    return null;
  }

  /** How many arguments a raw tracepoint passes. @throws {BtfError} */
  tracepointArguments(name: string): number {
    const pointer = this.#resolve(this.#find(`btf_trace_${name}`, [KIND.typedef]));
    if (this.#kind(pointer) !== KIND.pointer) throw new BtfError(`btf_trace_${name} is not a pointer`);
    const prototype = this.#resolve(this.#words[this.#start(pointer) + 2]!);
    if (this.#kind(prototype) !== KIND.prototype) throw new BtfError(`btf_trace_${name} is not a function`);
    // The first parameter is the tracepoint's own.
    const count = this.#memberCount(prototype) - 1;
    if (count < 0) throw new BtfError(`btf_trace_${name} takes nothing`);
    return count;
  }

  /** Frees the bytes at once: they are megabytes, and an idle process collects no garbage. Ends this object's use. */
  release(): void {
    const buffers = [this.#words.buffer, this.#starts.buffer];
    this.#words = new Uint32Array(0);
    this.#strings = new Uint8Array(0);
    this.#starts = new Uint32Array(0);
    this.#end = 0;
    for (const buffer of buffers) if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  }

  /** Kernels have a hundred thousand types: this runs before anything is seen. */
  #index(): void {
    const words = this.#words, length = words.length, starts = new Uint32Array(Math.ceil(length / 3) + 1);
    let id = 1, at = 0;
    while (at + 3 <= length) {
      starts[id++] = at;
      const info = words[at + 1]!, kind = info >>> 24 & 31;
      if (kind === 0 || kind > LAST_KIND) throw new BtfError(`BTF has a type of kind ${kind}, which is not known here`);
      at += 3 + EXTRA_WORDS[kind]! + MEMBER_WORDS[kind]! * (info & 0xffff);
    }
    if (at !== length) throw new BtfError("The last type of BTF is cut");
    this.#starts = starts;
    this.#end = id;
  }

  #locate(path: string): Member | null {
    const [struct, ...names] = path.split(".");
    const found = this.#search(struct!, [KIND.struct, KIND.union]);
    if (found === null) return null;
    let place: Member = { offset: 0, type: found };
    this.#looks = 0;
    for (const name of names) {
      const member = this.#member(this.#resolve(place.type), name, 0);
      if (member === null) return null;
      place = { offset: place.offset + member.offset, type: member.type };
    }
    return place;
  }

  #member(struct: number, name: string, depth: number): Member | null {
    const kind = this.#kind(struct);
    if (kind !== KIND.struct && kind !== KIND.union) return null;
    if (depth > MAX_CHAIN) throw new BtfError("Structures of BTF are nested without end");
    const at = this.#start(struct), words = this.#words, count = this.#memberCount(struct);
    const hasBitFields = words[at + 1]! >>> 31 === 1;
    for (let index = 0; index < count; index++) {
      const member = at + 3 + index * 3;
      if (++this.#looks > MAX_LOOKS) throw new BtfError("Structures of BTF hold each other too often");
      const memberName = words[member]!, type = words[member + 1]!;
      const bits = hasBitFields ? words[member + 2]! & 0xff_ffff : words[member + 2]!;
      if (memberName === 0) {
        const inner = this.#member(this.#resolve(type), name, depth + 1);
        if (inner === null) continue;
        if (bits % 8 !== 0) throw new BtfError(`${name} lies in a structure that starts within a byte`);
        return { offset: bits / 8 + inner.offset, type: inner.type };
      } else if (this.#isNamed(memberName, name)) {
        if (bits % 8 !== 0) throw new BtfError(`${name} is a bit field`);
        return { offset: bits / 8, type };
      }
    }
    return null;
  }

  /** Looks through typedefs and qualifiers. */
  #resolve(type: number): number {
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      switch (this.#kind(type)) {
        case KIND.typedef:
        case KIND.volatile:
        case KIND.const:
        case KIND.restrict:
        case KIND.typeTag:
          type = this.#words[this.#start(type) + 2]!;
          break;
        default:
          return type;
      }
    }
    throw new BtfError("Types of BTF refer to each other without end");
  }

  #find(name: string, kinds: readonly number[]): number {
    const id = this.#search(name, kinds);
    if (id === null) throw new BtfError(`This kernel has no ${name}`);
    return id;
  }

  #search(name: string, kinds: readonly number[]): number | null {
    const key = `${kinds[0]} ${name}`;
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const words = this.#words, strings = this.#strings, starts = this.#starts, end = this.#end;
    const wanted = kinds.reduce((bits, kind) => bits | 1 << kind, 0), first = name.charCodeAt(0);
    let id = 1;
    for (; id < end; id++) {
      const at = starts[id]!;
      if ((wanted >>> (words[at + 1]! >>> 24 & 31) & 1) === 0 || strings[words[at]!] !== first) continue;
      if (this.#isNamed(words[at]!, name)) break;
    }
    const found = id < end ? id : null;
    this.#found.set(key, found);
    return found;
  }

  #isNamed(at: number, name: string): boolean {
    const strings = this.#strings;
    for (let index = 0; index < name.length; index++) {
      if (strings[at + index] !== name.charCodeAt(index)) return false;
    }
    return strings[at + name.length] === 0;
  }

  #kind(type: number): number {
    return type === 0 ? 0 : this.#words[this.#start(type) + 1]! >>> 24 & 31;
  }

  #memberCount(type: number): number {
    return this.#words[this.#start(type) + 1]! & 0xffff;
  }

  #start(type: number): number {
    if (!(type > 0 && type < this.#end)) throw new BtfError(`BTF refers to type ${type}, which it does not have`);
    return this.#starts[type]!;
  }
}
