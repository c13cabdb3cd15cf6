/**
 * The circumstances of a process as bytes: what events and process tables share. Format: `ProcessContext` in
 * `eventbus.proto`.
 *
 * @module
 */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import type { FieldWriter } from "./field_writer.ts";
import {
  BLANK_CONTEXT,
  EXECUTABLE_KINDS,
  type ExecutableKind,
  type ProcessContext,
  STDIO_KINDS,
  type StdioKind,
} from "./process_event.ts";
import { WireError } from "./wire_error.ts";
import {
  overrun,
  readText,
  readU53,
  skipUnknown,
  writeEnvironment,
  writeId,
  writeName,
  writeText,
} from "./wire_fields.ts";

// A tag is the field's number times 8 plus its wire type: 0 varint, 1 eight bytes, 2 length and bytes.

/** Whether anything is known of a context. */
export function isKnown(context: ProcessContext): boolean {
  for (const field in context) if (context[field as keyof ProcessContext] !== null) return true;
  return false;
}

/** Writes the fields of a context; whoever calls puts the tag and the length around them. */
export function writeContext(w: FieldWriter, c: ProcessContext): void {
  if (c.cwd !== null) writeName(w, 10, c.cwd);
  if (c.effectiveUserName !== null) writeName(w, 18, c.effectiveUserName);
  if (c.groupName !== null) writeName(w, 26, c.groupName);
  if (c.savedUserId !== null) w.uint32(32).uint32(c.savedUserId);
  if (c.effectiveGroupId !== null) w.uint32(40).uint32(c.effectiveGroupId);
  if (c.savedGroupId !== null) w.uint32(48).uint32(c.savedGroupId);
  if (c.loginUserId !== null) w.uint32(56).uint32(c.loginUserId);
  if (c.sessionId !== null) w.uint32(64).uint32(c.sessionId);
  if (c.tty !== null) writeName(w, 74, c.tty);
  writeId(w, 81, c.effectiveCapabilities);
  if (c.userNamespace !== null) w.uint32(88).uint32(c.userNamespace);
  if (c.pidNamespace !== null) w.uint32(96).uint32(c.pidNamespace);
  if (c.mountNamespace !== null) w.uint32(104).uint32(c.mountNamespace);
  if (c.networkNamespace !== null) w.uint32(112).uint32(c.networkNamespace);
  if (c.cgroupPath !== null) writeName(w, 122, c.cgroupPath);
  writeId(w, 129, c.cgroupId);
  if (c.containerId !== null) writeName(w, 138, c.containerId);
  if (c.containerRuntime !== null) writeName(w, 146, c.containerRuntime);
  if (c.podId !== null) writeName(w, 154, c.podId);
  if (c.interpreterPath !== null) writeName(w, 162, c.interpreterPath);
  if (c.scriptPath !== null) writeName(w, 170, c.scriptPath);
  if (c.stdinKind !== null) writeText(w, 178, c.stdinKind);
  if (c.stdoutKind !== null) writeText(w, 186, c.stdoutKind);
  if (c.environment !== null) writeEnvironment(w, 194, c.environment);
}

/** Reads the fields of a context up to `end`. */
export function readContext(r: BinaryReader, end: number): ProcessContext {
  const c: { -readonly [Name in keyof ProcessContext]: ProcessContext[Name] } = { ...BLANK_CONTEXT };
  while (r.pos < end) {
    const tag = r.uint32();
    switch (tag) {
      case 10:
        c.cwd = readText(r, tag);
        break;
      case 18:
        c.effectiveUserName = readText(r, tag);
        break;
      case 26:
        c.groupName = readText(r, tag);
        break;
      case 32:
        c.savedUserId = r.uint32();
        break;
      case 40:
        c.effectiveGroupId = r.uint32();
        break;
      case 48:
        c.savedGroupId = r.uint32();
        break;
      case 56:
        c.loginUserId = r.uint32();
        break;
      case 64:
        c.sessionId = r.uint32();
        break;
      case 74:
        c.tty = readText(r, tag);
        break;
      case 81:
        c.effectiveCapabilities = readU53(r, tag);
        break;
      case 88:
        c.userNamespace = r.uint32();
        break;
      case 96:
        c.pidNamespace = r.uint32();
        break;
      case 104:
        c.mountNamespace = r.uint32();
        break;
      case 112:
        c.networkNamespace = r.uint32();
        break;
      case 122:
        c.cgroupPath = readText(r, tag);
        break;
      case 129:
        c.cgroupId = readU53(r, tag);
        break;
      case 138:
        c.containerId = readText(r, tag);
        break;
      case 146:
        c.containerRuntime = readText(r, tag);
        break;
      case 154:
        c.podId = readText(r, tag);
        break;
      case 162:
        c.interpreterPath = readText(r, tag);
        break;
      case 170:
        c.scriptPath = readText(r, tag);
        break;
      case 178:
        c.stdinKind = stdioKind(readText(r, tag));
        break;
      case 186:
        c.stdoutKind = stdioKind(readText(r, tag));
        break;
      case 194:
        c.environment = readText(r, tag);
        break;
      default:
        skipUnknown(r, tag);
    }
  }
  if (r.pos !== end) throw overrun("context");
  return c;
}

function stdioKind(text: string): StdioKind {
  return STDIO_KINDS.find((kind) => kind === text) ?? unknown("kind of stream");
}

export function executableKind(text: string): ExecutableKind {
  return EXECUTABLE_KINDS.find((kind) => kind === text) ?? unknown("kind of executable");
}

function unknown(what: string): never {
  throw new WireError(`A process has an unknown ${what}`);
}
