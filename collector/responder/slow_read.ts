/**
 * Files of another process, read beside this thread and within a time.
 *
 * What shows the memory of a process (`maps`, `cmdline`, `environ`) and what lies on a file system of its own (its
 * executable) can make a reader wait for as long as that process likes. So each is read on a thread of the pool; one that
 * hangs costs that thread until the process lets go, and only few may hang.
 *
 * @module
 */
import { copyFrom, copyTo, cString, libc, NativeArena, O_CLOEXEC, O_RDONLY } from "../kernel/libc.ts";

const CHUNK_BYTES = 65_536, MAX_NAME_BYTES = 256;
const O_NONBLOCK = 0o4000, O_NOCTTY = 0o400;
/** Reads that may hang; with so many none is begun. */
const MAX_HANGING = 8;

export interface SlowRead {
  readonly limit: number;
  readonly deadlineMs: number;
  /** Takes what was read, valid until it returns; nothing more is read when it throws. */
  readonly take: (chunk: Uint8Array<ArrayBuffer>) => void;
}

/** How much was read, and whether there was more; or why it could not be read. */
export type SlowResult = { readonly count: number; readonly isCut: boolean } | { readonly fault: string };

export class SlowReader {
  #hanging = 0;

  /** Reads a file by its name in an open directory. Rejects with what `take` throws. */
  async read(directory: number, name: string, { limit, deadlineMs, take }: SlowRead): Promise<SlowResult> {
    if (this.#hanging >= MAX_HANGING) return { fault: `${MAX_HANGING} reads hang already` };
    const arena = new NativeArena(CHUNK_BYTES + MAX_NAME_BYTES + 16), state = { isOver: false };
    const work = this.#all(arena, directory, name, limit, (chunk) => {
      if (!state.isOver) take(chunk);
      return !state.isOver;
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<null>((resolve) => timer = setTimeout(() => resolve(null), deadlineMs));
    try {
      const result = await Promise.race([work, late]);
      if (result !== null) {
        arena.release();
        return result;
      }
    } catch (error) {
      arena.release();
      throw error;
    } finally {
      clearTimeout(timer);
      state.isOver = true;
    }
    this.#hanging++;
    work.catch(() => {}).finally(() => {
      this.#hanging--;
      arena.release();
    });
    return { fault: `it could not be read within ${deadlineMs} ms` };
  }

  /** All of a short file; `null` when it cannot be read. */
  async bytes(directory: number, name: string, limit: number, deadlineMs: number): Promise<Uint8Array | null> {
    const chunks: Uint8Array[] = [];
    const result = await this.read(directory, name, { limit, deadlineMs, take: (chunk) => chunks.push(chunk.slice()) });
    if ("fault" in result) return null;
    const whole = new Uint8Array(result.count);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  async #all(
    arena: NativeArena,
    directory: number,
    name: string,
    limit: number,
    take: (chunk: Uint8Array<ArrayBuffer>) => boolean,
  ): Promise<SlowResult> {
    const text = cString(name);
    if (text.length > MAX_NAME_BYTES) throw new RangeError(`A name of ${text.length} bytes is too long`);
    const path = arena.reserve(MAX_NAME_BYTES), buffer = arena.reserve(CHUNK_BYTES);
    copyTo(path, text);
    const fd = await libc.openatAsync(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) return { fault: "it cannot be opened" };
    const chunk = new Uint8Array(CHUNK_BYTES);
    try {
      for (let count = 0;;) {
        // One byte more than the limit tells whether there is more.
        const wanted = Math.min(CHUNK_BYTES, limit - count + 1);
        const got = await libc.readAsync(fd, buffer, BigInt(wanted));
        if (got < 0) return { fault: "it cannot be read" };
        if (got === 0) return { count, isCut: false };
        const used = Math.min(got, limit - count), bytes = chunk.subarray(0, used);
        copyFrom(buffer, bytes);
        count += used;
        if (used > 0 && !take(bytes)) return { count, isCut: true };
        if (used < got) return { count, isCut: true };
      }
    } finally {
      libc.close(fd);
    }
  }
}
