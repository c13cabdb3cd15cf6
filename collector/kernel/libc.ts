/**
 * The C library, by foreign function calls: the only `Deno.dlopen` of the tree.
 *
 * Everything works under a scoped `--allow-ffi=PATH`, so nothing here uses `Deno.UnsafePointer`, which wants the
 * unscoped grant: the address of a buffer is what `memmove(buffer, buffer, 0)` returns, foreign memory is copied with
 * `memcpy`, and pointers travel as integers. Calls of 32-bit results give numbers, others BigInts.
 *
 * These calls can do whatever the process may do; a wrong address ends it. Two rules keep them safe:
 * - An address that is stored (in another buffer, in the kernel, in an object) must be of memory that V8 does not own:
 *   use {@linkcode NativeArena}. V8 frees a buffer that is used only through its address.
 * - A buffer given to a nonblocking call must be the field of an object that lives until the call has returned.
 *
 * Fails at import, with a sentence, when no C library can be opened.
 *
 * @module
 */

/** Where C libraries are: Debian and its kin, Fedora and its kin, Alpine. A grant names exactly one of them. */
export const LIBC_PATHS: readonly string[] = Deno.build.arch === "aarch64"
  ? ["/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/ld-musl-aarch64.so.1"]
  : ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/ld-musl-x86_64.so.1"];

