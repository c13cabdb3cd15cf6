/**
 * What an analyser carries out of the agent's calls: stages of analyses, and questions about itself.
 *
 * @module
 */
import { type Answer, failure, type RpcRequest, success, worstOf } from "../../proto/bus/rpc.ts";
import { decodeStageRequest, encodeStageRows, StageError } from "../../proto/analysis/stage.ts";
import { VERSION } from "../../proto/version.ts";
import { StageFailure } from "./read_file.ts";
import type { Stages } from "./stages.ts";

/** Kept for the answer, of the time that the agent gives. */
const ANSWER_MS = 200;

/** What is wrong with the analyser, in sentences. */
export type Misses = () => readonly string[];

/** What answers the agent's calls. */
export function analyzerService(
  analyzerId: string,
  stages: Stages,
  misses: Misses,
): (call: RpcRequest, signal: AbortSignal) => Promise<Answer> {
  return async ({ operation, target, payload, timeoutMs }, signal) => {
    if (target !== analyzerId) return failure("configuration", "OTHER_TARGET", `This is ${analyzerId}, not ${target}`);
    switch (operation) {
      case "health_check": {
        const missing = misses(), state = missing.length === 0 ? "healthy" : "degraded";
        const components = [{ name: "analyzer", state, detail: missing.join("; ") }] as const;
        return success({ kind: "health", state: worstOf(components), components, uptimeMs: performance.now() });
      }
      case "get_capabilities":
        return success({
          kind: "capabilities",
          operations: ["health_check", "get_capabilities", "execute_task"],
          taskTypes: ["analyze"],
          version: VERSION,
        });
      case "execute_task":
        if (payload.kind !== "task" || payload.task.taskType !== "analyze") {
          return failure("configuration", "UNSUPPORTED_TASK", "An analyser carries out the task analyze alone");
        }
        return await analyze(payload.task.taskId, payload.task.metadata, timeoutMs, stages, signal);
      default:
        return failure("configuration", "UNSUPPORTED_OPERATION", `An analyser does not carry out ${operation}`);
    }
  };
}

async function analyze(
  taskId: string,
  metadata: string | null,
  timeoutMs: number,
  stages: Stages,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    const rows = await stages.run(decodeStageRequest(metadata), Math.max(1, timeoutMs - ANSWER_MS), signal);
    const result = { taskId, success: true, errorMessage: null, processes: [], hashResult: null };
    return success({ kind: "result", result: { ...result, analysis: encodeStageRows(rows) } });
  } catch (error) {
    if (error instanceof StageFailure) {
      const category = error.code === "TIMED_OUT" ? "timeout" : error.code === "ABSENT" ? "unavailable" : "resource";
      return failure(category, error.code, error.message);
    }
    if (error instanceof StageError) return failure("configuration", "INVALID_TASK", error.message);
    throw error;
  }
}
