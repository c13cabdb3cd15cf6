/**
 * What is remembered of hashes beyond the life of a collector: what each path brought the last time, and when package
 * managers ran. So a program that was changed while no collector looked is told as changed.
 *
 * A file of the collector's own, of frames, each one record: first all of it, written beside and renamed, then what is
 * new, appended. It is written after the event of a change was handed on: a crash between them tells the change twice, and
 * never not at all. It is not synced: a crash of the host may cost what was learned in the last half minute, or damage it.
 * What is read is untrusted bytes: a torn end is the mark of a crash and is left out; anything else that is not as it must
 * be throws {@linkcode HashMemoryError}, and the run begins as if there were no file, which it says.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { FieldWriter } from "../proto/field_writer.ts";
import { encodeFrame, FrameReader } from "../proto/frame.ts";
import { WireError } from "../proto/wire_error.ts";
import { readDouble, readText, writeDouble, writeText } from "../proto/wire_fields.ts";
import { MAX_FUZZY_LENGTH } from "./hasher/fuzzy_hash.ts";
import { HASH_TEXT, MAX_PATH_BYTES } from "./hasher/protocol.ts";
import type { ManagerRun } from "./package_managers.ts";

/** More than all that is remembered takes, with what may be appended to it. */
const MAX_MEMORY_BYTES = 104_857_600;
/** Appended bytes after which all of it is written anew, which holds up events for as long as it takes. */
const MAX_APPENDED_BYTES = 8_388_608;

/** What one version of a file is. */
export interface KnownHash {
  readonly hash: string;
  readonly fuzzyHash: string | null;
}

export type HashRecord =
  | { readonly kind: "path"; readonly path: string; readonly known: KnownHash }
  | { readonly kind: "manager"; readonly run: ManagerRun };

/** The file holds something else than hashes that are remembered. */
export class HashMemoryError extends Error {
  override name = "HashMemoryError";
}

/** Everything in the file, in its order; the last record of a path is the one that counts. @throws {HashMemoryError} */
export function readHashMemory(path: string): HashRecord[] {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw asMemoryError(error);
  }
  try {
    const reader = new FrameReader(MAX_RECORD_BYTES), records: HashRecord[] = [];
    for (let total = 0; total <= MAX_MEMORY_BYTES;) {
      const count = file.readSync(reader.space());
      if (count === null) return records;
      reader.filled(count);
      total += count;
      for (let payload = reader.next(); payload !== null; payload = reader.next()) {
        records.push(decodeHashRecord(payload));
      }
    }
    throw new HashMemoryError(`it is larger than ${MAX_MEMORY_BYTES} bytes`);
  } catch (error) {
    throw asMemoryError(error);
  } finally {
    file.close();
  }
}

/** The file as this run writes it. */
export class HashMemoryFile {
  readonly #path: string;
  #file: Deno.FsFile | null = null;
  #appendedBytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether all of it is to be written: nothing can be appended, or much has been. */
  get isDue(): boolean {
    return this.#file === null || this.#appendedBytes > MAX_APPENDED_BYTES;
  }

