/**
 * Requests and replies between their plain form and the generated messages of `ipc.proto`.
 *
 * Tasks that filter networks, files or performance are refused rather than answered without their filter, and so are
 * results that hold records of them: no collector of this version makes such records.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { bodyOf, boundFields, fromU53, member, parse, toU53 } from "./cold_codec.ts";
import { readDemand, readStandings, writeDemand, writeStandings } from "./demand_codec.ts";
import { MAX_STANDINGS } from "./demand.ts";
import type * as common from "./gen/common_pb.ts";
import { HashCheckSchema, HashResultSchema, ProcessFilterSchema, ProcessRecordSchema } from "./gen/common_pb.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import {
  AdvancedCapabilitiesSchema,
  CapabilityRequestSchema,
  CapabilityResponseSchema,
  CollectionCapabilitiesSchema,
  DemandAnswerSchema,
  DetectionResultSchema,
  DetectionTaskSchema,
  ReplySchema,
  RequestSchema,
} from "./gen/ipc_pb.ts";
import {
  type CapabilityRequest,
  type CapabilityResponse,
  type DetectionResult,
  type DetectionTask,
  type HashResult,
  MAX_RESULT_PROCESSES,
  MONITORING_DOMAINS,
  type MonitoringDomain,
  type ProcessRecord,
  TASK_TYPES,
} from "./task.ts";
import type { ReplyBody, RequestBody } from "./wire.ts";
import { WireError } from "./wire_error.ts";

/** Most domains that one message may list; there are four. */
const MAX_DOMAINS = 16;
/** Fields of a result beside its processes. */
const OTHER_RESULT_FIELDS = 16;

export function encodeRequest(id: number, body: RequestBody): Uint8Array {
  return toBinary(RequestSchema, create(RequestSchema, { id, body: requestBody(body) }));
}

/** @throws WireError or what the reader throws on bytes that are no message. */
export function decodeRequest(bytes: Uint8Array): { id: number; body: RequestBody } {
  const { id, body } = parse(RequestSchema, bytes);
  checkId(id);
  switch (body.case) {
    case "capabilities":
      return { id, body: { kind: "capabilities", ...readCapabilityRequest(body.value) } };
    case "task":
      return { id, body: { kind: "task", ...readTask(body.value) } };
    case "demand": {
      const demand = readDemand(body.value);
      return { id, body: demand === null ? { kind: "otherDemand" } : { kind: "demand", demand } };
    }
    default:
      throw new WireError("A request asks nothing");
  }
}

export function encodeReply(id: number, body: ReplyBody): Uint8Array {
  return toBinary(ReplySchema, create(ReplySchema, { id, body: replyBody(body) }));
}

/** @throws WireError or what the reader throws on bytes that are no message. */
export function decodeReply(bytes: Uint8Array): { id: number; body: ReplyBody } {
  const result = bodyOf(bytes, ReplySchema.field.result.number);
  if (result !== null) boundFields(result, MAX_RESULT_PROCESSES + OTHER_RESULT_FIELDS);
  const demand = bodyOf(bytes, ReplySchema.field.demand.number);
  if (demand !== null) boundFields(demand, MAX_STANDINGS);
  const { id, body } = parse(ReplySchema, bytes);
  checkId(id);
  switch (body.case) {
    case "capabilities":
      return { id, body: { kind: "capabilities", ...readCapabilityResponse(body.value) } };
    case "result":
      return { id, body: { kind: "result", ...readResult(body.value) } };
    case "error":
      return { id, body: { kind: "error", reason: body.value } };
    case "demand":
      return { id, body: { kind: "demand", attributes: readStandings(body.value.attributes) } };
    default:
      throw new WireError("A reply says nothing");
  }
}

function checkId(id: number): void {
  if (id === 0) throw new WireError("Requests are numbered from 1");
}

