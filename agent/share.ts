/**
 * Gives what the agent makes the mode and group that its directory says, whatever umask and group the agent runs with.
 *
 * @module
 */
import { dirname } from "node:path";

/** Sets the mode, and the directory's group where the agent may: it is a member, or owns all. */
export function share(path: string, mode: number): void {
  Deno.chmodSync(path, mode);
  const group = Deno.statSync(dirname(path)).gid;
  if (group === null || group === Deno.statSync(path).gid) return;
  try {
    Deno.chownSync(path, null, group);
  } catch {
    // Not a member: only the agent's own group has the file then, which a setgid directory would have prevented.
  }
}