  /** Writes all of it. @throws Deno.errors; what stood there before stays */
  replace(records: Iterable<HashRecord>): void {
    this.close();
    const fresh = `${this.#path}.new`;
    try {
      this.#file = Deno.openSync(fresh, { write: true, create: true, truncate: true, mode: 0o600 });
      this.#appendedBytes = 0;
      this.#write(records);
      Deno.renameSync(fresh, this.#path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Writes what is new. @throws Deno.errors; then all of it is due */
  append(records: Iterable<HashRecord>): void {
    try {
      this.#appendedBytes += this.#write(records);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #write(records: Iterable<HashRecord>): number {
    const frames = [...records].map((record) => encodeFrame(encodeHashRecord(record)));
    const bytes = new Uint8Array(frames.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const frame of frames) {
      bytes.set(frame, end);
      end += frame.length;
    }
    for (let at = 0; at < end;) at += this.#file!.writeSync(bytes.subarray(at));
    return end;
  }
}

const RECORD_BYTES = 512, MAX_RECORD_BYTES = 8_192, MAX_NAME_LENGTH = 64;
const PATH_RECORD = 1, MANAGER_RECORD = 2;
const VARINT = 0, FIXED64 = 1, TEXT = 2;
const PATH = 1 << 3 | TEXT, HASH = 2 << 3 | TEXT, FUZZY_HASH = 3 << 3 | TEXT;
const NAME = 1 << 3 | TEXT, PID = 2 << 3 | VARINT, FROM = 3 << 3 | FIXED64, TO = 4 << 3 | FIXED64;

export function encodeHashRecord(record: HashRecord): Uint8Array<ArrayBuffer> {
  const w = new FieldWriter(RECORD_BYTES);
  if (record.kind === "path") {
    const { path, known: { hash, fuzzyHash } } = record;
    w.uint32(PATH_RECORD);
    writeText(w, PATH, path);
    writeText(w, HASH, hash);
    if (fuzzyHash !== null) writeText(w, FUZZY_HASH, fuzzyHash);
  } else {
    const { name, pid, from, to } = record.run;
    w.uint32(MANAGER_RECORD);
    writeText(w, NAME, name);
    w.uint32(PID).uint32(pid);
    writeDouble(w, FROM, from);
    writeDouble(w, TO, to);
  }
  return w.finish();
}

/** @throws {WireError} */
export function decodeHashRecord(payload: Uint8Array): HashRecord {
  const r = new BinaryReader(payload);
  try {
    const kind = r.uint32();
    if (kind !== PATH_RECORD && kind !== MANAGER_RECORD) throw new WireError(`There is no record of kind ${kind}`);
    const record = kind === PATH_RECORD ? readPath(r) : readRun(r);
    if (r.pos > r.len) throw new WireError("A field goes beyond the end of its record");
    return record;
  } catch (error) {
    if (error instanceof WireError) throw error;
    throw new WireError(`A record ends too early or is damaged: ${error instanceof Error ? error.message : error}`);
  }
}

function readPath(r: BinaryReader): HashRecord {
  let path = "", hash = "", fuzzyHash: string | null = null;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === PATH) path = readText(r, tag);
    else if (tag === HASH) hash = readText(r, tag);
    else if (tag === FUZZY_HASH) fuzzyHash = readText(r, tag);
    else throw new WireError(`A record has no field with tag ${tag}`);
  }
  if (!path.startsWith("/") || path.length >= MAX_PATH_BYTES) throw new WireError("A record is of no absolute path");
  if (!HASH_TEXT.test(hash)) throw new WireError("A record has no hash");
  if (((fuzzyHash as string | null)?.length ?? 0) > MAX_FUZZY_LENGTH) throw new WireError("A fuzzy hash is too long");
  return { kind: "path", path, known: { hash, fuzzyHash } };
}

function readRun(r: BinaryReader): HashRecord {
  let name = "", pid = 0, from = NaN, to = NaN;
  while (r.pos < r.len) {
    const tag = r.uint32();
    if (tag === NAME) name = readText(r, tag);
    else if (tag === PID) pid = r.uint32();
    else if (tag === FROM) from = readDouble(r, tag);
    else if (tag === TO) to = readDouble(r, tag);
    else throw new WireError(`A record has no field with tag ${tag}`);
  }
  if (name === "" || name.length > MAX_NAME_LENGTH || !(from >= 0 && from <= to && to < Infinity)) {
    throw new WireError("A record is of no run of a package manager");
  }
  return { kind: "manager", run: { name, pid, from, to } };
}

function asMemoryError(error: unknown): HashMemoryError {
  if (error instanceof HashMemoryError) return error;
  return new HashMemoryError(error instanceof Error ? error.message : String(error), { cause: error });
}
