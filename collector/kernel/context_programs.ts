/**
 * The parts of our eBPF programs that read the circumstances of a process (layout: `context_records.ts`).
 *
 * Registers: R8 the task, R9 where the record is made, R7 how many bytes of texts it has; R6 is used up. What cannot be
 * read stays as unknown as the record begins; nothing here ends a program.
 *
 * @module
 */
import { HELPER } from "./bpf.ts";
import { type BpfAssembler, R0, R1, R10, R2, R3, R4, R5, R6, R7, R8, R9, type Register } from "./bpf_assembler.ts";
import { type ContextLayout, FACT_NAMES } from "./context_layout.ts";
import {
  CLOSED,
  CONTEXT,
  CWD_CUT,
  CWD_KNOWN,
  CWD_LIMIT,
  CWD_UNLINKED,
  FORMAT,
  GROUP_CUT,
  GROUP_LIMIT,
  SOCKET_FORMAT,
  STREAM,
  TTY_BYTES,
  TTY_LIMIT,
} from "./context_records.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { appendGroupPath, appendPath, DENTRY, MOUNT } from "./path_programs.ts";
import { BY_PROBES, read, type Reader, readThrough, readTogether } from "./probes.ts";

/** Where in a record the block of a context begins, the number in the innermost namespace, and the texts. */
export interface ContextPlace {
  readonly context: number;
  readonly namespacePid: number;
  readonly bytes: number;
}

const POINTER = -16, NEXT = -48, FIRST = -56, SECOND = -64;
/** What is read of an inode, and of a level of a pid. */
const AREA = -200, AREA_BYTES = 96;
/** `MAX_PID_NS_LEVEL` is 32 (`include/linux/pid_namespace.h`). */
const LEVEL_MASK = 63;

/** Writes the block and begins the texts: R7 counts from here. */
export function appendContext(a: BpfAssembler, layout: KernelLayout, place: ContextPlace, reader: Reader): void {
  const { context } = layout, at = (offset: number): number => place.context + offset;
  for (let offset = 0; offset < CONTEXT.bytes; offset += 8) a.storeConstant(8, R9, at(offset), 0);
  for (const offset of [CONTEXT.effectiveCapabilities, CONTEXT.savedUserId, CONTEXT.savedGroupId]) {
    a.storeConstant(8, R9, at(offset), -1); // the last two with their neighbours
  }
  for (const offset of [CONTEXT.sessionId, CONTEXT.standardInput + STREAM.mode, CONTEXT.standardOutput + STREAM.mode]) {
    a.storeConstant(4, R9, at(offset), -1);
  }
  reader.copyFacts(
    a,
    FACT_NAMES.flatMap((name) => {
      const fact = context[name], width = name === "effectiveCapabilities" ? 8 : 4;
      return fact === null ? [] : [{ fact, width, at: at(CONTEXT[name]) }];
    }),
  );
  a.storeConstant(4, R9, place.namespacePid, 0);
  if (context.pid !== null) copyPid(a, context.pid, R9, place.namespacePid, at(CONTEXT.pidNamespace));
  if (context.streams !== null) copyStreams(a, context.streams, context.socket, place, reader);

  a.moveConstant(R7, 0);
  if (context.cwd !== null) appendDirectory(a, layout, context.cwd, place, reader);
  endText(a, at(CONTEXT.cwdEnd), CWD_LIMIT);
  if (context.group !== null) appendGroup(a, context.group, place);
  endText(a, at(CONTEXT.groupEnd), GROUP_LIMIT);
  if (context.tty !== null) appendTerminal(a, context.tty, place, reader);
  endText(a, at(CONTEXT.ttyEnd), TTY_LIMIT);
}

/**
 * Writes where a text ends. The number comes back through the record, where the verifier forgets how it came to be: it
 * then follows what comes after once, not once for each way to here.
 */
export function endText(a: BpfAssembler, at: number, limit: number): void {
  a.store(4, R9, at, R7).load(4, R7, R9, at).limit(R7, limit, 0, `end at ${at}`);
}

/**
 * The pid in the innermost namespace and the inode of that, of the task in R8 to a record at `base`; zeros when it has
 * none any more. By probes, as which level it is nobody knows before.
 */
