/**
 * A place behind all others for the processor, for work that nobody waits for.
 *
 * Trusts nobody and needs no right: everybody may step back. A kernel that refuses leaves things as they were, which costs
 * others time and nothing else, so that is no error; it is said.
 *
 * @module
 */
import { cString, libc, O_CLOEXEC, O_WRONLY } from "./libc.ts";
import { readThreadCredentials } from "./procfs.ts";
import { SYSCALL } from "./syscalls.ts";

const PRIO_PROCESS = 0n;

/**
 * Lowers every thread of this process to `nice` (1 to 19, the lowest); threads that begin later inherit it. Returns
 * whether all of it was done.
 */
export function stepBack(nice: number): boolean {
  const call = (number: number, a = 0n, b = 0n, c = 0n): number => libc.syscall(BigInt(number), a, b, c, 0n, 0n, 0n);
  // A thread of its own for each: on Linux a call for the process is one for its first thread.
  const isDone = readThreadCredentials().map(({ tid }) =>
    call(SYSCALL.setpriority, PRIO_PROCESS, BigInt(tid), BigInt(nice)) >= 0
  ).every(Boolean);
  // Where the kernel shares time out between sessions first, what counts is the session's: not to be set for others.
  return call(SYSCALL.getsid) !== Deno.pid ? isDone : lowerSession(nice) && isDone;
}

/** `/proc/PID/autogroup` (`Documentation/scheduler` and sched(7)); a kernel without it weighs threads only. */
function lowerSession(nice: number): boolean {
  const file = libc.open(cString("/proc/self/autogroup"), O_WRONLY | O_CLOEXEC, 0);
  if (file < 0) return true;
  try {
    const text = new TextEncoder().encode(String(nice));
    return libc.write(file, text, text.length) === text.length;
  } finally {
    libc.close(file);
  }
}
