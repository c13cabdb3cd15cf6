/**
 * SIGSTOP, SIGCONT and SIGKILL for a family, so that none of it gets away by starting another.
 *
 * To be stopped or ended, all are stopped first, parents before children, and looked for again until there is nobody
 * new: a stopped process starts none. What was born meanwhile is judged as those before it; what is protected is left
 * alone and named.
 *
 * @module
 */
import { SystemCallError } from "../kernel/libc.ts";
import { descendantsOf, FamilyTooLargeError, type Member } from "./family.ts";
import { isGone } from "./target.ts";

export const SIGKILL = 9, SIGCONT = 18, SIGSTOP = 19;
export type SignalAction = "stop" | "resume" | "kill";

const SIGNALS: Readonly<Record<SignalAction, { readonly number: number; readonly name: string }>> = {
  stop: { number: SIGSTOP, name: "SIGSTOP" },
  resume: { number: SIGCONT, name: "SIGCONT" },
  kill: { number: SIGKILL, name: "SIGKILL" },
};
/** Looks for who was born meanwhile. */
const MAX_ROUNDS = 16;
/** How long the kernel may take to do it, and between two looks. */
const SETTLED_MS = 1_000, LOOK_MS = 10;

export function signalName(action: SignalAction): string {
  return SIGNALS[action].name;
}

export interface SignalOptions {
  readonly tree: boolean;
  readonly most: number;
  /** Why a process is not to be touched; `null` when it may be. */
  readonly protection: (member: Member) => string | null;
}

export interface Signalled {
  /** Those that were sent it, also those that were born meanwhile; their targets are the caller's to close. */
  readonly members: readonly Member[];
  /** What did not go as it was meant. */
  readonly faults: readonly string[];
}

/** Sends the signal to all. Does not throw for what the kernel refuses: that is a fault. */
export async function signalAll(
  action: SignalAction,
  family: readonly Member[],
  options: SignalOptions,
): Promise<Signalled> {
  const faults: string[] = [], members = [...family];
  if (options.tree && action !== "resume") {
    send(members, SIGSTOP, faults);
    stopNewborn(members, options, faults);
  }
  if (action !== "stop" || !options.tree) send(members, SIGNALS[action].number, faults);
  await settle(action, members, faults);
  return { members, faults };
}

function send(members: readonly Member[], number: number, faults: string[]): void {
  for (const { target, facts } of members) {
    try {
      target.signal(number);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (!isGone(error)) faults.push(`process ${facts.pid} could not be signalled: ${error.message}`);
    }
  }
}

function stopNewborn(members: Member[], { most, protection }: SignalOptions, faults: string[]): void {
  const leftAlone = new Set<string>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let found: Member[];
    try {
      found = descendantsOf(members, most);
    } catch (error) {
      if (!(error instanceof FamilyTooLargeError)) throw error;
      faults.push(`${error.message} by now: those that were born last are left alone`);
      return;
    }
    const newborn: Member[] = [];
    for (const member of found) {
      const why = protection(member), { pid, startTicks } = member.facts;
      if (why === null) newborn.push(member);
      else {
        member.target.close();
        if (!leftAlone.has(`${pid}-${startTicks}`)) faults.push(`process ${pid} is left alone: ${why}`);
        leftAlone.add(`${pid}-${startTicks}`);
      }
    }
    if (newborn.length === 0) return;
    send(newborn, SIGSTOP, faults);
    members.push(...newborn);
  }
  faults.push(`after ${MAX_ROUNDS} looks there were still new descendants`);
}

/** Waits until all are as the signal makes them, for a while. */
async function settle(action: SignalAction, members: readonly Member[], faults: string[]): Promise<void> {
  const isSettled = ({ target }: Member): boolean => {
    if (target.hasEnded()) return true;
    if (action === "kill") return false;
    const state = target.facts()?.state ?? null;
    return state === null || (action === "stop") === (state === "stopped" || state === "traced");
  };
  const end = performance.now() + SETTLED_MS;
  for (;;) {
    const late = members.filter((member) => !isSettled(member));
    if (late.length === 0) return;
    if (performance.now() > end) {
      const what = action === "kill" ? "has not ended" : action === "stop" ? "is not stopped" : "is still stopped";
      for (const { facts } of late) faults.push(`process ${facts.pid} ${what} after ${SETTLED_MS / 1_000} s`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
