/**
 * Messages of the bus and calls for tests of the wire: the usual, the empty and the full.
 *
 * @module
 */
import type { Correlation } from "../../proto/bus/correlation.ts";
import { MESSAGE_TYPES, PRIORITIES, REFUSALS } from "../../proto/bus/message.ts";
import { type Operation, OPERATIONS, PAYLOAD_OF, type RpcPayload, type RpcResponse } from "../../proto/bus/rpc.ts";
import type { WireMessage } from "../../proto/messages.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

const FULL_CORRELATION: Correlation = {
  id: "ü",
  parentId: "",
  rootId: "root",
  sequence: Number.MAX_SAFE_INTEGER,
  stage: "stage",
  tags: { a: "b", "": "", ü: "日" },
  createdAt: 1_732_166_400_123,
};
const BLANK_CORRELATION: Correlation = {
  id: "",
  parentId: null,
  rootId: "",
  sequence: 0,
  stage: null,
  tags: {},
  createdAt: 0,
};

const PAYLOADS: { readonly [K in RpcPayload["kind"]]: Extract<RpcPayload, { kind: K }> } = {
  reason: { kind: "reason", text: "an operator asks" },
  registration: {
    kind: "registration",
    registration: { collectorType: "process", version: "1", capabilities: ["a", "b"], heartbeatIntervalMs: 30_000 },
  },
  config: {
    kind: "config",
    update: { expectedVersion: 7, validateOnly: true, changes: { "collector.snapshot_interval_ms": "5000" } },
  },
  task: {
    kind: "task",
    task: { taskId: "t", taskType: "enumerate_processes", processFilter: null, hashCheck: null, metadata: null },
  },
  response: {
    kind: "response",
    request: {
      action: "kill",
      process: "1a2b3c4d-812-99",
      tree: true,
      seconds: 0,
      rule: "odd",
      byRule: false,
      by: "user 1000 (alice)",
      reason: "a test",
    },
  },
};

const calls = OPERATIONS.map((operation: Operation, i): WireMessage => ({
  kind: "request",
  id: 100 + i,
  body: {
    kind: "rpc",
    call: {
      operation,
      target: i % 2 === 0 ? "agent" : "procmond",
      timeoutMs: 1 + i,
      correlation: i === 0 ? FULL_CORRELATION : null,
      payload: PAYLOADS[PAYLOAD_OF[operation]],
    },
  },
}));

const blank: RpcResponse = {
  operation: "register",
  status: "success",
  error: null,
  outcome: null,
  executionMs: 0,
  queueMs: 0,
  correlation: null,
};

const responses: readonly RpcResponse[] = [
  blank,
  {
    ...blank,
    operation: "stop",
    status: "unavailable",
    error: { category: "unavailable", code: "NO_SUPERVISOR", message: "none" },
    executionMs: 0.5,
    queueMs: 1.25,
    correlation: BLANK_CORRELATION,
  },
  { ...blank, operation: "pause", outcome: { kind: "done", text: "" } },
  {
    ...blank,
    operation: "health_check",
    outcome: {
      kind: "health",
      state: "degraded",
      components: [{ name: "log", state: "degraded", detail: "full" }, { name: "b", state: "healthy", detail: "" }],
      uptimeMs: 1.5,
    },
  },
  { ...blank, operation: "update_config", outcome: { kind: "config", version: 2, values: { a: "1" }, changed: ["a"] } },
  {
    ...blank,
    operation: "get_capabilities",
    outcome: { kind: "capabilities", operations: OPERATIONS, taskTypes: ["monitor_process_tree"], version: "1" },
  },
  {
    ...blank,
    operation: "execute_task",
    status: "timeout",
    error: { category: "timeout", code: "DEADLINE_EXCEEDED", message: "late" },
    outcome: {
      kind: "result",
      result: { taskId: "t", success: false, errorMessage: "late", processes: [], hashResult: null },
    },
  },
  {
    ...blank,
    operation: "respond",
    outcome: {
      kind: "response",
      answer: { outcome: "dry_run", text: "nothing was done", processes: ["1a2b3c4d-812-99"], place: "/s/responses/a" },
    },
  },
];

export const BUS_MESSAGES: readonly WireMessage[] = [
  {
    kind: "busPublish",
    number: 0,
    isReliable: false,
    topic: "",
    type: "event",
    priority: "critical",
    ttlMs: 0,
    correlation: null,
    payload: new Uint8Array(0),
  },
  {
    kind: "busPublish",
    number: Number.MAX_SAFE_INTEGER,
    isReliable: true,
    topic: "control.health.heartbeat.procmond",
    type: "shutdown",
    priority: "low",
    ttlMs: 0xffffffff,
    correlation: FULL_CORRELATION,
    payload: bytes("payload"),
  },
  { kind: "busTaken", number: 0, refused: [] },
  { kind: "busTaken", number: 9, refused: REFUSALS.map((refusal, i) => ({ number: i + 1, refusal })) },
  { kind: "busDeliveries", stream: 0, firstNumber: 1, lost: 0, messages: [] },
  {
    kind: "busDeliveries",
    stream: 2 ** 52,
    firstNumber: 2 ** 40,
    lost: 2 ** 41,
    messages: MESSAGE_TYPES.map((type, i) => ({
      topic: "events.process.lifecycle",
      type,
      source: "agent",
      sequence: i + 1,
      time: 1_732_166_400_123,
      priority: PRIORITIES[i]!,
      ttlMs: i,
      correlation: [null, BLANK_CORRELATION, FULL_CORRELATION, null][i]!,
      payload: new Uint8Array(i * 100).fill(i),
    })),
  },
  { kind: "busConsumed", number: 0, window: 0 },
  { kind: "busConsumed", number: 2 ** 40, window: 1_000 },
  { kind: "rpcCancel", id: 7 },
  {
    kind: "request",
    id: 90,
    body: {
      kind: "subscribe",
      pattern: "events.#",
      quality: "at-least-once",
      stream: 2 ** 52,
      received: 2 ** 40,
      window: 500,
    },
  },
  { kind: "request", id: 91, body: { kind: "unsubscribe", pattern: "" } },
  { kind: "reply", id: 90, body: { kind: "subscribed", stream: 2 ** 52 } },
  ...calls,
  ...responses.map((response, i): WireMessage => ({ kind: "reply", id: 200 + i, body: { kind: "rpc", response } })),
];
