/**
 * The eBPF program that an iterator runs for every thread: a record per process, a short one per other thread.
 *
 * In two forms. One may sleep, and reads the arguments of processes too, faulting their memory in where it must; when it
 * is asked to, also their environment. The other never waits for anything, and leaves both out.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { HELPER } from "./bpf.ts";
import { BpfAssembler, R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9 } from "./bpf_assembler.ts";
import { appendContext, appendEnvironment } from "./context_programs.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { byLoads } from "./probes.ts";
import { MAX_PATH_BYTES, NAME_BYTES } from "./process_records.ts";
import { KIND_PROCESS, KIND_THREAD, PROCESS, PROCESS_TEXT_LIMIT, THREAD } from "./task_records.ts";

/** What the form that may sleep is built with. */
export interface Sleep {
  /** BTF ids of the functions that keep RCU's objects. */
  readonly lock: number;
  readonly unlock: number;
  /** A map with one word: whether this pass reads environments. Null when no pass does. */
  readonly asked: number | null;
}

/**
 * BTF ids of `bpf_rdonly_cast()` and of the structure `task_struct`: what is read through a pointer that was cast so is
 * read without trust. Of each pointer that is loaded through a trusted one the verifier searches all types of the kernel,
 * on each way by which it comes there, for what may be trusted behind it: nine tenths of the time that loading takes.
 */
export interface Cast {
  readonly toType: number;
  readonly task: number;
}

/** Slots of the stack over the length of the program. */
const CONTEXT = -72, KEPT = -80, START = -88, TASK = -96;
const BY_LOADS = byLoads(TASK);

/**
 * The program. With `sleep` it may sleep, and reads arguments; without it neither. `cast` is null where the kernel has no
 * such function: it does not search then either.
 *
 * Context: `struct bpf_iter__task { meta, task }`. R8 is the task, R9 where the record is made, R7 the bytes of texts.
 */
export function taskIteratorProgram(
  layout: KernelLayout,
  scratch: number,
  sleep: Sleep | null,
  cast: Cast | null,
): Uint8Array<ArrayBuffer> {
  const { task, mm } = layout;
  const KEY = -8, RECORD = -112;
  const a = new BpfAssembler(layout.loops).store(8, R10, CONTEXT, R1).load(8, R8, R1, 8).jumpIf(R8, "eq", 0, "out");
  a.load(4, R7, R8, task.tgid).load(4, R1, R8, task.pid).jumpIfRegisters(R7, "eq", R1, "process");

  // A thread that is not its process' first.
  a.storeConstant(4, R10, RECORD + THREAD.kind, KIND_THREAD).store(4, R10, RECORD + THREAD.pid, R7);
  a.load(8, R1, R8, task.runtime).store(8, R10, RECORD + THREAD.runtime, R1);
  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, THREAD.bytes).jump("write");

  a.label("process").storeConstant(4, R10, KEY, 0).loadMap(R1, scratch).move(R2, R10).addConstant(R2, KEY);
  a.call(HELPER.mapLookup).jumpIf(R0, "eq", 0, "out").move(R9, R0);
  a.storeConstant(4, R9, PROCESS.kind, KIND_PROCESS).store(4, R9, PROCESS.pid, R7);
  a.move(R0, R8);
  if (cast !== null) a.move(R1, R8).moveConstant(R2, cast.task).callKernelFunction(cast.toType);
  a.store(8, R10, TASK, R0);
  copyNumbers(a, layout);
  appendContext(a, layout, PROCESS, BY_LOADS);

  // Kernel threads and zombies have no memory, so no arguments and no file: known to be nothing.
  a.store(4, R9, PROCESS.pathEnd, R7).store(4, R9, PROCESS.argvEnd, R7).storeConstant(4, R9, PROCESS.argvRead, 1);
  a.storeConstant(8, R9, PROCESS.argvLength, 0);
  a.storeConstant(4, R9, PROCESS.environmentRead, 0).storeConstant(8, R9, PROCESS.environmentLength, 0);
  mm.residentPages.forEach((_, index) => a.storeConstant(8, R9, PROCESS.residentPages + index * 8, 0));
  a.load(8, R1, R10, TASK).load(8, R1, R1, task.mm).jumpIf(R1, "eq", 0, "no memory");
  mm.residentPages.forEach((offset, index) => {
    a.load(8, R2, R1, offset).store(8, R9, PROCESS.residentPages + index * 8, R2);
  });
  a.load(8, R2, R1, mm.argEnd).load(8, R3, R1, mm.argStart).subtract(R2, R3).store(8, R9, PROCESS.argvLength, R2);
  a.limit(R2, MAX_ARGV_BYTES, MAX_ARGV_BYTES, "argv length");
  a.store(8, R10, KEPT, R2).store(8, R10, START, R3);

  appendExecutable(a, layout, sleep);
  if (sleep === null) a.storeConstant(4, R9, PROCESS.argvRead, 0);
  else appendMemory(a, layout, sleep);

  a.label("no memory").store(4, R9, PROCESS.environmentEnd, R7);
  // Records begin at multiples of eight, so that they can be read by words.
  a.move(R3, R7).addConstant(R3, PROCESS.bytes + 7).andConstant(R3, -8).move(R2, R9);
  a.label("write").load(8, R1, R10, CONTEXT).load(8, R1, R1, 0).load(8, R1, R1, layout.iteratorSequence);
  a.call(HELPER.sequenceWrite);
  a.label("out").moveConstant(R0, 0).exit();
  return a.assemble();
}