export function copyPid(
  a: BpfAssembler,
  pid: NonNullable<ContextLayout["pid"]>,
  base: Register,
  numberAt: number,
  namespaceAt: number,
): void {
  read(a, R10, POINTER, 8, R8, pid.ofTask);
  readThrough(a, R10, NEXT, 4, POINTER, pid.level);
  a.load(4, R1, R10, NEXT).andConstant(R1, LEVEL_MASK).multiplyConstant(R1, pid.numberBytes);
  a.load(8, R2, R10, POINTER).add(R2, R1).store(8, R10, POINTER, R2);
  const members = [pid.numbers + pid.number, pid.numbers + pid.namespace];
  const [number, namespace] = readTogether(a, AREA, AREA_BYTES, POINTER, members) as [number, number];
  a.load(4, R1, R10, number).store(4, base, numberAt, R1);
  readThrough(a, base, namespaceAt, 4, namespace, pid.namespaceInode);
}

function copyStreams(
  a: BpfAssembler,
  { files, table, descriptors, inode, mode, device, flags }: NonNullable<ContextLayout["streams"]>,
  socket: ContextLayout["socket"],
  place: ContextPlace,
  reader: Reader,
): void {
  reader.follow(a, POINTER, "task", [files, table, descriptors], "streams done");
  // A table has room for 64 at least.
  readThrough(a, R10, SECOND, 16, POINTER, 0);
  const streams = [[SECOND, CONTEXT.standardInput], [FIRST, CONTEXT.standardOutput]] as const;
  for (const [slot, offset] of streams) {
    const at = place.context + offset, done = `stream ${offset} done`;
    a.storeConstant(4, R9, at + STREAM.mode, CLOSED).load(8, R1, R10, slot).jumpIf(R1, "eq", 0, done);
    readThrough(a, R10, NEXT, 8, slot, inode);
    const [format, number, bits] = readTogether(a, AREA, AREA_BYTES, NEXT, [mode, device, flags]) as number[];
    a.load(2, R1, R10, format!).store(4, R9, at + STREAM.mode, R1);
    a.load(4, R1, R10, number!).store(4, R9, at + STREAM.device, R1);
    a.load(4, R1, R10, bits!).store(4, R9, at + STREAM.flags, R1);
    if (socket !== null && slot === SECOND) {
      a.load(2, R1, R10, format!).andConstant(R1, FORMAT).jumpIf(R1, "ne", SOCKET_FORMAT, done);
      readThrough(a, R10, NEXT, 8, slot, socket.socket);
      readThrough(a, R10, NEXT, 8, NEXT, socket.sock);
      readThrough(a, R9, place.context + CONTEXT.inputFamily, 2, NEXT, socket.family);
    }
    a.label(done);
  }
  a.label("streams done");
}

function appendDirectory(
  a: BpfAssembler,
  layout: KernelLayout,
  { fs, mount, dentry }: NonNullable<ContextLayout["cwd"]>,
  place: ContextPlace,
  reader: Reader,
): void {
  reader.follow(a, POINTER, "task", [fs], "no directory");
  reader.follow(a, MOUNT, POINTER, [mount], "no directory");
  reader.follow(a, DENTRY, POINTER, [dentry], "no directory");
  flag(a, place, CWD_KNOWN);
  // As the kernel's d_unlinked(): in no directory's hash, and no root, which never is.
  const members = [layout.dentry.hashLink, layout.dentry.parent];
  const [hashLink, parent] = readTogether(a, AREA, AREA_BYTES, DENTRY, members) as [number, number];
  a.load(8, R1, R10, hashLink).jumpIf(R1, "ne", 0, "directory linked");
  a.load(8, R1, R10, parent).load(8, R2, R10, DENTRY).jumpIfRegisters(R1, "eq", R2, "directory linked");
  flag(a, place, CWD_UNLINKED);
  a.label("directory linked");
  appendPath(a, layout, { name: "cwd", texts: place.bytes, limit: CWD_LIMIT, cut: () => flag(a, place, CWD_CUT) });
  a.label("no directory");
}

/**
 * The group of version 2. Where that is the root, as on hosts that keep their controllers in hierarchies of version 1,
 * the first of the controllers' groups that is not.
 */
