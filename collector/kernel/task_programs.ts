/**
 * The eBPF program that an iterator runs for every thread: a record per process, a short one per other thread.
 *
 * In two forms. One may sleep, and reads the arguments of processes too, faulting their memory in where it must. The
 * other never waits for anything, and leaves the arguments out.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { HELPER } from "./bpf.ts";
import { BpfAssembler, R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./bpf_assembler.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { MAX_PATH_BYTES, NAME_BYTES } from "./process_records.ts";
import { KIND_PROCESS, KIND_THREAD, PROCESS, THREAD } from "./task_records.ts";

/** BTF ids of the functions that keep RCU's objects, for a program that may sleep. */
export interface RcuFunctions {
  readonly lock: number;
  readonly unlock: number;
}

/**
 * The program. With `rcu` it may sleep, and reads arguments; without it neither.
 *
 * Context: `struct bpf_iter__task { meta, task }`. R6 is the context, R8 the task, R9 where the record is made.
 */
export function taskIteratorProgram(
  layout: KernelLayout,
  scratch: number,
  rcu: RcuFunctions | null,
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

  // bpf_d_path() takes a file only while RCU keeps it, as it does for a program that does not sleep.
  if (rcu !== null) a.callKernelFunction(rcu.lock);
  a.moveConstant(R0, 0);
  a.load(8, R7, R8, task.mm).jumpIf(R7, "eq", 0, "path read").load(8, R1, R7, mm.exeFile);
  a.jumpIf(R1, "eq", 0, "path read").addConstant(R1, layout.file.path).move(R2, R9).addConstant(R2, PROCESS.bytes);
  a.moveConstant(R3, MAX_PATH_BYTES).call(HELPER.dPath).label("path read").move(R7, R0);
  if (rcu !== null) a.callKernelFunction(rcu.unlock);
  a.jumpIf(R7, "le", MAX_PATH_BYTES, "path bounded").moveConstant(R7, 0).label("path bounded");
  a.store(4, R9, PROCESS.pathBytes, R7);

  if (rcu === null) a.storeConstant(4, R9, PROCESS.argvRead, 0);
  else {
    a.load(8, R2, R10, KEPT).jumpIf(R2, "le", MAX_ARGV_BYTES, "size bounded").moveConstant(R2, 0).label("size bounded");
    a.move(R1, R9).addConstant(R1, PROCESS.bytes).add(R1, R7).load(8, R3, R10, START).move(R4, R8).moveConstant(R5, 0);
    a.call(HELPER.copyFromUserTask).load(8, R2, R10, KEPT).jumpIf(R0, "eq", 0, "argv read");
    a.storeConstant(4, R9, PROCESS.argvRead, 0).moveConstant(R2, 0).label("argv read");
    a.store(4, R9, PROCESS.argvBytes, R2);
  }

  a.label("no memory").load(4, R3, R9, PROCESS.argvBytes);
  a.jumpIf(R3, "le", MAX_ARGV_BYTES, "argv bounded").moveConstant(R3, 0).label("argv bounded");
  a.load(4, R7, R9, PROCESS.pathBytes).jumpIf(R7, "le", MAX_PATH_BYTES, "whole bounded").moveConstant(R7, 0);
  a.label("whole bounded").add(R3, R7).addConstant(R3, PROCESS.bytes).move(R2, R9);
  a.label("write").load(8, R1, R6, 0).load(8, R1, R1, layout.iteratorSequence).call(HELPER.sequenceWrite);
  a.label("out").moveConstant(R0, 0).exit();
  return a.assemble();
}
