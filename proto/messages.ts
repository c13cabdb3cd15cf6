/**
 * What collector and agent say to each other: every message.
 *
 * @module
 */
import type { RpcRequest, RpcResponse } from "./bus/rpc.ts";
import type { BusConsumed, BusDeliveries, BusPublish, BusSubscribe, BusTaken, BusUnsubscribe } from "./bus/wire.ts";
import type { AttributeStanding, Demand } from "./demand.ts";
import type { NotedAction } from "./ledger/noted_actions.ts";
import type { Gap, ProcessEvent, ProcessState } from "./process_event.ts";
import type { Registration } from "./registration.ts";
import type { SourceStatus } from "./status.ts";
import type { TableRow } from "./table_descriptor.ts";
import type { CapabilityRequest, CapabilityResponse, DetectionResult, DetectionTask } from "./task.ts";

/** The one version of the protocol that this program speaks. */
export const PROTOCOL_VERSION = 1;

/** The agent's first message. */
export interface Challenge {
  /** Which message it is. */
  readonly kind: "challenge";
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** The lowest version of the protocol that the agent speaks. */
  readonly versionMin: number;
  /** The highest version of the protocol that the agent speaks. */
  readonly versionMax: number;
  /** The version of registrations that the agent takes; absent of one that takes none. */
  readonly registrationVersion?: number;
}

/** The collector's answer to a challenge: who it is, and that it knows the token. */
export interface Hello {
  /** Which message it is. */
  readonly kind: "hello";
  /** The version that the collector has chosen. */
  readonly version: number;
  /** Name of the collector. */
  readonly collectorId: string;
  /** Names one start of the collector; sequence numbers begin at 1 in each. */
  readonly epoch: string;
  /** Id of the boot, as the kernel has it; zeros where that is not known. */
  readonly bootId: string;
  /** Version of the collector's program. */
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
  /** Which message it is. */
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
  /** Which message it is. */
  readonly kind: "refused";
  /** Why, for people. */
  readonly reason: string;
}

/** What the collector sees, once and right after the welcome; only to an agent that takes registrations. */
export interface RegistrationMessage extends Registration {
  /** Which message it is. */
  readonly kind: "registration";
}

/** The agent believes the registration; nothing heard for 110 % of this interval is a missed heartbeat. */
export interface Registered {
  /** Which message it is. */
  readonly kind: "registered";
  /** Milliseconds between two heartbeats. */
  readonly heartbeatMs: number;
}

/** Every collector that the agent expects has registered. */
export interface Begin {
  /** Which message it is. */
  readonly kind: "begin";
  /** When that was so, in Unix milliseconds. */
  readonly time: number;
}

/** Events, one sequence number each. */
export interface Events {
  /** Which message it is. */
  readonly kind: "events";
  /** Number of the first; the others follow without a hole. */
  readonly firstSequence: number;
  /** In the order in which they are to be stored. */
  readonly events: readonly ProcessEvent[];
}

/** Rows of a table that the collector registered, one sequence number each. */
export interface Rows {
  /** Which message it is. */
  readonly kind: "rows";
  /** Number of the first; the others follow without a hole. */
  readonly firstSequence: number;
  /** Name of the table. */
  readonly table: string;
  /** In the order in which they are to be stored. */
  readonly rows: readonly TableRow[];
}

/** What could not be seen or kept. */
export interface GapMessage {
  /** Which message it is. */
  readonly kind: "gap";
  /** Its number. */
  readonly sequence: number;
  /** What is missing. */
  readonly gap: Gap;
}

/** One part of a process table. Parts count from 0 and share the time. */
export interface Snapshot {
  /** Which message it is. */
  readonly kind: "snapshot";
  /** Number of this part. */
  readonly sequence: number;
  /** When the table was looked at, in Unix milliseconds. */
  readonly time: number;
  /** Counts the parts of one table. */
  readonly part: number;
  /** Whether no other part follows. */
  readonly last: boolean;
  /** Processes of this part. */
  readonly processes: readonly ProcessState[];
}

