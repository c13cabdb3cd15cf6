/**
 * Finds damage in the middle of a store's write-ahead log, and keeps a copy of such a log.
 *
 * SQLite replays a log up to the first frame whose checksum is wrong, takes that for the end, and writes over the rest: it
 * cannot tell damage from a crash. But a crash leaves at most parts of single transactions behind the end, each of which
 * ends with its own commit. Frames that follow one another by their checksums over two commits or more were all valid
 * once, and were acknowledged.
 *
 * @module
 */
import { lstat } from "../files.ts";
import { FILE_MODE, syncFile } from "./database_files.ts";
import { faultOf, StoreError } from "./store_error.ts";

/** Sizes and places of the log (sqlite.org/fileformat2.html, sections 4.1 and 4.2). */
const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** A log that a reader pinned for long is not read whole: it would not fit beside everything else. */
const MAX_LOG_BYTES = 512 << 20;
const MIN_PAGE_BYTES = 512, MAX_PAGE_BYTES = 65_536;

/** What lies behind the end of a log. */
export interface LogDamage {
  /** Frames before the damage, from 1 on. */
  readonly frames: number;
  /** Commits that SQLite will not find. */
  readonly commits: number;
}

/** What is damaged in this log, `null` when nothing is, or when it is no log at all. */
export function findDamage(log: Uint8Array): LogDamage | null {
  const view = new DataView(log.buffer, log.byteOffset, log.length);
  if (log.length < LOG_HEADER_BYTES) return null;
  const littleEndian = (view.getUint32(0) & 1) === 0, pageBytes = view.getUint32(8);
  if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES) return null;
  const frameBytes = FRAME_HEADER_BYTES + pageBytes, salt = view.getBigUint64(16);
  const total = Math.floor((log.length - LOG_HEADER_BYTES) / frameBytes);
  // The header's own sum begins the chain; from there on each frame's sum is the next one's begin.
  let first = view.getUint32(24), second = view.getUint32(28);
  let valid = -1, chained = 0, commits = 0, followed = false;
  for (let frame = 0; frame < total; frame++) {
    const at = LOG_HEADER_BYTES + frame * frameBytes;
    if (view.getBigUint64(at + 8) !== salt) { // of a round before this one
      if (valid === -1) valid = frame;
      followed = false;
      chained = 0;
      continue;
    }
    if (valid === -1 || followed) {
      for (const [from, to] of [[at, at + 8], [at + FRAME_HEADER_BYTES, at + frameBytes]] as const) {
        for (let word = from; word < to; word += 8) {
          first = first + view.getUint32(word, littleEndian) + second >>> 0;
          second = second + view.getUint32(word + 4, littleEndian) + first >>> 0;
        }
      }
      if (first !== view.getUint32(at + 16) || second !== view.getUint32(at + 20)) {
        if (valid === -1) valid = frame;
        chained = 0;
      }
    }
    if (valid !== -1 && view.getUint32(at + 4) !== 0) { // the last frame of a commit
      chained += 1;
      if (chained >= 2) commits += chained === 2 ? 2 : 1;
    }
    followed = true;
    first = view.getUint32(at + 16);
    second = view.getUint32(at + 20);
  }
  return commits === 0 ? null : { frames: valid, commits };
}

/**
 * Copies the log of the store at `path` aside where it is damaged, before SQLite writes over it; says so, or `null` where
 * there is nothing to say.
 *
 * @throws StoreError when the copy cannot be made
 */
export function keepDamagedLog(path: string, now: Date): string | null {
  const log = `${path}-wal`;
  let copy = "";
  try {
    const info = lstat(log);
    if (info === null || !info.isFile || info.size > MAX_LOG_BYTES) return null;
    const bytes = Deno.readFileSync(log), damage = findDamage(bytes);
    if (damage === null) return null;
    copy = `${log}.damaged-${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
    Deno.writeFileSync(copy, bytes, { createNew: true, mode: FILE_MODE });
    syncFile(copy);
    return `the store's log ${log} is damaged after frame ${damage.frames}: at least ${damage.commits} commits behind it ` +
      `cannot be read; a copy is kept as ${copy}, and what collectors do not send again is a gap`;
  } catch (error) {
    if (copy !== "") removeQuietly(copy);
    const text = error instanceof Error ? error.message : error, kind = faultOf(error);
    throw new StoreError(
      `The damaged log ${log} cannot be copied, and is not touched: ${text}; free space on its disk, or move the store away`,
      { cause: error, kind: kind === "other" ? "read-only" : kind },
    );
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // A copy that is not whole is of no harm.
  }
}
