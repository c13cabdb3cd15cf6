/**
 * What becomes of the collector's privileges, in the order that matters.
 *
 * @module
 */
import { dropPrivileges, effectiveUser, PrivilegeError, proveUnprivileged } from "./privilege.ts";
import { resolveGroup, resolveUser } from "./users.ts";

export interface Confinement {
  readonly userId: number;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
}

/**
 * Gives up root when started as root, and proves for every thread that nothing is left either way.
 *
 * @throws {PrivilegeError} when started as root without a user to become, or when something is left.
 */
export function confine(settings: { readonly user: string; readonly group: string }): Confinement {
  const userId = effectiveUser();
  if (userId !== 0) return { userId, proof: proveUnprivileged(userId, null) };
  if (settings.user === "") {
    throw new PrivilegeError("Started as root without a user to become; set collector.user and collector.group");
  }
  const target = { userId: resolveUser(settings.user), groupId: resolveGroup(settings.group || settings.user) };
  return { userId: target.userId, proof: dropPrivileges(target) };
}
