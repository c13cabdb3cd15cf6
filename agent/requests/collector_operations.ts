/**
 * What operators may ask for of collectors: entries of the table of operations, most of them calls of the bus.
 *
 * Starting, stopping and restarting is the supervisor's; the rest goes to the collector itself, which decides what it lets
 * an agent do, and whose refusal is the answer.
 *
 * @module
 */
import type { Operation as CallOperation, RpcPayload, RpcResponse } from "../../proto/bus/rpc.ts";
import { parseDuration } from "../../proto/rules/duration.ts";
import {
  type Answer,
  type Argument,
  type Call,
  FailedError,
  type Operation,
  operation,
  RefusedError,
} from "./operation.ts";

const DEFAULT_WITHIN_MS = 20_000;
/** An operation has two minutes; what it is for must end before that. */
export const MAX_WITHIN_MS = 110_000;

const ID = {
  kind: "word",
  required: true,
  help: "the id of a collector, as 'health' shows it",
  form: /^[A-Za-z0-9_.+-]{1,64}$/,
} as const satisfies Argument;
export const WITHIN = {
  kind: "option",
  required: false,
  help: "how long it may take, such as 30s; 110s at most",
  form: /^[1-9]\d{0,6}(?:ms|s|m)$/,
} as const satisfies Argument;

/** @throws RefusedError */
export function withinMs(text: string | null, otherwise = DEFAULT_WITHIN_MS): number {
  const ms = text === null ? otherwise : parseDuration(text) ?? Infinity;
  if (ms <= MAX_WITHIN_MS) return ms;
  throw new RefusedError(`within is ${MAX_WITHIN_MS / 1_000}s at most, not ${text}`);
}

/** An entry that is one call to one collector. */
function called(name: CallOperation, summary: string, changes: boolean): Operation {
  return operation({
    summary,
    arguments: { id: ID, within: WITHIN },
    changes,
    run: async ({ id, within }, call) =>
      answerOf(id, await calling(call, name, id, { kind: "reason", text: "an operator asks" }, within)),
  });
}

export const COLLECTOR_OPERATIONS: Readonly<Record<string, Operation>> = {
  "collector start": called("start", "has the supervisor start a collector that was stopped", true),
  "collector stop": called("stop", "has the supervisor end a collector, but for the sensor", true),
  "collector restart": called("restart", "has the supervisor end a collector and start it again", true),
  "collector health": called("health_check", "how a collector says that its parts are", false),
  "collector capabilities": called("get_capabilities", "which calls and tasks a collector has", false),
  "collector pause": called(
    "pause",
    "has a collector send nothing; it keeps everything, until 'collector resume'",
    true,
  ),
  "collector resume": called("resume", "has a collector send again what it kept", true),
  "collector shutdown": operation({
    summary: "has a collector end itself, where its configuration lets the agent; its supervisor starts it again",
    arguments: {
      id: ID,
      how: { kind: "word", required: false, help: "graceful (default) or force", form: /^(?:graceful|force)$/ },
      within: WITHIN,
    },
    changes: true,
    async run({ id, how, within }, call) {
      const name = how === "force" ? "force_shutdown" : "graceful_shutdown";
      return answerOf(id, await calling(call, name, id, { kind: "reason", text: "an operator asks" }, within));
    },
  }),
  "collector config": operation({
    summary: "changes settings of a collector until its next start, or without any shows them",
    arguments: {
      id: ID,
      assignments: { kind: "words", required: false, help: "KEY=VALUE, one or more", form: /^[a-z0-9_.]{1,64}=/ },
      within: WITHIN,
    },
    changes: true,
    async run({ id, assignments, within }, call) {
      const changes = Object.fromEntries(assignments.map((each): [string, string] => {
        const at = each.indexOf("=");
        return [each.slice(0, at), each.slice(at + 1)];
      }));
      if (Object.keys(changes).length < assignments.length) throw new RefusedError("A setting is named twice");
      const update = { expectedVersion: 0, validateOnly: assignments.length === 0, changes };
      return answerOf(id, await calling(call, "update_config", id, { kind: "config", update }, within));
    },
  }),
};

function calling(
  { services, actor, signal }: Call,
  name: CallOperation,
  target: string,
  payload: RpcPayload,
  within: string | null,
): Promise<RpcResponse> {
  const request = { operation: name, target, timeoutMs: withinMs(within), correlation: null, payload };
  return services.calls.call(`user ${actor.userId}`, request, signal);
}

/** What came of a call, in words and as it is. @throws RefusedError, FailedError */
function answerOf(id: string, { operation: name, status, error, outcome }: RpcResponse): Answer {
  if (error !== null) {
    // Of what went away in the middle nobody knows how far it was.
    const isRefusal = (status === "error" || status === "unavailable") && error.code !== "DISCONNECTED" &&
      error.category !== "internal" && error.category !== "communication";
    throw new (isRefusal ? RefusedError : FailedError)(error.message);
  }
  switch (outcome?.kind) {
    case "done":
      return { text: outcome.text, value: { collector: id } };
    case "health": {
      const lines = outcome.components.map(({ name, state, detail }) => `${name}: ${state}${detail && `: ${detail}`}`);
      const components = outcome.components.map((each) => ({ ...each }));
      return {
        text: [`${id} is ${outcome.state}`, ...lines].join("\n"),
        value: { collector: id, state: outcome.state, components },
        degraded: outcome.state !== "healthy",
      };
    }
    case "config": {
      const { version, values, changed } = outcome;
      return {
        text: [
          ...Object.entries(values).map(([key, value]) => `${key} = ${value}`),
          `version ${version}; ${changed.length === 0 ? "nothing was changed" : `changed: ${changed.join(", ")}`}`,
        ].join("\n"),
        value: { collector: id, version, values: { ...values }, changed: [...changed] },
      };
    }
    case "capabilities": {
      const { operations, taskTypes, version } = outcome;
      return {
        text: `${id} ${version}\noperations: ${operations.join(", ")}\ntasks: ${taskTypes.join(", ") || "none"}`,
        value: { collector: id, version, operations: [...operations], tasks: [...taskTypes] },
      };
    }
    default:
      throw new FailedError(`Collector ${id} answers ${name} by ${outcome?.kind ?? status}`);
  }
}
