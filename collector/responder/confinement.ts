/**
 * What the response helper is when it works: a user of its own with the capabilities that its policy takes, and no
 * others.
 *
 * They come with the process, from whoever starts it (`deploy/tier_command.ts`), and nothing here could add one. A
 * helper that only signals executes itself again under Landlock, which lets it open next to nothing and write nothing;
 * one that may look at other users' processes cannot be under it, as Landlock hides those.
 *
 * @module
 */
import { dirname } from "node:path";
import type { StateLayout } from "../../proto/state_layout.ts";
import type { ResponseCapability } from "../../proto/response/policy.ts";
import { landlockVersion } from "../kernel/landlock.ts";
import { readThreadCredentials } from "../kernel/procfs.ts";
import { forbidDumps, installFilter } from "../kernel/seccomp.ts";
import { effectiveUser, type Kept, PrivilegeError, proveUnprivileged } from "../privilege.ts";
import { executeAgain, type Origin, refusesStrangers } from "../reexec.ts";

/** Numbers of `linux/capability.h`. */
const BITS: Readonly<Record<ResponseCapability, bigint>> = {
  kill: 1n << 5n,
  dac_read_search: 1n << 2n,
  sys_ptrace: 1n << 19n,
};

export interface ResponderConfinement {
  readonly held: ReadonlySet<ResponseCapability>;
  readonly canWrite: boolean;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
}

/** The capabilities that this process was started with, of those that a helper may have. */
export function heldCapabilities(): ReadonlySet<ResponseCapability> {
  const [thread] = readThreadCredentials();
  const permitted = thread?.permittedCapabilities ?? 0n;
  const names = Object.keys(BITS) as ResponseCapability[];
  return new Set(names.filter((name) => (permitted & BITS[name]) !== 0n));
}

/** Executes this program again under Landlock, unless that was done or would not do. Does not return then. */
export function fence(layout: StateLayout, held: ReadonlySet<ResponseCapability>, { isSecond }: Origin): void {
  refuseRoot();
  if (isSecond || held.has("sys_ptrace")) return;
  executeAgain(
    null,
    [
      { path: layout.responder, access: "socket" },
      // Not the file alone: who edits it puts another in its place.
      { path: dirname(layout.responsePolicy), access: "read" },
    ],
    maskOf(held),
    "all but signals",
  );
}

/**
 * Gives up what is not needed, and proves of every thread what is left.
 *
 * @throws {PrivilegeError} when started as root, or with other capabilities than a helper may have.
 */
export function confineResponder(
  held: ReadonlySet<ResponseCapability>,
  { isSecond }: Origin,
  syscallFilter: "errno" | "kill" | "off",
): ResponderConfinement {
  refuseRoot();
  const canWrite = held.has("sys_ptrace") && held.has("dac_read_search");
  // The filter refuses to be asked for it.
  const hasLandlock = isSecond && landlockVersion() > 0;
  forbidDumps();
  if (syscallFilter !== "off") {
    const role = canWrite ? "responder_writing" : "responder";
    installFilter({ refused: syscallFilter, processes: false, role });
  }
  const proof = proveUnprivileged(effectiveUser(), null, syscallFilter !== "off", {
    kept: kept(held),
    isBornConfined: isSecond,
  });
  if (!isSecond) return { held, canWrite, proof: `${proof}, NOT UNDER LANDLOCK: it would hide other users' processes` };
  if (!hasLandlock) return { held, canWrite, proof: `${proof}, NOT UNDER LANDLOCK: the kernel has none` };
  if (!refusesStrangers()) throw new PrivilegeError("What no Landlock rule allows can be opened all the same");
  return { held, canWrite, proof: `${proof}, under Landlock` };
}

function refuseRoot(): void {
  if (effectiveUser() !== 0) return;
  throw new PrivilegeError(
    "The response helper must not run as root; 'deno task start' starts it as a user of its own, with what its policy takes",
  );
}

function maskOf(held: ReadonlySet<ResponseCapability>): bigint {
  return [...held].reduce((mask, name) => mask | BITS[name], 0n);
}

function kept(held: ReadonlySet<ResponseCapability>): Kept {
  if (held.size === 0) return { capabilities: 0n, words: "without any capability" };
  const names = [...held].map((name) => `CAP_${name.toUpperCase()}`).sort().join(" and ");
  return { capabilities: maskOf(held), words: `with ${names} and no other capability` };
}
