/**
 * The table of messages: for each kind its field in `Envelope`, its size limit, and its way to bytes and back.
 *
 * Rare messages go through the generated code, events and snapshots through code of their own. Both ends of every
 * mapping check, so that nothing is sent that would be refused.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  readConsumed,
  readDeliveries,
  readPublish,
  readTaken,
  writeConsumed,
  writeDeliveries,
  writePublish,
  writeTaken,
} from "./bus/codec.ts";
import type { FieldWriter } from "./field_writer.ts";
import { fromU53, parse, toU53 } from "./cold_codec.ts";
import { readEventBatch, writeEventBatch } from "./event_codec.ts";
import { MAX_FRAME_BYTES } from "./frame.ts";
import * as bus from "./gen/eventbus_pb.ts";
import * as ipc from "./gen/ipc_pb.ts";
import { checkHeartbeat } from "./registration.ts";
import { readRegistration, writeRegistration } from "./registration_codec.ts";
import { readRowBatch, writeRowBatch } from "./row_codec.ts";
import { readSource, writableSource } from "./source_codec.ts";
import { readSnapshot, writeSnapshot } from "./snapshot_codec.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "./task_codec.ts";
import { ACTIONS } from "./ledger/entry.ts";
import { MAX_PAYLOAD_BYTES } from "./ledger/payload.ts";
import { MAX_NOTES, NOTED_ACTIONS } from "./ledger/noted_actions.ts";
import type { Hello, LedgerNote, WireMessage } from "./messages.ts";
import { WireError } from "./wire_error.ts";
import { checkSequences, MAX_SEQUENCE } from "./wire_fields.ts";

/** Bytes of a nonce and of a proof. */
export const PROOF_BYTES = 32;
/** Longest body of a message that has no list in it. */
const SHORT = 4_096;
/** Longest body of a message that has a short list in it, or text of unknown length. */
const MEDIUM = 262_144;
/** Most sources of one report. */
const MAX_SOURCES = 64;
/** What a ledger's name may be made of: it stands in alerts and in checkpoints (C2SP signed-note). */
const ORIGIN = /^[!-*,-~]{1,255}$/;
/** What a name in a hello may be made of: it stands in proofs, in ids and in log lines. */
const NAME = /^[A-Za-z0-9._+-]{1,64}$/;

export interface Codec<Message extends WireMessage> {
  readonly kind: Message["kind"];
  /** Number of the field in `Envelope`. */
  readonly field: number;
  /** Longest body, in bytes. */
  readonly limit: number;
  write(writer: FieldWriter, message: Message): void;
  read(body: Uint8Array): Message;
}

