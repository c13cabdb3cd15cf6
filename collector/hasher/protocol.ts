/**
 * What collector and hasher say to each other: frames over a Unix socket, each a kind and the fields of one message.
 *
 * The hasher speaks first and says what it can read. Then it is asked, and answers each question once, in whatever order.
 * Neither trusts the other further than its own user's rights: every field is checked, and what is no message throws
 * {@linkcode WireError}, which ends the connection.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { FieldWriter } from "../../proto/field_writer.ts";
import { MAX_FUZZY_LENGTH } from "./fuzzy_hash.ts";
import {
  readDouble,
  readText,
  readU53,
  skipUnknown,
  writeDouble,
  writeId,
  writeText,
} from "../../proto/wire_fields.ts";
import { WireError } from "../../proto/wire_error.ts";

/** The algorithm of all hashes here, as it stands in `hash_algorithm`. */
export const HASH_ALGORITHM = "sha256";
/** Longest payload of a frame: a path and some numbers. */
export const MAX_HASH_MESSAGE_BYTES = 16_384;
/** What the kernel takes for a path, its NUL included (PATH_MAX). */
export const MAX_PATH_BYTES = 4_096;
const MAX_GREETING_LENGTH = 1_024;

/** What can come of a file. The order is that of the wire's numbers, from 1. */
export const HASH_STATES = [
  /** All of it was read, and it did not change meanwhile. */
  "hashed",
  /** The path names nothing. */
  "missing",
  /** It may not be opened, or reading it fails. */
  "unreadable",
  /** A pipe, a device, a directory. */
  "not_regular",
  /** Larger than the limit. */
  "too_large",
  /** It did not come within the time. */
  "timed_out",
  /** The path names another file than the one that was executed. */
  "replaced",
  /** It was written to since it was executed, or while it was read. */
  "changed",
  /** It lies in another mount namespace, where the path cannot be followed. */
  "foreign",
  /** Too many wait already. */
  "busy",
] as const;
export type HashState = (typeof HASH_STATES)[number];

export interface HashRequest {
  readonly id: number;
  readonly path: string;
  /** The kernel's numbers of the file that was executed; `null` where they are not known. */
  readonly device: number | null;
  readonly inode: number | null;
  /** When its inode last changed as it was executed: see `ExecRecord.changeTime`. */
  readonly changeTime: number | null;
  /** Whether it was executed in another mount namespace than the host's. */
  readonly isForeign: boolean;
}

export interface HashAnswer {
  readonly id: number;
  readonly state: HashState;
  /** Lower-case hexadecimal; only where the state is `hashed`. */
  readonly hash: string | null;
  /** `null` also where the file is too large for one. */
  readonly fuzzyHash: string | null;
  /** When its inode last changed, as the hasher saw it; only where the state is `hashed`. */
  readonly changeTime: number | null;
  /** Whether the next file with the same device, inode and change time is surely the same. */
  readonly isSettled: boolean;
}

/** The hasher's first word. */
export interface HashGreeting {
  /** Whose rights it has, in words. */
  readonly sees: string;
  /** What it cannot read; empty when nothing. */
  readonly misses: string;
}

export type HashMessage =
  | { readonly kind: "greeting"; readonly greeting: HashGreeting }
  | { readonly kind: "request"; readonly request: HashRequest }
  | { readonly kind: "answer"; readonly answer: HashAnswer };

const GREETING = 1, REQUEST = 2, ANSWER = 3;
const VARINT = 0, FIXED64 = 1, TEXT = 2;
const tag = (field: number, type: number): number => field << 3 | type;

const SEES = tag(1, TEXT), MISSES = tag(2, TEXT);
const ID = tag(1, VARINT), PATH = tag(2, TEXT), DEVICE = tag(3, VARINT), INODE = tag(4, FIXED64);
const CHANGE_TIME = tag(5, FIXED64), FOREIGN = tag(6, VARINT);
const STATE = tag(2, VARINT), HASH = tag(3, TEXT), FUZZY_HASH = tag(4, TEXT), SETTLED = tag(5, VARINT);
const CHANGED_AT = tag(6, FIXED64);

/** Of most messages. */
const MESSAGE_BYTES = 512;

export const HASH_TEXT: RegExp = /^[0-9a-f]{64}$/;

