/**
 * Calls and what the broker is asked, between their plain form and the generated messages of `ipc.proto`.
 *
 * @module
 */
import { create } from "@bufbuild/protobuf";
import { fromU53, member, toU53 } from "../cold_codec.ts";
import * as bus from "../gen/bus_pb.ts";
import * as ipc from "../gen/ipc_pb.ts";
import {
  readResponseAnswer,
  readResponseRequest,
  writeResponseAnswer,
  writeResponseRequest,
} from "../response/codec.ts";
import { readResult, readTask, writeResult, writeTask } from "../result_codec.ts";
import { TASK_TYPES } from "../task.ts";
import { WireError } from "../wire_error.ts";
import { MAX_PATTERN_LENGTH } from "./codec.ts";
import { type Correlation, limited } from "./correlation.ts";
import { QUALITIES } from "./message.ts";
import {
  ERROR_CATEGORIES,
  HEALTH_STATES,
  OPERATIONS,
  PAYLOAD_OF,
  RPC_STATUSES,
  type RpcOutcome,
  type RpcPayload,
  type RpcRequest,
  type RpcResponse,
} from "./rpc.ts";
import type { BusSubscribe, BusUnsubscribe } from "./wire.ts";

/** Most entries of a list or map of a call, and the longest text in it, in UTF-16 code units. */
const MAX_ENTRIES = 256, MAX_TEXT = 8_192;
/** Longest time of a call: an hour. */
const MAX_TIMEOUT_MS = 3_600_000;

export function writeSubscribe(subscribe: BusSubscribe): bus.Subscribe {
  const { pattern, quality, stream, received, window } = subscribe;
  return create(bus.SubscribeSchema, {
    pattern,
    quality: QUALITIES.indexOf(quality),
    stream: fromU53(stream, "A stream"),
    received: fromU53(received, "A number"),
    window,
  });
}

export function readSubscribe({ pattern, quality, stream, received, window }: bus.Subscribe): BusSubscribe {
  return {
    kind: "subscribe",
    pattern: patternOf(pattern),
    quality: member(QUALITIES, quality, "quality"),
    stream: toU53(stream, "A stream"),
    received: toU53(received, "A number"),
    window,
  };
}

export function readUnsubscribe({ pattern }: bus.Unsubscribe): BusUnsubscribe {
  return { kind: "unsubscribe", pattern: patternOf(pattern) };
}

export function writeRpcRequest({ operation, target, timeoutMs, correlation, payload }: RpcRequest): ipc.RpcRequest {
  checkRequest(operation, timeoutMs, payload);
  return create(ipc.RpcRequestSchema, {
    operation: OPERATIONS.indexOf(operation),
    target,
    timeoutMs,
    ...correlation === null ? {} : { correlation: writeCorrelation(correlation) },
    payload: writePayload(payload),
  });
}

export function readRpcRequest(message: ipc.RpcRequest): RpcRequest {
  const operation = member(OPERATIONS, message.operation, "operation"), { timeoutMs } = message;
  const payload = readPayload(message.payload);
  checkRequest(operation, timeoutMs, payload);
  return { operation, target: textOf(message.target), timeoutMs, correlation: correlationOf(message), payload };
}

export function writeRpcResponse(response: RpcResponse): ipc.RpcResponse {
  const { operation, status, error, outcome, executionMs, queueMs, correlation } = response;
  return create(ipc.RpcResponseSchema, {
    operation: OPERATIONS.indexOf(operation),
    status: RPC_STATUSES.indexOf(status),
    ...error === null ? {} : {
      error: create(ipc.RpcErrorSchema, {
        category: ERROR_CATEGORIES.indexOf(error.category),
        code: error.code,
        message: error.message,
      }),
    },
    executionMs,
    queueMs,
    ...correlation === null ? {} : { correlation: writeCorrelation(correlation) },
    ...outcome === null ? {} : { payload: writeOutcome(outcome) },
  });
}

export function readRpcResponse(message: ipc.RpcResponse): RpcResponse {
  const { error, executionMs, queueMs } = message;
  if (!Number.isFinite(executionMs) || !Number.isFinite(queueMs)) throw new WireError("A time is not a finite number");
  return {
    operation: member(OPERATIONS, message.operation, "operation"),
    status: member(RPC_STATUSES, message.status, "status of a call"),
    error: error === undefined ? null : {
      category: member(ERROR_CATEGORIES, error.category, "category of errors"),
      code: textOf(error.code),
      message: textOf(error.message),
    },
    outcome: readOutcome(message.payload),
    executionMs,
    queueMs,
    correlation: correlationOf(message),
  };
}

function checkRequest(operation: keyof typeof PAYLOAD_OF, timeoutMs: number, payload: RpcPayload): void {
  if (payload.kind !== PAYLOAD_OF[operation]) {
    throw new WireError(`A call of ${operation} takes ${PAYLOAD_OF[operation]}, not ${payload.kind}`);
  }
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new WireError(`A call has 1 to ${MAX_TIMEOUT_MS} ms, not ${timeoutMs}`);
  }
}

function writePayload(payload: RpcPayload): ipc.RpcRequest["payload"] {
  switch (payload.kind) {
    case "reason":
      return { case: "reason", value: create(ipc.RpcReasonSchema, { text: payload.text }) };
    case "registration": {
      const { capabilities, ...rest } = payload.registration;
      const value = create(ipc.RpcRegistrationSchema, { ...rest, capabilities: [...capabilities] });
      return { case: "registration", value };
    }
    case "config":
      return {
        case: "config",
        value: create(ipc.RpcConfigUpdateSchema, { ...payload.update, changes: { ...payload.update.changes } }),
      };
    case "task":
      return { case: "task", value: writeTask(payload.task) };
    case "response":
      return { case: "response", value: writeResponseRequest(payload.request) };
  }
}

