/**
 * What collector and agent say to each other: every message, and its bytes.
 *
 * The bytes are the `Envelope` of `ipc.proto`. Nothing in them is trusted: {@linkcode decodeMessage} bounds counts and
 * lengths, closes enumerations, refuses text that is not UTF-8, skips fields it does not know, and throws
 * {@linkcode WireError} for anything else. What it returns holds no part of the bytes it was given.
 *
 * @module
 */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { NotedAction } from "./ledger/noted_actions.ts";
import { type Codec, CODECS } from "./message_codecs.ts";
import type { AttributeStanding, Demand } from "./demand.ts";
import type { Gap, ProcessEvent, ProcessState } from "./process_event.ts";
import type { SourceStatus } from "./status.ts";
import type { CapabilityRequest, CapabilityResponse, DetectionResult, DetectionTask } from "./task.ts";
import { WireError } from "./wire_error.ts";
import { skipUnknown } from "./wire_fields.ts";

/** The one version of the protocol that this program speaks. */
export const PROTOCOL_VERSION = 1;
/** The agent's first message. */
export interface Challenge {
  readonly kind: "challenge";
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  readonly versionMin: number;
  readonly versionMax: number;
}

/** The collector's answer to a challenge: who it is, and that it knows the token. */
export interface Hello {
  readonly kind: "hello";
  readonly version: number;
  readonly collectorId: string;
  /** Names one start of the collector; sequence numbers begin at 1 in each. */
  readonly epoch: string;
  readonly bootId: string;
  readonly softwareVersion: string;
  /** The rung of the source ladder that it got. */
  readonly source: string;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** 32 bytes. */
  readonly proof: Uint8Array;
}

/** The agent's proof, and from where to send. */
export interface Welcome {
  readonly kind: "welcome";
  /** 32 bytes. */
  readonly proof: Uint8Array;
  /** The last sequence of this epoch that is stored; 0 before the first. */
  readonly lastSequence: number;
  /** How many sequences may be sent and not yet acknowledged. */
  readonly credit: number;
}

/** The agent does not want this collector; it closes after this. */
export interface Refused {
  readonly kind: "refused";
  readonly reason: string;
}

/** Events, one sequence number each. */
export interface Events {
  readonly kind: "events";
  readonly firstSequence: number;
  readonly events: readonly ProcessEvent[];
}

export interface GapMessage {
  readonly kind: "gap";
  readonly sequence: number;
  readonly gap: Gap;
}

/** One part of a process table. Parts count from 0 and share the time. */
export interface Snapshot {
  readonly kind: "snapshot";
  readonly sequence: number;
  readonly time: number;
  readonly part: number;
  readonly last: boolean;
  readonly processes: readonly ProcessState[];
}

export interface Sources {
  readonly kind: "sources";
  readonly sequence: number;
  readonly sources: readonly SourceStatus[];
}

/** Everything up to `sequence` is committed; `credit` replaces the credit given before. */
export interface Ack {
  readonly kind: "ack";
  readonly sequence: number;
  readonly credit: number;
}

/** Says that the sender lives. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly time: number;
}

/** The sender closes after this. */
export interface Goodbye {
  readonly kind: "goodbye";
  readonly reason: string;
}

export type RequestBody =
  | ({ readonly kind: "capabilities" } & CapabilityRequest)
  | ({ readonly kind: "task" } & DetectionTask)
  /** Only to a collector whose capabilities name the version: an older one ends the connection. */
  | { readonly kind: "demand"; readonly demand: Demand }
  /** A demand of a version that this program does not know; never sent. */
  | { readonly kind: "otherDemand" };
export type ReplyBody =
  | ({ readonly kind: "capabilities" } & CapabilityResponse)
  | ({ readonly kind: "result" } & DetectionResult)
  | { readonly kind: "demand"; readonly attributes: readonly AttributeStanding[] }
  | { readonly kind: "error"; readonly reason: string };

