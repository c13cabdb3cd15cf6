/**
 * What the agent itself carries out of a call, for whoever calls it: a total table over the operations.
 *
 * Starting and stopping collectors is asked of the supervisor, registering of the registry; without them these operations
 * are unavailable, and say so. What an agent cannot do is refused by name, never pretended.
 *
 * @module
 */
import {
  AGENT,
  type Answer,
  failure,
  type HealthComponent,
  type Operation,
  OPERATIONS,
  type PayloadOf,
  type RpcPayload,
  success,
  worstOf,
} from "../../proto/bus/rpc.ts";
import { VERSION } from "../../proto/version.ts";
import type { Supervision, SupervisionAction } from "../supervision.ts";
import type { Registry, RegistryReply } from "./registry.ts";

export interface AgentServiceOptions {
  readonly supervision: Supervision;
  readonly registry: Registry | null;
  /** How the parts of the agent are. */
  readonly health: () => readonly HealthComponent[];
}

/** One call, as a handler sees it. */
export interface Asked<Payload extends RpcPayload> {
  /** A collector's id, or in the agent's own words who asks. */
  readonly caller: string;
  /** {@linkcode AGENT}, or the collector that is meant. */
  readonly target: string;
  readonly payload: Payload;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export type AgentHandlers = { readonly [O in Operation]: (asked: Asked<PayloadOf<O>>) => Promise<Answer> | Answer };

/** Operations that the agent carries out for a collector that is their target, not the collector. */
export const SUPERVISED: ReadonlySet<Operation> = new Set<Operation>(["start", "stop", "restart"]);
/** What a collector may ask of the agent. */
export const FOR_COLLECTORS: ReadonlySet<Operation> = new Set<Operation>([
  "register",
  "deregister",
  "health_check",
  "get_capabilities",
]);

export function agentHandlers({ supervision, registry, health }: AgentServiceOptions): AgentHandlers {
  const supervised = (verb: SupervisionAction) => async (asked: Asked<PayloadOf<"start">>): Promise<Answer> => {
    if (asked.target === AGENT) return notOfAnAgent(`${verb} names the collector that is meant, not the agent`);
    if (!supervision.isThere) {
      const why = "unavailable: this agent was started without a supervisor; use what started it, such as systemctl";
      return failure("unavailable", "NO_SUPERVISOR", why);
    }
    return answerOf(await supervision.request(verb, asked.target));
  };
  return {
    register: async ({ caller, payload }) =>
      registry === null ? NO_REGISTRY : answerOf(await registry.register(caller, payload.registration)),
    deregister: async ({ caller, payload }) =>
      registry === null ? NO_REGISTRY : answerOf(await registry.deregister(caller, payload.text)),
    start: supervised("start"),
    stop: supervised("stop"),
    restart: supervised("restart"),
    health_check: () => {
      const components = health();
      return success({ kind: "health", state: worstOf(components), components, uptimeMs: performance.now() });
    },
    get_capabilities: () =>
      success({
        kind: "capabilities",
        operations: OPERATIONS.filter((operation) =>
          FOR_COLLECTORS.has(operation) || (supervision.isThere && SUPERVISED.has(operation))
        ),
        taskTypes: [],
        version: VERSION,
      }),
    update_config: () => notOfAnAgent("the agent reads its settings when it starts; change its configuration file"),
    graceful_shutdown: () => notOfAnAgent("the agent is stopped by whoever started it"),
    force_shutdown: () => notOfAnAgent("the agent is stopped by whoever started it"),
    pause: () => notOfAnAgent("the agent does not pause; a collector does"),
    resume: () => notOfAnAgent("the agent does not pause; a collector does"),
    execute_task: () => notOfAnAgent("tasks are for collectors; name one as the target"),
    respond: () => notOfAnAgent("responses are given by collectors; name one as the target"),
  };
}

const NO_REGISTRY = failure("unavailable", "NO_REGISTRY", "unavailable: this agent was started without a registry");

function notOfAnAgent(why: string): Answer {
  return failure("configuration", "UNSUPPORTED_OPERATION", why);
}

function answerOf({ accepted, detail }: RegistryReply): Answer {
  return accepted ? success({ kind: "done", text: detail }) : failure("resource", "REFUSED", detail);
}
