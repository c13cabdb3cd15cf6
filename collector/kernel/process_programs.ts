/**
 * The eBPF programs that see every process begin, change its image and end.
 *
 * They run in the kernel at the tracepoints `sched_process_fork`, `sched_process_exec` and `sched_process_exit`, in the
 * context of the process, and put one record each into the ring (layouts: `process_records.ts`). They only read, touch
 * nothing but their own maps, and count per kind what they saw and what found no room. They need Linux 5.8.
 *
 * Registers over the length of a program: R6 the tracepoint's arguments, R8 the task, R9 where the record is made.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { BpfAssembler, R0, R1, R10, R2, R3, R6, R7, R8, R9 } from "./bpf_assembler.ts";
import { HELPER } from "./bpf.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { appendContext, appendEnvironment, copyPid, endText } from "./context_programs.ts";
import { appendPath, DENTRY, MOUNT } from "./path_programs.ts";
import { BY_PROBES, read, readThrough } from "./probes.ts";
import {
  ARGV_UNREAD,
  ENVIRONMENT_UNREAD,
  EXEC,
  EXEC_TEXT_LIMIT,
  EXIT,
  FORK,
  MAX_INTERPRETER_BYTES,
  MAX_PATH_BYTES,
  MODE_KNOWN,
  NAME_BYTES,
  PATH_CUT,
  PATH_LIMIT,
  RECORD_KINDS,
  type RecordKind,
  SCRIPT_LIMIT,
  SCRIPT_UNREAD,
  SETS_USER_ID,
  UNLINKED,
} from "./process_records.ts";
import { count, type OutputMaps, submit } from "./record_output.ts";

/** `signal_struct.flags`: the whole group ends with `group_exit_code` (`include/linux/sched/signal.h`). */
const SIGNAL_GROUP_EXIT = 4;

/** What the programs are built with: descriptors of their maps, and whether environments are wanted. */
export interface ProgramMaps extends OutputMaps {
  /** One element per processor of `MAX_EXEC_BYTES`: more than fits on the stack of 512 bytes. */
  readonly scratch: number;
  readonly environment: boolean;
}

export interface ProcessProgram {
  readonly kind: RecordKind;
  readonly tracepoint: string;
  build(layout: KernelLayout, maps: ProgramMaps): Uint8Array<ArrayBuffer>;
}

export const PROCESS_PROGRAMS: readonly ProcessProgram[] = [
  { kind: "exec", tracepoint: "sched_process_exec", build: execProgram },
  { kind: "fork", tracepoint: "sched_process_fork", build: forkProgram },
  { kind: "exit", tracepoint: "sched_process_exit", build: exitProgram },
];

/** Arguments: task, old pid, `struct linux_binprm`. The new image is in place, its pages were just written. */
function execProgram(layout: KernelLayout, maps: ProgramMaps): Uint8Array<ArrayBuffer> {
  const { task, cred } = layout;
  const KEY = -8, POINTER = -16;
  const a = new BpfAssembler(layout.loops).move(R6, R1).load(8, R8, R6, 0).load(8, R6, R6, 16).store(
    8,
    R10,
    BINPRM,
    R6,
  );
  count(a, maps, "exec", "seen");
  a.storeConstant(4, R10, KEY, 0).loadMap(R1, maps.scratch).move(R2, R10).addConstant(R2, KEY).call(HELPER.mapLookup);
  a.jumpIf(R0, "eq", 0, "lost").move(R9, R0);

  a.storeConstant(4, R9, EXEC.kind, RECORD_KINDS.indexOf("exec")).storeConstant(4, R9, EXEC.flags, 0);
  a.call(HELPER.currentPidTgid).shiftRight(R0, 32).store(4, R9, EXEC.pid, R0);
  a.call(HELPER.bootTimeNs).store(8, R9, EXEC.time, R0);
  a.call(HELPER.currentUidGid).store(8, R9, EXEC.userId, R0); // the group stands in the upper half
  a.move(R1, R9).addConstant(R1, EXEC.name).moveConstant(R2, NAME_BYTES).call(HELPER.currentComm);
  read(a, R9, EXEC.startTime, 8, R8, task.startBoottime);
  read(a, R10, POINTER, 8, R8, task.realParent);
  readThrough(a, R9, EXEC.ppid, 4, POINTER, task.tgid);
  read(a, R10, POINTER, 8, R8, task.cred);
  readThrough(a, R9, EXEC.effectiveUserId, 4, POINTER, cred.euid);

  appendContext(a, layout, EXEC, BY_PROBES);
  appendExecutable(a, layout);
  appendScript(a, layout);
  appendArguments(a, layout, maps.environment);

  a.move(R2, R9).move(R3, R7).addConstant(R3, EXEC.bytes);
  submit(a, maps, "exec");
  return a.assemble();
}
/** `S_ISUID` (`include/uapi/linux/stat.h`). */
const SET_USER_ID = 0o4000;
/** The slot of the stack that keeps the address of the `struct linux_binprm`. */
const BINPRM = -72;