function copyNumbers(a: BpfAssembler, { task, signal, cred }: KernelLayout): void {
  const of = (...pointers: number[]) => (width: 4 | 8, at: number, offset: number) => ({
    fact: { pointers, offset },
    width,
    at,
  });
  const ofTask = of(), ofSignal = of(task.signal), ofCredentials = of(task.cred);
  for (const at of [PROCESS.ppid, PROCESS.userId]) a.storeConstant(8, R9, at, 0); // with their neighbours
  a.storeConstant(8, R9, PROCESS.runtimeOfDead, 0).storeConstant(4, R9, PROCESS.threads, 0);
  BY_LOADS.copyFacts(a, [
    ofTask(8, PROCESS.runtime, task.runtime),
    ofTask(8, PROCESS.startTime, task.startBoottime),
    ofTask(4, PROCESS.flags, task.flags),
    ofTask(4, PROCESS.state, task.state),
    ofTask(4, PROCESS.exitState, task.exitState),
    ofSignal(8, PROCESS.runtimeOfDead, signal.runtimeOfDead),
    ofSignal(4, PROCESS.threads, signal.threads),
    of(task.realParent)(4, PROCESS.ppid, task.tgid),
    ofCredentials(4, PROCESS.userId, cred.uid),
    ofCredentials(4, PROCESS.groupId, cred.gid),
    ofCredentials(4, PROCESS.effectiveUserId, cred.euid),
  ]);
  a.move(R1, R9).addConstant(R1, PROCESS.name).moveConstant(R2, NAME_BYTES).move(R3, R8).addConstant(R3, task.comm);
  a.call(HELPER.probeReadKernel);
}

function appendExecutable(a: BpfAssembler, { task, mm, file }: KernelLayout, sleep: Sleep | null): void {
  // bpf_d_path() takes a file only while RCU keeps it, as it does for a program that does not sleep.
  if (sleep !== null) a.callKernelFunction(sleep.lock);
  a.moveConstant(R0, 0);
  a.load(8, R1, R8, task.mm).jumpIf(R1, "eq", 0, "path read").load(8, R1, R1, mm.exeFile);
  a.jumpIf(R1, "eq", 0, "path read").addConstant(R1, file.path).move(R2, R9).addConstant(R2, PROCESS.bytes).add(R2, R7);
  a.moveConstant(R3, MAX_PATH_BYTES).call(HELPER.dPath).label("path read").move(R6, R0);
  if (sleep !== null) a.callKernelFunction(sleep.unlock);
  a.limit(R6, MAX_PATH_BYTES, 0, "path").add(R7, R6);
  a.store(4, R9, PROCESS.pathEnd, R7).store(4, R9, PROCESS.argvEnd, R7);
}

/** Appends what stands in the process' own memory: the arguments and, when asked for, the environment. */
function appendMemory(a: BpfAssembler, { task, context: { environment } }: KernelLayout, { asked }: Sleep): void {
  const POINTER = -16;
  a.load(8, R2, R10, KEPT).limit(R2, MAX_ARGV_BYTES, 0, "argv size");
  a.move(R1, R9).addConstant(R1, PROCESS.bytes).add(R1, R7).load(8, R3, R10, START).move(R4, R8).moveConstant(R5, 0);
  a.call(HELPER.copyFromUserTask).load(8, R2, R10, KEPT).jumpIf(R0, "eq", 0, "argv read");
  a.storeConstant(4, R9, PROCESS.argvRead, 0).moveConstant(R2, 0).label("argv read");
  a.limit(R2, MAX_ARGV_BYTES, 0, "argv");
  a.add(R7, R2).store(4, R9, PROCESS.argvEnd, R7);

  if (asked === null || environment === null) return;
  a.loadMapValue(R1, asked, 0).load(4, R1, R1, 0).jumpIf(R1, "eq", 0, "environment done");
  a.load(8, R1, R10, TASK).load(8, R1, R1, task.mm).store(8, R10, POINTER, R1);
  appendEnvironment(a, environment, { ...PROCESS, limit: PROCESS_TEXT_LIMIT }, true, "environment done");
  a.storeConstant(4, R9, PROCESS.environmentRead, 1).label("environment done");
}
