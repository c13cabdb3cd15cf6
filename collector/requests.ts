/**
 * What the agent may ask of the collector: a closed set of questions, each answered from what the collector has.
 *
 * The agent is not trusted with anything else. A question that this version cannot answer is answered by saying so.
 *
 * @module
 */
import { VERSION } from "../proto/version.ts";
import type { ReplyBody, RequestBody } from "../proto/wire.ts";

/** Answers one question. `source` is the name of the source in use. */
export function answerRequest(body: RequestBody, source: string): ReplyBody {
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
      };
    }
    case "task":
      return { kind: "error", reason: `This collector does not take tasks: ${body.taskType}` };
  }
}
