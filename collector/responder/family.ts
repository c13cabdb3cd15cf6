/**
 * A process and its descendants, each held by itself.
 *
 * A descendant whose parent ended before it belongs to somebody else by then, and is not found.
 *
 * @module
 */
import { readProcessTable } from "../kernel/procfs.ts";
import { TICK_NS } from "../../proto/identity.ts";
import { Target, type TargetFacts } from "./target.ts";

export interface Member {
  readonly target: Target;
  readonly facts: TargetFacts;
}

/** A family has more members than it may have. */
export class FamilyTooLargeError extends Error {
  override name = "FamilyTooLargeError";
}

/**
 * Descendants of `members` that are not among them yet, parents before children. Who asks closes their targets.
 *
 * @throws {FamilyTooLargeError} when there would be more than `most`, members included.
 */
export function descendantsOf(members: readonly Member[], most: number): Member[] {
  const children = new Map<number, { readonly pid: number; readonly startTicks: number }[]>();
  for (const { pid, ppid, startTime } of readProcessTable({ argv: false, context: false })) {
    if (ppid === null) continue;
    const entry = { pid, startTicks: startTime / TICK_NS }, siblings = children.get(ppid);
    if (siblings === undefined) children.set(ppid, [entry]);
    else siblings.push(entry);
  }
  const known = new Set(members.map(({ facts }) => facts.pid)), found: Member[] = [];
  const open = members.map(({ facts }) => facts.pid);
  try {
    for (let at = 0; at < open.length; at++) {
      for (const { pid, startTicks } of children.get(open[at]!) ?? []) {
        if (known.has(pid)) continue;
        const target = Target.open(pid), facts = target?.facts() ?? null;
        // Ended since the table was read, or another process has its number.
        if (target === null || facts === null || facts.startTicks !== startTicks || facts.state === "zombie") {
          target?.close();
          continue;
        }
        found.push({ target, facts });
        known.add(pid);
        open.push(pid);
        if (known.size > most) throw new FamilyTooLargeError(`The family has more than ${most} processes`);
      }
    }
    return found;
  } catch (error) {
    for (const { target } of found) target.close();
    throw error;
  }
}