export const CODECS: { readonly [K in WireMessage["kind"]]: Codec<Extract<WireMessage, { kind: K }>> } = {
  challenge: {
    kind: "challenge",
    field: 1,
    limit: SHORT,
    write: (writer, { nonce, versionMin, versionMax, registrationVersion = 0 }) => {
      const challenge = { nonce: secret(nonce), versionMin, versionMax, registrationVersion };
      writer.raw(toBinary(ipc.ChallengeSchema, create(ipc.ChallengeSchema, challenge)));
    },
    read: (body) => {
      const { nonce, versionMin, versionMax, registrationVersion } = parse(ipc.ChallengeSchema, body);
      const takes = registrationVersion === 0 ? {} : { registrationVersion };
      return { kind: "challenge", nonce: secret(nonce), versionMin, versionMax, ...takes };
    },
  },
  hello: {
    kind: "hello",
    field: 2,
    limit: SHORT,
    write: (writer, { kind: _, ...hello }) => {
      checkNames(hello);
      secret(hello.nonce);
      secret(hello.proof);
      writer.raw(toBinary(ipc.HelloSchema, create(ipc.HelloSchema, hello)));
    },
    read: (body) => {
      const hello = parse(ipc.HelloSchema, body);
      checkNames(hello);
      const { version, collectorId, epoch, bootId, softwareVersion, source } = hello;
      const nonce = secret(hello.nonce), proof = secret(hello.proof);
      return { kind: "hello", version, collectorId, epoch, bootId, softwareVersion, source, nonce, proof };
    },
  },
  welcome: {
    kind: "welcome",
    field: 3,
    limit: SHORT,
    write: (writer, { proof, lastSequence, credit }) => {
      const numbers = { lastSequence: fromSequence(lastSequence), credit: fromU53(credit, "A credit") };
      writer.raw(toBinary(ipc.WelcomeSchema, create(ipc.WelcomeSchema, { proof: secret(proof), ...numbers })));
    },
    read: (body) => {
      const { proof, lastSequence, credit } = parse(ipc.WelcomeSchema, body);
      return {
        kind: "welcome",
        proof: secret(proof),
        lastSequence: toSequence(lastSequence),
        credit: toU53(credit, "A credit"),
      };
    },
  },
  refused: {
    kind: "refused",
    field: 4,
    limit: SHORT,
    write: (writer, { reason }) => writer.raw(toBinary(ipc.RefusedSchema, create(ipc.RefusedSchema, { reason }))),
    read: (body) => ({ kind: "refused", reason: parse(ipc.RefusedSchema, body).reason }),
  },
  events: {
    kind: "events",
    field: 5,
    limit: MAX_FRAME_BYTES,
    write: writeEventBatch,
    read: (body) => ({ kind: "events", ...readEventBatch(body) }),
  },
  gap: {
    kind: "gap",
    field: 6,
    limit: SHORT,
    write: (writer, { sequence, gap }) => {
      checkSequences(sequence, 1);
      const message = create(bus.GapReportSchema, {
        sequence: BigInt(sequence),
        gap: create(bus.GapSchema, {
          source: gap.source,
          recordKind: gap.recordKind,
          from: fromU53(gap.from, "A gap's begin"),
          to: fromU53(gap.to, "A gap's end"),
          count: gap.count === null ? undefined : fromU53(gap.count, "A gap's count"),
          reason: gap.reason,
        }),
      });
      writer.raw(toBinary(bus.GapReportSchema, message));
    },
    read: (body) => {
      const { sequence, gap } = parse(bus.GapReportSchema, body);
      if (gap === undefined) throw new WireError("A gap report holds no gap");
      return {
        kind: "gap",
        sequence: toItemSequence(sequence),
        gap: {
          source: gap.source,
          recordKind: gap.recordKind,
          from: toU53(gap.from, "A gap's begin"),
          to: toU53(gap.to, "A gap's end"),
          count: gap.count === undefined ? null : toU53(gap.count, "A gap's count"),
          reason: gap.reason,
        },
      };
    },
  },
  snapshot: {
    kind: "snapshot",
    field: 7,
    limit: MAX_FRAME_BYTES,
    write: writeSnapshot,
    read: (body) => ({ kind: "snapshot", ...readSnapshot(body) }),
  },
  sources: {
    kind: "sources",
    field: 8,
    limit: MEDIUM,
    write: (writer, { sequence, sources }) => {
      checkSequences(sequence, 1);
      checkSources(sources);
      const message = create(bus.SourceReportSchema, {
        sequence: BigInt(sequence),
        sources: sources.map((source) => create(bus.SourceStatusSchema, writableSource(source))),
      });
      writer.raw(toBinary(bus.SourceReportSchema, message));
    },
    read: (body) => {
      const { sequence, sources } = parse(bus.SourceReportSchema, body);
      checkSources(sources);
      return {
        kind: "sources",
        sequence: toItemSequence(sequence),
        sources: sources.map(readSource),
      };
    },
  },
  ack: {
    kind: "ack",
    field: 9,
    limit: SHORT,
    write: (writer, { sequence, credit }) => {
      const numbers = { sequence: fromSequence(sequence), credit: fromU53(credit, "A credit") };
      writer.raw(toBinary(ipc.AckSchema, create(ipc.AckSchema, numbers)));
    },
    read: (body) => {
      const { sequence, credit } = parse(ipc.AckSchema, body);
      return { kind: "ack", sequence: toSequence(sequence), credit: toU53(credit, "A credit") };
    },
  },
  heartbeat: {
    kind: "heartbeat",
    field: 10,
    limit: SHORT,
    write: (writer, { time }) =>
      writer.raw(toBinary(ipc.HeartbeatSchema, create(ipc.HeartbeatSchema, { time: fromU53(time, "A time") }))),
    read: (body) => ({ kind: "heartbeat", time: toU53(parse(ipc.HeartbeatSchema, body).time, "A time") }),
  },
  goodbye: {
    kind: "goodbye",
    field: 11,
    limit: SHORT,
    write: (writer, { reason }) => writer.raw(toBinary(ipc.GoodbyeSchema, create(ipc.GoodbyeSchema, { reason }))),
    read: (body) => ({ kind: "goodbye", reason: parse(ipc.GoodbyeSchema, body).reason }),
  },
  request: {
    kind: "request",
    field: 12,
    limit: MEDIUM,
    write: (writer, { id, body }) => writer.raw(encodeRequest(id, body)),
    read: (body) => ({ kind: "request", ...decodeRequest(body) }),
  },
  reply: {
    kind: "reply",
    field: 13,
    limit: MAX_FRAME_BYTES,
    write: (writer, { id, body }) => writer.raw(encodeReply(id, body)),
    read: (body) => ({ kind: "reply", ...decodeReply(body) }),
  },
  ledgerHead: {
    kind: "ledgerHead",
    field: 14,
    limit: SHORT,
    write: (writer, { origin, size, root }) => {
      checkOrigin(origin);
      const head = { origin, size: fromU53(size, "A size"), root: secret(root) };
      writer.raw(toBinary(ipc.LedgerHeadSchema, create(ipc.LedgerHeadSchema, head)));
    },
    read: (body) => {
      const { origin, size, root } = parse(ipc.LedgerHeadSchema, body);
      checkOrigin(origin);
      return { kind: "ledgerHead", origin, size: toU53(size, "A size"), root: secret(root) };
    },
  },
  ledgerNotes: {
    kind: "ledgerNotes",
    field: 15,
    limit: MAX_FRAME_BYTES,
    write: (writer, { notes }) => {
      checkNotes(notes);
      const written = notes.map(({ id, action, payload }) =>
        create(ipc.LedgerNoteSchema, {
          id: fromU53(id, "A note's number"),
          action: ACTIONS[action],
          payload: new Uint8Array(payload),
        })
      );
      writer.raw(toBinary(ipc.LedgerNotesSchema, create(ipc.LedgerNotesSchema, { notes: written })));
    },
    read: (body) => {
      const notes = parse(ipc.LedgerNotesSchema, body).notes.map(({ id, action, payload }): LedgerNote => {
        const noted = NOTED_ACTIONS.find((name) => ACTIONS[name] === action);
        if (noted === undefined) throw new WireError(`An agent may not enter the action ${action}`);
        return { id: toU53(id, "A note's number"), action: noted, payload: new Uint8Array(payload) };
      });
      checkNotes(notes);
      return { kind: "ledgerNotes", notes };
    },
  },
  ledgerTaken: {
    kind: "ledgerTaken",
    field: 16,
    limit: SHORT,
    write: (writer, { id }) =>
      writer.raw(
        toBinary(ipc.LedgerTakenSchema, create(ipc.LedgerTakenSchema, { id: fromU53(id, "A note's number") })),
      ),
    read: (body) => ({ kind: "ledgerTaken", id: toU53(parse(ipc.LedgerTakenSchema, body).id, "A note's number") }),
  },
  busPublish: { kind: "busPublish", field: 20, limit: MAX_FRAME_BYTES, write: writePublish, read: readPublish },
  busTaken: { kind: "busTaken", field: 21, limit: MAX_FRAME_BYTES, write: writeTaken, read: readTaken },
  busDeliveries: {
    kind: "busDeliveries",
    field: 22,
    limit: MAX_FRAME_BYTES,
    write: writeDeliveries,
    read: readDeliveries,
  },
  busConsumed: {
    kind: "busConsumed",
    field: 23,
    limit: SHORT,
    write: writeConsumed,
    read: readConsumed,
  },
  rpcCancel: {
    kind: "rpcCancel",
    field: 24,
    limit: SHORT,
    write: (writer, { id }) => writer.raw(toBinary(ipc.RpcCancelSchema, create(ipc.RpcCancelSchema, { id }))),
    read: (body) => ({ kind: "rpcCancel", id: parse(ipc.RpcCancelSchema, body).id }),
  },
  registration: {
    kind: "registration",
    field: 30,
    limit: MEDIUM,
    write: (writer, message) => writer.raw(toBinary(ipc.RegistrationSchema, writeRegistration(message))),
    read: (body) => ({ kind: "registration", ...readRegistration(body) }),
  },
  registered: {
    kind: "registered",
    field: 31,
    limit: SHORT,
    write: (writer, { heartbeatMs }) => {
      checkHeartbeat(heartbeatMs);
      writer.raw(toBinary(ipc.RegisteredSchema, create(ipc.RegisteredSchema, { heartbeatMs })));
    },
    read: (body) => {
      const { heartbeatMs } = parse(ipc.RegisteredSchema, body);
      checkHeartbeat(heartbeatMs);
      return { kind: "registered", heartbeatMs };
    },
  },
  rows: {
    kind: "rows",
    field: 40,
    limit: MAX_FRAME_BYTES,
    write: writeRowBatch,
    read: (body) => ({ kind: "rows", ...readRowBatch(body) }),
  },
  begin: {
    kind: "begin",
    field: 32,
    limit: SHORT,
    write: (writer, { time }) =>
      writer.raw(toBinary(ipc.BeginSchema, create(ipc.BeginSchema, { time: fromU53(time, "A time") }))),
    read: (body) => ({ kind: "begin", time: toU53(parse(ipc.BeginSchema, body).time, "A time") }),
  },
};

