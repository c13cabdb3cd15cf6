/**
 * The eBPF programs of the tracepoint rung, which need no type information.
 *
 * Forks and exits are told by the classic tracepoints `task_newtask` and `sched_process_exit`, whose records hold all
 * that counts. An exec is told by the tracepoint `sched_process_exec` in its raw form: the classic one leaves a record out
 * that its file name makes too long for the kernel's buffer (2 KiB before Linux 5.16), and so could be kept silent.
 *
 * Arguments, environment and file name are read from the new image, where the kernel has just put them in a row, by the
 * ends that it keeps in `mm_struct`. Reading what `execve` was called with would be easier, and wrong: another thread can
 * change it before the kernel copies it, calls of 32-bit programs have no tracepoint, those that fail have to be sorted
 * out, and a script's arguments are not the ones its interpreter gets.
 *
 * Registers over the length of a program: R6 the context, R8 the task, R9 where the record is made, R7 its length.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { BpfAssembler, R0, R1, R10, R2, R3, R6, R7, R8, R9, type Register } from "./bpf_assembler.ts";
import { HELPER } from "./bpf.ts";
import { CREDENTIAL_IDS, type SearchedLayout, SIGNAL_LIVE } from "./kernel_search.ts";
import { read } from "./probes.ts";
import { NAME_BYTES, RECORD_KINDS } from "./process_records.ts";
import { count, type OutputMaps, submit } from "./record_output.ts";
import { numberField, type TracepointFormat } from "./tracefs.ts";
import {
  ARGUMENTS_UNREAD,
  CLONE_THREAD,
  CREDENTIALS_KNOWN,
  ENVIRONMENT_UNREAD,
  EXECUTED,
  EXITED,
  FORKED,
  MAX_ENVIRONMENT_BYTES,
  MAX_FILE_NAME_BYTES,
  STATUS_KNOWN,
} from "./tracepoint_records.ts";

/** Descriptors of the maps that the programs use. */
export interface TracepointMaps extends OutputMaps {
  /** One element per processor of `MAX_EXECUTED_BYTES`. */
  readonly scratch: number;
}

