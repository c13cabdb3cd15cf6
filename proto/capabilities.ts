/**
 * What a collector answers when it is asked what it can do.
 *
 * @module
 */
import type { Registration } from "./registration.ts";
import type { CapabilityResponse, MonitoringDomain } from "./task.ts";

/** What it sees, of its registration. */
export type Sees = Pick<Registration, "domains" | "kernelLevel" | "realtime" | "systemWide">;

/** The answer of one that sees this, to who asks for these domains. */
export function capabilitiesOf(
  { domains, kernelLevel, realtime, systemWide }: Sees,
  asked: readonly MonitoringDomain[],
  versions: Pick<CapabilityResponse, "serverVersion" | "demandVersion" | "rpcVersion">,
): CapabilityResponse {
  const missing = asked.filter((domain) => !domains.includes(domain));
  return {
    success: missing.length === 0,
    ...{ domains, kernelLevel, realtime, systemWide },
    errorMessage: missing.length === 0 ? null : `No source for ${missing.join(", ")}`,
    ...versions,
  };
}
