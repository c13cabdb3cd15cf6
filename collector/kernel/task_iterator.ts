/**
 * The whole process table in one pass of a BPF task iterator: ten times faster than reading `/proc` in C.
 *
 * The program runs in the kernel once per thread and writes one record per process, and a short one per other thread
 * with its CPU time. It may sleep, to read arguments that are not in memory. That is also its weakness: a process whose
 * arguments lie in memory that a hostile FUSE file system backs can hold a pass up, as it once could with `ps`. The
 * stream of records (`process_programs.ts`) never sleeps and is not concerned.
 *
 * Needs Linux 6.2 (`bpf_rcu_read_lock`). Works on after every capability is gone.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import type { TableEntry } from "../sources/source.ts";
import {
  ATTACH_ITERATOR,
  BpfError,
  createIterator,
  createMap,
  HELPER,
  linkTaskIterator,
  loadProgram,
  MAP_TYPE,
  PROGRAM_SLEEPABLE,
  PROGRAM_TYPE,
} from "./bpf.ts";
import { BpfAssembler, R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./bpf_assembler.ts";
import { type Btf, BtfError } from "./btf.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { EAGAIN, EINTR, errno, ESRCH, libc, SystemCallError } from "./libc.ts";
import { MAX_PATH_BYTES, NAME_BYTES, readU64 } from "./process_records.ts";
import { decodeName, TextCache } from "./text_cache.ts";

/** Followed by the path, then the arguments. */
const PROCESS = {
  kind: 0,
  pid: 4,
  runtime: 8,
  startTime: 16,
  runtimeOfDead: 24,
  ppid: 32,
  userId: 36,
  groupId: 40,
  effectiveUserId: 44,
  flags: 48,
  state: 52,
  exitState: 56,
  pathBytes: 60,
  name: 64,
  residentPages: 80,
  argvLength: 104,
  argvBytes: 112,
  argvRead: 116,
  bytes: 120,
};
const THREAD = { kind: 0, pid: 4, runtime: 8, bytes: 16 };
const KIND_PROCESS = 1, KIND_THREAD = 2;
const MAX_PROCESS_BYTES = PROCESS.bytes + MAX_PATH_BYTES + MAX_ARGV_BYTES;
/** The kernel hands out 32 KiB per read; a record that did not fit waits for the next. */
const READ_BYTES = 64 << 10;
/** The kernel gives EAGAIN after a million threads without a record, which cannot come again and again. */
const MAX_RETRIES = 100;
/** `PF_KTHREAD` of `include/linux/sched.h`. */
const KERNEL_THREAD = 0x20_0000;

export class TaskIterator {
  readonly #program: number;
  readonly #scratch: number;
  readonly #link: number;
  readonly #pageBytes = libc.getpagesize();
  readonly #bytes = new Uint8Array(READ_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #names = new TextCache(decodeName);
  readonly #paths = new TextCache(decodeName);

