/**
 * What an operator and the agent say to each other through files: a request, and the lines of its reply.
 *
 * Both are JSON with one text for each value, a line each. The file's owner is who asks; nothing in a request says so.
 * A request comes from whoever may write the spool, and is not trusted: {@linkcode decodeRequest} takes what has this
 * form and nothing else, and throws {@linkcode RequestError} for the rest. A reply is the agent's; of its last line only
 * a part may be there yet.
 *
 * @module
 */
import { canonicalJson, type Json } from "./ledger/canonical_json.ts";

/** The form of requests and replies. */
const REQUEST_VERSION = 1;
export const MAX_REQUEST_BYTES = 16_384;
/** All lines of a reply together. */
export const MAX_REPLY_BYTES = 262_144;
/** A request that is older is not done any more: who asked has given up. */
export const REQUEST_LIFE_MS = 60_000;
/** Names of operations and arguments, and what stands in an argument. */
const MAX_NAME = 64, MAX_VALUE = 4_096, MAX_ARGUMENTS = 16, MAX_WORDS = 64;

/** Values by the name of the argument; a list where an operation takes several words. */
export type RequestArguments = Readonly<Record<string, string | readonly string[]>>;

export interface Request {
  readonly operation: string;
  readonly arguments: RequestArguments;
  /** Unix milliseconds. */
  readonly time: number;
  /** `DEVICE:INODE` of the directory that it was written for: put into another one it asks for nothing. */
  readonly spool: string;
}

const OUTCOMES = ["done", "refused", "failed"] as const;
/** `refused`: nothing was done; `failed`: something may have been. */
export type Outcome = typeof OUTCOMES[number];

/** The last line of a reply. */
export interface Ending {
  readonly kind: "ended";
  readonly outcome: Outcome;
  readonly text: string;
  /** The same for programs. */
  readonly value: Json;
  /** Whether the answer is of an agent that does not do all that it should. */
  readonly degraded: boolean;
}

export type ReplyLine =
  | { readonly kind: "taken"; readonly time: number }
  | { readonly kind: "progress"; readonly text: string }
  | Ending;

/** A request cannot be understood. */
export class RequestError extends Error {
  override name = "RequestError";
}

/** The file names of one request, by its number of 128 random bits. */
export type RequestPart = "request" | "reply";

const FILE_NAME = /^([0-9a-f]{32})\.(request|reply)$/;

export function fileName(id: string, part: RequestPart): string {
  return `${id}.${part}`;
}

/** The name under which a request is written before it is whole. */
export function draftName(id: string): string {
  return `.${id}.new`;
}

/** `null` for a name that is neither of a request nor of a reply. */
export function parseFileName(name: string): { readonly id: string; readonly part: RequestPart } | null {
  const found = FILE_NAME.exec(name);
  return found === null ? null : { id: found[1]!, part: found[2] as RequestPart };
}

/** @throws RequestError when it is longer than a request may be. */
export function encodeRequest({ operation, arguments: args, time, spool }: Request): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(
    `${canonicalJson({ version: REQUEST_VERSION, operation, arguments: args, time, spool })}\n`,
  );
  if (bytes.length > MAX_REQUEST_BYTES) {
    throw new RequestError(`The request takes ${bytes.length} bytes, and may take ${MAX_REQUEST_BYTES}; say less`);
  }
  return bytes;
}

/**
 * @throws RequestError
 *
 * @example
 * ```ts
 * import { decodeRequest, encodeRequest, RequestError } from "./request.ts";
 * import assert from "node:assert/strict";
 * const request = { operation: "rules enable", arguments: { rule: "odd" }, time: 1, spool: "1:2" };
 * assert.deepEqual(decodeRequest(encodeRequest(request)), request);
 * assert.throws(() => decodeRequest(encodeRequest(request).subarray(0, 9)), RequestError);
 * ```
 */
export function decodeRequest(bytes: Uint8Array): Request {
  const { version, operation, arguments: args, time, spool, ...rest } = objectOf(bytes);
  if (version !== REQUEST_VERSION) {
    const which = typeof version === "number" ? String(version) : "that it does not name";
    throw new RequestError(
      `A request of version ${which} is not understood here, only ${REQUEST_VERSION}; ask with this agent's program`,
    );
  }
  const [more] = Object.keys(rest);
  if (more !== undefined) throw new RequestError(`A request has no member ${JSON.stringify(more.slice(0, MAX_NAME))}`);
  if (typeof operation !== "string" || operation.length > MAX_NAME) throw new RequestError("It names no operation");
  if (!isArguments(args)) throw new RequestError("Its arguments are not texts by their names");
  if (!Number.isSafeInteger(time) || (time as number) < 0) throw new RequestError("It has no time");
  if (typeof spool !== "string" || !/^\d{1,20}:\d{1,20}$/.test(spool)) throw new RequestError("It names no spool");
  return { operation, arguments: args, time: time as number, spool };
}

function objectOf(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > MAX_REQUEST_BYTES) throw new RequestError(`It is longer than ${MAX_REQUEST_BYTES} bytes`);
  let text: string, json: unknown;
  try {
    text = decoder.decode(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    throw new RequestError("It is cut, or not JSON in UTF-8", { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new RequestError("It is no JSON object");
  // Two members of one name, or a line that was cut behind its brace, are not what was written
  if (canonical(json) !== text) throw new RequestError("It is not one line of canonical JSON (RFC 8785)");
  return json as Record<string, unknown>;
}

/** `null` for what is nested too deep. */
function canonical(json: unknown): string | null {
  try {
    return `${canonicalJson(json)}\n`;
  } catch {
    return null;
  }
}

function isArguments(value: unknown): value is RequestArguments {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  const isText = (text: unknown): boolean => typeof text === "string" && text.length <= MAX_VALUE;
  return entries.length <= MAX_ARGUMENTS &&
    entries.every(([name, value]) =>
      name.length <= MAX_NAME && (isText(value) ||
        Array.isArray(value) && value.length <= MAX_WORDS && value.every(isText))
    );
}

export function encodeReplyLine(line: ReplyLine): Uint8Array<ArrayBuffer> {
  return encoder.encode(`${canonicalJson(line)}\n`);
}

/** The whole lines that a reply has so far. @throws RequestError for what no agent of this version writes. */
export function decodeReply(bytes: Uint8Array): ReplyLine[] {
  const end = bytes.lastIndexOf(0x0a);
  if (bytes.length > MAX_REPLY_BYTES) throw new RequestError(`The reply is longer than ${MAX_REPLY_BYTES} bytes`);
  if (end < 0) return [];
  let text: string;
  try {
    text = decoder.decode(bytes.subarray(0, end));
  } catch (cause) {
    throw new RequestError("The reply is not UTF-8", { cause });
  }
  return text.split("\n").map(replyLine);
}

function replyLine(text: string): ReplyLine {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(text);
  } catch (cause) {
    throw new RequestError("A line of the reply is not JSON", { cause });
  }
  const { kind, outcome, time, text: words } = line ?? {};
  if (kind === "taken" && typeof time === "number") return { kind, time };
  if (kind === "progress" && typeof words === "string") return { kind, text: words };
  const known = OUTCOMES.find((each) => each === outcome);
  if (kind !== "ended" || known === undefined || typeof words !== "string") {
    throw new RequestError("A line of the reply is not understood; ask with this agent's program");
  }
  return {
    kind,
    outcome: known,
    text: words,
    value: (line["value"] ?? null) as Json,
    degraded: line["degraded"] === true,
  };
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
