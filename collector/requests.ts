/**
 * What the agent may ask of the collector: a closed set of questions, each answered from what the collector has.
 *
 * The agent is not trusted with anything else. A question that this version cannot answer is answered by saying so.
 *
 * @module
 */
import { capabilitiesOf, type Sees } from "../proto/capabilities.ts";
import { type AttributeStanding, type Demand, DEMAND_VERSION } from "../proto/demand.ts";
import { RPC_VERSION } from "../proto/bus/rpc.ts";
import { processTables, type Registration } from "../proto/registration.ts";
import { VERSION } from "../proto/version.ts";
import type { ReplyBody, RequestBody } from "../proto/messages.ts";

/** How often the collector says that it lives: well below the agent's idle timeout. */
export const HEARTBEAT_MS = 5_000;

/** Sources that are told by the kernel. */
const KERNEL_SOURCES: readonly string[] = ["ebpf", "netlink"];

/** What the collector registers at the agent: the same that it answers, and the columns that its source knows. */
export function registrationOf(source: string, unknownColumns: readonly string[]): Registration {
  return {
    collectorType: "process-monitor",
    ...seenBy(source),
    tables: processTables(unknownColumns),
    heartbeatMs: HEARTBEAT_MS,
    keepsLedger: true,
  };
}

function seenBy(source: string): Sees {
  const isKernel = KERNEL_SOURCES.includes(source);
  return { domains: ["process"], kernelLevel: isKernel, realtime: isKernel, systemWide: true };
}

/** Answers one question. `source` is the name of the source in use; `demand` takes what rules need. */
export function answerRequest(
  body: RequestBody,
  source: string,
  demand: (demand: Demand) => readonly AttributeStanding[] | null,
): ReplyBody {
  switch (body.kind) {
    case "capabilities": {
      const versions = { serverVersion: VERSION, demandVersion: DEMAND_VERSION, rpcVersion: RPC_VERSION };
      return { kind: "capabilities", ...capabilitiesOf(seenBy(source), body.domains, versions) };
    }
    case "task":
      return { kind: "error", reason: `A task is given by a call of execute_task, not by itself: ${body.taskType}` };
    case "demand": {
      const attributes = demand(body.demand);
      if (attributes !== null) return { kind: "demand", attributes };
      return { kind: "error", reason: "Demands change faster than the audit ledger is told of it; ask again" };
    }
    case "subscribe":
    case "unsubscribe":
      return { kind: "error", reason: "The bus is the agent's; a collector has none" };
    case "rpc":
      return { kind: "error", reason: "Calls are not answered here" };
    case "otherDemand":
      return { kind: "error", reason: `This collector takes demands of version ${DEMAND_VERSION} alone` };
  }
}
