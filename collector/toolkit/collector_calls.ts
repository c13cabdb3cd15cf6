/**
 * What a collector of another maker answers to the agent's calls, where it differs from the sensor.
 *
 * @module
 */
import { failure, type HealthComponent } from "../../proto/bus/rpc.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { ServiceOptions } from "../calls/service.ts";
import type { WalStatus } from "../wal/log_options.ts";

/** It knows no task. */
export const unsupportedTasks: ServiceOptions["tasks"] = {
  run: () => Promise.resolve(failure("configuration", "UNSUPPORTED_TASK", "This collector carries out no tasks")),
};

/** How its sources and its log are. */
export function runnerHealth(sources: readonly SourceStatus[], log: WalStatus, trouble: string): HealthComponent[] {
  const parts = sources.map(({ name, state, detail, misses }): HealthComponent => ({
    name,
    state: state !== "active" ? "unhealthy" : misses.length > 0 ? "degraded" : "healthy",
    detail: misses.length > 0 ? misses.join("; ") : detail,
  }));
  const state = log.fault !== "" ? "unhealthy" : log.refused > 0 || trouble !== "" ? "degraded" : "healthy";
  return [...parts, { name: "log", state, detail: log.fault || trouble }];
}
