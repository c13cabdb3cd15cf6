/**
 * Registering by a call, beside the message with which a collector registers when it connects.
 *
 * A call says less: of the tables it names none, so all columns of those of its domains are taken as filled. Everything
 * that a registration may not be, and that it is the second of its connection, is refused as for the message. Without a
 * registry both operations are unavailable, and say so.
 *
 * @module
 */
import type { Registration as CalledRegistration } from "../../proto/bus/rpc.ts";
import { checkRegistration, processTables, type Registration } from "../../proto/registration.ts";
import { MONITORING_DOMAINS } from "../../proto/task.ts";
import type { Registry as Collectors } from "../collectors/registry.ts";

/** Whether it is done, and in words what is, or why not. */
export interface RegistryReply {
  readonly accepted: boolean;
  readonly detail: string;
}

export interface Registry {
  register(collectorId: string, registration: CalledRegistration): Promise<RegistryReply>;
  deregister(collectorId: string, reason: string): Promise<RegistryReply>;
}

/** What a capability may be but for the name of a domain. */
const TRAITS = ["kernel_level", "realtime", "system_wide"] as const;

/** The registry as those see it that call. */
export function calledRegistry(collectors: Pick<Collectors, "linkOf" | "register" | "deregister">): Registry {
  const reply = (refusal: string | null, done: string): Promise<RegistryReply> =>
    Promise.resolve({ accepted: refusal === null, detail: refusal ?? done });
  return {
    register(collectorId, called) {
      const link = collectors.linkOf(collectorId);
      if (link === null) return reply("It is not connected", "");
      let registration: Registration;
      try {
        registration = registrationOf(called);
      } catch (error) {
        return reply(error instanceof Error ? error.message : String(error), "");
      }
      return reply(collectors.register(collectorId, link, registration), "it is registered");
    },
    deregister: (collectorId, reason) =>
      reply(collectors.deregister(collectorId, reason), "it is not registered any more"),
  };
}

/** @throws WireError or RangeError for what no registration may be */
function registrationOf({ collectorType, capabilities, heartbeatIntervalMs }: CalledRegistration): Registration {
  const known: readonly string[] = [...MONITORING_DOMAINS, ...TRAITS];
  const other = capabilities.find((capability) => !known.includes(capability));
  if (other !== undefined) throw new RangeError(`A capability is one of ${known.join(", ")}, not ${other}`);
  const domains = MONITORING_DOMAINS.filter((domain) => capabilities.includes(domain));
  const registration: Registration = {
    collectorType,
    domains,
    kernelLevel: capabilities.includes("kernel_level"),
    realtime: capabilities.includes("realtime"),
    systemWide: capabilities.includes("system_wide"),
    tables: domains.includes("process") ? processTables([]) : [],
    heartbeatMs: heartbeatIntervalMs,
    keepsLedger: true,
  };
  checkRegistration(registration);
  return registration;
}
