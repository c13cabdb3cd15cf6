/**
 * Calls of the agent to its collectors and of them to it; whoever in the agent wants something of a collector asks here.
 *
 * A call goes over the connection of its target, and its answer comes back on it, to this caller alone. For one collector
 * a few run at a time and a few more wait; the time of a call runs from when it was asked. What goes wrong is an answer
 * with its category, never an exception.
 *
 * @module
 */
import { Answering, deadlineExceeded, responseTo } from "../../proto/bus/answering.ts";
import {
  AGENT,
  type Answer,
  failure,
  type Operation,
  RPC_VERSION,
  type RpcRequest,
  type RpcResponse,
} from "../../proto/bus/rpc.ts";
import { ChannelClosedError, ChannelFullError, ChannelTimeoutError } from "../../proto/channel.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type AgentHandlers, FOR_COLLECTORS, SUPERVISED } from "./agent_service.ts";
import { countOutcome, type RpcCounters } from "./counters.ts";

/** Calls to one collector that run, and that wait for one of those to end. */
const MAX_RUNNING = 8, MAX_WAITING = 64;
/** Calls of one collector to the agent that run. */
const MAX_OF_COLLECTOR = 8;
/** An answer may be under way when the collector's own time is over. */
const GRACE_MS = 250;

/** What is needed of a collector's connection. */
export interface CallTarget {
  readonly collectorId: string;
  /** The version of calls that it understands; 0 for none, `null` while that is not known. */
  readonly rpcVersion: number | null;
  call(request: RpcRequest, options: { timeoutMs: number; signal?: AbortSignal }): Promise<RpcResponse>;
}

export interface CallsOptions {
  readonly handlers: AgentHandlers;
  readonly counters: RpcCounters;
  /** The connection of a collector, `null` while it has none. */
  readonly target: (collectorId: string) => CallTarget | null;
}

/** The calls that run to one collector. */
interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

export class Calls {
  readonly #options: CallsOptions;
  readonly #lanes = new Map<string, Lane>();

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /**
   * Calls, and resolves with what came of it; does not reject. `caller` says on whose behalf, for logs and answers.
   */
  async call(caller: string, request: RpcRequest, signal?: AbortSignal): Promise<RpcResponse> {
    const { counters } = this.#options;
    counters.rpc_calls++;
    const response = await this.#call(caller, request, signal);
    countOutcome(counters, response.status);
    return response;
  }

  /** Calls to a collector that run or wait. */
  load(target: string): number {
    const lane = this.#lanes.get(target);
    return lane === undefined ? 0 : lane.running + lane.waiting.length;
  }

  /** Answers what one connection of a collector asks. */
  answering(collectorId: string): Answering {
    const handle = (request: RpcRequest, signal: AbortSignal): Promise<Answer> => {
      const { operation, target } = request;
      this.#options.counters.rpc_answered++;
      if (target !== AGENT) return refused("A collector calls the agent alone");
      if (!FOR_COLLECTORS.has(operation)) return refused(`A collector may not ask for ${operation}`);
      return this.#handle(collectorId, request, signal);
    };
    return new Answering(handle, MAX_OF_COLLECTOR);
  }

