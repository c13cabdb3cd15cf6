/**
 * Giving up root, once the kernel sources are open.
 *
 * glibc's `setresuid` and its kin change every thread of the process; from a uid that is not 0 all capabilities are gone
 * in every thread, as no thread keeps any (measured thread by thread, not assumed: {@linkcode proveUnprivileged} reads
 * each thread's credentials back). What the sources opened before keeps working. Anything that does not hold throws, and a
 * collector that could not give up root does not run.
 *
 * @module
 */
import { checked, libc } from "./kernel/libc.ts";
import { readThreadCredentials } from "./kernel/procfs.ts";
import type { ThreadCredentials } from "./kernel/procfs_parse.ts";

/** A thread kept what it should have given up. */
export class PrivilegeError extends Error {
  override name = "PrivilegeError";
}

export interface Identity {
  readonly userId: number;
  readonly groupId: number;
}

/** What `/proc/PID/status` says of a thread under a filter. */
const SECCOMP_FILTER = 2;

const ids = { real: new Uint32Array(1), effective: new Uint32Array(1), saved: new Uint32Array(1) };

/** The effective user of this process. */
export function effectiveUser(): number {
  checked(libc.getresuid(bytesOf(ids.real), bytesOf(ids.effective), bytesOf(ids.saved)), "getresuid");
  return ids.effective[0]!;
}

/** Becomes `target` in every thread, for good. {@linkcode proveUnprivileged} tells whether it holds. */
export function dropPrivileges(target: Identity): void {
  if (target.userId === 0) throw new PrivilegeError("The collector must not keep running as root; set collector.user");
  // Groups first and the user last: after it, the right to change the others is gone.
  checked(libc.setgroups(0n, new Uint8Array(0)), "setgroups");
  checked(libc.setresgid(target.groupId, target.groupId, target.groupId), "setresgid");
  checked(libc.setresuid(target.userId, target.userId, target.userId), "setresuid");
}

/**
 * Reads back the credentials of every thread, and whether a system-call filter holds it where one was installed. Of a
 * process that executed itself again, every set of capabilities is empty, the bounding set too where root was given up.
 *
 * @throws {PrivilegeError} naming the first thread that holds anything.
 */
export function proveUnprivileged(
  userId: number,
  groupId: number | null,
  isFiltered: boolean,
  { kept = NOTHING, isBornConfined = false }: Proof = {},
): string {
  const threads = readThreadCredentials();
  if (threads.length === 0) throw new PrivilegeError("No thread's credentials could be read from /proc/self/task");
  for (const thread of threads) {
    const fault = faultOf(thread, userId, groupId, kept) ??
      (isFiltered ? filterFaultOf(thread) : null) ??
      (isBornConfined ? birthFaultOf(thread, groupId !== null, kept) : null);
    if (fault !== null) throw new PrivilegeError(`Thread ${thread.tid} ${fault}`);
  }
  const filter = isFiltered ? ", under a filter of system calls" : "; NO FILTER OF SYSTEM CALLS: it is set off";
  return `all ${threads.length} threads run as user ${userId} ${kept.words}${filter}`;
}

/** What is to be proven beside the ids and the filter. */
export interface Proof {
  readonly kept?: Kept;
  /** Whether the process executed itself again, without a capability that it could get. */
  readonly isBornConfined?: boolean;
}

/** Capabilities that every thread is to have, and no others; born confined, also by its ambient set. */
export interface Kept {
  readonly capabilities: bigint;
  readonly words: string;
}
/** What is kept unless something is said. */
export const NOTHING: Kept = { capabilities: 0n, words: "without any capability" };

function filterFaultOf({ seccomp, noNewPrivileges }: ThreadCredentials): string | null {
  if (seccomp !== SECCOMP_FILTER) return "is under no system-call filter";
  return noNewPrivileges ? null : "could gain privileges by executing a program";
}

function birthFaultOf(thread: ThreadCredentials, wasRoot: boolean, { capabilities }: Kept): string | null {
  const { inheritableCapabilities, ambientCapabilities, boundingCapabilities, noNewPrivileges } = thread;
  const left = (inheritableCapabilities | ambientCapabilities) & ~capabilities | (wasRoot ? boundingCapabilities : 0n);
  if (left !== 0n) return `could get capabilities ${left.toString(16)}`;
  return noNewPrivileges ? null : "could gain privileges by executing a program";
}

function faultOf(
  thread: ThreadCredentials,
  userId: number,
  groupId: number | null,
  { capabilities }: Kept,
): string | null {
  if (thread.userIds.some((id) => id !== userId)) return `runs as user ${thread.userIds.join("/")}, not ${userId}`;
  if (groupId !== null && thread.groupIds.some((id) => id !== groupId)) {
    return `runs as group ${thread.groupIds.join("/")}, not ${groupId}`;
  }
  if (groupId !== null && thread.supplementaryGroups.length > 0) {
    return `is still in groups ${thread.supplementaryGroups.join(", ")}`;
  }
  if (thread.effectiveCapabilities !== capabilities || thread.permittedCapabilities !== capabilities) {
    return `holds capabilities ${(thread.effectiveCapabilities | thread.permittedCapabilities).toString(16)}`;
  }
  return null;
}

function bytesOf(array: Uint32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer);
}
