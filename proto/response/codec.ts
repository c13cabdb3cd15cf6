/**
 * Responses between their plain form and the generated messages of `ipc.proto`, checked in both directions.
 *
 * @module
 */
import { create } from "@bufbuild/protobuf";
import { member } from "../cold_codec.ts";
import * as ipc from "../gen/ipc_pb.ts";
import {
  checkedAnswer,
  checkedRequest,
  RESPONSE_ACTIONS,
  RESPONSE_OUTCOMES,
  type ResponseAnswer,
  type ResponseRequest,
} from "./action.ts";

export function writeResponseRequest(request: ResponseRequest): ipc.ResponseRequest {
  const { action, ...rest } = checkedRequest(request);
  return create(ipc.ResponseRequestSchema, { action: RESPONSE_ACTIONS.indexOf(action), ...rest });
}

export function readResponseRequest(message: ipc.ResponseRequest): ResponseRequest {
  const { process, tree, seconds, rule, byRule, by, reason } = message;
  const action = member(RESPONSE_ACTIONS, message.action, "response action");
  return checkedRequest({ action, process, tree, seconds, rule, byRule, by, reason });
}

export function writeResponseAnswer(answer: ResponseAnswer): ipc.ResponseAnswer {
  const { outcome, text, processes, place } = checkedAnswer(answer);
  return create(ipc.ResponseAnswerSchema, {
    outcome: RESPONSE_OUTCOMES.indexOf(outcome),
    text,
    processes: [...processes],
    place,
  });
}

export function readResponseAnswer(message: ipc.ResponseAnswer): ResponseAnswer {
  const { text, processes, place } = message;
  return checkedAnswer({
    outcome: member(RESPONSE_OUTCOMES, message.outcome, "response outcome"),
    text,
    processes: [...processes],
    place,
  });
}
