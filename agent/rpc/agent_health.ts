/**
 * How the parts of the agent are, from what its status says.
 *
 * @module
 */
import type { HealthComponent, HealthState } from "../../proto/bus/rpc.ts";
import type { AgentStatus } from "../../proto/status.ts";

export function agentHealth({ store, rules, collectors, registry, counters }: AgentStatus): HealthComponent[] {
  const component = (name: string, state: HealthState, detail: string): HealthComponent => ({ name, state, detail });
  const rejected = rules.filter(({ state }) => state === "rejected").length;
  const active = rules.filter(({ state }) => state === "active").length;
  const blind = rules.filter(({ state, degraded }) => state === "active" && degraded.length > 0).length;
  const silent = registry.filter(({ lifecycle: { state } }) => state === "degraded" || state === "failed").length;
  const lost = counters["bus_lost_full"] ?? 0, owed = counters["alerts_undelivered"] ?? 0;
  return [
    component("store", store.state === "taking" ? "healthy" : "unhealthy", store.reason),
    active === 0 ? component("rules", "unhealthy", "no rule is active") : component(
      "rules",
      rejected + blind === 0 ? "healthy" : "degraded",
      `${active} active, of them ${blind} degraded, ${rejected} rejected`,
    ),
    component(
      "collectors",
      collectors.length === 0 ? "unhealthy" : silent === 0 ? "healthy" : "degraded",
      `${collectors.length} connected, ${silent} not heard from`,
    ),
    component("sinks", owed === 0 ? "healthy" : "degraded", `${owed} alerts are owed`),
    ...analysisHealth(counters),
    component("bus", lost === 0 ? "healthy" : "degraded", `${lost} messages found no room at slow subscribers`),
  ];
}

/** Nothing while analyses are turned off. */
function analysisHealth(counters: Readonly<Record<string, number>>): HealthComponent[] {
  const connected = counters["analyzers_connected"];
  if (connected === undefined) return [];
  const rejected = counters["analysis_files_rejected"] ?? 0, dropped = counters["analysis_dropped"] ?? 0;
  const isGood = connected > 0 && rejected === 0 && counters["analysis_short"] === 0;
  const limited = counters["analysis_limited"] ?? 0;
  const detail =
    `${connected} analyzers, ${rejected} files rejected, ${dropped} requests without room, ${limited} past a limit`;
  return [{ name: "analyses", state: connected === 0 ? "unhealthy" : isGood ? "healthy" : "degraded", detail }];
}
