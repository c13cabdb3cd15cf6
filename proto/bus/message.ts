/**
 * Messages of the bus, and what both ends of it agree on.
 *
 * @module
 */
import type { Correlation } from "./correlation.ts";

/** What a message is, in the order of the wire numbers. */
export const MESSAGE_TYPES = ["event", "control", "heartbeat", "shutdown"] as const;
/** One of {@linkcode MESSAGE_TYPES}. */
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** From what goes first to what waits, and is given up first. */
export const PRIORITIES = ["critical", "high", "normal", "low"] as const;
/** One of {@linkcode PRIORITIES}. */
export type Priority = (typeof PRIORITIES)[number];

/**
 * - `at-most-once`: what is under way when a connection breaks is lost;
 * - `at-least-once`: it is sent again on the next connection, and known by its number: its effect is there exactly once.
 *
 * In both a subscriber that is too slow loses what finds no room in its queue, and is told how much.
 */
export const QUALITIES = ["at-most-once", "at-least-once"] as const;
/** One of {@linkcode QUALITIES}. */
export type Quality = (typeof QUALITIES)[number];

/** Longest payload: a frame has room for it and what goes with it. */
export const MAX_PAYLOAD_BYTES = 917_504;

/** A message as subscribers get it. */
export interface BusMessage {
  /** The topic that it was published to. */
  readonly topic: string;
  /** What it is. */
  readonly type: MessageType;
  /** Who published it, as the broker knows them. */
  readonly source: string;
  /** Of all messages of this broker; rises. */
  readonly sequence: number;
  /** Unix milliseconds at which the broker took it. */
  readonly time: number;
  /** How urgent it is. */
  readonly priority: Priority;
  /** Milliseconds after which it is worth nothing; 0 for ever. */
  readonly ttlMs: number;
  /** The case that it belongs to; `null` for none. */
  readonly correlation: Correlation | null;
  /** Its content, at most {@linkcode MAX_PAYLOAD_BYTES}; what it means is the topic's affair. */
  readonly payload: Uint8Array;
}

/** Of a publication; what is left out is as said. */
export interface PublishOptions {
  /** What it is; `event`. */
  readonly type?: MessageType;
  /** How urgent it is; `normal`. */
  readonly priority?: Priority;
  /** Milliseconds after which it is worth nothing; 0, for ever. */
  readonly ttlMs?: number;
  /** The case that it belongs to; none. */
  readonly correlation?: Correlation | null;
}

/** Of a subscription; what is left out is as said. */
export interface SubscribeOptions {
  /** What becomes of messages under way when a connection breaks; `at-most-once`. */
  readonly quality?: Quality;
}

/** What a subscriber gets beside a message. */
export interface Delivery {
  /** The message. */
  readonly message: BusMessage;
  /** Counts what this subscriber gets, without a hole. */
  readonly number: number;
  /** How many messages this subscriber has lost so far: no room, too old, or under way when a connection broke. */
  readonly lost: number;
}

/** Takes a message; while the promise that it gives is open, no other is given to the same subscription. */
export type Handler = (delivery: Delivery) => void | Promise<void>;

/** A subscription that lasts until it is ended. */
export interface Subscription {
  /** The pattern of its topics. */
  readonly pattern: string;
  /** Ends it; a handler that runs is not interrupted. */
  end(): Promise<void>;
}

/** Why the bus does not do what it is asked. */
export const REFUSALS = ["malformed", "rights", "rate", "limit", "closed"] as const;
/** One of {@linkcode REFUSALS}. */
export type Refusal = (typeof REFUSALS)[number];

/** The bus does not do it. */
export class BusRefusedError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "BusRefusedError";
  /** `refusal`: why, for programs; `message`: the same for people. */
  constructor(readonly refusal: Refusal, message: string) {
    super(message);
  }
}

/** The bus, as its users have it within the agent and over the socket. */
export interface BusPort {
  /**
   * Publishes, and resolves when the broker has it.
   *
   * @throws BusRefusedError
   */
  publish(topic: string, payload: Uint8Array, options?: PublishOptions): Promise<void>;
  /**
   * Has `handler` given every message that a pattern matches. One that several patterns of this port match is
   * delivered once, to each of their handlers.
   *
   * @throws BusRefusedError
   */
  subscribe(pattern: string, handler: Handler, options?: SubscribeOptions): Promise<Subscription>;
}
