/**
 * Kernel memory, read by a small eBPF program in the name of the thread that asks.
 *
 * For finding out where the kernel keeps what it says of this very thread elsewhere: see `kernel_search.ts`. The program
 * runs when this thread changes its name, answers this thread only, and is gone when the reader is closed. A place that
 * cannot be read gives zeros; reading has no effect (`bpf_probe_read_kernel()` faults nothing in).
 *
 * @module
 */
import { attachRawTracepoint, createMap, HELPER, loadProgram, MAP_MAPPABLE, MAP_TYPE, PROGRAM_TYPE } from "./bpf.ts";
import { BpfAssembler, R0, R1, R2, R3, R6, R7 } from "./bpf_assembler.ts";
import { checked, copyFrom, copyTo, libc, map, MAP_SHARED, NativeArena, PROT_READ, PROT_WRITE } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

/** Bytes that are read of one address. */
export const BLOCK_BYTES = 1_024;
/** Addresses in one run of the program. */
const BLOCKS = 48;
/** What the program and this module share: who asks, the asking thread's `task_struct`, runs so far, what to read. */
const SHARED = { thread: 0, task: 8, runs: 16, addresses: 24, blocks: 1_024, bytes: 1_024 + BLOCKS * BLOCK_BYTES };
const PR_SET_NAME = 15n, PR_GET_NAME = 16n;
const NAME_BYTES = 16;

/** This thread's memory cannot be read. The text says what would mend it. */
class KernelMemoryError extends Error {
  override name = "KernelMemoryError";
}

export class KernelMemory {
  readonly #descriptors: number[] = [];
  readonly #shared: bigint;
  readonly #arena = new NativeArena(4096);
  readonly #name: bigint;
  readonly #head = new Uint8Array(SHARED.addresses);
  readonly #headView = new DataView(this.#head.buffer);
  readonly #addresses = new BigUint64Array(BLOCKS);
  /** Address of the `task_struct` of the thread that made this. */
  readonly task: bigint;

  /** @throws {BpfError | KernelMemoryError} */
  constructor() {
    this.#name = this.#arena.reserve(NAME_BYTES);
    const bytes = Math.ceil(SHARED.bytes / libc.getpagesize()) * libc.getpagesize();
    try {
      const shared = this.#own(
        createMap({
          name: "de_search",
          type: MAP_TYPE.array,
          keyBytes: 4,
          valueBytes: bytes,
          entries: 1,
          flags: MAP_MAPPABLE,
        }),
      );
      const program = this.#own(
        loadProgram({ name: "de_search", type: PROGRAM_TYPE.rawTracepoint, instructions: readProgram(shared) }),
      );
      this.#shared = map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
      this.#own(attachRawTracepoint("task_rename", program));
    } catch (error) {
      this.#release();
      throw error;
    }
    this.#mappedBytes = bytes;
    this.#headView.setBigUint64(SHARED.thread, BigInt(libc.getpid()) << 32n | BigInt(currentThread()), true);
    try {
      this.#run([]);
    } catch (error) {
      this.close();
      throw error;
    }
    this.task = this.#headView.getBigUint64(SHARED.task, true);
  }
  readonly #mappedBytes: number;

  /** {@linkcode BLOCK_BYTES} from each address on; zeros where they cannot be read. */
  read(addresses: readonly bigint[]): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(addresses.length * BLOCK_BYTES);
    for (let at = 0; at < addresses.length; at += BLOCKS) {
      const part = addresses.slice(at, at + BLOCKS);
      this.#run(part);
      const into = whole.subarray(at * BLOCK_BYTES, (at + part.length) * BLOCK_BYTES);
      copyFrom(this.#shared + BigInt(SHARED.blocks), into);
    }
    return whole;
  }

  close(): void {
    libc.munmap(this.#shared, BigInt(this.#mappedBytes));
    this.#release();
  }

  #run(addresses: readonly bigint[]): void {
    this.#addresses.fill(0n);
    this.#addresses.set(addresses);
    const before = this.#headView.getBigUint64(SHARED.runs, true);
    copyTo(this.#shared, this.#head);
    copyTo(this.#shared + BigInt(SHARED.addresses), new Uint8Array(this.#addresses.buffer));
    // To the name that it has.
    const call = (option: bigint): number => libc.syscall(BigInt(SYSCALL.prctl), option, this.#name, 0n, 0n, 0n, 0n);
    checked(call(PR_GET_NAME), "prctl");
    checked(call(PR_SET_NAME), "prctl");
    copyFrom(this.#shared, this.#head);
    if (this.#headView.getBigUint64(SHARED.runs, true) !== before + 1n) {
      throw new KernelMemoryError("the kernel knows this thread by another id; start in the first pid namespace");
    }
  }

  #own(descriptor: number): number {
    this.#descriptors.push(descriptor);
    return descriptor;
  }

  #release(): void {
    for (const descriptor of this.#descriptors.toReversed()) libc.close(descriptor);
    this.#arena.release();
  }
}

/** The kernel's id of the calling thread. */
export function currentThread(): number {
  return libc.syscall(BigInt(SYSCALL.gettid), 0n, 0n, 0n, 0n, 0n, 0n);
}

/** R6 is the shared memory. */
function readProgram(shared: number): Uint8Array<ArrayBuffer> {
  const a = new BpfAssembler().loadMapValue(R6, shared, 0).call(HELPER.currentPidTgid);
  a.load(8, R1, R6, SHARED.thread).jumpIfRegisters(R0, "ne", R1, "out");
  a.call(HELPER.currentTask).store(8, R6, SHARED.task, R0);
  for (let block = 0; block < BLOCKS; block++) {
    a.load(8, R7, R6, SHARED.addresses + block * 8).jumpIf(R7, "eq", 0, "done");
    a.move(R1, R6).addConstant(R1, SHARED.blocks + block * BLOCK_BYTES).moveConstant(R2, BLOCK_BYTES).move(R3, R7);
    a.call(HELPER.probeReadKernel);
  }
  a.label("done").load(8, R1, R6, SHARED.runs).addConstant(R1, 1).store(8, R6, SHARED.runs, R1);
  a.label("out").moveConstant(R0, 0).exit();
  return a.assemble();
}
