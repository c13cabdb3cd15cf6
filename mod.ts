/**
 * The toolkit's face: what a third party needs to write a collector of its own, or to read what DaemonEye keeps.
 *
 * A collector is one or several {@linkcode EventSource}s in a {@linkcode Collector}, which is made of the parts of this
 * project's own sensor: rows are on disk before they are offered to the agent, and stay until the agent has them.
 * {@linkcode runCollector} runs one as the supervisor starts it, {@linkcode testCollector} tries one. The collector's
 * parts use files and connections that they are given; everything else here is pure, and needs no permission.
 * `docs/collectors.md` says how to write, install and see one, `deno task new-collector` writes one to begin with.
 *
 * @example A source that tells of each second, tried without a collector around it
 * ```ts
 * import { type EventSource, type RowValues, rowFault, type Sink } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * class Seconds implements EventSource {
 *   readonly name = "seconds";
 *   readonly capabilities = { realtime: true, systemWide: true, resumes: false };
 *   readonly tables = [{
 *     name: "seconds",
 *     version: 1,
 *     description: "Seconds that went by",
 *     columns: [{ name: "second", type: "INTEGER" as const, description: "since 1970" }],
 *   }];
 *   #timer: ReturnType<typeof setInterval> | undefined;
 *
 *   start(sink: Sink): void {
 *     const tell = (): void => void sink.put("seconds", { second: Math.floor(Date.now() / 1_000) });
 *     tell();
 *     this.#timer = setInterval(tell, 1_000);
 *   }
 *   stop(): void {
 *     clearInterval(this.#timer);
 *   }
 *   health(): ReturnType<EventSource["health"]> {
 *     return { state: "active", detail: "the clock of this host", misses: [] };
 *   }
 * }
 *
 * // A collector is no more than: await runCollector({ type: "clock", version: "1.0", sources: [new Seconds()] });
 * const rows: RowValues[] = [], source = new Seconds(), { signal } = new AbortController();
 * const put = (_table: string, values: RowValues): boolean => rows.push(values) > 0;
 * const nothing = (): void => {};
 * source.start({ put, ready: () => Promise.resolve(), gap: nothing, keep: nothing, fail: nothing, position: null, signal });
 * source.stop();
 * const values = Object.values(rows[0]!);
 * assert.equal(rowFault(source.tables[0]!.columns, { time: Date.now(), values }, Date.now()), null);
 * ```
 *
 * What reads, verifies and proves audit ledgers is exported as `daemoneye/ledger` too, without the rest: that runs in a
 * browser. A proof needs nothing but the ledger's key; whoever keeps checkpoints can tell a ledger that was rewritten.
 *
 * @example Verify a ledger whose files are in memory, against a head that was kept elsewhere
 * ```ts
 * import { describeVerdict, MemorySource, verifyLedger } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * const files = new Map<string, Uint8Array>(); // name and bytes of each file
 * const kept = { size: 4711, root: new Uint8Array(32) };
 * const verdict = await verifyLedger({ source: new MemorySource(files), now: Date.now(), anchors: [kept] });
 * assert.equal(verdict.fault?.reason, "file");
 * assert.match(describeVerdict(verdict), /header is missing.*verified to 0, anchored to 0/);
 * ```
 *
 * @module
 */
