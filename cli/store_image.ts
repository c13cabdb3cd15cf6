/**
 * A store that lies there without the log files beside it: one that was copied from another host by itself, or was closed
 * by another program. SQLite makes the missing files where it may, however it is opened, and fails where it may not; a
 * reader must not. So the store is read into memory, with what the log holds of committed changes, and opened there.
 *
 * The format is SQLite's (sqlite.org/fileformat2.html, sections 1.3 and 4). What does not check in the log, and what comes
 * after it, was never committed, as SQLite takes it itself.
 *
 * @module
 */
import { CommandError } from "./command.ts";
import { readProblem } from "./file_problem.ts";
import { bytes as sizeOf } from "./units.ts";

/** Store and log together; SQLite holds them a second time. */
const MAX_IMAGE_BYTES = 402_653_184;

const WAL_MODE = 2, ROLLBACK_MODE = 1;
const LOG_HEADER = 32, FRAME_HEADER = 24, LOG_MAGIC = 0x377f_0682, LOG_VERSION = 3_007_000;

/** `null` where SQLite can read the files as they are without making any. @throws CommandError */
export function storeImage(path: string): Uint8Array<ArrayBuffer> | null {
  const log = sizeIfThere(`${path}-wal`);
  if (log !== null && sizeIfThere(`${path}-shm`) !== null) return null;
  try {
    const head = beginOf(path, 20);
    if (head.length < 20 || head[18] !== WAL_MODE || head[19] !== WAL_MODE) return null;
    const size = Deno.statSync(path).size + (log ?? 0);
    if (size > MAX_IMAGE_BYTES) throw new CommandError(tooLarge(path, size));
    const store = Deno.readFileSync(path);
    const image = log === null || log === 0 ? store : withLog(store, Deno.readFileSync(`${path}-wal`));
    // It is read as one that has no log
    image.fill(ROLLBACK_MODE, 18, 20);
    return image;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`The store ${path} cannot be read: ${readProblem(error)}`, { cause: error });
  }
}

function tooLarge(path: string, size: number): string {
  return `The store ${path} lies there without its log files (-wal and -shm), and is too large to be read without them ` +
    `(${
      sizeOf(size)
    }). Copy the whole directory that it is in, or run on the copy: sqlite3 FILE 'PRAGMA journal_mode = DELETE'`;
}

/** `null` when there is no file; what else stands there, SQLite refuses. */
function sizeIfThere(path: string): number | null {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? null : 0;
  }
}

function beginOf(path: string, length: number): Uint8Array {
  using file = Deno.openSync(path);
  const begin = new Uint8Array(length);
  return begin.subarray(0, file.readSync(begin) ?? 0);
}

/** The store with the pages of all whole transactions of its log. */
export function withLog(store: Uint8Array<ArrayBuffer>, log: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  if (log.length < LOG_HEADER || (view.getUint32(0) & ~1) >>> 0 !== LOG_MAGIC || view.getUint32(4) !== LOG_VERSION) {
    return store;
  }
  const isLittle = (view.getUint32(0) & 1) === 0, pageSize = view.getUint32(8);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return store;
  const salt = view.getBigUint64(16), sum = checksum(view, 0, 24, isLittle, [0, 0]);
  if (!isSum(view, 24, sum)) return store;
  const committed = new Map<number, number>();
  let pending: [page: number, at: number][] = [], pages = 0;
  for (let at = LOG_HEADER; at + FRAME_HEADER + pageSize <= log.length; at += FRAME_HEADER + pageSize) {
    if (view.getBigUint64(at + 8) !== salt) break;
    checksum(view, at, 8, isLittle, sum);
    checksum(view, at + FRAME_HEADER, pageSize, isLittle, sum);
    if (!isSum(view, at + 16, sum)) break;
    pending.push([view.getUint32(at), at + FRAME_HEADER]);
    const size = view.getUint32(at + 4);
    if (size === 0) continue;
    for (const [page, from] of pending) committed.set(page, from);
    [pending, pages] = [[], size];
  }
  if (committed.size === 0) return store;
  if (pages * pageSize > MAX_IMAGE_BYTES) return store;
  const image = new Uint8Array(pages * pageSize);
  image.set(store.subarray(0, image.length));
  for (const [page, from] of committed) {
    if (page >= 1 && page <= pages) image.set(log.subarray(from, from + pageSize), (page - 1) * pageSize);
  }
  return image;
}

type Sum = [number, number];

/** Goes on with a sum over `length` bytes. */
function checksum(view: DataView, from: number, length: number, isLittle: boolean, sum: Sum): Sum {
  let [a, b] = sum;
  for (let at = from; at < from + length; at += 8) {
    a = (a + view.getUint32(at, isLittle) + b) >>> 0;
    b = (b + view.getUint32(at + 4, isLittle) + a) >>> 0;
  }
  return [sum[0], sum[1]] = [a, b];
}

function isSum(view: DataView, at: number, [a, b]: Sum): boolean {
  return view.getUint32(at) === a && view.getUint32(at + 4) === b;
}
