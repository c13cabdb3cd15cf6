/**
 * What broker and client say to each other.
 *
 * @module
 */
import type { BusMessage, MessageType, Priority, Quality, Refusal } from "./message.ts";
import type { Correlation } from "./correlation.ts";

/** Most that one {@linkcode BusDeliveries} holds, and most refusals of one {@linkcode BusTaken}. */
export const MAX_DELIVERIES = 1_000;
export const MAX_REFUSED = 20_000;

/** A client publishes. */
export interface BusPublish {
  /** Which message it is. */
  readonly kind: "busPublish";
  /** Counts what this client publishes reliably, from 1 in each of its epochs, and is sent in this order; 0 of the rest. */
  readonly number: number;
  /** Whether it is to be answered, and comes again until it is. */
  readonly isReliable: boolean;
  /** Where it is published. */
  readonly topic: string;
  /** What it is. */
  readonly type: MessageType;
  /** How urgent it is. */
  readonly priority: Priority;
  /** Milliseconds after which it is worth nothing; 0 for ever. */
  readonly ttlMs: number;
  /** The case that it belongs to; `null` for none. */
  readonly correlation: Correlation | null;
  /** Its content, at most `MAX_PAYLOAD_BYTES`. */
  readonly payload: Uint8Array;
}

/** Everything up to `number` was taken, but for what was refused. */
export interface BusTaken {
  /** Which message it is. */
  readonly kind: "busTaken";
  /** The last number that was looked at. */
  readonly number: number;
  /** Those that were refused, and why; at most {@linkcode MAX_REFUSED}. */
  readonly refused: readonly { readonly number: number; readonly refusal: Refusal }[];
}

/** Messages with the numbers from `firstNumber` on. */
export interface BusDeliveries {
  /** Which message it is. */
  readonly kind: "busDeliveries";
  /** Chosen by the broker for this client. Another one than before: numbers begin anew. */
  readonly stream: number;
  /** Number of the first; the others follow without a hole. */
  readonly firstNumber: number;
  /** How many messages this client has lost so far. */
  readonly lost: number;
  /** At most {@linkcode MAX_DELIVERIES}. */
  readonly messages: readonly BusMessage[];
}

/** Everything up to `number` has been handled; there is room for `window` at a time. */
export interface BusConsumed {
  /** Which message it is. */
  readonly kind: "busConsumed";
  /** The last number that has been handled. */
  readonly number: number;
  /** How many messages the client takes beyond it. */
  readonly window: number;
}

/** A client asks for the messages of a pattern. */
export interface BusSubscribe {
  /** Which message it is. */
  readonly kind: "subscribe";
  /** Which topics: see `topic.ts`. */
  readonly pattern: string;
  /** What becomes of messages under way when the connection breaks. */
  readonly quality: Quality;
  /** Of what came last, and up to where it came; 0 and 0 before the first. */
  readonly stream: number;
  /** The last number of that stream that came. */
  readonly received: number;
  /** How many messages it takes at a time. */
  readonly window: number;
}

/** A client no longer asks for the messages of a pattern. */
export interface BusUnsubscribe {
  /** Which message it is. */
  readonly kind: "unsubscribe";
  /** The pattern, as it was subscribed. */
  readonly pattern: string;
}
