/**
 * What is counted of calls, by the names under which the agent's status shows it. All since the agent's start.
 *
 * @module
 */

export interface RpcCounters {
  /** Calls that the agent made, for itself or an operator, and what came of them. */
  rpc_calls: number;
  rpc_succeeded: number;
  rpc_failed: number;
  rpc_timed_out: number;
  rpc_cancelled: number;
  rpc_unavailable: number;
  /** Answers of collectors that came when nobody waited for them any more. */
  rpc_late_replies: number;
  /** Calls of collectors to the agent. */
  rpc_answered: number;
}

export function newRpcCounters(): RpcCounters {
  return {
    rpc_calls: 0,
    rpc_succeeded: 0,
    rpc_failed: 0,
    rpc_timed_out: 0,
    rpc_cancelled: 0,
    rpc_unavailable: 0,
    rpc_late_replies: 0,
    rpc_answered: 0,
  };
}

const OF_STATUS = {
  success: "rpc_succeeded",
  in_progress: "rpc_succeeded",
  error: "rpc_failed",
  timeout: "rpc_timed_out",
  cancelled: "rpc_cancelled",
  unavailable: "rpc_unavailable",
} as const;

export function countOutcome(counters: RpcCounters, status: keyof typeof OF_STATUS): void {
  counters[OF_STATUS[status]]++;
}
