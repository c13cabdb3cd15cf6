/**
 * Gives what the agent makes the mode and group that its directory says, whatever umask and group the agent runs with.
 *
 * @module
 */
import { dirname } from "node:path";

/** Sets the mode, and the directory's group where the agent may: it is a member, or owns all. */
export function share(path: string, mode: number): void {
  Deno.chmodSync(path, mode);
  try {
    const group = Deno.statSync(dirname(path)).gid;
    if (group !== null && group !== Deno.statSync(path).gid) Deno.chownSync(path, null, group);
  } catch {
    // Not a member, or not granted a look at the directory: it stays with the agent's own group.
  }
}
