/**
 * Names of processes and executions that stay unique over pid reuse, restarts and reboots.
 *
 * A process is (boot, pid, start time). The start time counts in clock ticks of 10 ms since boot, the finest unit that
 * every rung of the source ladder can give (`/proc/PID/stat` field 22), so that all rungs name a process alike.
 *
 * @module
 */

/** Nanoseconds in one clock tick (USER_HZ is 100 on every Linux that Deno runs on). */
export const TICK_NS = 10_000_000;

/** The part of a boot id that stands in names: its first eight hexadecimal digits. */
export function bootTag(bootId: string): string {
  return bootId.replaceAll("-", "").slice(0, 8);
}

/** `boot-pid-startTicks`: names a process. */
export function processId(tag: string, pid: number, startTicks: number): string {
  return `${tag}-${pid}-${startTicks}`;
}

/**
 * Names one execution of a process. The first image of a process has the process' own name; an image that replaced it
 * by another `execve` adds the tick at which it did.
 */
export function execId(tag: string, pid: number, startTicks: number, execTicks: number | null): string {
  return execTicks === null ? processId(tag, pid, startTicks) : `${tag}-${pid}-${startTicks}-${execTicks}`;
}

/** The pid in the name of a process or an execution. */
export function pidOfExec(id: string): number {
  return Number(id.split("-")[1]);
}

/** The process that an execution belongs to. */
export function processOfExec(id: string): string {
  let end = -1;
  for (let part = 0; part < 3; part++) {
    end = id.indexOf("-", end + 1);
    if (end < 0) return id;
  }
  return id.slice(0, end);
}
