/**
 * What collector and response helper say to each other: frames over a Unix socket, each a `ResponderMessage`.
 *
 * The helper speaks first. Then it is asked; it answers each request once, and says once more when a trace is over.
 * Neither trusts the other: what is no message throws {@linkcode WireError}, which ends the connection.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { boundFields, parse } from "../../proto/cold_codec.ts";
import * as ipc from "../../proto/gen/ipc_pb.ts";
import { boundedAnswer, type ResponseAnswer, type ResponseRequest } from "../../proto/response/action.ts";
import {
  readResponseAnswer,
  readResponseRequest,
  writeResponseAnswer,
  writeResponseRequest,
} from "../../proto/response/codec.ts";
import { WireError } from "../../proto/wire_error.ts";

/** Longest payload of a frame: an answer that names all the processes that it may. */
export const MAX_RESPONDER_MESSAGE_BYTES = 65_536;
const MAX_FIELDS = 8, MAX_GREETING = 2_048;

export interface ResponderGreeting {
  /** Whose rights it has, in words. */
  readonly sees: string;
  /** What its policy lets it do, in words. */
  readonly policy: string;
  /** Why it does nothing; empty where it may do something. */
  readonly fault: string;
}

export type ResponderMessage =
  | { readonly kind: "greeting"; readonly greeting: ResponderGreeting }
  | { readonly kind: "request"; readonly id: number; readonly request: ResponseRequest }
  | { readonly kind: "answer" | "ended"; readonly id: number; readonly answer: ResponseAnswer };

/** @throws {WireError} */
export function encodeResponderMessage(message: ResponderMessage): Uint8Array {
  return toBinary(ipc.ResponderMessageSchema, create(ipc.ResponderMessageSchema, written(message)));
}

function written(message: ResponderMessage): { id: number; body: ipc.ResponderMessage["body"] } {
  switch (message.kind) {
    case "greeting": {
      const { sees, policy, fault } = message.greeting, cut = (text: string): string => text.slice(0, MAX_GREETING);
      const greeting = { sees: cut(sees), policy: cut(policy), fault: cut(fault) };
      return { id: 0, body: { case: "greeting", value: create(ipc.ResponderGreetingSchema, greeting) } };
    }
    case "request":
      return { id: message.id, body: { case: "request", value: writeResponseRequest(message.request) } };
    case "answer":
    case "ended":
      return {
        id: message.id,
        body: { case: message.kind, value: writeResponseAnswer(boundedAnswer(message.answer)) },
      };
  }
}

/** @throws {WireError} */
export function decodeResponderMessage(payload: Uint8Array): ResponderMessage {
  let message: ipc.ResponderMessage;
  try {
    boundFields(payload, MAX_FIELDS);
    message = parse(ipc.ResponderMessageSchema, payload);
  } catch (error) {
    if (error instanceof WireError) throw error;
    throw new WireError("A message between collector and response helper is damaged", { cause: error });
  }
  const { id, body } = message;
  switch (body.case) {
    case "greeting": {
      const { sees, policy, fault } = body.value;
      if (Math.max(sees.length, policy.length, fault.length) > MAX_GREETING) {
        throw new WireError("A response helper's greeting is too long");
      }
      return { kind: "greeting", greeting: { sees, policy, fault } };
    }
    case "request":
      return { kind: "request", id, request: readResponseRequest(body.value) };
    case "answer":
    case "ended":
      return { kind: body.case, id, answer: readResponseAnswer(body.value) };
    default:
      throw new WireError("A message between collector and response helper says nothing");
  }
}
