/**
 * `selftest`: what this process can do and what not once it is confined, thread by thread and by trying.
 *
 * Reading what the kernel says of the threads is not enough: a filter can have a hole. So every act that a collector must
 * not be able to do is tried, on the main thread and on a thread of the pool, by system calls that go past Deno's own
 * fence. What was meant to be refused and was not makes the test fail; so does what was meant to work and does not.
 *
 * @module
 */
import { EACCES, ENOSYS, EPERM, errno, libc, NativeArena, O_DIRECTORY } from "./kernel/libc.ts";
import { readThreadCredentials } from "./kernel/procfs.ts";
import type { ThreadCredentials } from "./kernel/procfs_parse.ts";
import { type SyscallName, syscallNumber } from "./kernel/syscalls.ts";
import type { Origin } from "./reexec.ts";
import type { ProcessSource, TableEntry } from "./sources/source.ts";

const AT_FDCWD = -100n;
const O_RDONLY = 0n, O_WRONLY_CREATE = 0o101n;
const O_DIRECTORY_RDONLY = BigInt(O_DIRECTORY);
const AF_UNIX = 1n, AF_INET = 2n, AF_NETLINK = 16n, SOCK_STREAM = 1n, SOCK_RAW = 3n;
const NETLINK_CONNECTOR = 11n, BPF_PROG_LOAD = 5n, CLONE_NEWUSER = 0x1000_0000n;
/** Unlike PTRACE_ATTACH it does not stop whom it traces; the trace ends with this process. */
const PTRACE_SEIZE = 0x4206n;
/** To `setresuid`: this id stays. */
const UNCHANGED = 0xffff_ffffn;
/** What `/proc/PID/status` says of a thread under a filter. */
const SECCOMP_FILTER = 2;
const REFUSALS = [EPERM, EACCES, ENOSYS];
/** Bytes for the paths that are tried. */
const ARENA_BYTES = 4_096;

interface Act {
  readonly what: string;
  /** Whether a confined collector may do it. */
  readonly isMeant: boolean;
  readonly call: SyscallName;
  readonly arguments: readonly bigint[];
  /** Whether the call succeeds where it is let through; one that cannot shows by its error that it was looked at. */
  readonly succeeds: boolean;
}

export interface SelftestOptions extends Origin {
  readonly userId: number;
  readonly startsProcesses: boolean;
}

/** Runs it, hands every line to `print`, and returns how many findings there were. */
export async function selftest(
  source: ProcessSource,
  options: SelftestOptions,
  print: (line: string) => void,
): Promise<number> {
  let findings = 0;
  const verdict = (isRight: boolean, text: string): void => {
    if (!isRight) findings++;
    print(`${isRight ? "  ok  " : "  FAIL"} ${text}`);
  };

  print("What the kernel says of every thread:");
  for (const thread of readThreadCredentials()) verdict(isBare(thread, options), describe(thread));

  print("What happens when it is tried, on the main thread and, where that tells something, on another:");
  const arena = new NativeArena(ARENA_BYTES);
  for (const act of acts(arena, options)) {
    const here = callHere(act);
    const there = act.succeeds ? await callElsewhere(act) : here;
    verdict(here === act.isMeant && there === act.isMeant, `${act.what}: ${outcome(here, there)}`);
  }
  arena.release();

  print("What still works:");
  const { name, sees } = source.description;
  const table = await source.snapshot();
  verdict(table.some(({ pid }) => pid === Deno.pid), `the process table: ${summary(table)}`);
  print(`  the source is ${name}: ${sees}`);
  print(findings === 0 ? "nothing but what is declared" : `${findings} finding${findings === 1 ? "" : "s"}`);
  return findings;
}

function isBare(thread: ThreadCredentials, { userId, isSecond, beganAsRoot }: SelftestOptions): boolean {
  const gainable = thread.inheritableCapabilities | thread.ambientCapabilities |
    (beganAsRoot ? thread.boundingCapabilities : 0n);
  return (!isSecond || gainable === 0n) &&
    thread.userIds.every((id) => id === userId) && thread.effectiveCapabilities === 0n &&
    thread.permittedCapabilities === 0n && thread.noNewPrivileges && thread.seccomp === SECCOMP_FILTER;
}

