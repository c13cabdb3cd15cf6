/**
 * Which processes are never touched: the first one, the kernel's, DaemonEye's own, and those that the policy protects.
 *
 * DaemonEye's own are those of its users, this process, all above it, and all below whoever started it, which is the
 * supervisor of every tier (but not where process 1 did). What the policy names by executable is refused as well where
 * the executable cannot be seen. A name is what a process calls itself, and can be taken by any.
 *
 * @module
 */
import { isNamed, type ResponsePolicy } from "../../proto/response/policy.ts";
import { readProcess } from "../kernel/procfs.ts";
import type { TargetFacts } from "./target.ts";

/** Further up than any host has processes above each other that matter; a circle would end here too. */
const MAX_ABOVE = 256;
const DELETED = " (deleted)";

export interface Ourselves {
  /** Users that the tiers run as; root is not one. */
  readonly users: ReadonlySet<number>;
  readonly pid: number;
  /** The parent of a process, `null` when it is gone. */
  readonly parentOf: (pid: number) => number | null;
}

export function parentOf(pid: number): number | null {
  return readProcess(pid, { argv: false, context: false })?.ppid ?? null;
}

/** Why a process is not to be touched; `null` when it may be. */
export function protectionOf(facts: TargetFacts, ourselves: Ourselves, policy: ResponsePolicy): string | null {
  const { pid, name, kernelThread, userIds, path } = facts;
  if (pid === 1) return "it is the first process of the host";
  if (kernelThread) return "it is a thread of the kernel";
  const own = ownFault(facts, ourselves);
  if (own !== null) return own;
  if (isNamed(policy.protectedNames, name)) return `the policy protects processes named ${name}`;
  const user = userIds.find((id) => policy.protectedUsers.includes(id));
  if (user !== undefined) return `the policy protects processes of user ${user}`;
  if (policy.protectedPaths.length === 0) return null;
  if (path === null) return "its executable cannot be seen, and the policy protects some";
  const found = path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
  return isNamed(policy.protectedPaths, found) ? `the policy protects processes of ${found}` : null;
}

function ownFault({ pid, userIds }: TargetFacts, { users, pid: self, parentOf }: Ourselves): string | null {
  const user = userIds.find((id) => users.has(id));
  if (user !== undefined) return `it runs as user ${user}, which is DaemonEye's`;
  const ourAbove = above(self, parentOf);
  if (pid === self || ourAbove.includes(pid)) return "it is DaemonEye, or what DaemonEye was started from";
  const supervisor = ourAbove[0];
  if (supervisor === undefined || supervisor === 1) return null;
  return above(pid, parentOf).includes(supervisor) ? "it is DaemonEye: its supervisor started it" : null;
}

/** The processes above one, from the nearest. */
function above(pid: number, parentOf: (pid: number) => number | null): number[] {
  const found: number[] = [];
  for (let at = parentOf(pid); at !== null && at > 0 && found.length < MAX_ABOVE; at = parentOf(at)) found.push(at);
  return found;
}
