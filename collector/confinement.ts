/**
 * What becomes of the collector's privileges, in the order that matters.
 *
 * @module
 */
import { forbidDumps, installFilter } from "./kernel/seccomp.ts";
import { dropPrivileges, effectiveUser, PrivilegeError, proveUnprivileged } from "./privilege.ts";
import { resolveGroup, resolveUser } from "./users.ts";

export interface ConfinementSettings {
  readonly user: string;
  readonly group: string;
  /** What befalls a system call that the collector has no need of; `off` lets it through. */
  readonly syscallFilter: "errno" | "kill" | "off";
  /** Whether the source that was opened lives from starting processes. */
  readonly startsProcesses: boolean;
}

export interface Confinement {
  readonly userId: number;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
}

/**
 * Gives up everything that the opened sources do not need, and proves it for every thread.
 *
 * @throws {PrivilegeError} when started as root without a user to become, or when something is left.
 */
export function confine(settings: ConfinementSettings): Confinement {
  const isRoot = effectiveUser() === 0;
  if (isRoot && settings.user === "") {
    throw new PrivilegeError("Started as root without a user to become; set collector.user and collector.group");
  }
  // 1. The identity: names are resolved while nothing is given up yet. With root's id every capability goes, in every
  //    thread, and without them nothing of the following can be undone.
  const target = isRoot
    ? { userId: resolveUser(settings.user), groupId: resolveGroup(settings.group || settings.user) }
    : null;
  if (target !== null) dropPrivileges(target);
  // 2. The memory: it holds what processes were started with. Not earlier, as a change of user sets this anew.
  forbidDumps();
  // 3. The system calls: last, as the steps before it use calls that it refuses. With it comes no_new_privs, in every
  //    thread, and threads made from here on have both.
  const { syscallFilter, startsProcesses } = settings;
  if (syscallFilter !== "off") installFilter({ refused: syscallFilter, processes: startsProcesses });
  const userId = effectiveUser();
  return { userId, proof: proveUnprivileged(userId, target?.groupId ?? null, syscallFilter !== "off") };
}