function describe(thread: ThreadCredentials): string {
  const { tid, userIds, groupIds, effectiveCapabilities, permittedCapabilities, noNewPrivileges, seccomp } = thread;
  const { inheritableCapabilities, ambientCapabilities, boundingCapabilities } = thread;
  return `thread ${tid}: user ${[...new Set(userIds)].join("/")}, group ${[...new Set(groupIds)].join("/")}, ` +
    `capabilities ${
      (effectiveCapabilities | permittedCapabilities | inheritableCapabilities | ambientCapabilities).toString(16)
    }, ` +
    `bounding set ${boundingCapabilities.toString(16)}, ` +
    `no_new_privs ${noNewPrivileges ? "on" : "OFF"}, system calls ${
      seccomp === SECCOMP_FILTER ? "filtered" : "NOT FILTERED"
    }`;
}

function outcome(here: boolean, there: boolean): string {
  if (here === there) return here ? "possible" : "refused";
  return here ? "possible on the main thread, refused on another" : "refused on the main thread, POSSIBLE on another";
}

function summary(table: readonly TableEntry[]): string {
  const programs = table.filter(({ kernelThread }) => !kernelThread);
  const withArguments = programs.filter(({ argv }) => argv !== null && argv.length > 0).length;
  const withFile = programs.filter(({ executablePath }) => executablePath !== null).length;
  return `${programs.length} programs, ${withArguments} with arguments, ${withFile} with their executable`;
}

/** What is tried. Where it goes through nothing is written, stopped or signalled, but a file in /etc is left. */
function acts(arena: NativeArena, { startsProcesses, isSecond }: SelftestOptions): Act[] {
  const path = (text: string): bigint => arena.place(new TextEncoder().encode(text + "\0"));
  const act = (what: string, call: SyscallName, ...args: bigint[]): Act => ({
    what,
    call,
    arguments: args,
    isMeant: false,
    succeeds: true,
  });
  const probe = (what: string, call: SyscallName, ...args: bigint[]): Act => ({
    ...act(what, call, ...args),
    succeeds: false,
  });
  return [
    act("read /etc/shadow", "openat", AT_FDCWD, path("/etc/shadow"), O_RDONLY),
    act("create a file in /etc", "openat", AT_FDCWD, path("/etc/daemoneye-selftest"), O_WRONLY_CREATE, 0o600n),
    act("read the memory of process 1", "openat", AT_FDCWD, path("/proc/1/mem"), O_RDONLY),
    act("trace process 1", "ptrace", PTRACE_SEIZE, 1n),
    act("signal process 1", "kill", 1n),
    act("become root", "setresuid", 0n, UNCHANGED, UNCHANGED),
    act("make a TCP socket", "socket", AF_INET, SOCK_STREAM),
    act("make a netlink socket", "socket", AF_NETLINK, SOCK_RAW, NETLINK_CONNECTOR),
    probe("load an eBPF program", "bpf", BPF_PROG_LOAD),
    probe("mount a file system", "mount"),
    probe("load a kernel module", "finit_module"),
    probe("make a namespace", "unshare", CLONE_NEWUSER),
    probe("use the kernel's keys", "keyctl"),
    probe("use io_uring", "io_uring_setup"),
    { ...probe("execute a program", "execve", path("/nonexistent")), isMeant: startsProcesses },
    // What any user of the host may do, unless Landlock is asked whether this one may.
    {
      ...act("read the program sh, as everybody may", "openat", AT_FDCWD, path("/bin/sh"), O_RDONLY),
      isMeant: !isSecond,
    },
    {
      ...act("list the root directory, as everybody may", "openat", AT_FDCWD, path("/"), O_DIRECTORY_RDONLY),
      isMeant: !isSecond,
    },
    { ...act("make a Unix socket, to reach the agent", "socket", AF_UNIX, SOCK_STREAM), isMeant: true },
    { ...act("read /etc/passwd, for names", "openat", AT_FDCWD, path("/etc/passwd"), O_RDONLY), isMeant: true },
  ];
}

/** Whether the kernel let the call through; a descriptor that came of it is closed. */
function callHere(act: Act): boolean {
  const result = libc.syscall(...sixArguments(act));
  if (result < 0) return !REFUSALS.includes(errno());
  closeIfOpened(act, result);
  return true;
}

/** The same on a thread of the pool, where why a call failed cannot be had. */
async function callElsewhere(act: Act): Promise<boolean> {
  const result = await libc.syscallAsync(...sixArguments(act));
  if (result >= 0) closeIfOpened(act, result);
  return result >= 0;
}

function closeIfOpened({ call }: Act, result: number): void {
  if (call === "openat" || call === "socket") libc.close(result);
}

type Arguments = [bigint, bigint, bigint, bigint, bigint, bigint, bigint];

function sixArguments({ call, arguments: args }: Act): Arguments {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args;
  return [BigInt(syscallNumber(call)!), BigInt.asUintN(64, a), b, c, d, e, f];
}
