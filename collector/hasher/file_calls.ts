/**
 * System calls on files that may not answer, each on a thread of the pool, on memory of its own.
 *
 * A file system can let any of these calls wait for ever: a server that is gone, a hostile one in user space. None is made
 * on the thread of the program. What a call failed with cannot be had from another thread, so a failure is looked into by
 * further calls (`file_faults.ts`).
 *
 * @module
 */
import { copyFrom, cString, libc, NativeArena } from "../kernel/libc.ts";
import { type SyscallName, syscallNumber } from "../kernel/syscalls.ts";
import { MAX_PATH_BYTES } from "./protocol.ts";

/** Bytes that one read takes. */
const CHUNK_BYTES = 262_144;

// include/uapi/linux/fcntl.h, stat.h, asm-generic/fcntl.h
const AT_FDCWD = 0xffff_ffff_ffff_ff9cn, AT_EMPTY_PATH = 0x1000n, AT_SYMLINK_NOFOLLOW = 0x100n, AT_EACCESS = 0x200n;
const O_NONBLOCK = 0o4000n, O_NOCTTY = 0o400n, O_CLOEXEC = 0o2000000n, O_PATH = 0o10000000n;
const O_NOFOLLOW = Deno.build.arch === "aarch64" ? 0o100000n : 0o400000n;
const X_OK = 1n;
const STATX_BASIC_STATS = 0x7ffn, STATX_MNT_ID = 0x1000n, STATX_BYTES = 256;
const S_IFMT = 0o170000, S_IFLNK = 0o120000, S_IFREG = 0o100000, S_IFDIR = 0o040000;

/** What `statx` says of a file. Times are nanoseconds, as near as a double holds them: equal where the file's are. */
export interface FileFacts {
  readonly kind: "file" | "link" | "directory" | "other";
  readonly device: number;
  readonly inode: number;
  readonly size: number;
  readonly modifyTime: number;
  readonly changeTime: number;
  /** Names its mount in `/proc/self/mountinfo`; 0 before Linux 5.8. */
  readonly mountId: number;
}

/** The calls of one file at a time. */
export class FileCalls {
  /** The bytes that {@linkcode read} brought. */
  readonly chunk: Uint8Array<ArrayBuffer> = new Uint8Array(CHUNK_BYTES);
  readonly #facts = new Uint8Array(STATX_BYTES);
  readonly #arena = new NativeArena(MAX_PATH_BYTES + STATX_BYTES + CHUNK_BYTES + 32);
  readonly #path = this.#arena.reserve(MAX_PATH_BYTES);
  readonly #empty = this.#arena.reserve(8);
  readonly #answer = this.#arena.reserve(STATX_BYTES);
  readonly #read = this.#arena.reserve(CHUNK_BYTES);

  /** Gives its memory back. No call may be under way. */
  release(): void {
    this.#arena.release();
  }

  /** A handle that names a file without opening it, so that no device and no pipe takes note; negative when it fails. */
  name(path: string): Promise<number> {
    this.#setPath(path);
    return call("openat", AT_FDCWD, this.#path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }

  /** Opens what a handle names for reading; negative when that fails. */
  open(handle: number): Promise<number> {
    this.#setPath(`/proc/self/fd/${handle}`);
    return call("openat", AT_FDCWD, this.#path, O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  }

  /** Facts of what a handle names; `null` when they cannot be had. */
  facts(handle: number): Promise<FileFacts | null> {
    return this.#statx(BigInt(handle), this.#empty, AT_EMPTY_PATH);
  }

  /** Facts of a path, links not followed; `null` when they cannot be had. */
  factsOf(path: string): Promise<FileFacts | null> {
    this.#setPath(path);
    return this.#statx(AT_FDCWD, this.#path, AT_SYMLINK_NOFOLLOW);
  }

  /** Whether names can be looked up in a directory. */
  async maySearch(path: string): Promise<boolean> {
    this.#setPath(path);
    return await call("faccessat2", AT_FDCWD, this.#path, X_OK, AT_EACCESS) === 0;
  }

  /** The next bytes of a file go into {@linkcode chunk}. Returns how many; 0 at the end, negative when it fails. */
  async read(handle: number): Promise<number> {
    const count = await call("read", BigInt(handle), this.#read, BigInt(CHUNK_BYTES));
    if (count > 0) copyFrom(this.#read, this.chunk.subarray(0, count));
    return count;
  }

  async close(handle: number): Promise<void> {
    await call("close", BigInt(handle));
  }

  #setPath(path: string): void {
    const text = cString(path);
    if (text.length > MAX_PATH_BYTES) throw new RangeError(`A path of ${text.length} bytes is too long`);
    libc.copyTo(this.#path, text, BigInt(text.length));
  }

  async #statx(directory: bigint, path: bigint, flags: bigint): Promise<FileFacts | null> {
    if (await call("statx", directory, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, this.#answer) < 0) return null;
    copyFrom(this.#answer, this.#facts);
    return parseStatx(this.#facts);
  }
}

/** `struct statx`. Device numbers are put together as the kernel's `dev_t`. */
function parseStatx(bytes: Uint8Array<ArrayBuffer>): FileFacts {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const u32 = (at: number): number => view.getUint32(at, true);
  const time = (at: number): number => nanoseconds(Number(view.getBigInt64(at, true)), u32(at + 8));
  return {
    kind: kindOf(view.getUint16(28, true)),
    device: (u32(136) << 20 | u32(140)) >>> 0,
    inode: Number(view.getBigUint64(32, true)),
    size: Number(view.getBigUint64(40, true)),
    changeTime: time(96),
    modifyTime: time(112),
    mountId: (view.getUint32(0, true) & Number(STATX_MNT_ID)) === 0 ? 0 : Number(view.getBigUint64(144, true)),
  };
}

/** A time of a file as one number. The same two numbers always make the same one. */
function nanoseconds(seconds: number, rest: number): number {
  return seconds * 1e9 + rest;
}

function kindOf(mode: number): FileFacts["kind"] {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "link";
    case S_IFDIR:
      return "directory";
    default:
      return "other";
  }
}

function call(name: SyscallName, a = 0n, b = 0n, c = 0n, d = 0n, e = 0n): Promise<number> {
  return libc.syscallAsync(BigInt(syscallNumber(name)!), a, b, c, d, e, 0n);
}