const SYMBOLS = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  openat: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  /** On a thread of the pool; the path stands in memory of a {@linkcode NativeArena}. `errno` cannot be had from it. */
  openatAsync: { name: "openat", parameters: ["i32", "usize", "i32", "i32"], result: "i32", nonblocking: true },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** On a thread of the pool, into memory of a {@linkcode NativeArena}; `errno` cannot be had from it. */
  readAsync: { name: "read", parameters: ["i32", "usize", "usize"], result: "i32", nonblocking: true },
  /** Streams of the C library read on until as much is there as was asked for. They are integers here. */
  fdopen: { parameters: ["i32", "buffer"], result: "usize" },
  freadAsync: { name: "fread", parameters: ["usize", "usize", "usize", "usize"], result: "u32", nonblocking: true },
  ferror: { parameters: ["usize"], result: "i32" },
  fclose: { parameters: ["usize"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  readlinkat: { parameters: ["i32", "buffer", "buffer", "u32"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** Null in C libraries of before 2019 (glibc 2.28, musl 1.2.5). */
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32", optional: true },

  /** Gives what was freed back to the system. Null in musl, which does so by itself. */
  malloc_trim: { parameters: ["usize"], result: "i32", optional: true },
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  getauxval: { parameters: ["u64"], result: "u64" },

  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  /** Replaces this process; the vectors hold addresses, so they and what they name stand in a {@linkcode NativeArena}. */
  execve: { parameters: ["buffer", "usize", "usize"], result: "i32" },

  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  /** The message headers hold addresses: they and what they name belong in a {@linkcode NativeArena}. */
  recvmmsg: { parameters: ["i32", "usize", "u32", "i32", "usize"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },

  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  /** On a thread of the pool; `errno` cannot be had from it. */
  pollAsync: { name: "poll", parameters: ["buffer", "u32", "i32"], result: "i32", nonblocking: true },

  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  addressOf: { name: "memmove", parameters: ["buffer", "buffer", "usize"], result: "usize" },
  copyFrom: { name: "memcpy", parameters: ["buffer", "usize", "usize"], result: "usize" },
  copyTo: { name: "memcpy", parameters: ["usize", "buffer", "usize"], result: "usize" },

  /** glibc changes the ids of every thread of the process, unlike the system calls. */
  setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setgroups: { parameters: ["usize", "buffer"], result: "i32" },
  getresuid: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },

  syscall: { parameters: ["i64", "u64", "u64", "u64", "u64", "u64", "u64"], result: "i32" },
  /** On a thread of the pool; `errno` cannot be had from it. */
  syscallAsync: {
    name: "syscall",
    parameters: ["i64", "u64", "u64", "u64", "u64", "u64", "u64"],
    result: "i32",
    nonblocking: true,
  },
  /** `bpf`: a command, its attributes and their size. */
  syscallBuffer: { name: "syscall", parameters: ["i64", "u64", "buffer", "u64"], result: "i32" },

  getpid: { parameters: [], result: "i32" },
  getpagesize: { parameters: [], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  errnoLocation: { name: "__errno_location", parameters: [], result: "usize" },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const opened = openLibc();

/** The path that was opened. */
export const libcPath: string = opened.path;
export const libc: Libc = opened.symbols;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_CLOEXEC = 0o2000000;
export const O_DIRECTORY = Deno.build.arch === "aarch64" ? 0o40000 : 0o200000;
export const AT_FDCWD = -100;
export const POLLIN = 1;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
export const CLOCK_BOOTTIME = 7;

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const ENOSYS = 38;
export const ENOBUFS = 105;

const ERROR_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM: not permitted",
  2: "ENOENT: no such file",
  3: "ESRCH: no such process",
  4: "EINTR: interrupted",
  5: "EIO: input or output error",
  7: "E2BIG: too big",
  9: "EBADF: bad file descriptor",
  11: "EAGAIN: try again",
  12: "ENOMEM: out of memory",
  13: "EACCES: access denied",
  14: "EFAULT: bad address",
  16: "EBUSY: busy",
  17: "EEXIST: exists already",
  19: "ENODEV: no such device",
  20: "ENOTDIR: not a directory",
  22: "EINVAL: invalid argument",
  23: "ENFILE: too many open files on the host",
  24: "EMFILE: too many open files",
  28: "ENOSPC: no space left",
  38: "ENOSYS: the kernel does not have this call",
  90: "EMSGSIZE: message too long",
  93: "EPROTONOSUPPORT: protocol not supported",
  95: "EOPNOTSUPP: not supported",
  105: "ENOBUFS: no buffer space",
  111: "ECONNREFUSED: connection refused",
  524: "ENOTSUPP: not supported by the kernel",
};

/** A call of the C library failed. */
export class SystemCallError extends Error {
  override name = "SystemCallError";
  constructor(readonly call: string, readonly errno: number) {
    super(`${call} failed: ${describeErrno(errno)}`);
  }
}

/** `EPERM: not permitted`, or the number where it has no name here. */
export function describeErrno(number: number): string {
  return ERROR_NAMES[number] ?? `errno ${number}`;
}

// Fields of one object that lives as long as the module, by the rule above.
const scratch = {
  errno: new Int32Array(1),
  errnoBytes: new Uint8Array(0),
  time: new BigInt64Array(2),
  timeBytes: new Uint8Array(0),
};
scratch.errnoBytes = new Uint8Array(scratch.errno.buffer);
scratch.timeBytes = new Uint8Array(scratch.time.buffer);

/** Where this thread has its error number: a module belongs to one thread. */
const ERRNO_AT = libc.errnoLocation();

/**
 * The error number of this thread's last failed call. To be read right after a synchronous call: whatever the runtime does
 * in between may make failing calls of its own.
 */
export function errno(): number {
  libc.copyFrom(scratch.errnoBytes, ERRNO_AT, 4n);
  return scratch.errno[0]!;
}
// Its first call is slow, and would have the runtime do just that.
errno();

/**
 * `result`, unless it says that the call failed.
 *
 * @throws {SystemCallError}
 */
export function checked(result: number, call: string): number {
  if (result < 0) throw new SystemCallError(call, errno());
  return result;
}

/** The address of a buffer. Valid while something else keeps the buffer alive: see the rules of this module. */
export function addressOf(buffer: Uint8Array<ArrayBuffer>): bigint {
  return libc.addressOf(buffer, buffer, 0n);
}

/** Copies foreign memory at `address` into the whole of `into`. */
export function copyFrom(address: bigint, into: Uint8Array<ArrayBuffer>): void {
  libc.copyFrom(into, address, BigInt(into.length));
}

/** Copies all of `bytes` to foreign memory at `address`. */
export function copyTo(address: bigint, bytes: Uint8Array<ArrayBuffer>): void {
  libc.copyTo(address, bytes, BigInt(bytes.length));
}

const encoder = new TextEncoder();

/** Text with the ending NUL that C wants. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/** Nanoseconds since boot, sleep included: the clock of the records. */
export function bootTimeNs(): number {
  checked(libc.clock_gettime(CLOCK_BOOTTIME, scratch.timeBytes), "clock_gettime");
  return Number(scratch.time[0]!) * 1e9 + Number(scratch.time[1]!);
}

/**
 * Maps memory; `mmap` reports failure as an address that no mapping has.
 *
 * @throws {SystemCallError}
 */
export function map(bytes: number, protection: number, flags: number, fd: number, offset: number): bigint {
  const address = libc.mmap(0n, BigInt(bytes), protection, flags, fd, BigInt(offset));
  if (address === MAP_FAILED) throw new SystemCallError("mmap", errno());
  return address;
}
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/**
 * Memory outside V8, so that addresses in it stay true whatever the garbage collector does. Filled from its start on;
 * given back as a whole.
 */
export class NativeArena {
  readonly address: bigint;
  #used = 0;

  /** @throws {SystemCallError} */
  constructor(readonly bytes: number) {
    this.address = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }

  /** Takes `bytes` zeroed bytes, aligned to eight. */
  reserve(bytes: number): bigint {
    const at = this.#used;
    if (at + bytes > this.bytes) throw new RangeError(`Arena of ${this.bytes} bytes has no room for ${bytes} more`);
    this.#used = (at + bytes + 7) & ~7;
    return this.address + BigInt(at);
  }

  /** Puts a copy of `bytes` into the arena. */
  place(bytes: Uint8Array<ArrayBuffer>): bigint {
    const address = this.reserve(bytes.length);
    copyTo(address, bytes);
    return address;
  }

  /** Gives the memory back. Nothing may use an address of it any more. */
  release(): void {
    libc.munmap(this.address, BigInt(this.bytes));
  }
}

function openLibc(): { path: string; symbols: Libc } {
  const faults: string[] = [];
  for (const path of LIBC_PATHS) {
    // Asked first: an open without a grant would stop for a prompt on a terminal.
    if (Deno.permissions.querySync({ name: "ffi", path }).state !== "granted") {
      faults.push(`${path} is not granted`);
      continue;
    }
    try {
      return { path, symbols: Deno.dlopen(path, SYMBOLS).symbols };
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`No C library could be opened; grant one with --allow-ffi=PATH: ${faults.join("; ")}`);
}
