/**
 * How the parts of the collector are, from what its status says.
 *
 * @module
 */
import type { HealthComponent, HealthState } from "../../proto/bus/rpc.ts";
import { type CollectorStatus, REDACTION_ON } from "../../proto/status.ts";

export function collectorHealth(status: CollectorStatus): HealthComponent[] {
  const { sources, log, ledger, completeness, redaction, state } = status;
  const active = sources.filter((source) => source.state === "active");
  const misses = active.flatMap((source) => source.misses);
  const component = (name: string, state: HealthState, detail: string): HealthComponent => ({ name, state, detail });
  return [
    component("collector", state === "running" ? "healthy" : "degraded", state),
    active.length === 0
      ? component("sources", "unhealthy", "no event source is active")
      : component("sources", misses.length === 0 ? "healthy" : "degraded", misses.join("; ")),
    component("completeness", completeness.state === "differs" ? "degraded" : "healthy", completeness.detail),
    component("redaction", redaction === REDACTION_ON ? "healthy" : "degraded", redaction),
    log.fault !== ""
      ? component("log", "unhealthy", log.fault)
      : component("log", log.trouble !== "" || log.refused > 0 || log.isSlowed ? "degraded" : "healthy", log.trouble),
    component("ledger", ledger.state === "on" && ledger.trouble === "" ? "healthy" : "degraded", ledger.trouble),
  ];
}
