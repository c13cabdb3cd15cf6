/**
 * One file for an analysis: named, looked at, opened by its handle, read whole, looked at again.
 *
 * The same care as the hasher's, whose calls these are: nothing is opened before it is known to be a regular file, what is
 * opened is what was looked at, and no call is made on the thread of the program. Only programs are given out: what begins
 * neither as an ELF file nor with `#!` is refused, so that whoever asks learns nothing of other files.
 *
 * @module
 */
import type { StageFault, StageRequest } from "../../proto/analysis/stage.ts";
import { isSameFile, whyUnnamed } from "../hasher/file_faults.ts";
import type { FileCalls } from "../hasher/file_calls.ts";
import { isElf } from "./elf.ts";

/** Largest file that is analysed: it is read into memory. */
const MAX_FILE_BYTES = 128 << 20;

/** A stage cannot be carried out; `code` says so to programs. */
export class StageFailure extends Error {
  override name = "StageFailure";
  constructor(readonly code: StageFault, message: string) {
    super(message);
  }
}

export interface ReadFile {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly kind: "elf" | "script";
}

/** @throws {StageFailure} */
export async function readProgram(
  { path, device, inode }: Pick<StageRequest, "path" | "device" | "inode">,
  calls: FileCalls,
  signal: AbortSignal,
): Promise<ReadFile> {
  if (path === null) throw new StageFailure("FAILED", "No file is named");
  const handle = await calls.name(path);
  if (handle < 0) {
    const why = await whyUnnamed(calls, path);
    throw new StageFailure("NOT_READ", why === "missing" ? "The file is not there any more" : "It may not be read");
  }
  try {
    const facts = await calls.facts(handle);
    if (facts === null) throw new StageFailure("NOT_READ", "The file cannot be looked at");
    if (facts.kind === "link") throw new StageFailure("NOT_EXECUTABLE", "It is a link; name the file that it leads to");
    if (facts.kind !== "file") throw new StageFailure("NOT_EXECUTABLE", "It is no regular file");
    if (device !== null && inode !== null && !isSameFile(facts, device, inode)) {
      throw new StageFailure("REPLACED", "Another file stands there by now");
    }
    if (facts.size > MAX_FILE_BYTES) {
      throw new StageFailure("TOO_LARGE", `It has ${facts.size} bytes; ${MAX_FILE_BYTES} are analysed`);
    }
    const file = await calls.open(handle);
    if (file < 0) throw new StageFailure("NOT_READ", "The file may not be read");
    try {
      return await readWhole(path, file, facts.size, calls, signal);
    } finally {
      await calls.close(file);
    }
  } finally {
    await calls.close(handle);
  }
}

async function readWhole(
  path: string,
  file: number,
  size: number,
  calls: FileCalls,
  signal: AbortSignal,
): Promise<ReadFile> {
  const bytes = new Uint8Array(size);
  let length = 0, kind: ReadFile["kind"] | null = null;
  for (;;) {
    const count = await calls.read(file);
    if (signal.aborted) throw new StageFailure("TIMED_OUT", "It was given up while the file was read");
    if (count < 0) throw new StageFailure("NOT_READ", "The file cannot be read");
    if (count === 0) break;
    if (length + count > size) throw new StageFailure("REPLACED", "The file grew while it was read");
    bytes.set(calls.chunk.subarray(0, count), length);
    length += count;
    kind ??= kindOf(bytes);
    if (kind === null) break;
  }
  if (kind === null) {
    throw new StageFailure("NOT_EXECUTABLE", "It is neither an ELF file nor a script, and others are not looked at");
  }
  if (length !== size) throw new StageFailure("REPLACED", "The file shrank while it was read");
  return { path, bytes, kind };
}

function kindOf(bytes: Uint8Array): ReadFile["kind"] | null {
  if (isElf(bytes)) return "elf";
  return bytes[0] === 0x23 && bytes[1] === 0x21 ? "script" : null;
}
