/**
 * The `bpf` system call: maps, programs, attachments, iterators.
 *
 * Every function gives a file descriptor that the caller owns; closing the last one of a thing takes the thing out of
 * the kernel. Attribute layouts are those of `union bpf_attr` in `include/uapi/linux/bpf.h`. What the kernel refuses is
 * a {@linkcode BpfError} with the verifier's text where there is one.
 *
 * @module
 */
import { INSTRUCTION_BYTES } from "./bpf_assembler.ts";
import { BpfError } from "./bpf_error.ts";
import { objectOf, opening } from "./inheritance.ts";
import { copyFrom, cString, EAGAIN, EPERM, errno, libc, NativeArena } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

export { BpfError };

const COMMAND = {
  mapCreate: 0,
  mapLookup: 1,
  programLoad: 5,
  objectInfo: 15,
  rawTracepointOpen: 17,
  linkCreate: 28,
  iteratorCreate: 33,
};

export const MAP_TYPE = { array: 2, perCpuArray: 6, ringBuffer: 27 };
export const PROGRAM_TYPE = { tracepoint: 5, rawTracepoint: 17, tracing: 26 };
/** `enum bpf_attach_type`. */
export const ATTACH_ITERATOR = 28;
/** The map's memory can be mapped, so that it can be read after every capability is gone. */
export const MAP_MAPPABLE = 1 << 10;
/** The program may sleep, and so read memory of user space that is not there yet. */
export const PROGRAM_SLEEPABLE = 1 << 4;

/** Helpers of `enum bpf_func_id` that our programs call. */
export const HELPER = {
  mapLookup: 1,
  currentPidTgid: 14,
  currentUidGid: 15,
  currentComm: 16,
  currentTask: 35,
  currentCgroupId: 80,
  probeReadUser: 112,
  probeReadKernel: 113,
  probeReadUserString: 114,
  probeReadKernelString: 115,
  bootTimeNs: 125,
  sequenceWrite: 127,
  ringBufferOutput: 130,
  dPath: 147,
  copyFromUserTask: 191,
};

const LOG_BYTES = 1 << 20;
const ATTRIBUTE_BYTES = 152;
const NAME_BYTES = 16;

export interface MapOptions {
  readonly name: string;
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly entries: number;
  readonly flags?: number;
}

/** @throws {BpfError} */
export function createMap({ name, type, keyBytes, valueBytes, entries, flags = 0 }: MapOptions): number {
  const shape = [type, keyBytes, valueBytes, entries, flags];
  const create = (): number => {
    const attributes = new Attributes();
    shape.forEach((value, index) => attributes.u32(index * 4, value));
    attributes.text(28, name);
    return attributes.call(COMMAND.mapCreate, `map ${name}`);
  };
  // struct bpf_map_info: type, id, key, value, entries, flags, name.
  return opening(
    `map ${name}`,
    create,
    (map) =>
      isObject(
        map,
        "bpf-map",
        ({ numbers: [isType, , ...rest], text }) =>
          [isType, ...rest].every((value, at) => value === shape[at]) && text(24) === name.slice(0, NAME_BYTES - 1),
      ),
  );
}

/** Reads the element of an array map into `value`. @throws {BpfError} */
export function lookupElement(map: number, index: number, value: Uint8Array<ArrayBuffer>): void {
  const arena = new NativeArena(value.length + 64);
  try {
    const keyAddress = arena.place(new Uint8Array(Uint32Array.of(index).buffer));
    const valueAddress = arena.reserve(value.length);
    const attributes = new Attributes();
    attributes.u32(0, map);
    attributes.u64(8, keyAddress);
    attributes.u64(16, valueAddress);
    attributes.call(COMMAND.mapLookup, "map lookup");
    copyFrom(valueAddress, value);
  } finally {
    arena.release();
  }
}

export interface ProgramOptions {
  readonly name: string;
  readonly type: number;
  readonly instructions: Uint8Array<ArrayBuffer>;
  readonly flags?: number;
  readonly attachType?: number;
  /** BTF id of what the program attaches to. */
  readonly attachTo?: number;
}