  async #call(caller: string, request: RpcRequest, signal?: AbortSignal): Promise<RpcResponse> {
    const began = performance.now(), { operation, target, timeoutMs } = request;
    if (signal?.aborted) return responseTo(request, cancelled(operation), 0);
    if (target === AGENT || SUPERVISED.has(operation)) return await this.#callAgent(caller, request, signal);
    if (operation === "register" || operation === "deregister") {
      const text = `${operation} is what a collector asks of the agent, for itself`;
      return responseTo(request, failure("permission", "NOT_FOR_OTHERS", text), 0);
    }
    const lane = this.#lane(target);
    if (lane.running >= MAX_RUNNING && lane.waiting.length >= MAX_WAITING) {
      const text = `${MAX_WAITING} calls to ${target} wait already; ask again later`;
      return responseTo(request, failure("resource", "QUEUE_FULL", text), 0);
    }
    const turn = await this.#turn(lane, timeoutMs, signal), queueMs = performance.now() - began;
    if (turn !== "begin") {
      this.#tidy(target, lane);
      const answer = turn === "timeout" ? deadlineExceeded(operation, timeoutMs) : cancelled(operation);
      return { ...responseTo(request, answer, 0), queueMs };
    }
    try {
      const rest = Math.max(1, Math.floor(timeoutMs - queueMs)), sent = performance.now();
      const response = await this.#callCollector({ ...request, timeoutMs: rest }, signal);
      return "executionMs" in response
        ? { ...response, queueMs: queueMs + response.queueMs }
        : { ...responseTo(request, response, performance.now() - sent), queueMs };
    } finally {
      lane.running--;
      lane.waiting.shift()?.();
      this.#tidy(target, lane);
    }
  }

  /** Carries it out here, with the time and the signal that it has. */
  async #callAgent(caller: string, request: RpcRequest, signal?: AbortSignal): Promise<RpcResponse> {
    const answering = new Answering((call, ended) => this.#handle(caller, call, ended), 1);
    const cancel = (): void => answering.cancel(1);
    signal?.addEventListener("abort", cancel, { once: true });
    const response = await answering.answer(1, request);
    signal?.removeEventListener("abort", cancel);
    return response;
  }

  async #handle(caller: string, request: RpcRequest, signal: AbortSignal): Promise<Answer> {
    const { operation, target, payload, timeoutMs } = request;
    // The wire lets no call through whose payload is not its operation's.
    const handler = this.#options.handlers[operation] as (asked: unknown) => Promise<Answer> | Answer;
    return await handler({ caller, target, payload, timeoutMs, signal });
  }

  async #callCollector(request: RpcRequest, signal?: AbortSignal): Promise<RpcResponse | Answer> {
    const { operation, target, timeoutMs } = request, connection = this.#options.target(target);
    if (connection === null) {
      return failure("unavailable", "NOT_CONNECTED", `unavailable: collector ${target} is not connected`);
    }
    if ((connection.rpcVersion ?? 0) < RPC_VERSION) {
      const why = connection.rpcVersion === null ? "has not said yet what it can do" : "is of a version without calls";
      return failure("unavailable", "NO_CALLS", `unavailable: collector ${target} ${why}`);
    }
    try {
      const timeout = timeoutMs + GRACE_MS;
      const response = await connection.call(request, {
        timeoutMs: timeout,
        ...signal === undefined ? {} : { signal },
      });
      if (response.operation === operation) return response;
      return failure(
        "communication",
        "WRONG_ANSWER",
        `Collector ${target} answers ${operation} by ${response.operation}`,
      );
    } catch (error) {
      if (signal?.aborted) return cancelled(operation);
      if (error instanceof ChannelTimeoutError) return deadlineExceeded(operation, timeoutMs);
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof ChannelFullError) {
        return failure("resource", "NO_ANSWERS", `Collector ${target} owes too many answers: ${text}`);
      }
      if (error instanceof ChannelClosedError) {
        return failure("unavailable", "DISCONNECTED", `unavailable: collector ${target} went away: ${text}`);
      }
      if (error instanceof WireError) return failure("communication", "NOT_SENT", text);
      return failure("internal", "INTERNAL", text);
    }
  }

  #lane(target: string): Lane {
    let lane = this.#lanes.get(target);
    if (lane === undefined) this.#lanes.set(target, lane = { running: 0, waiting: [] });
    return lane;
  }

  #tidy(target: string, lane: Lane): void {
    if (lane.running === 0 && lane.waiting.length === 0) this.#lanes.delete(target);
  }

  /** Waits until it may run. */
  async #turn(lane: Lane, timeoutMs: number, signal?: AbortSignal): Promise<"begin" | "timeout" | "cancelled"> {
    if (lane.running < MAX_RUNNING) {
      lane.running++;
      return "begin";
    }
    const { promise, resolve } = Promise.withResolvers<"begin" | "timeout" | "cancelled">();
    const begin = (): void => {
      lane.running++;
      resolve("begin");
    };
    const leave = (why: "timeout" | "cancelled") => (): void => {
      const at = lane.waiting.indexOf(begin);
      if (at < 0) return;
      lane.waiting.splice(at, 1);
      resolve(why);
    };
    lane.waiting.push(begin);
    const timer = setTimeout(leave("timeout"), timeoutMs), abort = leave("cancelled");
    signal?.addEventListener("abort", abort, { once: true });
    const turn = await promise;
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    return turn;
  }
}

function refused(why: string): Promise<Answer> {
  return Promise.resolve(failure("permission", "NOT_ALLOWED", why));
}

function cancelled(operation: Operation): Answer {
  return {
    ...failure("communication", "CANCELLED", `The caller no longer waits for ${operation}`),
    status: "cancelled",
  };
}