function requestBody(body: RequestBody): ipc.Request["body"] {
  switch (body.kind) {
    case "capabilities":
      return {
        case: "capabilities",
        value: create(CapabilityRequestSchema, {
          clientId: body.clientId,
          requestedDomains: domainNumbers(body.domains),
          clientVersion: body.clientVersion ?? undefined,
        }),
      };
    case "task":
      return { case: "task", value: writeTask(body) };
    case "demand":
      return { case: "demand", value: writeDemand(body.demand) };
    case "otherDemand":
      throw new WireError("A demand of another version cannot be sent");
  }
}

function replyBody(body: ReplyBody): ipc.Reply["body"] {
  switch (body.kind) {
    case "capabilities":
      return { case: "capabilities", value: writeCapabilityResponse(body) };
    case "result":
      return { case: "result", value: writeResult(body) };
    case "error":
      return { case: "error", value: body.reason };
    case "demand":
      return { case: "demand", value: create(DemandAnswerSchema, { attributes: writeStandings(body.attributes) }) };
  }
}

function readCapabilityRequest(message: ipc.CapabilityRequest): CapabilityRequest {
  return {
    clientId: message.clientId,
    domains: domains(message.requestedDomains),
    clientVersion: message.clientVersion ?? null,
  };
}

function writeCapabilityResponse(response: CapabilityResponse): ipc.CapabilityResponse {
  const { kernelLevel, realtime, systemWide } = response;
  return create(CapabilityResponseSchema, {
    negotiationSuccess: response.success,
    capabilities: create(CollectionCapabilitiesSchema, {
      supportedDomains: domainNumbers(response.domains),
      advanced: create(AdvancedCapabilitiesSchema, { kernelLevel, realtime, systemWide }),
    }),
    errorMessage: response.errorMessage ?? undefined,
    serverVersion: response.serverVersion ?? undefined,
    demandVersion: response.demandVersion,
  });
}

function readCapabilityResponse(message: ipc.CapabilityResponse): CapabilityResponse {
  const advanced = message.capabilities?.advanced;
  return {
    success: message.negotiationSuccess,
    domains: domains(message.capabilities?.supportedDomains ?? []),
    kernelLevel: advanced?.kernelLevel ?? false,
    realtime: advanced?.realtime ?? false,
    systemWide: advanced?.systemWide ?? false,
    errorMessage: message.errorMessage ?? null,
    serverVersion: message.serverVersion ?? null,
    demandVersion: message.demandVersion,
  };
}

function writeTask(task: DetectionTask): ipc.DetectionTask {
  const filter = task.processFilter, check = task.hashCheck;
  return create(DetectionTaskSchema, {
    taskId: task.taskId,
    taskType: TASK_TYPES.indexOf(task.taskType),
    processFilter: filter === null ? undefined : create(ProcessFilterSchema, {
      processNames: [...filter.processNames],
      pids: [...filter.pids],
      executablePattern: filter.executablePattern ?? undefined,
    }),
    hashCheck: check === null ? undefined : create(HashCheckSchema, check),
    metadata: task.metadata ?? undefined,
  });
}

function readTask(message: ipc.DetectionTask): DetectionTask {
  if (message.networkFilter ?? message.filesystemFilter ?? message.performanceFilter) {
    throw new WireError("A task filters networks, files or performance, which protocol version 1 does not");
  }
  const filter = message.processFilter, check = message.hashCheck;
  return {
    taskId: message.taskId,
    taskType: member(TASK_TYPES, message.taskType, "task type"),
    processFilter: filter === undefined ? null : {
      processNames: filter.processNames,
      pids: filter.pids,
      executablePattern: filter.executablePattern ?? null,
    },
    hashCheck: check === undefined ? null : {
      expectedHash: check.expectedHash,
      hashAlgorithm: check.hashAlgorithm,
      executablePath: check.executablePath,
    },
    metadata: message.metadata ?? null,
  };
}