function readPayload(payload: ipc.RpcRequest["payload"]): RpcPayload {
  switch (payload.case) {
    case "reason":
      return { kind: "reason", text: textOf(payload.value.text) };
    case "registration": {
      const { collectorType, version, capabilities, heartbeatIntervalMs } = payload.value;
      return {
        kind: "registration",
        registration: {
          collectorType: textOf(collectorType),
          version: textOf(version),
          capabilities: listOf(capabilities).map(textOf),
          heartbeatIntervalMs,
        },
      };
    }
    case "config": {
      const { expectedVersion, validateOnly, changes } = payload.value;
      return { kind: "config", update: { expectedVersion, validateOnly, changes: mapOf(changes) } };
    }
    case "task":
      return { kind: "task", task: readTask(payload.value) };
    case "response":
      return { kind: "response", request: readResponseRequest(payload.value) };
    default:
      throw new WireError("A call is given nothing");
  }
}

function writeOutcome(outcome: RpcOutcome): ipc.RpcResponse["payload"] {
  switch (outcome.kind) {
    case "done":
      return { case: "done", value: create(ipc.RpcReasonSchema, { text: outcome.text }) };
    case "health": {
      const components = outcome.components.map(({ name, state, detail }) =>
        create(ipc.RpcComponentSchema, { name, state: HEALTH_STATES.indexOf(state), detail })
      );
      const state = HEALTH_STATES.indexOf(outcome.state);
      return {
        case: "health",
        value: create(ipc.RpcHealthSchema, { state, components, uptimeMs: outcome.uptimeMs }),
      };
    }
    case "config": {
      const { version, values, changed } = outcome;
      return {
        case: "config",
        value: create(ipc.RpcConfigSchema, { version, values: { ...values }, changed: [...changed] }),
      };
    }
    case "capabilities":
      return {
        case: "capabilities",
        value: create(ipc.RpcCapabilitiesSchema, {
          operations: outcome.operations.map((each) => OPERATIONS.indexOf(each)),
          taskTypes: outcome.taskTypes.map((each) => TASK_TYPES.indexOf(each)),
          version: outcome.version,
        }),
      };
    case "result":
      return { case: "result", value: writeResult(outcome.result) };
    case "response":
      return { case: "response", value: writeResponseAnswer(outcome.answer) };
  }
}

function readOutcome(payload: ipc.RpcResponse["payload"]): RpcOutcome | null {
  switch (payload.case) {
    case "done":
      return { kind: "done", text: textOf(payload.value.text) };
    case "health": {
      const { state, components, uptimeMs } = payload.value;
      if (!Number.isFinite(uptimeMs)) throw new WireError("A time is not a finite number");
      return {
        kind: "health",
        state: member(HEALTH_STATES, state, "state of health"),
        components: listOf(components).map((each) => ({
          name: textOf(each.name),
          state: member(HEALTH_STATES, each.state, "state of health"),
          detail: textOf(each.detail),
        })),
        uptimeMs,
      };
    }
    case "config": {
      const { version, values, changed } = payload.value;
      return { kind: "config", version, values: mapOf(values), changed: listOf(changed).map(textOf) };
    }
    case "capabilities": {
      const { operations, taskTypes, version } = payload.value;
      return {
        kind: "capabilities",
        operations: listOf(operations).map((each) => member(OPERATIONS, each, "operation")),
        taskTypes: listOf(taskTypes).map((each) => member(TASK_TYPES, each, "task type")),
        version: textOf(version),
      };
    }
    case "result":
      return { kind: "result", result: readResult(payload.value) };
    case "response":
      return { kind: "response", answer: readResponseAnswer(payload.value) };
    default:
      return null;
  }
}

function writeCorrelation(correlation: Correlation): bus.Correlation {
  const { id, parentId, rootId, sequence, stage, tags, createdAt } = correlation;
  return create(bus.CorrelationSchema, {
    id,
    ...parentId === null ? {} : { parentId },
    rootId,
    sequence: fromU53(sequence, "A sequence"),
    ...stage === null ? {} : { stage },
    tags: { ...tags },
    createdAt: fromU53(createdAt, "A time"),
  });
}

function correlationOf({ correlation }: { readonly correlation?: bus.Correlation | undefined }): Correlation | null {
  if (correlation === undefined) return null;
  const { id, parentId, rootId, sequence, stage, tags, createdAt } = correlation;
  return limited({
    id,
    parentId: parentId ?? null,
    rootId,
    sequence: toU53(sequence, "A sequence"),
    stage: stage ?? null,
    tags,
    createdAt: toU53(createdAt, "A time"),
  }).correlation;
}

function textOf(text: string): string {
  if (text.length > MAX_TEXT) throw new WireError(`A text has ${text.length} characters; at most ${MAX_TEXT}`);
  return text;
}

function patternOf(pattern: string): string {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new WireError(`A pattern has ${pattern.length} characters`);
  return pattern;
}

function listOf<T>(list: readonly T[]): readonly T[] {
  if (list.length > MAX_ENTRIES) throw new WireError(`A list has ${list.length} entries; at most ${MAX_ENTRIES}`);
  return list;
}

/** A copy whose names are all its own properties, whatever they are called. */
function mapOf(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(listOf(Object.entries(map)).map(([name, text]) => [textOf(name), textOf(text)]));
}
