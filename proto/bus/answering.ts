/**
 * The side of a call that carries it out: gives each its time, ends it when nobody waits any more, and bounds how many run.
 *
 * A handler gets a signal that is aborted when the time is over, the caller has cancelled, or the connection is gone. Its
 * answer is then no longer waited for: what it gives later is dropped and counted.
 *
 * @module
 */
import { type Answer, failure, type Operation, type RpcRequest, type RpcResponse } from "./rpc.ts";

/** What became of calls, since the counts began. */
export interface AnsweringCounts {
  /** Calls that came. */
  calls: number;
  /** Calls whose handler threw, or answered with an error. */
  failed: number;
  /** Calls that did not end in their time. */
  timedOut: number;
  /** Calls for whose answer the caller no longer waits. */
  cancelled: number;
  /** Turned away, as too many run. */
  busy: number;
  /** Handlers that gave an answer when nobody waited for it. */
  late: number;
}

export function newAnsweringCounts(): AnsweringCounts {
  return { calls: 0, failed: 0, timedOut: 0, cancelled: 0, busy: 0, late: 0 };
}

/** Carries out a call; `signal` is aborted when its time is up, or its caller no longer waits. */
export type Handle = (call: RpcRequest, signal: AbortSignal) => Promise<Answer>;

/** Why a call was ended before its handler was through. */
type End = "timeout" | "cancelled";

/** Carries out the calls that come over a connection: so many at a time, each for its time and no longer. */
export class Answering {
  readonly #handle: Handle;
  readonly #most: number;
  readonly #running = new Map<number, (end: End) => void>();
  /** What became of the calls so far. */
  readonly counts: AnsweringCounts;

  /** `most`: calls that may run at a time; `counts`: shared with others where several count together. */
  constructor(handle: Handle, most: number, counts: AnsweringCounts = newAnsweringCounts()) {
    this.#handle = handle;
    this.#most = most;
    this.counts = counts;
  }

  /** Carries out a call; does not reject, and does not wait longer than the call does. */
  async answer(id: number, call: RpcRequest): Promise<RpcResponse> {
    const began = performance.now(), { counts } = this;
    counts.calls++;
    if (this.#running.size >= this.#most) {
      counts.busy++;
      const text = `${this.#most} calls are carried out already; ask again when one has ended`;
      return responseTo(call, failure("resource", "BUSY", text), 0);
    }
    const abort = new AbortController(), ended = Promise.withResolvers<End>();
    this.#running.set(id, ended.resolve);
    const timer = setTimeout(() => ended.resolve("timeout"), call.timeoutMs);
    let isWaitedFor = true;
    const handled = this.#carryOut(call, abort.signal).then((answer) => {
      if (!isWaitedFor) counts.late++;
      return answer;
    });
    const outcome = await Promise.race([handled, ended.promise]);
    isWaitedFor = false;
    clearTimeout(timer);
    this.#running.delete(id);
    const elapsed = performance.now() - began;
    if (typeof outcome === "object") {
      if (outcome.status !== "success" && outcome.status !== "in_progress") counts.failed++;
      return responseTo(call, outcome, elapsed);
    }
    abort.abort();
    if (outcome === "timeout") {
      counts.timedOut++;
      return responseTo(call, deadlineExceeded(call.operation, call.timeoutMs), elapsed);
    }
    counts.cancelled++;
    const text = `The caller no longer waits for ${call.operation}`;
    return responseTo(call, { ...failure("communication", "CANCELLED", text), status: "cancelled" }, elapsed);
  }

  /** The caller no longer waits for it. */
  cancel(id: number): void {
    this.#running.get(id)?.("cancelled");
  }

  /** The connection is gone: nobody waits for anything. */
  cancelAll(): void {
    for (const end of this.#running.values()) end("cancelled");
  }

  async #carryOut(call: RpcRequest, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#handle(call, signal);
    } catch (error) {
      return failure("internal", "INTERNAL", error instanceof Error ? error.message : String(error));
    }
  }
}

export function deadlineExceeded(operation: Operation, timeoutMs: number): Answer {
  return failure("timeout", "DEADLINE_EXCEEDED", `${operation} did not end within ${timeoutMs} ms`);
}

/** What is sent back. */
export function responseTo(call: RpcRequest, answer: Answer, executionMs: number): RpcResponse {
  const { operation, correlation } = call;
  return { operation, ...answer, executionMs, queueMs: 0, correlation };
}
