/**
 * What the hasher is when it works: a user of its own that may read every file and nothing else, and no call that does
 * more than that.
 *
 * The capability comes with the process, from whoever starts it (`deploy/tier_command.ts`): it is in every thread from
 * the first on, as ambient capabilities are, and nothing here could add one.
 *
 * @module
 */
import { readThreadCredentials } from "../kernel/procfs.ts";
import { forbidDumps, installFilter } from "../kernel/seccomp.ts";
import { effectiveUser, PrivilegeError, proveUnprivileged } from "../privilege.ts";
import type { HashGreeting } from "./protocol.ts";

/** `CAP_DAC_READ_SEARCH` of `linux/capability.h`: read every file, search every directory. */
export const READ_ALL = 1n << 2n;

export interface HasherConfinement {
  readonly userId: number;
  readonly readsAll: boolean;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
  readonly greeting: HashGreeting;
}

/**
 * Gives up what is not needed, and proves of every thread what is left.
 *
 * @throws {PrivilegeError} when started as root, or with more than the one capability.
 */
export function confineHasher(syscallFilter: "errno" | "kill" | "off"): HasherConfinement {
  const userId = effectiveUser();
  if (userId === 0) {
    throw new PrivilegeError(
      "The hasher must not run as root; 'deno task start' starts it as a user of its own with one capability",
    );
  }
  const [thread] = readThreadCredentials();
  const readsAll = thread !== undefined && (thread.permittedCapabilities & READ_ALL) !== 0n;
  forbidDumps();
  if (syscallFilter !== "off") installFilter({ refused: syscallFilter, processes: false, role: "hasher" });
  const kept = {
    capabilities: readsAll ? READ_ALL : 0n,
    words: readsAll ? "with CAP_DAC_READ_SEARCH and no other capability" : "without any capability",
  };
  const proof = proveUnprivileged(userId, null, syscallFilter !== "off", { kept });
  const misses = readsAll
    ? ""
    : `executables that user ${userId} may not read are not hashed: the hasher runs without CAP_DAC_READ_SEARCH`;
  return { userId, readsAll, proof, greeting: { sees: proof, misses } };
}
