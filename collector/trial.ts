/**
 * Trying what a confined process can do, and holding it against what it is meant to.
 *
 * Reading what the kernel says of the threads is not enough: a filter can have a hole. So every act is tried, on the main
 * thread and on a thread of the pool, by system calls that go past Deno's own fence.
 *
 * @module
 */
import { EACCES, ENOSYS, EPERM, errno, libc, type NativeArena } from "./kernel/libc.ts";
import { readThreadCredentials } from "./kernel/procfs.ts";
import type { ThreadCredentials } from "./kernel/procfs_parse.ts";
import { type SyscallName, syscallNumber } from "./kernel/syscalls.ts";

export const AT_FDCWD = -100n;
export const O_RDONLY = 0n, O_WRONLY_CREATE = 0o101n;
export const AF_UNIX = 1n, AF_INET = 2n, AF_NETLINK = 16n, SOCK_STREAM = 1n, SOCK_RAW = 3n;
export const NETLINK_CONNECTOR = 11n, BPF_PROG_LOAD = 5n, CLONE_NEWUSER = 0x1000_0000n;
/** Unlike PTRACE_ATTACH it does not stop whom it traces; the trace ends with this process. */
export const PTRACE_SEIZE = 0x4206n;
/** To `setresuid`: this id stays. */
export const UNCHANGED = 0xffff_ffffn;
/** Bytes for the paths that are tried. */
export const ARENA_BYTES = 4_096;
/** What `/proc/PID/status` says of a thread under a filter. */
const SECCOMP_FILTER = 2;
const REFUSALS = [EPERM, EACCES, ENOSYS];

export interface Act {
  readonly what: string;
  /** Whether the confined process may do it. */
  readonly isMeant: boolean;
  readonly call: SyscallName;
  readonly arguments: readonly bigint[];
  /** Whether the call succeeds where it is let through; one that cannot shows by its error that it was looked at. */
  readonly succeeds: boolean;
}

type MakeAct = (what: string, call: SyscallName, ...args: bigint[]) => Act;

/** Makers of acts that are not meant to be possible; their paths stand in `arena`. */
export function actsOn(arena: NativeArena): { act: MakeAct; probe: MakeAct; path: (text: string) => bigint } {
  const act: MakeAct = (what, call, ...args) => ({ what, call, arguments: args, isMeant: false, succeeds: true });
  return {
    act,
    /** A call that fails also where it is let through. */
    probe: (what, call, ...args) => ({ ...act(what, call, ...args), succeeds: false }),
    path: (text) => arena.place(new TextEncoder().encode(text + "\0")),
  };
}

export class Trial {
  readonly #print: (line: string) => void;
  #findings = 0;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  verdict(isRight: boolean, text: string): void {
    if (!isRight) this.#findings++;
    this.#print(`${isRight ? "  ok  " : "  FAIL"} ${text}`);
  }

  /** Every thread is to be that user, hold exactly these capabilities and be under a filter. */
  threads(userId: number, expected: Expected): void {
    this.#print("What the kernel says of every thread:");
    for (const thread of readThreadCredentials()) {
      this.verdict(isBare(thread, userId, expected), describe(thread));
    }
  }

  async attempt(acts: readonly Act[]): Promise<void> {
    this.#print("What happens when it is tried, on the main thread and, where that tells something, on another:");
    for (const act of acts) {
      const here = callHere(act);
      const there = act.succeeds ? await callElsewhere(act) : here;
      this.verdict(here === act.isMeant && there === act.isMeant, `${act.what}: ${outcome(here, there)}`);
    }
  }

  /** Says how many findings there were, and returns it. */
  conclude(): number {
    const found = this.#findings;
    this.#print(found === 0 ? "nothing but what is declared" : `${found} finding${found === 1 ? "" : "s"}`);
    return found;
  }
}

/** What threads may hold, and what an execution could give them. */
export interface Expected {
  readonly capabilities?: bigint;
  /** Beside those of `capabilities`: `none`: every other set is empty as well; `bounding`: that one alone may not be; `any`: not looked at. */
  readonly gainable: "none" | "bounding" | "any";
}

function isBare(thread: ThreadCredentials, userId: number, { capabilities = 0n, gainable }: Expected): boolean {
  const inherited = thread.inheritableCapabilities | thread.ambientCapabilities;
  const more = inherited & ~capabilities;
  const left = gainable === "any" ? 0n : gainable === "bounding" ? more : more | thread.boundingCapabilities;
  return left === 0n && thread.userIds.every((id) => id === userId) && thread.effectiveCapabilities === capabilities &&
    thread.permittedCapabilities === capabilities && thread.noNewPrivileges && thread.seccomp === SECCOMP_FILTER;
}

function describe(thread: ThreadCredentials): string {
  const { tid, userIds, groupIds, effectiveCapabilities, permittedCapabilities, noNewPrivileges, seccomp } = thread;
  const { inheritableCapabilities, ambientCapabilities, boundingCapabilities } = thread;
  const held = effectiveCapabilities | permittedCapabilities | inheritableCapabilities | ambientCapabilities;
  return `thread ${tid}: user ${[...new Set(userIds)].join("/")}, group ${[...new Set(groupIds)].join("/")}, ` +
    `capabilities ${held.toString(16)}, bounding set ${boundingCapabilities.toString(16)}, ` +
    `no_new_privs ${noNewPrivileges ? "on" : "OFF"}, system calls ${
      seccomp === SECCOMP_FILTER ? "filtered" : "NOT FILTERED"
    }`;
}

function outcome(here: boolean, there: boolean): string {
  if (here === there) return here ? "possible" : "refused";
  return here ? "possible on the main thread, refused on another" : "refused on the main thread, POSSIBLE on another";
}

/** Tries of a call that fails also where it is let through: the runtime may make calls of its own before errno is read. */
const TRIES = 3;

/** Whether the kernel let the call through; a descriptor that came of it is closed. */
function callHere(act: Act): boolean {
  for (let tries = 0; tries < TRIES; tries++) {
    const result = libc.syscall(...sixArguments(act));
    if (result >= 0) {
      closeIfOpened(act, result);
      return true;
    }
    if (act.succeeds || REFUSALS.includes(errno())) return false;
  }
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
