/**
 * Process tables as bytes, in straight-line code like `event_codec.ts` and with the same checks.
 *
 * The format is that of `Snapshot` in `eventbus.proto`. What decoding returns holds no part of the bytes it was given.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { FieldWriter } from "./field_writer.ts";
import { MAX_ARGV_BYTES, type ProcessState } from "./process_event.ts";
import { executableKind, readContext, writeContext } from "./context_codec.ts";
import { WireError } from "./wire_error.ts";
import {
  checkSequences,
  overrun,
  readBytes,
  readDouble,
  readEnd,
  readText,
  readU53,
  skipUnknown,
  tooMany,
  writeArgv,
  writeDouble,
  writeId,
  writeName,
  writeText,
  writeU53,
} from "./wire_fields.ts";

/** Most processes of one part. */
export const MAX_PART_PROCESSES = 1_000;

export interface SnapshotPart {
  readonly sequence: number;
  readonly time: number;
  readonly part: number;
  readonly last: boolean;
  readonly processes: readonly ProcessState[];
}

export function writeSnapshot(w: FieldWriter, part: SnapshotPart): void {
  checkSequences(part.sequence, 1);
  if (part.processes.length > MAX_PART_PROCESSES) throw tooMany("processes", MAX_PART_PROCESSES);
  writeU53(w, 9, part.sequence);
  writeU53(w, 17, part.time);
  w.uint32(24).uint32(part.part);
  w.uint32(32).bool(part.last);
  for (const process of part.processes) {
    w.uint32(42).fork();
    writeState(w, process);
    w.join();
  }
}

/** @throws WireError or what the reader throws on bytes that are no message. */
export function readSnapshot(body: Uint8Array): SnapshotPart {
  const r = new BinaryReader(body);
  const processes: ProcessState[] = [];
  let sequence = 0, time = 0, part = 0, last = false;
  while (r.pos < r.len) {
    const tag = r.uint32();
    switch (tag) {
      case 9:
        sequence = readU53(r, tag);
        break;
      case 17:
        time = readU53(r, tag);
        break;
      case 24:
        part = r.uint32();
        break;
      case 32:
        last = r.bool();
        break;
      case 42:
        if (processes.length === MAX_PART_PROCESSES) throw tooMany("processes", MAX_PART_PROCESSES);
        processes.push(readState(r, readEnd(r, r.len)));
        break;
      default:
        skipUnknown(r, tag);
    }
  }
  checkSequences(sequence, 1);
  return { sequence, time, part, last, processes };
}

// A tag is the field's number times 8 plus its wire type: 0 varint, 1 eight bytes, 2 length and bytes.

function writeState(w: FieldWriter, p: ProcessState): void {
  writeText(w, 10, p.execId);
  if (p.parentExecId !== null) writeText(w, 18, p.parentExecId);
  w.uint32(24).uint32(p.pid);
  if (p.ppid !== null) w.uint32(32).uint32(p.ppid);
  writeName(w, 42, p.name);
  if (p.executablePath !== null) writeName(w, 50, p.executablePath);
  if (p.argv !== null) writeArgv(w, 58, p.argv);
  if (p.argvLength !== null) w.uint32(64).uint32(p.argvLength);
  if (p.userId !== null) w.uint32(72).uint32(p.userId);
  if (p.userName !== null) writeName(w, 82, p.userName);
  if (p.effectiveUserId !== null) w.uint32(88).uint32(p.effectiveUserId);
  if (p.startTime !== null) writeU53(w, 97, p.startTime);
  if (p.cpuTimeMs !== null) writeDouble(w, 105, p.cpuTimeMs);
  writeId(w, 113, p.memoryUsage);
  writeText(w, 122, p.status);
  w.uint32(128).bool(p.kernelThread);
  if (p.groupId !== null) w.uint32(136).uint32(p.groupId);
  if (p.namespacePid !== null) w.uint32(144).uint32(p.namespacePid);
  if (p.threads !== null) w.uint32(152).uint32(p.threads);
  if (p.executableKind !== null) writeText(w, 162, p.executableKind);
  if (p.context !== null) {
    w.uint32(170).fork();
    writeContext(w, p.context);
    w.join();
  }
}

function readState(r: BinaryReader, end: number): ProcessState {
  const p = blankProcessState();
  while (r.pos < end) {
    const tag = r.uint32();
    switch (tag) {
      case 10:
        p.execId = readText(r, tag);
        break;
      case 18:
        p.parentExecId = readText(r, tag);
        break;
      case 24:
        p.pid = r.uint32();
        break;
      case 32:
        p.ppid = r.uint32();
        break;
      case 42:
        p.name = readText(r, tag);
        break;
      case 50:
        p.executablePath = readText(r, tag);
        break;
      case 58:
        p.argv = readBytes(r, tag, MAX_ARGV_BYTES);
        break;
      case 64:
        p.argvLength = r.uint32();
        break;
      case 72:
        p.userId = r.uint32();
        break;
      case 82:
        p.userName = readText(r, tag);
        break;
      case 88:
        p.effectiveUserId = r.uint32();
        break;
      case 97:
        p.startTime = readU53(r, tag);
        break;
      case 105:
        p.cpuTimeMs = readDouble(r, tag);
        break;
      case 113:
        p.memoryUsage = readU53(r, tag);
        break;
      case 122:
        p.status = readText(r, tag);
        break;
      case 128:
        p.kernelThread = r.bool();
        break;
      case 136:
        p.groupId = r.uint32();
        break;
      case 144:
        p.namespacePid = r.uint32();
        break;
      case 152:
        p.threads = r.uint32();
        break;
      case 162:
        p.executableKind = executableKind(readText(r, tag));
        break;
      case 170:
        p.context = readContext(r, readEnd(r, end));
        break;
      default:
        skipUnknown(r, tag);
    }
  }
  if (r.pos !== end) throw overrun("process");
  if (p.execId === "") throw new WireError("A process of a snapshot names no execution");
  return p;
}

/** A process with nothing known. */
export function blankProcessState(): ProcessState {
  return {
    execId: "",
    parentExecId: null,
    pid: 0,
    ppid: null,
    name: "",
    executablePath: null,
    argv: null,
    argvLength: null,
    userId: null,
    userName: null,
    effectiveUserId: null,
    groupId: null,
    namespacePid: null,
    startTime: null,
    cpuTimeMs: null,
    memoryUsage: null,
    threads: null,
    executableKind: null,
    context: null,
    status: "",
    kernelThread: false,
  };
}
