/**
 * What the agent may ask of the collector: a closed set of questions, each answered from what the collector has.
 *
 * The agent is not trusted with anything else. A question that this version cannot answer is answered by saying so.
 *
 * @module
 */
import { type AttributeStanding, type Demand, DEMAND_VERSION } from "../proto/demand.ts";
import { VERSION } from "../proto/version.ts";
import type { ReplyBody, RequestBody } from "../proto/wire.ts";

/** Answers one question. `source` is the name of the source in use; `demand` takes what rules need. */
export function answerRequest(
  body: RequestBody,
  source: string,
  demand: (demand: Demand) => readonly AttributeStanding[] | null,
): ReplyBody {
  switch (body.kind) {
    case "capabilities": {
      const others = body.domains.filter((domain) => domain !== "process");
      return {
        kind: "capabilities",
        success: others.length === 0,
        domains: ["process"],
        kernelLevel: source === "ebpf" || source === "netlink",
        realtime: source === "ebpf" || source === "netlink",
        systemWide: true,
        errorMessage: others.length === 0 ? null : `No source for ${others.join(", ")}`,
        serverVersion: VERSION,
        demandVersion: DEMAND_VERSION,
      };
    }
    case "task":
      return { kind: "error", reason: `This collector does not take tasks: ${body.taskType}` };
    case "demand": {
      const attributes = demand(body.demand);
      if (attributes !== null) return { kind: "demand", attributes };
      return { kind: "error", reason: "Demands change faster than the audit ledger is told of it; ask again" };
    }
    case "otherDemand":
      return { kind: "error", reason: `This collector takes demands of version ${DEMAND_VERSION} alone` };
  }
}