function appendExecutable(a: BpfAssembler, layout: KernelLayout): void {
  const { file, inode, dentry } = layout;
  const POINTER = -16, MODE = -24, NEXT = -48;
  readThrough(a, R10, POINTER, 8, BINPRM, layout.binprmFile);
  readThrough(a, R10, NEXT, 8, POINTER, file.inode);
  readThrough(a, R9, EXEC.inode, 8, NEXT, inode.number);
  a.storeConstant(8, R9, EXEC.changeSeconds, 0).storeConstant(8, R9, EXEC.changeNanoseconds, 0);
  if (inode.changeTime !== null) {
    readThrough(a, R9, EXEC.changeSeconds, 8, NEXT, inode.changeTime.seconds);
    readThrough(a, R9, EXEC.changeNanoseconds, 4, NEXT, inode.changeTime.nanoseconds);
  }
  if (layout.context.executable !== null) {
    readThrough(a, R10, MODE, 2, NEXT, layout.context.executable.mode);
    flag(a, MODE_KNOWN);
    a.load(2, R1, R10, MODE).andConstant(R1, SET_USER_ID).jumpIf(R1, "eq", 0, "user kept");
    flag(a, SETS_USER_ID);
    a.label("user kept");
  }
  readThrough(a, R10, NEXT, 8, NEXT, inode.superBlock);
  readThrough(a, R9, EXEC.device, 4, NEXT, layout.superBlockDevice);

  readThrough(a, R10, MOUNT, 8, POINTER, file.pathMount);
  readThrough(a, R10, DENTRY, 8, POINTER, file.pathDentry);
  // Unlinked files and memfds are in no directory's hash.
  readThrough(a, R10, NEXT, 8, DENTRY, dentry.hashLink);
  a.load(8, R1, R10, NEXT).jumpIf(R1, "ne", 0, "linked");
  flag(a, UNLINKED);
  a.label("linked");
  appendPath(a, layout, { name: "path", texts: EXEC.bytes, limit: PATH_LIMIT, cut: () => flag(a, PATH_CUT) });
  endText(a, EXEC.pathEnd, PATH_LIMIT);
}