/** @throws {BpfError} with the verifier's log */
export function loadProgram(options: ProgramOptions): number {
  // struct bpf_prog_info: type first, the name at 64.
  return opening(
    `program ${options.name}`,
    () => loadNewProgram(options),
    (program) =>
      isObject(
        program,
        "bpf-prog",
        ({ numbers, text }) => numbers[0] === options.type && text(64) === options.name.slice(0, NAME_BYTES - 1),
      ),
  );
}

function loadNewProgram(options: ProgramOptions): number {
  const { name, type, instructions, flags = 0, attachType = 0, attachTo = 0 } = options;
  const arena = new NativeArena(LOG_BYTES + instructions.length + 4096);
  try {
    const attributes = new Attributes();
    attributes.u32(0, type);
    attributes.u32(4, instructions.length / INSTRUCTION_BYTES);
    attributes.u64(8, arena.place(instructions));
    // Helpers that read kernel memory are offered to GPL programs only; so is the text of these programs.
    attributes.u64(16, arena.place(cString("GPL")));
    attributes.u32(44, flags);
    attributes.text(48, name);
    attributes.u32(68, attachType);
    attributes.u32(108, attachTo);
    const what = `program ${name}`;
    try {
      return loadUninterrupted(attributes, what);
    } catch (error) {
      if (!(error instanceof BpfError) || error.errno === EPERM) throw error;
      // Once more for the verifier's reasons: a log makes loading slower, so it is not asked for at first.
      const log = arena.reserve(LOG_BYTES);
      attributes.u32(24, 1);
      attributes.u32(28, LOG_BYTES);
      attributes.u64(32, log);
      try {
        return loadUninterrupted(attributes, what);
      } catch {
        const text = new Uint8Array(LOG_BYTES);
        copyFrom(log, text);
        throw new BpfError(what, error.errno, new TextDecoder().decode(text.subarray(0, text.indexOf(0))));
      }
    }
  } finally {
    arena.release();
  }
}

/** The verifier gives up with EAGAIN when a signal comes. */
function loadUninterrupted(attributes: Attributes, what: string): number {
  for (let attempt = 1;; attempt++) {
    try {
      return attributes.call(COMMAND.programLoad, what);
    } catch (error) {
      if (!(error instanceof BpfError) || error.errno !== EAGAIN || attempt === MAX_LOAD_ATTEMPTS) throw error;
    }
  }
}
const MAX_LOAD_ATTEMPTS = 10;

/** @throws {BpfError} */
export function attachRawTracepoint(tracepoint: string, program: number): number {
  const what = `tracepoint ${tracepoint}`;
  const attach = (): number => {
    const arena = new NativeArena(4096);
    try {
      const attributes = new Attributes();
      attributes.u64(0, arena.place(cString(tracepoint)));
      attributes.u32(8, program);
      return attributes.call(COMMAND.rawTracepointOpen, what);
    } finally {
      arena.release();
    }
  };
  return opening(what, attach, (link) => isLinkOf(link, LINK_RAW_TRACEPOINT, program));
}

/** `enum bpf_link_type`. */
const LINK_RAW_TRACEPOINT = 1, LINK_ITERATOR = 4;

/** Whether a descriptor is a link of that kind to that program. `struct bpf_link_info`: type, id, the program's id. */
function isLinkOf(link: number, type: number, program: number): boolean {
  // Before Linux 5.8 an attachment is no link of which anything can be asked.
  if (objectOf(link) === "anon_inode:bpf-raw-tracepoint") return type === LINK_RAW_TRACEPOINT;
  return isObject(link, "bpf_link", (info) =>
    // struct bpf_prog_info: type, id.
    info.numbers[0] === type && isObject(program, "bpf-prog", ({ numbers }) => numbers[1] === info.numbers[2]));
}

