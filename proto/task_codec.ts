/**
 * Requests and replies between their plain form and the generated messages of `ipc.proto`.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  readRpcRequest,
  readRpcResponse,
  readSubscribe,
  readUnsubscribe,
  writeRpcRequest,
  writeRpcResponse,
  writeSubscribe,
} from "./bus/rpc_codec.ts";
import { bodyOf, boundFields, fromU53, member, parse, toU53 } from "./cold_codec.ts";
import { readDemand, readStandings, writeDemand, writeStandings } from "./demand_codec.ts";
import { MAX_STANDINGS } from "./demand.ts";
import { SubscribedSchema, UnsubscribeSchema } from "./gen/bus_pb.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import {
  AdvancedCapabilitiesSchema,
  CapabilityRequestSchema,
  CapabilityResponseSchema,
  CollectionCapabilitiesSchema,
  DemandAnswerSchema,
  ReplySchema,
  RequestSchema,
  RpcResponseSchema,
} from "./gen/ipc_pb.ts";
import {
  type CapabilityRequest,
  type CapabilityResponse,
  MAX_RESULT_PROCESSES,
  MONITORING_DOMAINS,
  type MonitoringDomain,
} from "./task.ts";
import { readResult, readTask, writeResult, writeTask } from "./result_codec.ts";
import type { ReplyBody, RequestBody } from "./messages.ts";
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
    case "subscribe":
      return { id, body: readSubscribe(body.value) };
    case "unsubscribe":
      return { id, body: readUnsubscribe(body.value) };
    case "rpc":
      return { id, body: { kind: "rpc", call: readRpcRequest(body.value) } };
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
  const rpc = bodyOf(bytes, ReplySchema.field.rpc.number);
  if (rpc !== null) {
    boundFields(rpc, OTHER_RESULT_FIELDS);
    const ofTask = bodyOf(rpc, RpcResponseSchema.field.result.number);
    if (ofTask !== null) boundFields(ofTask, MAX_RESULT_PROCESSES + OTHER_RESULT_FIELDS);
  }
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
    case "subscribed":
      return { id, body: { kind: "subscribed", stream: toU53(body.value.stream, "A stream") } };
    case "rpc":
      return { id, body: { kind: "rpc", response: readRpcResponse(body.value) } };
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
    case "subscribe":
      return { case: "subscribe", value: writeSubscribe(body) };
    case "unsubscribe":
      return { case: "unsubscribe", value: create(UnsubscribeSchema, { pattern: body.pattern }) };
    case "rpc":
      return { case: "rpc", value: writeRpcRequest(body.call) };
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
    case "subscribed":
      return { case: "subscribed", value: create(SubscribedSchema, { stream: fromU53(body.stream, "A stream") }) };
    case "rpc":
      return { case: "rpc", value: writeRpcResponse(body.response) };
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
    rpcVersion: response.rpcVersion,
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
    rpcVersion: message.rpcVersion,
  };
}

/** Wire numbers of domains. */
export function domainNumbers(list: readonly MonitoringDomain[]): number[] {
  return list.map((domain) => MONITORING_DOMAINS.indexOf(domain));
}

/** Domains by their wire numbers, at most so many as a message may list. @throws WireError */
export function domains(numbers: readonly number[]): MonitoringDomain[] {
  if (numbers.length > MAX_DOMAINS) throw new WireError(`A message lists ${numbers.length} monitoring domains`);
  return numbers.map((number) => member(MONITORING_DOMAINS, number, "monitoring domain"));
}