function appendGroup(
  a: BpfAssembler,
  group: NonNullable<ContextLayout["group"]>,
  place: ContextPlace,
): void {
  // By probes in every program: for each load through a typed pointer the verifier searches all types of the kernel, and
  // it comes by here often (a quarter of a second together).
  const { follow, copy } = BY_PROBES;
  follow(a, POINTER, "task", [group.ofTask], "no group");
  follow(a, DENTRY, POINTER, [group.unified, group.node], "no group");
  follow(a, NEXT, DENTRY, [group.parent], "unified root");
  a.jump("group chosen").label("unified root");
  for (const controller of group.controllers) {
    const other = `not controller ${controller}`;
    follow(a, MOUNT, POINTER, [controller, group.ofController, group.node], other);
    follow(a, NEXT, MOUNT, [group.parent], other);
    a.load(8, R1, R10, MOUNT).store(8, R10, DENTRY, R1).jump("group chosen").label(other);
  }
  a.label("group chosen");
  copy(a, 8, place.context + CONTEXT.groupId, DENTRY, group.id);
  appendGroupPath(a, group, {
    name: "group",
    texts: place.bytes,
    limit: GROUP_LIMIT,
    cut: () => flag(a, place, GROUP_CUT),
  });
  a.label("no group");
}

function appendTerminal(
  a: BpfAssembler,
  tty: NonNullable<ContextLayout["tty"]>,
  place: ContextPlace,
  reader: Reader,
): void {
  reader.follow(a, POINTER, "task", [tty.signal, tty.ofSignal], "no terminal");
  a.load(8, R3, R10, POINTER).addConstant(R3, tty.name);
  a.move(R1, R9).addConstant(R1, place.bytes).add(R1, R7).moveConstant(R2, TTY_BYTES);
  a.call(HELPER.probeReadKernelString).jumpIf(R0, "sle", 0, "no terminal").add(R7, R0);
  a.label("no terminal");
}

function flag(a: BpfAssembler, place: ContextPlace, bit: number): void {
  const at = place.context + CONTEXT.flags;
  a.load(4, R1, R9, at).orConstant(R1, bit).store(4, R9, at, R1);
}

/** How much of an environment is copied at once (a mask too): it takes what the other texts have left of a record. */
const ENVIRONMENT_STEP = 2047;

export interface EnvironmentPlace {
  /** Where the texts of the record begin, and how many bytes of them there may be. */
  readonly bytes: number;
  readonly limit: number;
  /** Of the record: the true length, eight bytes. */
  readonly environmentLength: number;
  /** Four bytes that are written later. */
  readonly environmentEnd: number;
}

/**
 * Appends the environment as far as there is room, from the `struct mm_struct` whose address stands in POINTER. Goes to
 * `unread` where memory cannot be read. `byTask`: memory that is not there is waited for, which only some may.
 */
export function appendEnvironment(
  a: BpfAssembler,
  { start, end }: NonNullable<ContextLayout["environment"]>,
  place: EnvironmentPlace,
  byTask: boolean,
  unread: string,
): void {
  const SOURCE = -24, REST = -32, STEP = -40;
  readThrough(a, R10, SOURCE, 8, POINTER, start);
  readThrough(a, R10, REST, 8, POINTER, end);
  a.load(8, R1, R10, REST).load(8, R2, R10, SOURCE).subtract(R1, R2).store(8, R10, REST, R1);
  a.store(8, R9, place.environmentLength, R1).moveConstant(R6, 0);
  a.loop("environment step", "environment read").load(8, R2, R10, REST).jumpIf(R2, "eq", 0, "environment read");
  a.jumpIf(R7, "gt", place.limit - ENVIRONMENT_STEP, "environment read");
  a.limit(R2, ENVIRONMENT_STEP, ENVIRONMENT_STEP, "environment step");
  // Through the record, where the verifier forgets the number: all ways to here become one (200,000 steps else).
  a.store(4, R9, place.environmentEnd, R2).load(4, R2, R9, place.environmentEnd);
  a.andConstant(R2, ENVIRONMENT_STEP).store(8, R10, STEP, R2);
  a.move(R1, R9).addConstant(R1, place.bytes).add(R1, R7).load(8, R3, R10, SOURCE);
  if (byTask) a.move(R4, R8).moveConstant(R5, 0).call(HELPER.copyFromUserTask);
  else a.call(HELPER.probeReadUser);
  a.jumpIf(R0, "ne", 0, unread).load(8, R2, R10, STEP).andConstant(R2, ENVIRONMENT_STEP).add(R7, R2);
  a.load(8, R1, R10, REST).subtract(R1, R2).store(8, R10, REST, R1);
  a.load(8, R1, R10, SOURCE).add(R1, R2).store(8, R10, SOURCE, R1);
  a.again("environment step", R6, Math.ceil(place.limit / ENVIRONMENT_STEP), "environment read");
  a.label("environment read");
}