export { Collector, type CollectorCounts, type CollectorOptions, MAX_SOURCES } from "./collector/toolkit/collector.ts";
export {
  ConformanceError,
  type ConformanceOptions,
  type ConformanceResult,
  testCollector,
} from "./collector/toolkit/conformance.ts";
export type {
  EventSource,
  RowValues,
  Sink,
  SourceCapabilities,
  SourceHealth,
} from "./collector/toolkit/event_source.ts";
export { grantsInWords, runCollector, type RunOptions } from "./collector/toolkit/run_collector.ts";
export { type Misdeed, TestAgent } from "./collector/toolkit/test_agent.ts";
export { Answering, type AnsweringCounts, type Handle } from "./proto/bus/answering.ts";
export { CATALOGUE, OWN_TOPICS, type TopicName } from "./proto/bus/catalogue.ts";
export { RemotePort } from "./proto/bus/client.ts";
export {
  childOf,
  type Correlation,
  type Limited,
  type NewCorrelation,
  newCorrelation,
} from "./proto/bus/correlation.ts";
export {
  type BusMessage,
  type BusPort,
  BusRefusedError,
  type Delivery,
  type Handler,
  MESSAGE_TYPES,
  type MessageType,
  PRIORITIES,
  type Priority,
  type PublishOptions,
  QUALITIES,
  type Quality,
  type Refusal,
  REFUSALS,
  type SubscribeOptions,
  type Subscription,
} from "./proto/bus/message.ts";
export {
  AGENT,
  type Answer,
  type ConfigUpdate,
  ERROR_CATEGORIES,
  type ErrorCategory,
  failure,
  HEALTH_STATES,
  type HealthComponent,
  type HealthState,
  type Operation,
  OPERATIONS,
  type Registration as RpcRegistration,
  RPC_STATUSES,
  type RpcError,
  type RpcOutcome,
  type RpcPayload,
  type RpcRequest,
  type RpcResponse,
  type RpcStatus,
  success,
} from "./proto/bus/rpc.ts";
export { checkPattern, checkTopic, matches, TopicError, type TopicFault } from "./proto/bus/topic.ts";
export type { Alert, AlertHead, Ancestor, Repeats } from "./proto/alert.ts";
export { commandLine, decodeBytes, encodeText, joinArgv, splitArgv } from "./proto/argv.ts";
export type { Completeness } from "./proto/completeness.ts";
export {
  type AttributeStanding,
  type Demand,
  DEMAND_VERSION,
  ENVIRONMENT,
  HASHES,
  MAX_DEMANDED_VARIABLES,
  STANDING_STATES,
  type StandingState,
  variableAttribute,
} from "./proto/demand.ts";
export { CATALOG, SCHEMA_VERSION, tableNamed } from "./proto/catalog.ts";
export type { Column, ColumnType, Table } from "./proto/tables/table.ts";
export { Channel, ChannelTimeoutError, type Connection, type RequestOptions } from "./proto/channel.ts";
export { CollectorSession, type CollectorSessionOptions, type StreamMessage } from "./proto/collector_session.ts";
export { crc32c } from "./proto/crc32c.ts";
export { encodeFrame, FrameError, FrameReader, MAX_FRAME_BYTES } from "./proto/frame.ts";
export {
  type CollectorIdentity,
  HandshakeError,
  type HandshakeOptions,
  joinAgent,
  type JoinOptions,
} from "./proto/handshake.ts";
export { bootTag, execId, processId, processOfExec } from "./proto/identity.ts";
export * from "./proto/ledger/mod.ts";
export { NOTED_ACTIONS, type NotedAction } from "./proto/ledger/noted_actions.ts";
export { printable } from "./proto/printable.ts";
export {
  blankProcessEvent,
  EXECUTABLE_KINDS,
  type ExecutableKind,
  type Gap,
  MAX_ARGV_BYTES,
  PROCESS_EVENT_KINDS,
  type ProcessContext,
  type ProcessEvent,
  type ProcessEventKind,
  type ProcessFacts,
  type ProcessState,
  SEVERITIES,
  type Severity,
  STDIO_KINDS,
  type StdioKind,
} from "./proto/process_event.ts";
export {
  processTables,
  type Registration,
  registrationFault,
  type TableSchema,
  tableSchema,
} from "./proto/registration.ts";
export {
  RESPONSE_ACTIONS,
  RESPONSE_OUTCOMES,
  type ResponseAction,
  type ResponseAnswer,
  type ResponseOutcome,
  type ResponseRequest,
  RULE_ACTIONS,
  type RuleAction,
} from "./proto/response/action.ts";
export {
  descriptorFault,
  MAX_OWN_COLUMNS,
  rowFault,
  type TableDescriptor,
  tableOf,
  type TableRow,
  type TableSet,
} from "./proto/table_descriptor.ts";
export type { AlertPolicy } from "./proto/rules/alert_policy.ts";
export type { CollectedQuery } from "./proto/rules/collected_query.ts";
export {
  type Base,
  COMPARISONS,
  type Correlated,
  type Correlation as RuleCorrelation,
  type Occurrence,
  type Threshold,
  type ValueSource,
} from "./proto/rules/correlation.ts";
export type { Evaluation, Fault, Hit } from "./proto/rules/evaluation.ts";
export type { FileSource } from "./proto/rules/file_values.ts";
export type { ArithmeticOperator, CastType, CompareOperator, Form, Pattern } from "./proto/rules/predicate.ts";
export type { RuleResponse } from "./proto/rules/rule_responses.ts";
export { type RuleTestResult, runRuleTests } from "./proto/rules/rule_tests.ts";
export type { SqlValue } from "./proto/event_row.ts";
export { RuleEngine } from "./proto/rules/engine.ts";
export {
  type Position,
  type Rule,
  RULE_STATUSES,
  RuleError,
  type RuleStage,
  type TestRow,
  type validated,
  type ValidatedRule,
  validateRule,
} from "./proto/rules/rule.ts";
export { parseRule } from "./proto/rules/rule_yaml.ts";
export type { Attributes } from "./proto/rules/sql_attributes.ts";
export type { Purpose, SeveralRows } from "./proto/rules/sql_expression.ts";
export type { Insertion } from "./proto/rules/sql_from.ts";
export type { GroupedRead, GroupNames } from "./proto/rules/sql_grouped.ts";
export type { FormFunction, IN_FORMS } from "./proto/rules/sql_functions.ts";
export {
  type guarded,
  type GuardedQuery,
  guardSql,
  type QueryNeeds,
  type RowOutput,
  type RowQuery,
} from "./proto/rules/sql_guard.ts";
export type { Translation } from "./proto/rules/sql_predicate.ts";
export { SqlRefusedError } from "./proto/rules/sql_refused.ts";
export type {
  AgentStatus,
  BusClientStatus,
  CollectorStanding,
  CollectorStatus,
  CompletenessStatus,
  ConnectionStatus,
  LedgerStatus,
  LifecycleStatus,
  LogStatus,
  Notice,
  RuleStatus,
  SourceStatus,
  StoreStatus,
  SupervisedProcess,
  SuppressorStatus,
  TierStatus,
} from "./proto/status.ts";
export { decodeAgentStatus, decodeCollectorStatus } from "./proto/status_codec.ts";
export {
  type CapabilityRequest,
  type CapabilityResponse,
  type DetectionResult,
  type DetectionTask,
  type HashCheck,
  type HashResult,
  MONITORING_DOMAINS,
  type MonitoringDomain,
  type ProcessFilter,
  type ProcessRecord,
  TASK_TYPES,
  type TaskType,
} from "./proto/task.ts";
export { decodeMessage, encodeMessage } from "./proto/wire.ts";
export type {
  Ack,
  Begin,
  Challenge,
  Events,
  GapMessage,
  Goodbye,
  Heartbeat,
  Hello,
  LedgerHead,
  LedgerNote,
  LedgerNotes,
  LedgerTaken,
  Refused,
  Registered,
  RegistrationMessage,
  Reply,
  ReplyBody,
  Request,
  RequestBody,
  Rows,
  RpcCancel,
  Snapshot,
  Sources,
  Welcome,
  WireMessage,
} from "./proto/messages.ts";
export type {
  BusConsumed,
  BusDeliveries,
  BusPublish,
  BusSubscribe,
  BusTaken,
  BusUnsubscribe,
} from "./proto/bus/wire.ts";
export type { Suppressed, Suppressor } from "./proto/rules/suppressor.ts";
export type { Edit, WindowQuery } from "./proto/rules/window_query.ts";
