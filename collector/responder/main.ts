/**
 * `collector responder`: does to processes what root's policy allows, as a process and a user of its own.
 *
 * It knows the collector and nobody else. What it may do is decided by its policy file (`docs/response.md`), what it can
 * do by the capabilities that it was started with. Without a policy file nobody starts it.
 *
 * @module
 */
import type { Settings } from "../../proto/config.ts";
import { bootTag } from "../../proto/identity.ts";
import { printable } from "../../proto/printable.ts";
import { PolicyError, policyWords } from "../../proto/response/policy.ts";
import type { StateLayout } from "../../proto/state_layout.ts";
import { listenForCollector } from "../hasher/server.ts";
import { giveBackHeap } from "../kernel/heap.ts";
import { endInheritance } from "../kernel/inheritance.ts";
import { readBootId } from "../kernel/procfs.ts";
import { effectiveUser } from "../privilege.ts";
import type { Origin } from "../reexec.ts";
import { resolveUser } from "../users.ts";
import { confineResponder, fence, heldCapabilities } from "./confinement.ts";
import { OutputDirectory } from "./output.ts";
import { readPolicy } from "./policy_file.ts";
import { parentOf } from "./protection.ts";
import type { ResponderGreeting } from "./protocol.ts";
import { Responder } from "./responder.ts";
import { ResponderServer } from "./server.ts";

/** Serves until it is told to stop. */
export async function runResponder(settings: Settings, layout: StateLayout, origin: Origin): Promise<never> {
  const { collector } = settings, held = heldCapabilities();
  const notice = (text: string): void => console.error(`responder: ${printable(text)}`);

  // 1. Landlock, where it can be: that is another execution, and nothing may be open yet.
  fence(layout, held, origin);
  endInheritance();

  // 2. The socket, and by whom it may be used.
  const userId = collector.user === "" ? effectiveUser() : resolveUser(collector.user);
  const users = [collector.user, collector.agentUser, collector.hasherUser].filter((user) => user !== "");
  const ourUsers = new Set([effectiveUser(), ...users.map(resolveUser)].filter((id) => id !== 0));
  const bootId = readBootId(), listener = listenForCollector(layout.responderSocket);

  // 3. What it may do from here on.
  const confinement = confineResponder(held, origin, collector.syscallFilter);

  // 4. The work.
  const responder = new Responder({
    boot: bootTag(bootId),
    bootId,
    policy: () => readPolicy(layout.responsePolicy),
    held,
    canWrite: confinement.canWrite,
    ourselves: { users: ourUsers, pid: Deno.pid, parentOf },
    output: new OutputDirectory(layout.responses),
  });
  const greeting = (): ResponderGreeting => greetingOf(layout.responsePolicy, confinement.proof);
  const server = new ResponderServer({ path: layout.responderSocket, userId, greeting, responder, notice });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => void responder.stop().finally(() => Deno.exit(0)));
  }
  notice(confinement.proof);
  const { policy, fault } = greeting();
  notice(fault === "" ? policy : fault);
  giveBackHeap();
  await server.serve(listener);
  Deno.exit(0);
}

function greetingOf(path: string, sees: string): ResponderGreeting {
  try {
    const policy = readPolicy(path);
    return { sees, policy: policyWords(policy), fault: policy.actions.length === 0 ? policyWords(policy) : "" };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { sees, policy: "", fault: error.message };
  }
}