/** At `sched_process_exec`, raw. Arguments: task, old pid, `struct linux_binprm`. */
export function executedProgram(
  layout: SearchedLayout,
  maps: TracepointMaps,
  wantsEnvironment: boolean,
): Uint8Array<ArrayBuffer> {
  const KEY = -8, MM = -16, KEPT = -24, ENV_END = -32, ENV_START = -40, ARG_END = -48, ARG_START = -56;
  const a = new BpfAssembler().load(8, R8, R1, 0);
  count(a, maps, "exec", "seen");
  a.storeConstant(4, R10, KEY, 0).loadMap(R1, maps.scratch).move(R2, R10).addConstant(R2, KEY).call(HELPER.mapLookup);
  a.jumpIf(R0, "eq", 0, "lost").move(R9, R0);

  a.storeConstant(4, R9, EXECUTED.kind, RECORD_KINDS.indexOf("exec")).storeConstant(4, R9, EXECUTED.flags, 0);
  a.call(HELPER.currentPidTgid).shiftRight(R0, 32).store(4, R9, EXECUTED.pid, R0);
  a.call(HELPER.bootTimeNs).store(8, R9, EXECUTED.time, R0);
  a.call(HELPER.currentUidGid).store(8, R9, EXECUTED.userId, R0); // the group stands in the upper half
  a.call(HELPER.currentCgroupId).store(8, R9, EXECUTED.cgroupId, R0);
  a.move(R1, R9).addConstant(R1, EXECUTED.name).moveConstant(R2, NAME_BYTES).call(HELPER.currentComm);
  readStart(a, layout, R9, EXECUTED.startTime);
  readPerson(a, layout, MM);

  // Zeros when they cannot be read, and so nothing to read from.
  read(a, R10, MM, 8, R8, layout.mm.inTask);
  a.load(8, R3, R10, MM);
  read(a, R10, ARG_START, 32, R3, layout.mm.argStart);

  /** R2: the bytes to take of a run between two ends on the stack, which are no more than `limit`. */
  const bound = (start: number, end: number, length: number, limit: number, label: string): void => {
    a.load(8, R2, R10, end).load(8, R3, R10, start).subtract(R2, R3).store(8, R9, length, R2);
    a.jumpIf(R2, "le", limit, `${label} fits`).moveConstant(R2, limit).label(`${label} fits`).store(8, R10, KEPT, R2);
  };
  bound(ARG_START, ARG_END, EXECUTED.argvLength, MAX_ARGV_BYTES, "argv");
  a.move(R1, R9).addConstant(R1, EXECUTED.bytes).call(HELPER.probeReadUser);
  afterRead(a, KEPT, MAX_ARGV_BYTES, ARGUMENTS_UNREAD, "argv");
  a.store(4, R9, EXECUTED.argvBytes, R1).move(R7, R1);

  if (wantsEnvironment) {
    bound(ENV_START, ENV_END, EXECUTED.environmentLength, MAX_ENVIRONMENT_BYTES, "environment");
    a.move(R1, R9).addConstant(R1, EXECUTED.bytes).add(R1, R7).call(HELPER.probeReadUser);
    afterRead(a, KEPT, MAX_ENVIRONMENT_BYTES, ENVIRONMENT_UNREAD, "environment");
    a.store(4, R9, EXECUTED.environmentBytes, R1).add(R7, R1);
  } else a.storeConstant(8, R9, EXECUTED.environmentLength, 0).storeConstant(4, R9, EXECUTED.environmentBytes, 0);

  // The kernel puts the name of the file above everything else, where the environment ends.
  a.move(R1, R9).addConstant(R1, EXECUTED.bytes).add(R1, R7).moveConstant(R2, MAX_FILE_NAME_BYTES);
  a.load(8, R3, R10, ENV_END).call(HELPER.probeReadUserString);
  a.jumpIf(R0, "sgt", 0, "file name read").moveConstant(R0, 0).label("file name read");
  a.jumpIf(R0, "le", MAX_FILE_NAME_BYTES, "file name bounded").moveConstant(R0, 0).label("file name bounded");
  a.store(4, R9, EXECUTED.fileNameBytes, R0).add(R7, R0).addConstant(R7, EXECUTED.bytes);

  a.move(R2, R9).move(R3, R7);
  submit(a, maps, "exec");
  return a.assemble();
}

/** R1: the bytes that a read has brought, none when it failed; bounded anew, as older verifiers forget what was stored. */
function afterRead(a: BpfAssembler, kept: number, limit: number, unread: number, label: string): void {
  a.load(8, R1, R10, kept).jumpIf(R0, "eq", 0, `${label} read`);
  a.load(4, R1, R9, EXECUTED.flags).orConstant(R1, unread).store(4, R9, EXECUTED.flags, R1).moveConstant(R1, 0);
  a.label(`${label} read`).jumpIf(R1, "le", limit, `${label} bounded`).moveConstant(R1, 0).label(`${label} bounded`);
}

/** At `task/task_newtask`, in the context of who makes the task. Threads are skipped. */
export function forkedProgram(format: TracepointFormat, maps: TracepointMaps): Uint8Array<ArrayBuffer> {
  const RECORD = -FORKED.bytes;
  const a = new BpfAssembler().move(R6, R1).load(8, R7, R6, numberField(format, "clone_flags", 8));
  a.move(R1, R7).andConstant(R1, CLONE_THREAD).jumpIf(R1, "ne", 0, "out");
  count(a, maps, "fork", "seen");
  a.storeConstant(4, R10, RECORD + FORKED.kind, RECORD_KINDS.indexOf("fork"));
  a.storeConstant(8, R10, RECORD + FORKED.startTime, 0).store(4, R10, RECORD + FORKED.cloneFlags, R7);
  a.load(4, R1, R6, numberField(format, "pid", 4)).store(4, R10, RECORD + FORKED.pid, R1);
  a.call(HELPER.bootTimeNs).store(8, R10, RECORD + FORKED.time, R0);
  a.call(HELPER.currentPidTgid).shiftRight(R0, 32).store(4, R10, RECORD + FORKED.creator, R0);
  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, FORKED.bytes);
  submit(a, maps, "fork");
  return a.assemble();
}