  /**
   * @throws {BpfError} when the kernel refuses
   * @throws {BtfError} when the kernel is too old
   */
  constructor(btf: Btf, layout: KernelLayout) {
    const iterated = kernelFunction(btf, "bpf_iter_task");
    // One element for all processors: only this object runs the program, one pass after the other.
    this.#scratch = createMap({
      name: "de_table",
      type: MAP_TYPE.array,
      keyBytes: 4,
      valueBytes: MAX_PROCESS_BYTES,
      entries: 1,
    });
    try {
      this.#program = loadProgram({
        name: "de_table",
        type: PROGRAM_TYPE.tracing,
        instructions: iteratorProgram(layout, this.#scratch, {
          lock: kernelFunction(btf, "bpf_rcu_read_lock"),
          unlock: kernelFunction(btf, "bpf_rcu_read_unlock"),
        }),
        flags: PROGRAM_SLEEPABLE,
        attachType: ATTACH_ITERATOR,
        attachTo: iterated,
      });
    } catch (error) {
      libc.close(this.#scratch);
      throw error;
    }
    try {
      this.#link = linkTaskIterator(this.#program);
    } catch (error) {
      libc.close(this.#program);
      libc.close(this.#scratch);
      throw error;
    }
  }

  /** Every process. @throws {BpfError | SystemCallError} */
  read(): TableEntry[] {
    return this.#pass(this.#link);
  }

  /** One process, or null when there is none of that pid. @throws {BpfError | SystemCallError} */
  readOne(pid: number): TableEntry | null {
    let link: number;
    try {
      link = linkTaskIterator(this.#program, pid);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (error.errno === ESRCH) return null;
      // Before Linux 6.1 an iterator visits all or nothing.
      return this.read().find((entry) => entry.pid === pid) ?? null;
    }
    try {
      return this.#pass(link).find((entry) => entry.pid === pid) ?? null;
    } finally {
      libc.close(link);
    }
  }

  close(): void {
    libc.close(this.#link);
    libc.close(this.#program);
    libc.close(this.#scratch);
  }

  #pass(link: number): TableEntry[] {
    const iterator = createIterator(link);
    try {
      const processes: Process[] = [];
      const runtimeOfThreads = new Map<number, number>();
      let kept = 0, retries = 0;
      for (;;) {
        const got = libc.read(iterator, kept === 0 ? this.#bytes : this.#bytes.subarray(kept), READ_BYTES - kept);
        if (got === 0) break;
        if (got < 0) {
          const error = errno();
          if ((error === EAGAIN || error === EINTR) && ++retries <= MAX_RETRIES) continue;
          throw new SystemCallError("read of the task iterator", error);
        }
        const end = kept + got;
        const used = this.#parse(end, processes, runtimeOfThreads);
        this.#bytes.copyWithin(0, used, end);
        kept = end - used;
      }
      return processes.map((process) => {
        const ofThreads = runtimeOfThreads.get(process.pid);
        return ofThreads === undefined ? process : { ...process, cpuTime: process.cpuTime + ofThreads };
      });
    } finally {
      libc.close(iterator);
    }
  }

  /** Takes whole records of the first `end` bytes and returns how many bytes they were. */
  #parse(end: number, processes: Process[], runtimeOfThreads: Map<number, number>): number {
    const view = this.#view;
    let at = 0;
    while (at + THREAD.bytes <= end) {
      if (view.getUint32(at + THREAD.kind, true) === KIND_THREAD) {
        const pid = view.getUint32(at + THREAD.pid, true);
        runtimeOfThreads.set(pid, (runtimeOfThreads.get(pid) ?? 0) + readU64(view, at + THREAD.runtime));
        at += THREAD.bytes;
        continue;
      }
      if (at + PROCESS.bytes > end) break;
      const argv = at + PROCESS.bytes + view.getUint32(at + PROCESS.pathBytes, true);
      const next = argv + view.getUint32(at + PROCESS.argvBytes, true);
      if (next > end) break;
      processes.push(this.#process(at, argv, next));
      at = next;
    }
    return at;
  }

  #process(at: number, argv: number, end: number): Process {
    const view = this.#view, bytes = this.#bytes;
    const pathEnd = argv - 1; // without its NUL
    const argvLength = readU64(view, at + PROCESS.argvLength);
    let nameEnd = at + PROCESS.name;
    while (nameEnd < at + PROCESS.name + NAME_BYTES && bytes[nameEnd] !== 0) nameEnd++;
    return {
      pid: view.getUint32(at + PROCESS.pid, true),
      ppid: view.getUint32(at + PROCESS.ppid, true),
      startTime: readU64(view, at + PROCESS.startTime),
      name: this.#names.text(bytes, at + PROCESS.name, nameEnd),
      executablePath: argv === at + PROCESS.bytes ? null : this.#paths.text(bytes, at + PROCESS.bytes, pathEnd),
      argv: view.getUint32(at + PROCESS.argvRead, true) === 1 ? bytes.slice(argv, end) : null,
      argvLength: argvLength <= Number.MAX_SAFE_INTEGER ? argvLength : null,
      userId: view.getUint32(at + PROCESS.userId, true),
      groupId: view.getUint32(at + PROCESS.groupId, true),
      effectiveUserId: view.getUint32(at + PROCESS.effectiveUserId, true),
      cpuTime: readU64(view, at + PROCESS.runtime) + readU64(view, at + PROCESS.runtimeOfDead),
      memoryUsage: this.#residentPages(at) * this.#pageBytes,
      status: taskStatus(view.getUint32(at + PROCESS.state, true), view.getUint32(at + PROCESS.exitState, true)),
      kernelThread: (view.getUint32(at + PROCESS.flags, true) & KERNEL_THREAD) !== 0,
    };
  }

  /** The kernel's counters lag behind their per-CPU parts and can be below zero, which it shows as zero too. */
  #residentPages(at: number): number {
    let pages = 0;
    for (let index = 0; index < 3; index++) {
      pages += Math.max(0, Number(this.#view.getBigInt64(at + PROCESS.residentPages + index * 8, true)));
    }
    return pages;
  }
}

type Process = TableEntry & { readonly cpuTime: number };

/** Bits of `task_struct.__state` and `exit_state` (`include/linux/sched.h`). */
const STATE = {
  interruptible: 0x01,
  uninterruptible: 0x02,
  stopped: 0x04,
  traced: 0x08,
  dead: 0x10,
  zombie: 0x20,
  parked: 0x40,
  noLoad: 0x400,
  lockWait: 0x1000,
  frozen: 0x8000,
};

/** The word for a state, as the letter in `/proc/PID/stat` would have it (`__task_state_index()`). */
export function taskStatus(state: number, exitState: number): string {
  const idle = STATE.uninterruptible | STATE.noLoad;
  const bits = state | exitState;
  if ((bits & STATE.parked) !== 0) return "idle";
  if ((bits & STATE.zombie) !== 0) return "zombie";
  if ((bits & STATE.dead) !== 0) return "dead";
  if ((state & idle) === idle) return "idle";
  if ((bits & STATE.traced) !== 0) return "traced";
  if ((bits & STATE.stopped) !== 0) return "stopped";
  if ((bits & (STATE.uninterruptible | STATE.lockWait | STATE.frozen)) !== 0) return "disk_sleep";
  return (bits & STATE.interruptible) !== 0 ? "sleeping" : "running";
}

function kernelFunction(btf: Btf, name: string): number {
  const id = btf.functionId(name);
  if (id === null) throw new BtfError(`This kernel has no ${name}`);
  return id;
}

/** Context: `struct bpf_iter__task { meta, task }`. R6 is the context, R8 the task, R9 where the record is made. */
function iteratorProgram(
  layout: KernelLayout,
  scratch: number,
  rcu: { readonly lock: number; readonly unlock: number },
): Uint8Array<ArrayBuffer> {
  const { task, signal, cred, mm } = layout;
  const KEY = -8, KEPT = -16, START = -24, RECORD = -40;
  const a = new BpfAssembler().move(R6, R1).load(8, R8, R6, 8).jumpIf(R8, "eq", 0, "out");
  a.load(4, R7, R8, task.tgid).load(4, R1, R8, task.pid).jumpIfRegisters(R7, "eq", R1, "process");

  // A thread that is not its process' first.
  a.storeConstant(4, R10, RECORD + THREAD.kind, KIND_THREAD).store(4, R10, RECORD + THREAD.pid, R7);
  a.load(8, R1, R8, task.runtime).store(8, R10, RECORD + THREAD.runtime, R1);
  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, THREAD.bytes).jump("write");

  a.label("process").storeConstant(4, R10, KEY, 0).loadMap(R1, scratch).move(R2, R10).addConstant(R2, KEY);
  a.call(HELPER.mapLookup).jumpIf(R0, "eq", 0, "out").move(R9, R0);
  a.storeConstant(4, R9, PROCESS.kind, KIND_PROCESS).store(4, R9, PROCESS.pid, R7);
  const copy = (width: 4 | 8, at: number, offset: number): void => {
    a.load(width, R2, R1, offset).store(width, R9, at, R2);
  };
  a.move(R1, R8);
  copy(8, PROCESS.runtime, task.runtime);
  copy(8, PROCESS.startTime, task.startBoottime);
  copy(4, PROCESS.flags, task.flags);
  copy(4, PROCESS.state, task.state);
  copy(4, PROCESS.exitState, task.exitState);
  a.load(8, R1, R8, task.signal);
  copy(8, PROCESS.runtimeOfDead, signal.runtimeOfDead);
  a.load(8, R1, R8, task.realParent);
  copy(4, PROCESS.ppid, task.tgid);
  a.load(8, R1, R8, task.cred);
  copy(4, PROCESS.userId, cred.uid);
  copy(4, PROCESS.groupId, cred.gid);
  copy(4, PROCESS.effectiveUserId, cred.euid);
  a.move(R1, R9).addConstant(R1, PROCESS.name).moveConstant(R2, NAME_BYTES).move(R3, R8).addConstant(R3, task.comm);
  a.call(HELPER.probeReadKernel);

  // Kernel threads and zombies have no memory, so no arguments and no file: known to be nothing.
  a.storeConstant(8, R9, PROCESS.argvLength, 0).storeConstant(4, R9, PROCESS.argvBytes, 0);
  a.storeConstant(4, R9, PROCESS.argvRead, 1).storeConstant(4, R9, PROCESS.pathBytes, 0);
  mm.residentPages.forEach((_, index) => a.storeConstant(8, R9, PROCESS.residentPages + index * 8, 0));
  a.load(8, R7, R8, task.mm).jumpIf(R7, "eq", 0, "no memory");
  a.move(R1, R7);
  mm.residentPages.forEach((offset, index) => copy(8, PROCESS.residentPages + index * 8, offset));
  a.load(8, R2, R7, mm.argEnd).load(8, R3, R7, mm.argStart).subtract(R2, R3).store(8, R9, PROCESS.argvLength, R2);
  a.jumpIf(R2, "le", MAX_ARGV_BYTES, "argv fits").moveConstant(R2, MAX_ARGV_BYTES).label("argv fits");
  a.store(8, R10, KEPT, R2).store(8, R10, START, R3);

  // bpf_d_path() takes a file only while RCU keeps it.
  a.callKernelFunction(rcu.lock).moveConstant(R0, 0);
  a.load(8, R7, R8, task.mm).jumpIf(R7, "eq", 0, "path read").load(8, R1, R7, mm.exeFile);
  a.jumpIf(R1, "eq", 0, "path read").addConstant(R1, layout.file.path).move(R2, R9).addConstant(R2, PROCESS.bytes);
  a.moveConstant(R3, MAX_PATH_BYTES).call(HELPER.dPath).label("path read").move(R7, R0);
  a.callKernelFunction(rcu.unlock);
  a.jumpIf(R7, "le", MAX_PATH_BYTES, "path bounded").moveConstant(R7, 0).label("path bounded");
  a.store(4, R9, PROCESS.pathBytes, R7);

  a.load(8, R2, R10, KEPT).jumpIf(R2, "le", MAX_ARGV_BYTES, "size bounded").moveConstant(R2, 0).label("size bounded");
  a.move(R1, R9).addConstant(R1, PROCESS.bytes).add(R1, R7).load(8, R3, R10, START).move(R4, R8).moveConstant(R5, 0);
  a.call(HELPER.copyFromUserTask).load(8, R2, R10, KEPT).jumpIf(R0, "eq", 0, "argv read");
  a.storeConstant(4, R9, PROCESS.argvRead, 0).moveConstant(R2, 0).label("argv read");
  a.store(4, R9, PROCESS.argvBytes, R2);

  a.label("no memory").load(4, R3, R9, PROCESS.argvBytes);
  a.jumpIf(R3, "le", MAX_ARGV_BYTES, "argv bounded").moveConstant(R3, 0).label("argv bounded");
  a.load(4, R7, R9, PROCESS.pathBytes).jumpIf(R7, "le", MAX_PATH_BYTES, "whole bounded").moveConstant(R7, 0);
  a.label("whole bounded").add(R3, R7).addConstant(R3, PROCESS.bytes).move(R2, R9);
  a.label("write").load(8, R1, R6, 0).load(8, R1, R1, layout.iteratorSequence).call(HELPER.sequenceWrite);
  a.label("out").moveConstant(R0, 0).exit();
  return a.assemble();
}