function writeResult(result: DetectionResult): ipc.DetectionResult {
  if (result.processes.length > MAX_RESULT_PROCESSES) {
    throw new WireError(`A result holds at most ${MAX_RESULT_PROCESSES} processes, got ${result.processes.length}`);
  }
  const hash = result.hashResult;
  return create(DetectionResultSchema, {
    taskId: result.taskId,
    success: result.success,
    errorMessage: result.errorMessage ?? undefined,
    processes: result.processes.map(writeRecord),
    hashResult: hash === null
      ? undefined
      : create(HashResultSchema, { ...hash, errorMessage: hash.errorMessage ?? undefined }),
  });
}

function readResult(message: ipc.DetectionResult): DetectionResult {
  if (message.networkEvents.length + message.filesystemEvents.length + message.performanceEvents.length > 0) {
    throw new WireError("A result holds network, file or performance records, which protocol version 1 does not");
  }
  return {
    taskId: message.taskId,
    success: message.success,
    errorMessage: message.errorMessage ?? null,
    processes: message.processes.map(readRecord),
    hashResult: message.hashResult === undefined ? null : readHashResult(message.hashResult),
  };
}

function readHashResult(message: common.HashResult): HashResult {
  return {
    hashValue: message.hashValue,
    algorithm: message.algorithm,
    filePath: message.filePath,
    success: message.success,
    errorMessage: message.errorMessage ?? null,
  };
}

function writeRecord(record: ProcessRecord): common.ProcessRecord {
  const { startTime, memoryUsage } = record;
  return create(ProcessRecordSchema, {
    pid: record.pid,
    ppid: record.ppid ?? undefined,
    name: record.name,
    executablePath: record.executablePath ?? undefined,
    commandLine: [...record.commandLine],
    startTime: startTime === null ? undefined : fromU53(startTime, "A start time"),
    cpuUsage: record.cpuUsage ?? undefined,
    memoryUsage: memoryUsage === null ? undefined : fromU53(memoryUsage, "A memory usage"),
    executableHash: record.executableHash ?? undefined,
    hashAlgorithm: record.hashAlgorithm ?? undefined,
    userId: record.userId ?? undefined,
    accessible: record.accessible,
    fileExists: record.fileExists,
    collectionTime: fromU53(record.collectionTime, "A collection time"),
    ssdeepHash: record.fuzzyHash ?? undefined,
    onDiskMismatch: record.onDiskMismatch,
    ssdeepDegraded: record.fuzzyHashDegraded,
  });
}

function readRecord(message: common.ProcessRecord): ProcessRecord {
  const { startTime, cpuUsage, memoryUsage } = message;
  if (cpuUsage !== undefined && !Number.isFinite(cpuUsage)) throw new WireError("A CPU usage is not a finite number");
  return {
    pid: message.pid,
    ppid: message.ppid ?? null,
    name: message.name,
    executablePath: message.executablePath ?? null,
    commandLine: message.commandLine,
    startTime: startTime === undefined ? null : toU53(startTime, "A start time"),
    cpuUsage: cpuUsage ?? null,
    memoryUsage: memoryUsage === undefined ? null : toU53(memoryUsage, "A memory usage"),
    executableHash: message.executableHash ?? null,
    hashAlgorithm: message.hashAlgorithm ?? null,
    userId: message.userId ?? null,
    accessible: message.accessible,
    fileExists: message.fileExists,
    collectionTime: toU53(message.collectionTime, "A collection time"),
    fuzzyHash: message.ssdeepHash ?? null,
    onDiskMismatch: message.onDiskMismatch,
    fuzzyHashDegraded: message.ssdeepDegraded,
  };
}

function domainNumbers(list: readonly MonitoringDomain[]): number[] {
  return list.map((domain) => MONITORING_DOMAINS.indexOf(domain));
}

function domains(numbers: readonly number[]): MonitoringDomain[] {
  if (numbers.length > MAX_DOMAINS) throw new WireError(`A message lists ${numbers.length} monitoring domains`);
  return numbers.map((number) => member(MONITORING_DOMAINS, number, "monitoring domain"));
}
