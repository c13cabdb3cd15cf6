/**
 * What becomes of the collector's privileges, in the order that matters.
 *
 * @module
 */
import { type LandlockRule, landlockVersion } from "./kernel/landlock.ts";
import { forbidDumps, installFilter } from "./kernel/seccomp.ts";
import { dropPrivileges, effectiveUser, type Kept, NOTHING, PrivilegeError, proveUnprivileged } from "./privilege.ts";
import { executeAgain, type Origin, refusesStrangers } from "./reexec.ts";
import { resolveGroup, resolveUser } from "./users.ts";

export interface ConfinementSettings extends Origin {
  readonly user: string;
  readonly group: string;
  /** Where it happens: in the process as it runs, or by way of another execution of the same program. */
  readonly confinement: "in-process" | "re-exec";
  /** What befalls a system call that the collector has no need of; `off` lets it through. */
  readonly syscallFilter: "errno" | "kill" | "off";
  /** The number that shows whether refusals are recorded: see `FilterOptions.canary`. */
  readonly canary?: number | undefined;
  /** Whether the source that was opened lives from starting processes. */
  readonly startsProcesses: boolean;
  /** What every thread keeps, by configuration: see `retained.ts`. Nothing by default, and only with `re-exec`. */
  readonly kept?: Kept;
  /** What may be opened beside what every collector needs, where the kernel looks at that. */
  readonly mayOpen: readonly LandlockRule[];
}

export interface Confinement {
  readonly userId: number;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
}

/**
 * Gives up everything that the opened sources do not need, and proves it for every thread.
 *
 * With `re-exec` it does not return the first time: what is called then is the next execution's, which is born without
 * anything and comes here again.
 *
 * @throws {PrivilegeError} when started as root without a user to become, or when something is left.
 */
export function confine(settings: ConfinementSettings): Confinement {
  const { confinement, syscallFilter, startsProcesses, isSecond, beganAsRoot, mayOpen } = settings;
  if (beganAsRoot && settings.user === "") {
    throw new PrivilegeError("Started as root without a user to become; set collector.user and collector.group");
  }
  // 1. The identity: names are resolved while nothing is given up yet. With root's id every capability goes, in every
  //    thread, and without them nothing of the following can be undone.
  const target = beganAsRoot
    ? { userId: resolveUser(settings.user), groupId: resolveGroup(settings.group || settings.user) }
    : null;
  const kept = settings.kept ?? NOTHING, keepsSome = kept.capabilities !== 0n;
  if (keepsSome && confinement !== "re-exec") throw new PrivilegeError("Only another execution can keep a capability");
  if (confinement === "re-exec" && !isSecond) executeAgain(target, mayOpen, kept.capabilities);
  if (target !== null && !isSecond) dropPrivileges(target);
  const hasLandlock = isSecond && !keepsSome && landlockVersion() > 0;
  // 2. The memory: it holds what processes were started with. Not earlier, as a change of user sets this anew.
  forbidDumps();
  // 3. The system calls: last, as the steps before it use calls that it refuses. With it comes no_new_privs, in every
  //    thread, and threads made from here on have both.
  if (syscallFilter !== "off") {
    installFilter({ refused: syscallFilter, processes: startsProcesses, canary: settings.canary });
  }
  const userId = effectiveUser();
  const isFiltered = syscallFilter !== "off", isBornConfined = isSecond;
  const proof = proveUnprivileged(target?.userId ?? userId, target?.groupId ?? null, isFiltered, {
    isBornConfined,
    kept,
  });
  if (!isSecond) return { userId, proof };
  if (keepsSome) return { userId, proof: `${proof}, NOT UNDER LANDLOCK: it would hide other users' processes` };
  if (!hasLandlock) return { userId, proof: `${proof}, NOT UNDER LANDLOCK: the kernel has none` };
  if (!refusesStrangers()) throw new PrivilegeError("What no Landlock rule allows can be opened all the same");
  return { userId, proof: `${proof}, under Landlock` };
}