/** How the collector's sources are. */
export interface Sources {
  /** Which message it is. */
  readonly kind: "sources";
  /** Its number. */
  readonly sequence: number;
  /** All of them. */
  readonly sources: readonly SourceStatus[];
}

/** Everything up to `sequence` is committed; `credit` replaces the credit given before. */
export interface Ack {
  /** Which message it is. */
  readonly kind: "ack";
  /** The last number that is committed. */
  readonly sequence: number;
  /** How many numbers may be sent beyond it. */
  readonly credit: number;
}

/** Says that the sender lives. */
export interface Heartbeat {
  /** Which message it is. */
  readonly kind: "heartbeat";
  /** When it was sent, in Unix milliseconds. */
  readonly time: number;
}

/** The sender closes after this. */
export interface Goodbye {
  /** Which message it is. */
  readonly kind: "goodbye";
  /** Why, for people. */
  readonly reason: string;
}

/** What is asked, by its kind. */
export type RequestBody =
  | ({ readonly kind: "capabilities" } & CapabilityRequest)
  | ({ readonly kind: "task" } & DetectionTask)
  /** Only to a collector whose capabilities name the version: an older one ends the connection. */
  | { readonly kind: "demand"; readonly demand: Demand }
  | BusSubscribe
  | BusUnsubscribe
  /** As with demands. */
  | { readonly kind: "rpc"; readonly call: RpcRequest }
  /** A demand of a version that this program does not know; never sent. */
  | { readonly kind: "otherDemand" };

/** What is answered, by its kind. */
export type ReplyBody =
  | ({ readonly kind: "capabilities" } & CapabilityResponse)
  | ({ readonly kind: "result" } & DetectionResult)
  | { readonly kind: "demand"; readonly attributes: readonly AttributeStanding[] }
  /** What the broker calls this client's deliveries. */
  | { readonly kind: "subscribed"; readonly stream: number }
  | { readonly kind: "rpc"; readonly response: RpcResponse }
  | { readonly kind: "error"; readonly reason: string };

/** A question; the sender numbers its questions from 1. */
export interface Request {
  /** Which message it is. */
  readonly kind: "request";
  /** Counts the sender's questions. */
  readonly id: number;
  /** What is asked. */
  readonly body: RequestBody;
}

/** The answer to the question of the same number. */
export interface Reply {
  /** Which message it is. */
  readonly kind: "reply";
  /** Number of the question. */
  readonly id: number;
  /** What is answered. */
  readonly body: ReplyBody;
}

/** The newest checkpoint of the audit ledger. */
export interface LedgerHead {
  /** Which message it is. */
  readonly kind: "ledgerHead";
  /** Name of the ledger. */
  readonly origin: string;
  /** Entries under the checkpoint. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** What the agent has to enter into the audit ledger. */
export interface LedgerNote {
  /** Rises from note to note, and is never given out again. */
  readonly id: number;
  /** What happened. */
  readonly action: NotedAction;
  /** What is to be said of it. */
  readonly payload: Uint8Array;
}

/** Comes again until it is taken. */
export interface LedgerNotes {
  /** Which message it is. */
  readonly kind: "ledgerNotes";
  /** In the order of their ids. */
  readonly notes: readonly LedgerNote[];
}

/** Every note up to this one is in the ledger and on disk, or there is no ledger. */
export interface LedgerTaken {
  /** Which message it is. */
  readonly kind: "ledgerTaken";
  /** The id of the last one. */
  readonly id: number;
}

/** Nobody waits for the answer to this request any more. */
export interface RpcCancel {
  /** Which message it is. */
  readonly kind: "rpcCancel";
  /** Number of the question. */
  readonly id: number;
}

/** A message between collector and agent, by its kind. */
export type WireMessage =
  | Challenge
  | Hello
  | Welcome
  | Refused
  | Events
  | Rows
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
  | LedgerTaken
  | BusPublish
  | BusTaken
  | BusDeliveries
  | BusConsumed
  | RpcCancel
  | RegistrationMessage
  | Registered
  | Begin;
