/**
 * What the collector carries out of the agent's calls: a total table over the operations.
 *
 * The agent is not trusted. It may look, pause what it is sent itself, and change a few numbers (`live_settings.ts`); it
 * ends the collector only where root's configuration says so, and has something done to a process only as far as root's
 * policy lets the response helper. What is not the collector's to do is refused by name.
 *
 * @module
 */
import {
  type Answer,
  failure,
  type HealthComponent,
  type Operation,
  type PayloadOf,
  type RpcPayload,
  type RpcRequest,
  success,
  worstOf,
} from "../../proto/bus/rpc.ts";
import type { ResponseAnswer, ResponseRequest } from "../../proto/response/action.ts";
import { VERSION } from "../../proto/version.ts";
import type { LiveSettings } from "./live_settings.ts";
import { TASKS, type Tasks } from "./tasks.ts";

export interface ServiceOptions {
  readonly collectorId: string;
  readonly tasks: Pick<Tasks, "run">;
  /** The tasks that it knows; those of the sensor where this is left out. */
  readonly taskTypes?: typeof TASKS;
  readonly settings: LiveSettings;
  readonly health: () => readonly HealthComponent[];
  /** Holds back, or sends again, what this agent is sent; nothing is lost by it. */
  readonly pause: (isPaused: boolean) => void;
  /** Ends the collector, `null` where the configuration does not let the agent. `isForced`: without what is under way. */
  readonly shutdown: ((isForced: boolean, reason: string) => void) | null;
  /** Has something done to a process, as far as root's policy goes; `null` for a collector that cannot. */
  readonly respond: ((request: ResponseRequest) => Promise<ResponseAnswer>) | null;
  readonly notice: (text: string) => void;
}

type Handlers = { readonly [O in Operation]: (payload: PayloadOf<O>, signal: AbortSignal) => Promise<Answer> | Answer };

/** Longest reason of the agent's that is repeated in a notice. */
const MAX_REASON_LENGTH = 200;

/** What answers the agent's calls. */
export function collectorService(options: ServiceOptions): (call: RpcRequest, signal: AbortSignal) => Promise<Answer> {
  const handlers = collectorHandlers(options), { collectorId } = options;
  return async ({ operation, target, payload }, signal) => {
    if (target !== collectorId) {
      return failure(
        "configuration",
        "OTHER_TARGET",
        `This is collector ${collectorId}, and the call is for another one`,
      );
    }
    // The wire lets no call through whose payload is not its operation's.
    return await (handlers[operation] as (payload: RpcPayload, signal: AbortSignal) => Promise<Answer> | Answer)(
      payload,
      signal,
    );
  };
}

function collectorHandlers(options: ServiceOptions): Handlers {
  const { tasks, settings, health, notice } = options;
  const ofAgent = (): Answer =>
    failure("configuration", "UNSUPPORTED_OPERATION", "The agent carries this out, not a collector");
  const end = (isForced: boolean) => ({ text }: PayloadOf<"graceful_shutdown">): Answer => {
    const { shutdown } = options;
    if (shutdown === null) {
      const why = "collector.obeys_shutdown is no: the agent may not end this collector; ask its supervisor";
      return failure("permission", "NOT_ALLOWED", why);
    }
    notice(`the agent ends this collector${isForced ? " by force" : ""}: ${printable(text)}`);
    // The answer goes first.
    setTimeout(() => shutdown(isForced, printable(text)), 0);
    return success({ kind: "done", text: "it ends" });
  };
  const pause = (isPaused: boolean) => ({ text }: PayloadOf<"pause">): Answer => {
    options.pause(isPaused);
    notice(`the agent ${isPaused ? "pauses" : "resumes"} what it is sent: ${printable(text)}`);
    return success({ kind: "done", text: isPaused ? "nothing is sent; everything is kept" : "everything is sent" });
  };
  return {
    register: ofAgent,
    deregister: ofAgent,
    start: ofAgent,
    stop: ofAgent,
    restart: ofAgent,
    health_check: () => {
      const components = health();
      return success({ kind: "health", state: worstOf(components), components, uptimeMs: performance.now() });
    },
    update_config: ({ update }) => settings.update(update),
    get_capabilities: () => {
      const ends: readonly Operation[] = options.shutdown === null ? [] : ["graceful_shutdown", "force_shutdown"];
      const responds: readonly Operation[] = options.respond === null ? [] : ["respond"];
      return success({
        kind: "capabilities",
        operations: [
          "health_check",
          "update_config",
          "get_capabilities",
          ...ends,
          "pause",
          "resume",
          "execute_task",
          ...responds,
        ],
        taskTypes: options.taskTypes ?? TASKS,
        version: VERSION,
      });
    },
    graceful_shutdown: end(false),
    force_shutdown: end(true),
    pause: pause(true),
    resume: pause(false),
    execute_task: ({ task }, signal) => tasks.run(task, signal),
    respond: async ({ request }) =>
      options.respond === null
        ? failure("configuration", "UNSUPPORTED_OPERATION", "This collector does nothing to processes")
        : success({ kind: "response", answer: await options.respond(request) }),
  };
}

function printable(text: string): string {
  return text.slice(0, MAX_REASON_LENGTH).replace(/[^ -~]/g, "?");
}