/** A question; the sender numbers its questions from 1. */
export interface Request {
  readonly kind: "request";
  readonly id: number;
  readonly body: RequestBody;
}

/** The answer to the question of the same number. */
export interface Reply {
  readonly kind: "reply";
  readonly id: number;
  readonly body: ReplyBody;
}

/** The newest checkpoint of the audit ledger. */
export interface LedgerHead {
  readonly kind: "ledgerHead";
  readonly origin: string;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** What the agent has to enter into the audit ledger. */
export interface LedgerNote {
  /** Rises from note to note, and is never given out again. */
  readonly id: number;
  readonly action: NotedAction;
  readonly payload: Uint8Array;
}

/** Comes again until it is taken. */
export interface LedgerNotes {
  readonly kind: "ledgerNotes";
  readonly notes: readonly LedgerNote[];
}

/** Every note up to this one is in the ledger and on disk, or there is no ledger. */
export interface LedgerTaken {
  readonly kind: "ledgerTaken";
  readonly id: number;
}

export type WireMessage =
  | Challenge
  | Hello
  | Welcome
  | Refused
  | Events
  | GapMessage
  | Snapshot
  | Sources
  | Ack
  | Heartbeat
  | Goodbye
  | Request
  | Reply
  | LedgerHead
  | LedgerNotes
  | LedgerTaken;

/**
 * The payload that holds `message`.
 *
 * @throws WireError when it holds a value that the protocol cannot carry, or is longer than its kind may be.
 */
export function encodeMessage(message: WireMessage): Uint8Array<ArrayBuffer> {
  const codec = CODECS[message.kind] as Codec<WireMessage>;
  try {
    writer.uint32(tagOf(codec)).fork();
    codec.write(writer, message);
    writer.join();
  } catch (error) {
    writer.finish();
    throw asWireError(`Cannot encode ${message.kind}`, error);
  }
  const payload = writer.finish();
  if (payload.length > codec.limit) {
    throw new WireError(`${message.kind} takes ${payload.length} bytes; at most ${codec.limit} are allowed`);
  }
  return payload;
}

/**
 * The message that `payload` holds.
 *
 * @throws WireError
 */
export function decodeMessage(payload: Uint8Array): WireMessage {
  let kind = "a message";
  try {
    const { codec, body } = openEnvelope(payload);
    kind = codec.kind;
    if (body.length > codec.limit) {
      throw new WireError(`It takes ${body.length} bytes; at most ${codec.limit} are allowed`);
    }
    return codec.read(body);
  } catch (error) {
    throw asWireError(`Cannot decode ${kind}`, error);
  }
}

const BY_FIELD: readonly (Codec<WireMessage> | undefined)[] = Object.values(CODECS).reduce(
  (table: Codec<WireMessage>[], codec) => {
    table[codec.field] = codec as Codec<WireMessage>;
    return table;
  },
  [],
);

/** One for all: it keeps its memory from message to message, and every use begins and ends with it empty. */
const writer = new BinaryWriter();

function tagOf(codec: { readonly field: number }): number {
  return (codec.field << 3) | 2;
}

/** The one message in an envelope. */
function openEnvelope(payload: Uint8Array): { codec: Codec<WireMessage>; body: Uint8Array } {
  const reader = new BinaryReader(payload);
  let found: { codec: Codec<WireMessage>; body: Uint8Array } | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const codec = BY_FIELD[tag >>> 3];
    if (codec === undefined || tag !== tagOf(codec)) skipUnknown(reader, tag);
    else if (found === undefined) found = { codec, body: reader.bytes() };
    else throw new WireError(`A frame holds a second message, ${codec.kind}`);
  }
  if (found === undefined) throw new WireError("A frame holds no message that this version knows");
  return found;
}

function asWireError(what: string, error: unknown): WireError {
  const reason = error instanceof Error ? error.message : String(error);
  return new WireError(`${what}: ${reason}`, { cause: error });
}
