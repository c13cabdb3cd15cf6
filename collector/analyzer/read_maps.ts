/**
 * The memory map of one process, by its pid and the tick of its start: a pid may be another's by now.
 *
 * The kernel tells it only who may trace the process: its own user, and who holds CAP_SYS_PTRACE. The read can wait for a
 * process that changes its memory, so it is made on a thread of the pool.
 *
 * @module
 */
import type { FactRow, StageRequest } from "../../proto/analysis/stage.ts";
import type { FileCalls } from "../hasher/file_calls.ts";
import { parseMaps } from "./memory_maps.ts";
import { StageFailure } from "./read_file.ts";

/** Of the text so much is read: some 60,000 mappings. */
const MAX_MAPS_BYTES = 8 << 20;
const MAX_STAT_BYTES = 4_096;

/** @throws {StageFailure} */
export async function readMaps(
  { pid, startTick }: Pick<StageRequest, "pid" | "startTick">,
  calls: FileCalls,
  signal: AbortSignal,
): Promise<FactRow> {
  const isSame = async (): Promise<void> => {
    const stat = await readText(`/proc/${pid}/stat`, MAX_STAT_BYTES, calls, signal);
    const tick = stat === null ? null : startOf(stat);
    if (tick === null) throw new StageFailure("NOT_READ", "The process has ended");
    if (startTick !== null && tick !== startTick) {
      throw new StageFailure("REPLACED", "The pid is another process' by now");
    }
  };
  await isSame();
  const text = await readText(`/proc/${pid}/maps`, MAX_MAPS_BYTES, calls, signal);
  if (text === null) {
    throw new StageFailure(
      "NOT_READ",
      "The kernel does not tell this analyser of that memory: it lacks CAP_SYS_PTRACE",
    );
  }
  await isSame();
  const maps = parseMaps(text);
  return {
    mappings: maps.mappings,
    writable_code: maps.writableCode,
    anonymous_code: maps.anonymousCode,
    stray_code_bytes: maps.strayCodeBytes,
    deleted_code: maps.deletedCode,
    memfd_code: maps.memfdCode,
    code_files: maps.codeFiles,
    suspicious: JSON.stringify(maps.named),
    is_cut: Number(maps.isCut),
  };
}

/** Field 22 of `/proc/PID/stat`; the name before it may hold anything. */
function startOf(stat: string): number | null {
  const field = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return field !== undefined && /^\d{1,19}$/.test(field) ? Number(field) : null;
}

/** `null` when it cannot be opened or read. */
async function readText(path: string, most: number, calls: FileCalls, signal: AbortSignal): Promise<string | null> {
  const handle = await calls.name(path);
  if (handle < 0) return null;
  let file = -1;
  try {
    file = await calls.open(handle);
    if (file < 0) return null;
    const decoder = new TextDecoder();
    let text = "", length = 0;
    while (length < most) {
      const count = await calls.read(file);
      if (signal.aborted) throw new StageFailure("TIMED_OUT", "It was given up while the process was read");
      if (count < 0) return null;
      if (count === 0) break;
      text += decoder.decode(calls.chunk.subarray(0, count), { stream: true });
      length += count;
    }
    return text;
  } finally {
    if (file >= 0) await calls.close(file);
    await calls.close(handle);
  }
}
