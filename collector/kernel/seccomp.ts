/**
 * A filter of system calls for every thread of this process: what is not on the list is refused, for good.
 *
 * The list is what the runtime, its allocator and our sources use while they work. Nothing on it makes a process, opens
 * a network socket, changes an identity, mounts, traces, or loads a program into the kernel. Calls that are needed in one
 * form only are looked at by their arguments; a call that passes them in memory cannot be, so `clone3` is answered with
 * "no such call" and the C library falls back to `clone`, whose flags say that it makes a thread.
 *
 * Source: `Documentation/userspace-api/seccomp_filter.rst`, `include/uapi/linux/seccomp.h`.
 *
 * @module
 */
import { checked, ENOSYS, EPERM, errno, libc, NativeArena, SystemCallError } from "./libc.ts";
import { ARCHITECTURE, type Architecture, SYSCALL, type SyscallName, syscallNumber } from "./syscalls.ts";

/**
 * Calls that are harmless whatever their arguments: they act on what is open, or on what the user may open anyway.
 * `docs/privileges.md` lists them; a test holds the two equal.
 */
const ALLOWED: readonly SyscallName[] = [
  // memory
  ...["mmap", "mprotect", "munmap", "mremap", "brk", "madvise", "pkey_mprotect", "pkey_alloc", "pkey_free"] as const,
  // files: what may be opened is the user's rights
  ...["open", "openat", "close", "read", "write", "pread64", "pwrite64", "readv", "writev", "lseek"] as const,
  ...["stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat"] as const,
  ...["faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "fcntl", "ioctl", "dup", "dup3"] as const,
  ...["fsync", "fdatasync", "ftruncate", "fallocate", "flock", "fchmod", "umask", "rename", "renameat"] as const,
  ...["renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"] as const,
  // waiting and waking
  ...["epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select"] as const,
  ...["pselect6", "eventfd2", "timerfd_create", "timerfd_settime", "pipe2", "futex", "futex_waitv"] as const,
  ...["nanosleep", "clock_nanosleep", "sched_yield", "membarrier"] as const,
  // sockets that are open, or that the call below made
  ...["connect", "socketpair", "getsockopt", "setsockopt", "getsockname", "getpeername", "sendto"] as const,
  ...["sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown"] as const,
  // threads and signals of this process
  ...["exit", "exit_group", "set_tid_address", "set_robust_list", "get_robust_list", "rseq"] as const,
  ...["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "arch_prctl"] as const,
  // questions
  ...["getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"] as const,
  ...["getpriority", "getrusage", "getcpu", "sched_getaffinity", "sched_getparam", "sched_getscheduler"] as const,
  ...["clock_gettime", "clock_getres", "gettimeofday", "time", "times", "uname", "sysinfo", "getrandom"] as const,
];

/**
 * Calls that are refused by design in every run, so that a refusal of one tells nobody anything: these are refused by a
 * filter of their own, which the kernel writes no record of. All others it is told to write down, and `refusals.ts`
 * counts them. What the selftests try is not here: they are processes of their own.
 */
const REFUSED_BY_DESIGN: readonly { readonly name: SyscallName; readonly errno: number; readonly reason: string }[] = [
  {
    name: "clone3",
    errno: ENOSYS,
    reason: "every new thread: glibc tries it, and falls back to clone, whose flags the filter can look at",
  },
];

/** What it takes to start a program, and what small programs use. */
const PROCESSES: readonly SyscallName[] = [
  ...["clone", "clone3", "fork", "vfork", "execve", "wait4", "waitid", "kill", "pidfd_open"] as const,
  ...["pidfd_send_signal", "dup2", "close_range", "chdir", "setsid", "setpgid", "getpgrp", "pipe"] as const,
];

const AF_UNIX = 1;
const CLONE_THREAD = 0x10000;
/** `PR_SET_NAME`, `PR_GET_NAME`, `PR_GET_DUMPABLE`, `PR_SET_VMA` (V8 and allocators name their memory). */
const PRCTL = [15, 16, 3, 0x53564d41];
/** `bpf` commands on what is open: look an element up or set it, ask what a thing is, link and make an iterator. */
const BPF = [1, 2, 15, 28, 33];

/**
 * All that the hasher does besides looking at files: it makes no socket and connects to none, writes to what is open and
 * opens nothing for writing, changes no name and no file.
 */
const HASHER: readonly SyscallName[] = [
  ...["mmap", "mprotect", "munmap", "mremap", "brk", "madvise", "pkey_mprotect", "pkey_alloc", "pkey_free"] as const,
  ...["close", "read", "write", "readv", "writev", "pread64", "lseek", "fcntl", "ioctl", "getcwd"] as const,
  ...["stat", "lstat", "fstat", "newfstatat", "statx", "faccessat2", "readlink", "readlinkat", "getdents64"] as const,
  ...["epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll"] as const,
  ...["eventfd2", "timerfd_create", "timerfd_settime", "pipe2", "futex", "futex_waitv"] as const,
  ...["nanosleep", "clock_nanosleep", "sched_yield", "membarrier"] as const,
  ...["accept4", "getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown"] as const,
  ...["sendto", "sendmsg", "recvfrom", "recvmsg"] as const,
  ...["exit", "exit_group", "set_tid_address", "set_robust_list", "get_robust_list", "rseq"] as const,
  ...["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "arch_prctl"] as const,
  ...["getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getrusage", "getcpu"] as const,
  ...["sched_getaffinity", "sched_getparam", "sched_getscheduler", "clock_gettime", "clock_getres"] as const,
  ...["gettimeofday", "time", "uname", "sysinfo", "getrandom"] as const,
];
/** What the response helper does beside that: it names a process, and where it copies, it makes files and directories. */
const RESPONDER: readonly SyscallName[] = ["pidfd_open"];
const RESPONDER_WRITES: readonly SyscallName[] = [
  ...["open", "openat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "fsync", "fdatasync", "umask"] as const,
];
/** Signals that the helper may send: none, which only asks whether a process is there, SIGKILL, SIGCONT, SIGSTOP. */
const RESPONDER_SIGNALS: readonly number[] = [0, 9, 18, 19];

/** `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`, `O_APPEND`, and the bit of `O_TMPFILE`: whoever opens so means to write. */
const OPEN_FOR_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000;

/** What may be asked of a filter. */
export interface FilterOptions {
  /**
   * Whose calls are let through; the collector's by default. A `responder` signals other processes where its capability
   * lets it, a `responder_writing` makes files too.
   */
  readonly role?: "collector" | "hasher" | "responder" | "responder_writing";
  /** What befalls a call that is not on the list: an error for the caller, or the end of the process. */
  readonly refused: "errno" | "kill";
  /** Allows to start processes: the `ps` rung of the source ladder lives from it. */
  readonly processes: boolean;
  /**
   * A number that no call has. It is refused with an error also where others end the process, so that trying it shows
   * whether what the kernel records of a refusal is heard.
   */
  readonly canary?: number | undefined;
}

/** `AUDIT_ARCH_*` of `include/uapi/linux/audit.h`. */
const AUDIT_ARCHITECTURE: Readonly<Record<Architecture, number>> = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 };
/** Calls of the x32 interface have this bit; none of ours does. */
const X32 = 0x4000_0000;

const LOAD_WORD = 0x20, JUMP_EQUAL = 0x15, JUMP_GREATER_EQUAL = 0x35, JUMP_SET = 0x45, RETURN = 0x06;
const RETURN_ALLOW = 0x7fff_0000, RETURN_ERRNO = 0x0005_0000, RETURN_KILL = 0x8000_0000;
/** Places in `struct seccomp_data`: the low half of an argument stands first on both processors. */
const NUMBER_AT = 0, ARCHITECTURE_AT = 4, ARGUMENTS_AT = 16;
const INSTRUCTION_BYTES = 8;

type Instruction = readonly [operation: number, yes: number, no: number, value: number];

/**
 * The filter that refuses what {@linkcode REFUSED_BY_DESIGN} lists and lets all else through to the other one; `null`
 * where nothing is refused so.
 */
export function quietProgram(
  { processes }: FilterOptions,
  architecture: Architecture = ARCHITECTURE,
): Uint8Array<ArrayBuffer> | null {
  if (processes) return null;
  const code: Instruction[] = [
    [LOAD_WORD, 0, 0, ARCHITECTURE_AT],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCHITECTURE[architecture]],
    [RETURN, 0, 0, RETURN_ALLOW], // the other filter kills
    [LOAD_WORD, 0, 0, NUMBER_AT],
  ];
  for (const { name, errno } of REFUSED_BY_DESIGN) {
    code.push([JUMP_EQUAL, 0, 1, syscallNumber(name, architecture)!], [RETURN, 0, 0, RETURN_ERRNO | errno]);
  }
  code.push([RETURN, 0, 0, RETURN_ALLOW]);
  return encode(code);
}

/**
 * The filter as instructions of `struct sock_filter`. It lets through what {@linkcode quietProgram} refuses: were both
 * to refuse it, the kernel would go by this one, and record it.
 */
export function filterProgram(
  { refused, processes, role = "collector", canary }: FilterOptions,
  pid: number,
  architecture: Architecture = ARCHITECTURE,
): Uint8Array<ArrayBuffer> {
  const code: Instruction[] = [];
  const emit = (operation: number, value: number, yes = 0, no = 0): void => void code.push([operation, yes, no, value]);
  const deny = refused === "kill" ? RETURN_KILL : RETURN_ERRNO | EPERM;
  emit(LOAD_WORD, ARCHITECTURE_AT);
  emit(JUMP_EQUAL, AUDIT_ARCHITECTURE[architecture], 1, 0);
  emit(RETURN, RETURN_KILL);
  emit(LOAD_WORD, NUMBER_AT);
  if (architecture === "x86_64") {
    emit(JUMP_GREATER_EQUAL, X32, 0, 1);
    emit(RETURN, deny);
  }
  const answer = (name: SyscallName, value: number): void => {
    const number = syscallNumber(name, architecture);
    if (number === null) return;
    emit(JUMP_EQUAL, number, 0, 1);
    emit(RETURN, value);
  };
  /** Allows a call when the low half of an argument is one of `values`. */
  const allowIf = (name: SyscallName, argument: number, values: readonly number[]): void => {
    const number = syscallNumber(name, architecture);
    if (number === null) return;
    emit(JUMP_EQUAL, number, 0, 2 + values.length * 2);
    emit(LOAD_WORD, ARGUMENTS_AT + argument * 8);
    for (const value of values) {
      emit(JUMP_EQUAL, value, 0, 1);
      emit(RETURN, RETURN_ALLOW);
    }
    emit(RETURN, deny);
  };
  /** Allows a call unless the low half of an argument has one of these bits. */
  const allowWithout = (name: SyscallName, argument: number, bits: number): void => {
    const number = syscallNumber(name, architecture);
    if (number === null) return;
    emit(JUMP_EQUAL, number, 0, 4);
    emit(LOAD_WORD, ARGUMENTS_AT + argument * 8);
    emit(JUMP_SET, bits, 1, 0);
    emit(RETURN, RETURN_ALLOW);
    emit(RETURN, deny);
  };
  if (canary !== undefined) {
    emit(JUMP_EQUAL, canary, 0, 1);
    emit(RETURN, RETURN_ERRNO | EPERM);
  }
  if (role !== "collector") {
    for (const name of HASHER) answer(name, RETURN_ALLOW);
    allowIf("socketpair", 0, [AF_UNIX]); // the runtime's, for its signals: both ends are in this process
    if (role !== "hasher") {
      for (const name of RESPONDER) answer(name, RETURN_ALLOW);
      allowIf("pidfd_send_signal", 1, RESPONDER_SIGNALS);
    }
    if (role === "responder_writing") {
      for (const name of RESPONDER_WRITES) answer(name, RETURN_ALLOW);
    } else {
      allowWithout("open", 1, OPEN_FOR_WRITING);
      allowWithout("openat", 2, OPEN_FOR_WRITING);
    }
  } else {
    for (const name of ALLOWED) answer(name, RETURN_ALLOW);
    allowIf("socket", 0, [AF_UNIX]);
    allowIf("bpf", 0, BPF);
  }
  allowIf("prctl", 0, PRCTL);
  allowIf("tgkill", 0, [pid]); // abort(), and the runtime's signals to its own threads
  allowIf("prlimit64", 0, [0]);
  if (processes) {
    for (const name of PROCESSES) answer(name, RETURN_ALLOW);
  } else {
    for (const { name } of REFUSED_BY_DESIGN) answer(name, RETURN_ALLOW);
    emit(JUMP_EQUAL, syscallNumber("clone", architecture)!, 0, 4);
    emit(LOAD_WORD, ARGUMENTS_AT);
    emit(JUMP_SET, CLONE_THREAD, 0, 1);
    emit(RETURN, RETURN_ALLOW);
    emit(RETURN, deny);
  }
  emit(RETURN, deny);
  return encode(code);
}

function encode(code: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(code.length * INSTRUCTION_BYTES), view = new DataView(bytes.buffer);
  code.forEach(([operation, yes, no, value], index) => {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, operation, true);
    view.setUint8(at + 2, yes);
    view.setUint8(at + 3, no);
    view.setUint32(at + 4, value, true);
  });
  return bytes;
}

const PR_SET_DUMPABLE = 4, PR_SET_NO_NEW_PRIVS = 38;
const SET_MODE_FILTER = 1, FLAG_TSYNC = 1, FLAG_LOG = 2;
const EINVAL = 22;

/**
 * Installs the filter in every thread, which with it can gain no privilege by an `execve` any more either. What it
 * refuses the kernel writes into its audit log (from Linux 4.14 on; before, nobody hears of it).
 *
 * @throws {SystemCallError} when the kernel refuses; `Error` when a thread could not take it over.
 */
export function installFilter(options: FilterOptions): void {
  prctl(PR_SET_NO_NEW_PRIVS, 1);
  const program = filterProgram(options, libc.getpid()), quiet = quietProgram(options);
  if (quiet !== null) install(quiet, FLAG_TSYNC);
  try {
    install(program, FLAG_TSYNC | FLAG_LOG);
  } catch (error) {
    if (!(error instanceof SystemCallError && error.errno === EINVAL)) throw error;
    install(program, FLAG_TSYNC);
  }
}

function install(program: Uint8Array<ArrayBuffer>, flags: number): void {
  const arena = new NativeArena(program.length + 64);
  try {
    // struct sock_fprog: a count, padding, an address.
    const header = new Uint8Array(16), view = new DataView(header.buffer);
    view.setUint16(0, program.length / INSTRUCTION_BYTES, true);
    view.setBigUint64(8, arena.place(program), true);
    const address = arena.place(header);
    const mode = BigInt(SET_MODE_FILTER);
    const result = libc.syscall(BigInt(SYSCALL.seccomp), mode, BigInt(flags), address, 0n, 0n, 0n);
    // A positive result is the thread that could not take the filter over.
    if (result > 0) throw new Error(`Thread ${result} could not take over the system-call filter`);
    if (result < 0) throw new SystemCallError("seccomp", errno());
  } finally {
    arena.release();
  }
}

/** No core dump of this process, and nobody of its own user can trace it or read its memory. */
export function forbidDumps(): void {
  const limits = new Uint8Array(16); // soft and hard, both zero
  checked(libc.setrlimit(RLIMIT_CORE, limits), "setrlimit");
  prctl(PR_SET_DUMPABLE, 0);
}
const RLIMIT_CORE = 4;

function prctl(operation: number, value: number): void {
  checked(libc.syscall(BigInt(SYSCALL.prctl), BigInt(operation), BigInt(value), 0n, 0n, 0n, 0n), `prctl ${operation}`);
}
