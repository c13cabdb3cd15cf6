/**
 * What the kernel says of every thread of a process.
 *
 * @module
 */

/** Texts of `/proc/PID/task/TID/status`; a thread that ends meanwhile is left out. */
export function readThreadStatuses(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(({ name }) => {
    try {
      return [Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`)];
    } catch {
      return [];
    }
  });
}