/** A link that iterators are made of; with `pid`, ones that visit the threads of that process only (Linux 6.1). @throws {BpfError} */
export function linkTaskIterator(program: number, pid: number | null = null): number {
  if (pid !== null) return newTaskIterator(program, pid); // of one look; nothing to hand over
  return opening(
    "task iterator",
    () => newTaskIterator(program, null),
    (link) => isLinkOf(link, LINK_ITERATOR, program),
  );
}

function newTaskIterator(program: number, pid: number | null): number {
  const arena = new NativeArena(4096);
  try {
    const attributes = new Attributes();
    attributes.u32(0, program);
    attributes.u32(8, ATTACH_ITERATOR);
    if (pid !== null) {
      attributes.u64(16, arena.place(new Uint8Array(Uint32Array.of(0, pid, 0, 0).buffer)));
      attributes.u32(24, 16);
    }
    return attributes.call(COMMAND.linkCreate, "task iterator");
  } finally {
    arena.release();
  }
}

/** One pass of an iterator; its records are read from the descriptor. @throws {BpfError} */
export function createIterator(link: number): number {
  const attributes = new Attributes();
  attributes.u32(0, link);
  return attributes.call(COMMAND.iteratorCreate, "iterator");
}

/**
 * How often the kernel skipped a program because it already ran on that processor. Never, where tracepoints run with
 * preemption off (none in 350,000 forks by twenty parents of all priorities, Linux 6.18); kernels for real time can. Not
 * counted are tasks in which a kernel runs no program at all, as those of sandboxes do with the first process.
 *
 * @throws {BpfError}
 */
export function programMisses(program: number): number {
  return Number(new DataView(readInfo(program).buffer).getBigUint64(RECURSION_MISSES, true));
}
/** Room for the longest answer, that of a program. */
const INFO_BYTES = 224;
/** `struct bpf_prog_info`, since Linux 5.12; zero before. */
const RECURSION_MISSES = 208;

function readInfo(object: number): Uint8Array<ArrayBuffer> {
  const arena = new NativeArena(4096);
  try {
    const info = new Uint8Array(INFO_BYTES);
    const address = arena.reserve(info.length);
    const attributes = new Attributes();
    attributes.u32(0, object);
    attributes.u32(4, info.length);
    attributes.u64(8, address);
    attributes.call(COMMAND.objectInfo, "object info");
    copyFrom(address, info);
    return info;
  } finally {
    arena.release();
  }
}

interface ObjectInfo {
  /** The first words, which are plain numbers for every kind of object. */
  readonly numbers: readonly number[];
  text(at: number): string;
}

/**
 * Whether a descriptor is of an object of that kind of which `holds`. Kernels before 5.19 answer nobody who has no
 * capability, where eBPF is for the privileged only: there the kind has to do. @throws {BpfError}
 */
function isObject(descriptor: number, kind: string, holds: (info: ObjectInfo) => boolean): boolean {
  if (objectOf(descriptor) !== `anon_inode:${kind}`) return false;
  let info: Uint8Array<ArrayBuffer>;
  try {
    info = readInfo(descriptor);
  } catch (error) {
    if (error instanceof BpfError && error.errno === EPERM) return true;
    throw error;
  }
  return holds({
    numbers: [...new Uint32Array(info.buffer, 0, 6)],
    text: (at) => new TextDecoder().decode(info.subarray(at, at + NAME_BYTES)).split("\0")[0]!,
  });
}

class Attributes {
  readonly #bytes = new Uint8Array(ATTRIBUTE_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  u64(at: number, value: bigint): void {
    this.#view.setBigUint64(at, value, true);
  }

  text(at: number, value: string): void {
    this.#bytes.set(cString(value).subarray(0, NAME_BYTES - 1), at);
  }

  call(command: number, what: string): number {
    const result = libc.syscallBuffer(BigInt(SYSCALL.bpf), BigInt(command), this.#bytes, BigInt(ATTRIBUTE_BYTES));
    if (result < 0) throw new BpfError(what, errno());
    return result;
  }
}