/** At `sched/sched_process_exit`. Only the last thread of a process counts. */
export function exitedProgram(
  format: TracepointFormat,
  layout: SearchedLayout,
  maps: TracepointMaps,
): Uint8Array<ArrayBuffer> {
  const RECORD = -EXITED.bytes, VALUE = RECORD - 8;
  const a = new BpfAssembler().move(R6, R1).call(HELPER.currentTask).move(R8, R0);
  if (format.fields.has("group_dead")) {
    a.load(1, R1, R6, numberField(format, "group_dead", 1)).jumpIf(R1, "eq", 0, "out");
  } else {
    // Before Linux 6.16. Two threads that end at once can both find zero: the receiver sees the second end of a process.
    read(a, R10, VALUE, 8, R8, layout.signal!);
    a.load(8, R3, R10, VALUE);
    read(a, R10, VALUE, 4, R3, SIGNAL_LIVE);
    a.load(4, R1, R10, VALUE).jumpIf(R1, "ne", 0, "out");
  }
  count(a, maps, "exit", "seen");
  a.storeConstant(4, R10, RECORD + EXITED.kind, RECORD_KINDS.indexOf("exit"));
  a.storeConstant(8, R10, RECORD + EXITED.startTime, 0);
  a.storeConstant(4, R10, RECORD + EXITED.status, 0).storeConstant(4, R10, RECORD + EXITED.flags, 0);
  a.call(HELPER.bootTimeNs).store(8, R10, RECORD + EXITED.time, R0);
  a.call(HELPER.currentPidTgid).move(R7, R0).shiftRight(R7, 32).store(4, R10, RECORD + EXITED.pid, R7);
  // The first thread's start is the process'.
  a.store(8, R10, VALUE, R0).load(4, R1, R10, VALUE).jumpIfRegisters(R1, "ne", R7, "start known");
  readStart(a, layout, R10, RECORD + EXITED.startTime);
  a.label("start known");
  if (layout.exitCode !== null) {
    // When the whole process was ended, each of its threads has the process' status; when its threads ended one by one,
    // each has its own, and the process has its first thread's.
    read(a, R10, RECORD + EXITED.status, 4, R8, layout.exitCode);
    a.storeConstant(4, R10, RECORD + EXITED.flags, STATUS_KNOWN);
  }
  a.move(R2, R10).addConstant(R2, RECORD).moveConstant(R3, EXITED.bytes);
  submit(a, maps, "exit");
  return a.assemble();
}

/** The parent and the credentials, where their places are known. `slot` is eight free bytes of the stack. */
function readPerson(a: BpfAssembler, { parent, cred }: SearchedLayout, slot: number): void {
  a.storeConstant(4, R9, EXECUTED.ppid, 0);
  if (parent !== null) {
    read(a, R10, slot, 8, R8, parent.inTask);
    a.load(8, R3, R10, slot);
    read(a, R9, EXECUTED.ppid, 4, R3, parent.tgid);
  }
  if (cred === null) return;
  read(a, R10, slot, 8, R8, cred.inTask);
  a.load(8, R3, R10, slot);
  read(a, R9, EXECUTED.ids, CREDENTIAL_IDS.bytes, R3, cred.ids);
  a.jumpIf(R0, "ne", 0, "nobody").load(8, R3, R10, slot);
  read(a, R9, EXECUTED.capabilities, 24, R3, cred.inheritableCapabilities);
  a.jumpIf(R0, "ne", 0, "nobody").storeConstant(4, R9, EXECUTED.flags, CREDENTIALS_KNOWN).label("nobody");
}

function readStart(a: BpfAssembler, layout: SearchedLayout, base: Register, at: number): void {
  if (layout.startBoottime === null) a.moveConstant(R1, 0).store(8, base, at, R1);
  else read(a, base, at, 8, R8, layout.startBoottime);
}
