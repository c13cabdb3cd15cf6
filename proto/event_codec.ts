/**
 * Batches of events as bytes: the message that comes by the thousand, in straight-line code.
 *
 * The format is that of `EventBatch` in `eventbus.proto`; the generated code reads what this writes and
 * the other way round, at several times the cost. Decoding checks what the wire format leaves open: counts, lengths,
 * enumerations, numbers that a double cannot hold. What it returns holds no part of the bytes it was given.
 *
 * @module
 */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import { FieldReader } from "./field_reader.ts";
import type { FieldWriter } from "./field_writer.ts";
import {
  blankProcessEvent,
  MAX_ARGV_BYTES,
  PROCESS_EVENT_KINDS,
  type ProcessEvent,
  SEVERITIES,
} from "./process_event.ts";
import { executableKind, isKnown, writeContext } from "./context_codec.ts";
import { contextAt } from "./context_cache.ts";
import { WireError } from "./wire_error.ts";
import {
  checkSequences,
  overrun,
  readDouble,
  readEnd,
  readText,
  readU53,
  skipUnknown,
  tooMany,
  viewBytes,
  writeArgv,
  writeDouble,
  writeId,
  writeLine,
  writeName,
  writeText,
  writeU53,
} from "./wire_fields.ts";

/** Most events of one batch. */
export const MAX_BATCH_EVENTS = 4_096;
/** Most names in an event's list of modified fields. */
const MAX_MODIFIED_FIELDS = 64;

export interface EventBatch {
  readonly firstSequence: number;
  readonly events: readonly ProcessEvent[];
}

export function writeEventBatch(w: FieldWriter, batch: EventBatch): void {
  checkSequences(batch.firstSequence, batch.events.length);
  if (batch.events.length > MAX_BATCH_EVENTS) throw tooMany("events", MAX_BATCH_EVENTS);
  writeU53(w, 9, batch.firstSequence);
  for (const event of batch.events) {
    w.uint32(18).fork();
    writeEvent(w, event);
    w.join();
  }
}

/** @throws WireError or what the reader throws on bytes that are no message. */
export function readEventBatch(body: Uint8Array): EventBatch {
  // One copy for the arguments of all: memory of its own for each would cost more than all else of an event.
  const bytes = body.slice(), r = new FieldReader(bytes);
  const events: ProcessEvent[] = [];
  let firstSequence = 0;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === 18) {
      if (events.length === MAX_BATCH_EVENTS) throw tooMany("events", MAX_BATCH_EVENTS);
      events.push(readEvent(r, bytes, readEnd(r, r.len)));
    } else if (tag === 9) firstSequence = readU53(r, tag);
    else skipUnknown(r, tag);
  }
  checkSequences(firstSequence, events.length);
  return { firstSequence, events };
}

// In what follows a tag is the field's number times 8 plus its wire type: 0 varint, 1 eight bytes, 2 length and bytes.

function writeEvent(w: FieldWriter, e: ProcessEvent): void {
  w.uint32(8).uint32(PROCESS_EVENT_KINDS.indexOf(e.kind) + 1);
  writeU53(w, 17, e.time);
  writeText(w, 26, e.execId);
  if (e.parentExecId !== null) writeText(w, 34, e.parentExecId);
  w.uint32(40).uint32(e.pid);
  if (e.ppid !== null) w.uint32(48).uint32(e.ppid);
  writeName(w, 58, e.name);
  if (e.executablePath !== null) writeName(w, 66, e.executablePath);
  if (e.argv !== null) writeArgv(w, 74, e.argv);
  if (e.argvLength !== null) w.uint32(80).uint32(e.argvLength);
  if (e.userId !== null) w.uint32(88).uint32(e.userId);
  if (e.userName !== null) writeName(w, 98, e.userName);
  if (e.effectiveUserId !== null) w.uint32(104).uint32(e.effectiveUserId);
  if (e.startTime !== null) writeU53(w, 113, e.startTime);
  writeText(w, 122, e.source);
  if (e.groupId !== null) w.uint32(128).uint32(e.groupId);
  if (e.namespacePid !== null) w.uint32(136).uint32(e.namespacePid);
  if (e.endTime !== null) writeU53(w, 169, e.endTime);
  if (e.durationMs !== null) writeDouble(w, 177, e.durationMs);
  if (e.exitCode !== null) w.uint32(184).uint32(e.exitCode);
  if (e.exitSignal !== null) w.uint32(192).uint32(e.exitSignal);
  if (e.cpuTimeMs !== null) writeDouble(w, 201, e.cpuTimeMs);
  writeId(w, 209, e.memoryUsage);
  if (e.executableHash !== null) writeName(w, 218, e.executableHash);
  if (e.hashAlgorithm !== null) writeName(w, 226, e.hashAlgorithm);
  if (e.fuzzyHash !== null) writeName(w, 234, e.fuzzyHash);
  if (e.fileExists !== null) w.uint32(240).bool(e.fileExists);
  if (e.onDiskMismatch !== null) w.uint32(248).bool(e.onDiskMismatch);
  if (e.accessible !== null) w.uint32(256).bool(e.accessible);
  if (e.parentName !== null) writeName(w, 266, e.parentName);
  if (e.parentExecutablePath !== null) writeName(w, 274, e.parentExecutablePath);
  if (e.parentCommandLine !== null) writeLine(w, 282, e.parentCommandLine);
  if (e.executableKind !== null) writeText(w, 290, e.executableKind);
  // One in which nothing is known is not told apart from none by a row, of which the ledger makes the event again.
  if (e.context !== null && isKnown(e.context)) {
    w.uint32(298).fork();
    writeContext(w, e.context);
    w.join();
  }
  writeId(w, 313, e.inode);
  if (e.device !== null) w.uint32(320).uint32(e.device);
  for (const field of e.modifiedFields) writeText(w, 354, field);
  if (e.reason !== null) writeName(w, 362, e.reason);
  if (e.severity !== null) w.uint32(368).uint32(SEVERITIES.indexOf(e.severity));
}

