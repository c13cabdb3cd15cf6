/**
 * The last known process table: a file that tells the next run which processes this one knew.
 *
 * It is a stream of frames, each one `snapshot` message as on the wire, numbered from 1: first the whole table, its last
 * part marked, written beside and renamed, then what has changed since, appended before the events of the change are
 * offered to the agent. So it says what was reported up to a SIGKILL. It is not synced: after a crash of the host every
 * process of it has ended anyway. Of a process only its names, its program's path, its user and its start are kept, no
 * arguments.
 *
 * What is read is untrusted bytes. A torn end is the mark of a crash and is left out; anything else that is not as it
 * must be throws {@linkcode KnownTableError}, and the run begins as if there were no table.
 *
 * @module
 */

import { snapshotParts } from "../proto/batches.ts";
import { encodeFrame, FrameReader } from "../proto/frame.ts";
import { processOfExec } from "../proto/identity.ts";
import type { ProcessState } from "../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../proto/wire.ts";
import { readExecId } from "./exec_names.ts";

/** Some 500,000 processes. */
const MAX_KNOWN_BYTES = 134_217_728;
/** Appended bytes up to which it is not worth writing a small table anew. */
const LEAST_APPENDED = 262_144;

/** `ProcessState.status` of an entry that ends a process, and of a process whose disguise was reported. */
export const ENDED = "ended", SUSPECTED = "suspected";

/** The file holds something else than a last known table. */
export class KnownTableError extends Error {
  override name = "KnownTableError";
}

export interface KnownTable {
  /** First part of the boot id: see `identity.ts`. */
  readonly bootTag: string;
  /** Milliseconds since boot of the last change. */
  readonly time: number;
  /** By pid. */
  readonly processes: ReadonlyMap<number, ProcessState>;
}

/** The table of the last run, `null` when there is none. @throws {KnownTableError} */
export function readKnownTable(path: string): KnownTable | null {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw asKnownTableError(error);
  }
  try {
    if (file.statSync().size > MAX_KNOWN_BYTES) throw new KnownTableError(`it is larger than ${MAX_KNOWN_BYTES} bytes`);
    return read(file);
  } catch (error) {
    throw asKnownTableError(error);
  } finally {
    file.close();
  }
}

function read(file: Deno.FsFile): KnownTable | null {
  const reader = new FrameReader();
  const table = new TableReader();
  // Bounded also when it grows meanwhile.
  for (let total = 0; total <= MAX_KNOWN_BYTES;) {
    const count = file.readSync(reader.space());
    if (count === null) return table.result();
    reader.filled(count);
    total += count;
    for (let payload = reader.next(); payload !== null; payload = reader.next()) table.take(payload);
  }
  throw new KnownTableError(`it is larger than ${MAX_KNOWN_BYTES} bytes`);
}

/** Puts a table together from the messages of its file. */
class TableReader {
  readonly #processes = new Map<number, ProcessState>();
  #sequence = 0;
  #isWhole = false;
  #time = 0;
  #bootTag: string | null = null;

  take(payload: Uint8Array): void {
    const message = decodeMessage(payload);
    if (message.kind !== "snapshot") throw new KnownTableError(`it holds a message of another kind, ${message.kind}`);
    if (message.sequence !== ++this.#sequence) throw new KnownTableError("a part of it is missing");
    this.#isWhole ||= message.last;
    this.#time = message.time;
    for (const state of message.processes) this.#apply(state);
  }

  result(): KnownTable | null {
    if (!this.#isWhole || this.#bootTag === null) return null;
    return { bootTag: this.#bootTag, time: this.#time, processes: this.#processes };
  }

  #apply(state: ProcessState): void {
    const name = readExecId(state.execId);
    if (name === null || name.pid !== state.pid) throw new KnownTableError("it names a process as none is named");
    this.#bootTag ??= name.bootTag;
    if (name.bootTag !== this.#bootTag) throw new KnownTableError("it names processes of two boots");
    if (state.status !== ENDED) return void this.#processes.set(state.pid, state);
    const known = this.#processes.get(state.pid);
    // Another may have the pid already.
    if (known !== undefined && processOfExec(known.execId) === processOfExec(state.execId)) {
      this.#processes.delete(state.pid);
    }
  }
}

/** The file as this run writes it. */
export class KnownFile {
  readonly #path: string;
  #file: Deno.FsFile | null = null;
  #sequence = 0;
  #tableBytes = 0;
  #appendedBytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether the whole table is to be written: nothing can be appended, or much has been. */
  get isDue(): boolean {
    return this.#file === null || this.#appendedBytes > Math.max(LEAST_APPENDED, this.#tableBytes);
  }

  /**
   * Writes the whole table, known at `time` (milliseconds since boot).
   *
   * @throws Deno.errors, RangeError; then there is no table until the next call.
   */
  replace(processes: readonly ProcessState[], time: number): void {
    this.close();
    const fresh = `${this.#path}.new`;
    try {
      const file = Deno.openSync(fresh, { write: true, create: true, truncate: true, mode: 0o600 });
      this.#file = file;
      this.#sequence = this.#appendedBytes = 0;
      this.#tableBytes = this.#write(processes, time);
      Deno.renameSync(fresh, this.#path);
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  /** Writes what has changed. Does nothing when there is no table to append to. @throws as {@linkcode replace} */
  append(changes: readonly ProcessState[], time: number): void {
    if (this.#file === null || changes.length === 0) return;
    try {
      this.#appendedBytes += this.#write(changes, time);
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #write(processes: readonly ProcessState[], time: number): number {
    let bytes = 0;
    const parts = [...snapshotParts(processes)];
    for (const [part, slice] of parts.entries()) {
      const sequence = ++this.#sequence, last = part === parts.length - 1;
      const frame = encodeFrame(encodeMessage({ kind: "snapshot", sequence, time, part, last, processes: slice }));
      bytes += frame.length;
      if (this.#tableBytes + this.#appendedBytes + bytes > MAX_KNOWN_BYTES) {
        throw new RangeError(`The last known table takes more than ${MAX_KNOWN_BYTES} bytes`);
      }
      for (let at = 0; at < frame.length;) at += this.#file!.writeSync(frame.subarray(at));
    }
    return bytes;
  }

  /** A table that is not what was known would tell the next run of starts and ends that were none. */
  #abandon(): void {
    this.close();
    for (const path of [this.#path, `${this.#path}.new`]) {
      try {
        Deno.removeSync(path);
      } catch {
        // it is not there, or what keeps it from being written keeps it from being removed
      }
    }
  }
}

function asKnownTableError(error: unknown): KnownTableError {
  if (error instanceof KnownTableError) return error;
  return new KnownTableError(error instanceof Error ? error.message : String(error), { cause: error });
}