/** Appends the file that was asked for and its interpreter, where another was started than was asked for. */
function appendScript(a: BpfAssembler, { context: { script } }: KernelLayout): void {
  const FILE_NAME = -16, INTERPRETER = -48;
  const append = (slot: number, most: number): void => {
    a.move(R1, R9).addConstant(R1, EXEC.bytes).add(R1, R7).moveConstant(R2, most).load(8, R3, R10, slot);
    a.call(HELPER.probeReadKernelString).jumpIf(R0, "sle", 0, "script unread").jumpIf(R0, "sge", most, "script unread");
    a.add(R7, R0);
  };
  a.store(4, R9, EXEC.scriptEnd, R7).store(4, R9, EXEC.interpreterEnd, R7);
  if (script === null) return;
  readThrough(a, R10, FILE_NAME, 8, BINPRM, script.fileName);
  readThrough(a, R10, INTERPRETER, 8, BINPRM, script.interpreter);
  a.load(8, R1, R10, FILE_NAME).load(8, R2, R10, INTERPRETER).jumpIfRegisters(R1, "eq", R2, "script done");
  append(FILE_NAME, MAX_PATH_BYTES);
  a.store(4, R9, EXEC.scriptEnd, R7);
  append(INTERPRETER, MAX_INTERPRETER_BYTES);
  a.store(4, R9, EXEC.interpreterEnd, R7).jump("script done").label("script unread");
  flag(a, SCRIPT_UNREAD);
  a.store(4, R9, EXEC.scriptEnd, R7).store(4, R9, EXEC.interpreterEnd, R7).label("script done");
  endText(a, EXEC.interpreterEnd, SCRIPT_LIMIT + MAX_INTERPRETER_BYTES);
}

/** Appends the arguments and, if wanted, the environment. */
function appendArguments(a: BpfAssembler, { task, mm, context }: KernelLayout, withEnvironment: boolean): void {
  const POINTER = -16, START = -24, END = -32, KEPT = -40;
  read(a, R10, POINTER, 8, R8, task.mm);
  readThrough(a, R10, START, 8, POINTER, mm.argStart);
  readThrough(a, R10, END, 8, POINTER, mm.argEnd);
  a.load(8, R2, R10, END).load(8, R3, R10, START).subtract(R2, R3).store(8, R9, EXEC.argvLength, R2);
  a.limit(R2, MAX_ARGV_BYTES, MAX_ARGV_BYTES, "argv length");
  a.store(8, R10, KEPT, R2).move(R1, R9).addConstant(R1, EXEC.bytes).add(R1, R7).call(HELPER.probeReadUser);
  a.load(8, R2, R10, KEPT).jumpIf(R0, "eq", 0, "argv read");
  flag(a, ARGV_UNREAD);
  a.moveConstant(R2, 0);
  // Bounded again: older verifiers forget what they knew of a number that was stored.
  a.label("argv read").limit(R2, MAX_ARGV_BYTES, 0, "argv");
  a.add(R7, R2).store(4, R9, EXEC.argvEnd, R7).storeConstant(8, R9, EXEC.environmentLength, 0);

  if (withEnvironment && context.environment !== null) {
    appendEnvironment(a, context.environment, { ...EXEC, limit: EXEC_TEXT_LIMIT }, false, "environment unread");
    a.jump("environment done").label("environment unread");
    flag(a, ENVIRONMENT_UNREAD);
    a.label("environment done");
  }
  a.store(4, R9, EXEC.environmentEnd, R7);
}

/** Arguments: parent, child. Threads are skipped. */
function forkProgram({ task, context: { pid } }: KernelLayout, maps: ProgramMaps): Uint8Array<ArrayBuffer> {
  const RECORD = -96, POINTER = -16, PID = -24, TGID = -20; // the slots above -48 are used by parts
  const a = new BpfAssembler().load(8, R8, R1, 8);
  // What cannot be read must not pass for a thread: that would be lost uncounted.
  read(a, R10, PID, 4, R8, task.pid);
  a.jumpIf(R0, "ne", 0, "lost");
  read(a, R10, TGID, 4, R8, task.tgid);
  a.jumpIf(R0, "ne", 0, "lost");
  a.load(4, R7, R10, TGID).load(4, R1, R10, PID).jumpIfRegisters(R7, "ne", R1, "out");
  count(a, maps, "fork", "seen");

  a.storeConstant(4, R10, RECORD + FORK.kind, RECORD_KINDS.indexOf("fork")).store(4, R10, RECORD + FORK.pid, R7);
  a.storeConstant(4, R10, RECORD + FORK.namespacePid, 0).storeConstant(8, R10, RECORD + FORK.pidNamespace, 0);
  a.call(HELPER.bootTimeNs).store(8, R10, RECORD + FORK.time, R0);
  read(a, R10, RECORD + FORK.startTime, 8, R8, task.startBoottime);
  read(a, R10, POINTER, 8, R8, task.realParent);
  readThrough(a, R10, RECORD + FORK.ppid, 4, POINTER, task.tgid);
  if (pid !== null) copyPid(a, pid, R10, RECORD + FORK.namespacePid, RECORD + FORK.pidNamespace);

  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, FORK.bytes);
  submit(a, maps, "fork");
  return a.assemble();
}

