/**
 * The agent's way to have something done to a process by a collector: for what operators ask, and what rules do.
 *
 * @module
 */
import type { RpcRequest, RpcResponse } from "../proto/bus/rpc.ts";
import type { ResponseAnswer, ResponseRequest } from "../proto/response/action.ts";

/** A bundle with its executable takes its time; a request has two minutes. */
const CALL_MS = 110_000;

export interface Responding {
  /** Names of the connected collectors that see processes. */
  readonly collectors: () => readonly string[];
  /** Does not reject. */
  readonly call: (caller: string, request: RpcRequest) => Promise<RpcResponse>;
}

/** Passes a request on to a collector; `why` says why there is no answer. Does not reject. */
export async function askCollector(
  responding: Responding,
  target: string,
  request: ResponseRequest,
): Promise<
  { readonly kind: "answer"; readonly answer: ResponseAnswer } | { readonly kind: "none"; readonly why: string }
> {
  const { error, outcome } = await responding.call(request.by, {
    operation: "respond",
    target,
    timeoutMs: CALL_MS,
    correlation: null,
    payload: { kind: "response", request },
  });
  if (outcome?.kind === "response") return { kind: "answer", answer: outcome.answer };
  return { kind: "none", why: error?.message ?? `${target} gave no answer` };
}