function readEvent(r: BinaryReader, bytes: Uint8Array, end: number): ProcessEvent {
  const e = blankProcessEvent("start", 0, "", 0);
  const modified: string[] = [];
  let kind = 0;
  while (r.pos < end) {
    const tag = r.uint32();
    switch (tag) {
      case 8:
        kind = r.uint32();
        break;
      case 17:
        e.time = readU53(r, tag);
        break;
      case 26:
        e.execId = readText(r, tag);
        break;
      case 34:
        e.parentExecId = readText(r, tag);
        break;
      case 40:
        e.pid = r.uint32();
        break;
      case 48:
        e.ppid = r.uint32();
        break;
      case 58:
        e.name = readText(r, tag);
        break;
      case 66:
        e.executablePath = readText(r, tag);
        break;
      case 74:
        e.argv = viewBytes(r, tag, MAX_ARGV_BYTES);
        break;
      case 80:
        e.argvLength = r.uint32();
        break;
      case 88:
        e.userId = r.uint32();
        break;
      case 98:
        e.userName = readText(r, tag);
        break;
      case 104:
        e.effectiveUserId = r.uint32();
        break;
      case 113:
        e.startTime = readU53(r, tag);
        break;
      case 122:
        e.source = readText(r, tag);
        break;
      case 128:
        e.groupId = r.uint32();
        break;
      case 136:
        e.namespacePid = r.uint32();
        break;
      case 169:
        e.endTime = readU53(r, tag);
        break;
      case 177:
        e.durationMs = readDouble(r, tag);
        break;
      case 184:
        e.exitCode = r.uint32();
        break;
      case 192:
        e.exitSignal = r.uint32();
        break;
      case 201:
        e.cpuTimeMs = readDouble(r, tag);
        break;
      case 209:
        e.memoryUsage = readU53(r, tag);
        break;
      case 218:
        e.executableHash = readText(r, tag);
        break;
      case 226:
        e.hashAlgorithm = readText(r, tag);
        break;
      case 234:
        e.fuzzyHash = readText(r, tag);
        break;
      case 240:
        e.fileExists = r.bool();
        break;
      case 248:
        e.onDiskMismatch = r.bool();
        break;
      case 256:
        e.accessible = r.bool();
        break;
      case 266:
        e.parentName = readText(r, tag);
        break;
      case 274:
        e.parentExecutablePath = readText(r, tag);
        break;
      case 282:
        e.parentCommandLine = readText(r, tag);
        break;
      case 290:
        e.executableKind = executableKind(readText(r, tag));
        break;
      case 298:
        e.context = contextAt(r, bytes, readEnd(r, end));
        break;
      case 313:
        e.inode = readU53(r, tag);
        break;
      case 320:
        e.device = r.uint32();
        break;
      case 354:
        if (modified.length === MAX_MODIFIED_FIELDS) throw tooMany("modified fields", MAX_MODIFIED_FIELDS);
        modified.push(readText(r, tag));
        break;
      case 362:
        e.reason = readText(r, tag);
        break;
      case 368:
        e.severity = SEVERITIES[r.uint32()] ?? unknown("severity");
        break;

      default:
        skipUnknown(r, tag);
    }
  }
  if (r.pos !== end) throw overrun("event");
  e.kind = PROCESS_EVENT_KINDS[kind - 1] ?? unknown("kind");
  if (e.execId === "") throw new WireError("An event names no execution");
  if (modified.length > 0) e.modifiedFields = modified;
  return e;
}

function unknown(what: string): never {
  throw new WireError(`An event has an unknown ${what}`);
}