export function encodeHashMessage(message: HashMessage): Uint8Array<ArrayBuffer> {
  const w = new FieldWriter(MESSAGE_BYTES);
  switch (message.kind) {
    case "greeting":
      w.uint32(GREETING);
      writeText(w, SEES, message.greeting.sees);
      writeText(w, MISSES, message.greeting.misses);
      break;
    case "request": {
      const { id, path, device, inode, changeTime, isForeign } = message.request;
      w.uint32(REQUEST).uint32(ID).uint32(id);
      writeText(w, PATH, path);
      if (device !== null) w.uint32(DEVICE).uint32(device);
      writeId(w, INODE, inode);
      if (changeTime !== null) writeDouble(w, CHANGE_TIME, changeTime);
      if (isForeign) w.uint32(FOREIGN).bool(true);
      break;
    }
    case "answer": {
      const { id, state, hash, fuzzyHash, changeTime, isSettled } = message.answer;
      w.uint32(ANSWER).uint32(ID).uint32(id).uint32(STATE).uint32(HASH_STATES.indexOf(state) + 1);
      if (hash !== null) writeText(w, HASH, hash);
      if (fuzzyHash !== null) writeText(w, FUZZY_HASH, fuzzyHash);
      if (isSettled) w.uint32(SETTLED).bool(true);
      if (changeTime !== null) writeDouble(w, CHANGED_AT, changeTime);
    }
  }
  return w.finish();
}

/** @throws {WireError} */
export function decodeHashMessage(payload: Uint8Array): HashMessage {
  const r = new BinaryReader(payload);
  try {
    const kind = r.uint32();
    switch (kind) {
      case GREETING:
        return { kind: "greeting", greeting: readGreeting(r) };
      case REQUEST:
        return { kind: "request", request: readRequest(r) };
      case ANSWER:
        return { kind: "answer", answer: readAnswer(r) };
      default:
        throw new WireError(`There is no message of kind ${kind} between collector and hasher`);
    }
  } catch (error) {
    if (error instanceof WireError) throw error;
    throw new WireError(`A message between collector and hasher ends too early or is damaged: ${words(error)}`);
  }
}

function readGreeting(r: BinaryReader): HashGreeting {
  let sees = "", misses = "";
  fields(r, (tag) => {
    if (tag === SEES) sees = readText(r, tag);
    else if (tag === MISSES) misses = readText(r, tag);
    else skipUnknown(r, tag);
  });
  if (Math.max(sees.length, misses.length) > MAX_GREETING_LENGTH) {
    throw new WireError("A hasher's greeting is too long");
  }
  return { sees, misses };
}

function readRequest(r: BinaryReader): HashRequest {
  let id = 0, path = "", isForeign = false;
  let device: number | null = null, inode: number | null = null, changeTime: number | null = null;
  fields(r, (tag) => {
    if (tag === ID) id = r.uint32();
    else if (tag === PATH) path = readText(r, tag);
    else if (tag === DEVICE) device = r.uint32();
    else if (tag === INODE) inode = readU53(r, tag);
    else if (tag === CHANGE_TIME) changeTime = readDouble(r, tag);
    else if (tag === FOREIGN) isForeign = r.bool();
    else skipUnknown(r, tag);
  });
  if (!isNameable(path)) throw new WireError("A hash is asked for of something that is no absolute path");
  return { id, path, device, inode, changeTime, isForeign };
}

function readAnswer(r: BinaryReader): HashAnswer {
  let id = 0, number = 0, hash: string | null = null, fuzzyHash: string | null = null, isSettled = false;
  let changeTime: number | null = null;
  fields(r, (tag) => {
    if (tag === ID) id = r.uint32();
    else if (tag === STATE) number = r.uint32();
    else if (tag === HASH) hash = readText(r, tag);
    else if (tag === FUZZY_HASH) fuzzyHash = readText(r, tag);
    else if (tag === SETTLED) isSettled = r.bool();
    else if (tag === CHANGED_AT) changeTime = readDouble(r, tag);
    else skipUnknown(r, tag);
  });
  const state = HASH_STATES[number - 1];
  if (state === undefined) throw new WireError(`There is no state of a hash with number ${number}`);
  const isHash = hash !== null && HASH_TEXT.test(hash);
  if (isHash !== (state === "hashed") || (hash !== null && !isHash)) {
    throw new WireError(`An answer of state ${state} does not fit its hash`);
  }
  if (((fuzzyHash as string | null)?.length ?? 0) > MAX_FUZZY_LENGTH) throw new WireError("A fuzzy hash is too long");
  if (changeTime !== null && hash === null) throw new WireError("An answer without a hash has a time of change");
  return { id, state, hash, fuzzyHash, changeTime, isSettled };
}

/** Whether a path can be handed to the kernel and is surely the one that the kernel gave. */
export function isNameable(path: string): boolean {
  // Bytes that are not UTF-8 came to us as U+FFFD, and are not known any more.
  return path.startsWith("/") && !path.includes("\0") && !path.includes("\ufffd") &&
    new TextEncoder().encode(path).length < MAX_PATH_BYTES;
}

function fields(r: BinaryReader, take: (tag: number) => void): void {
  while (r.pos < r.len) take(r.uint32());
  if (r.pos > r.len) throw new WireError("A field between collector and hasher goes beyond the end");
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
