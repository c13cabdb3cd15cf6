/**
 * Calls between agent and collectors: the operations, what they are given and what comes of them.
 *
 * A call stands on the connection of the two, so that its answer reaches the caller and nobody else. It has a time; who
 * answers later answers nobody, and is told when the caller stops waiting.
 *
 * @module
 */
import type { ResponseAnswer, ResponseRequest } from "../response/action.ts";
import type { DetectionResult, DetectionTask, TaskType } from "../task.ts";
import type { Correlation } from "./correlation.ts";

/** The one version of calls that this program speaks. */
export const RPC_VERSION = 1;
/** The target that is the agent itself. No collector may be called so. */
export const AGENT = "agent";

/** What an agent may ask of a collector, and some of which a collector may ask of the agent. */
export const OPERATIONS = [
  "register",
  "deregister",
  "start",
  "stop",
  "restart",
  "health_check",
  "update_config",
  "get_capabilities",
  "graceful_shutdown",
  "force_shutdown",
  "pause",
  "resume",
  "execute_task",
  "respond",
] as const;
/** One of {@linkcode OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/**
 * `in_progress`: the same task is carried out already; `timeout`: it did not end in time; `cancelled`: the caller no
 * longer waits; `unavailable`: who could do it is not there.
 */
export const RPC_STATUSES = ["success", "error", "in_progress", "timeout", "cancelled", "unavailable"] as const;
/** One of {@linkcode RPC_STATUSES}. */
export type RpcStatus = (typeof RPC_STATUSES)[number];

/** What went wrong, as far as the caller must tell it apart. */
export const ERROR_CATEGORIES = [
  "configuration",
  "resource",
  "communication",
  "permission",
  "internal",
  "timeout",
  "unavailable",
] as const;
/** One of {@linkcode ERROR_CATEGORIES}. */
export type ErrorCategory = (typeof ERROR_CATEGORIES)[number];

/** From good to bad. */
export const HEALTH_STATES = ["healthy", "degraded", "unhealthy", "unresponsive", "unknown"] as const;
/** One of {@linkcode HEALTH_STATES}. */
export type HealthState = (typeof HEALTH_STATES)[number];

/** What a collector says of itself by the operation `register`; the connection's own registration says more. */
export interface Registration {
  /** What kind of collector it is. */
  readonly collectorType: string;
  /** Its own version. */
  readonly version: string;
  /** What it can do, in words of its own. */
  readonly capabilities: readonly string[];
  /** Milliseconds between two heartbeats of it. */
  readonly heartbeatIntervalMs: number;
}

/** Settings that are to be changed. */
export interface ConfigUpdate {
  /** The version that is to be changed, so that two do not change one unseen; 0 for whichever. */
  readonly expectedVersion: number;
  /** Whether it is only to be said what would be refused. */
  readonly validateOnly: boolean;
  /** Values as text, by the names of settings; what is not named stays. */
  readonly changes: Readonly<Record<string, string>>;
}

/** What an operation is given, by its kind. */
export type RpcPayload =
  | { readonly kind: "reason"; readonly text: string }
  | { readonly kind: "registration"; readonly registration: Registration }
  | { readonly kind: "config"; readonly update: ConfigUpdate }
  | { readonly kind: "task"; readonly task: DetectionTask }
  | { readonly kind: "response"; readonly request: ResponseRequest };

/** What each operation must be given. */
export const PAYLOAD_OF = {
  register: "registration",
  deregister: "reason",
  start: "reason",
  stop: "reason",
  restart: "reason",
  health_check: "reason",
  update_config: "config",
  get_capabilities: "reason",
  graceful_shutdown: "reason",
  force_shutdown: "reason",
  pause: "reason",
  resume: "reason",
  execute_task: "task",
  respond: "response",
} as const satisfies Record<Operation, RpcPayload["kind"]>;

export type PayloadOf<O extends Operation> = Extract<RpcPayload, { kind: (typeof PAYLOAD_OF)[O] }>;

/** A call. */
export interface RpcRequest {
  /** What is to be done. */
  readonly operation: Operation;
  /** {@linkcode AGENT}, or the id of a collector. */
  readonly target: string;
  /** Milliseconds that it may take. */
  readonly timeoutMs: number;
  /** The case that it belongs to; `null` for none. */
  readonly correlation: Correlation | null;
  /** What the operation is given. */
  readonly payload: RpcPayload;
}

/** Why a call failed. */
export interface RpcError {
  /** What went wrong. */
  readonly category: ErrorCategory;
  /** For programs, in capitals. */
  readonly code: string;
  /** For people, with what to do. */
  readonly message: string;
}

/** How one part of a collector is. */
export interface HealthComponent {
  /** Name of the part. */
  readonly name: string;
  /** How it is. */
  readonly state: HealthState;
  /** One line for people. */
  readonly detail: string;
}

/** What came of a call, by its kind. */
export type RpcOutcome =
  | { readonly kind: "done"; readonly text: string }
  | {
    readonly kind: "health";
    readonly state: HealthState;
    readonly components: readonly HealthComponent[];
    readonly uptimeMs: number;
  }
  | {
    readonly kind: "config";
    readonly version: number;
    readonly values: Readonly<Record<string, string>>;
    readonly changed: readonly string[];
  }
  | {
    readonly kind: "capabilities";
    readonly operations: readonly Operation[];
    readonly taskTypes: readonly TaskType[];
    readonly version: string;
  }
  | { readonly kind: "result"; readonly result: DetectionResult }
  | { readonly kind: "response"; readonly answer: ResponseAnswer };

/** The answer to a call. */
export interface RpcResponse {
  /** What was to be done. */
  readonly operation: Operation;
  /** How it ended. */
  readonly status: RpcStatus;
  /** `null` where all went well. */
  readonly error: RpcError | null;
  /** `null` where nothing came of it. A task may have a result and have failed. */
  readonly outcome: RpcOutcome | null;
  /** Milliseconds in the hands of who did it, and before that in a queue. */
  readonly executionMs: number;
  /** Milliseconds that it waited for its turn. */
  readonly queueMs: number;
  /** That of the call. */
  readonly correlation: Correlation | null;
}

/** What a handler gives. */
export type Answer = Pick<RpcResponse, "status" | "error" | "outcome">;

/** The answer of a call that did what it should. */
export function success(outcome: RpcOutcome): Answer {
  return { status: "success", error: null, outcome };
}

/** The answer of a call that failed: `code` is for programs, in capitals; `message` for people, with what to do. */
export function failure(category: ErrorCategory, code: string, message: string): Answer {
  const status = category === "timeout" ? "timeout" : category === "unavailable" ? "unavailable" : "error";
  return { status, error: { category, code, message }, outcome: null };
}

/** The worst of all states, of which `unknown` says the least. */
export function worstOf(components: readonly HealthComponent[]): HealthState {
  const known = components.filter(({ state }) => state !== "unknown");
  if (known.length === 0) return "unknown";
  return HEALTH_STATES[Math.max(...known.map(({ state }) => HEALTH_STATES.indexOf(state)))]!;
}