/** Arguments: task, and since Linux 6.16 whether it is the last thread of its process. Only that one counts. */
function exitProgram(layout: KernelLayout, maps: ProgramMaps): Uint8Array<ArrayBuffer> {
  const { task, signal } = layout;
  const RECORD = -EXIT.bytes, VALUE = RECORD - 8;
  const a = new BpfAssembler().move(R6, R1).load(8, R8, R6, 0);
  skipUnlessGroupDead(a, layout, VALUE);
  count(a, maps, "exit", "seen");

  read(a, R10, VALUE, 8, R8, task.signal);
  a.load(8, R7, R10, VALUE);
  read(a, R10, VALUE, 8, R8, task.groupLeader);
  a.load(8, R9, R10, VALUE);
  a.storeConstant(4, R10, RECORD + EXIT.kind, RECORD_KINDS.indexOf("exit"));
  a.storeConstant(4, R10, RECORD + EXIT.padding, 0);
  a.call(HELPER.currentPidTgid).shiftRight(R0, 32).store(4, R10, RECORD + EXIT.pid, R0);
  a.call(HELPER.bootTimeNs).store(8, R10, RECORD + EXIT.time, R0);
  read(a, R10, RECORD + EXIT.startTime, 8, R9, task.startBoottime);

  // The status that the parent gets, as the kernel's wait_task_zombie() takes it.
  read(a, R10, VALUE, 4, R7, signal.flags);
  a.load(4, R1, R10, VALUE).andConstant(R1, SIGNAL_GROUP_EXIT).jumpIf(R1, "eq", 0, "leader's status");
  read(a, R10, RECORD + EXIT.status, 4, R7, signal.groupExitCode);
  a.jump("status known").label("leader's status");
  read(a, R10, RECORD + EXIT.status, 4, R9, task.exitCode);
  a.label("status known");

  // Threads that are gone, this one, and the leader when it ended before and is kept as a zombie. The scheduler counts at
  // its ticks and when it takes the processor away, so a process that lived within one tick can show nothing.
  read(a, R10, VALUE, 8, R7, signal.runtimeOfDead);
  a.load(8, R6, R10, VALUE);
  read(a, R10, VALUE, 8, R8, task.runtime);
  a.load(8, R1, R10, VALUE).add(R6, R1).jumpIfRegisters(R8, "eq", R9, "runtime known");
  read(a, R10, VALUE, 8, R9, task.runtime);
  a.load(8, R1, R10, VALUE).add(R6, R1);
  a.label("runtime known").store(8, R10, RECORD + EXIT.cpuTime, R6);

  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, EXIT.bytes);
  submit(a, maps, "exit");
  return a.assemble();
}

/**
 * Goes to the label `out` unless the exiting thread (R8, arguments in R6) is the last of its process. `slot` is eight
 * free bytes of the stack.
 */
export function skipUnlessGroupDead(
  a: BpfAssembler,
  { task, signal, exitSaysGroupDead }: KernelLayout,
  slot: number,
): void {
  if (exitSaysGroupDead) {
    a.load(8, R1, R6, 8).andConstant(R1, 0xff).jumpIf(R1, "eq", 0, "out");
    return;
  }
  read(a, R10, slot, 8, R8, task.signal);
  readThrough(a, R10, slot, 4, slot, signal.live);
  a.load(4, R1, R10, slot).jumpIf(R1, "ne", 0, "out");
}

function flag(a: BpfAssembler, bit: number): void {
  a.load(4, R1, R9, EXEC.flags).orConstant(R1, bit).store(4, R9, EXEC.flags, R1);
}