function checkOrigin(origin: string): void {
  if (!ORIGIN.test(origin)) throw new WireError("A ledger's name is of 1 to 255 printable characters without spaces");
}

/** In their order, each larger than 0: the last one's number stands for all. */
function checkNotes(notes: readonly LedgerNote[]): void {
  if (notes.length > MAX_NOTES) throw new WireError(`A message has ${notes.length} notes; at most ${MAX_NOTES}`);
  let last = 0;
  for (const { id, payload } of notes) {
    if (id <= last) throw new WireError("Notes are not in the order of their numbers");
    if (payload.length > MAX_PAYLOAD_BYTES) throw new WireError(`A note has ${payload.length} bytes`);
    last = id;
  }
}

/** A nonce or proof, copied. */
function secret(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.length !== PROOF_BYTES) {
    throw new WireError(`A nonce or proof has ${bytes.length} bytes, not ${PROOF_BYTES}`);
  }
  return new Uint8Array(bytes);
}

function checkNames(hello: Omit<Hello, "kind">): void {
  for (const field of ["collectorId", "epoch", "bootId", "softwareVersion", "source"] as const) {
    if (!NAME.test(hello[field])) {
      throw new WireError(`${field} must be 1 to 64 letters, digits or one of . _ + -`);
    }
  }
}

function checkSources(sources: readonly unknown[]): void {
  if (sources.length > MAX_SOURCES) {
    throw new WireError(`A report lists ${sources.length} sources, at most ${MAX_SOURCES} are allowed`);
  }
}

/** A sequence that may be 0: nothing yet. */
function fromSequence(sequence: number): bigint {
  if (sequence > MAX_SEQUENCE) throw new WireError(`A sequence is above 2^40 - 1: ${sequence}`);
  return fromU53(sequence, "A sequence");
}

function toSequence(sequence: bigint): number {
  const number = toU53(sequence, "A sequence");
  if (number > MAX_SEQUENCE) throw new WireError(`A sequence is above 2^40 - 1: ${number}`);
  return number;
}

/** The sequence of something that has one. */
function toItemSequence(sequence: bigint): number {
  const number = toU53(sequence, "A sequence");
  checkSequences(number, 1);
  return number;
}
