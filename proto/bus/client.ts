/**
 * The bus over a connection to the agent: the port that a collector has.
 *
 * Whoever has the channel gives every message of the bus to {@linkcode RemotePort.receive}. After another connection
 * {@linkcode RemotePort.connected} takes up what was under way: the broker sends again what was not acknowledged, and what
 * was published at least once goes again until it is taken; both are known by their numbers. The broker is not trusted
 * with memory: what it sends beyond what was granted ends the connection.
 *
 * @module
 */
import type { Channel } from "../channel.ts";
import { WireError } from "../wire_error.ts";
import { checkPattern, matches, TopicError } from "./topic.ts";
import {
  type BusPort,
  BusRefusedError,
  type Handler,
  MAX_PAYLOAD_BYTES,
  type PublishOptions,
  type Quality,
  type SubscribeOptions,
  type Subscription,
} from "./message.ts";
import type { BusDeliveries, BusPublish, BusTaken } from "./wire.ts";

/** Messages that may be under way to this side. */
const WINDOW = 1_000;
/**
 * What was handled is acknowledged after so many, or after a while: not each by itself. Where all of it is delivered at
 * most once nobody waits for that: it only makes room for more, and what is left of the window is room enough.
 *
 * The first time it is after fewer, by lot: clients that get the same messages would all answer the same one, and with a
 * hundred of them the next messages wait for that.
 */
const ACKNOWLEDGE_AFTER = 250, ACKNOWLEDGE_MS = 20;
/** Topics whose subscriptions are remembered. */
const MAX_TOPICS = 1_024;
/** Publications that were not taken yet. */
const MAX_UNTAKEN = 500;

interface Held {
  readonly pattern: string;
  readonly segments: readonly string[];
  readonly quality: Quality;
  readonly handler: Handler;
}

interface Untaken {
  readonly message: BusPublish;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The bus for a client at the other end of a connection: publications and subscriptions outlive the connection. */
export class RemotePort implements BusPort {
  #channel: Channel | null = null;
  readonly #held = new Set<Held>();
  /** Those that a message of a topic goes to, until subscriptions change. */
  readonly #ofTopic = new Map<string, readonly Held[]>();
  readonly #untaken = new Map<number, Untaken>();
  #published = 0;
  /** What this connection has still to send, and the one for which that is under way. */
  #unsent: BusPublish[] = [];
  #pumped: Channel | null = null;
  #stream = 0;
  /** Up to where what came was given to handlers. */
  #received = 0;
  #waiting = 0;
  /** Up to where the broker was told so, and when it is told next. */
  #acknowledged = 0;
  #acknowledgeAfter = byLot(ACKNOWLEDGE_AFTER);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Deliveries that came and have not been handled whole. */
  #unhandled = 0;
  /** Ends when everything that came has been handled. Never rejects. */
  #handling: Promise<void> = Promise.resolve();
  readonly #notice: (text: string) => void;
  /** How many messages were lost so far, as the broker says; and came twice and were dropped here. */
  lost = 0;
  /** Messages that came a second time, and were dropped. */
  duplicates = 0;

  /** `notice` is told of handlers that throw. */
  constructor(notice: (text: string) => void = () => {}) {
    this.#notice = notice;
  }

  /** There is a connection, proven by the handshake; {@linkcode Channel.receive} must be running. */
  async connected(channel: Channel): Promise<void> {
    this.#channel = channel;
    this.#unsent = [...this.#untaken.values()].map(({ message }) => message);
    void this.#pump(channel);
    const patterns = new Map<string, Held>();
    for (const held of this.#held) {
      const known = patterns.get(held.pattern);
      if (known === undefined || known.quality === "at-most-once") patterns.set(held.pattern, held);
    }
    for (const held of patterns.values()) await this.#ask(channel, held.pattern, held.quality);
  }

  /** The connection is gone. */
  disconnected(): void {
    this.#channel = null;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Nothing will come any more: what was published and not taken is refused. */
  close(): void {
    this.disconnected();
    for (const { reject } of this.#untaken.values()) reject(new BusRefusedError("closed", "The port is closed"));
    this.#untaken.clear();
    this.#held.clear();
    this.#ofTopic.clear();
  }

  /** Takes a message of the channel. @throws WireError when the broker does what it may not */
  receive(message: BusDeliveries | BusTaken): void {
    if (message.kind === "busTaken") this.#take(message);
    else this.#deliver(message);
  }

  publish(topic: string, payload: Uint8Array, options: PublishOptions = {}): Promise<void> {
    if (payload.length > MAX_PAYLOAD_BYTES) {
      const why = `A message holds at most ${MAX_PAYLOAD_BYTES} bytes, got ${payload.length}`;
      return Promise.reject(new BusRefusedError("malformed", why));
    }
    if (this.#untaken.size >= MAX_UNTAKEN) {
      return Promise.reject(new BusRefusedError("limit", `${MAX_UNTAKEN} messages wait to be taken`));
    }
    const message = this.#messageOf(topic, payload, options, true);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#untaken.set(message.number, { message, resolve, reject });
    if (this.#channel !== null) {
      this.#unsent.push(message);
      void this.#pump(this.#channel);
    }
    return promise;
  }

  /** Publishes at most once: resolves when the connection has it, and is never answered. @throws BusRefusedError */
  async tell(topic: string, payload: Uint8Array, options: PublishOptions = {}): Promise<void> {
    const channel = this.#channel;
    if (channel === null) throw new BusRefusedError("closed", "There is no connection");
    await channel.send(this.#messageOf(topic, payload, options, false));
  }

  async subscribe(pattern: string, handler: Handler, options: SubscribeOptions = {}): Promise<Subscription> {
    let segments: string[];
    try {
      segments = checkPattern(pattern);
    } catch (error) {
      throw error instanceof TopicError ? new BusRefusedError("malformed", error.message) : error;
    }
    const held: Held = { pattern, segments, quality: options.quality ?? "at-most-once", handler };
    this.#held.add(held);
    this.#ofTopic.clear();
    const channel = this.#channel;
    try {
      if (channel !== null) await this.#ask(channel, pattern, held.quality);
    } catch (error) {
      if (error instanceof BusRefusedError) this.#release(held);
      throw error;
    }
    return { pattern, end: () => this.#end(held) };
  }

  async #ask(channel: Channel, pattern: string, quality: Quality): Promise<void> {
    const reply = await channel.request({
      kind: "subscribe",
      pattern,
      quality,
      stream: this.#stream,
      received: this.#received,
      window: WINDOW,
    });
    if (reply.kind === "error") throw new BusRefusedError("rights", `The agent refuses: ${reply.reason}`);
    if (reply.kind !== "subscribed") throw new WireError(`The agent answers a subscription by ${reply.kind}`);
  }

  /** Sends one after the other: the broker takes a number that is lower than one before for a second copy. */
  async #pump(channel: Channel): Promise<void> {
    if (this.#pumped === channel) return;
    this.#pumped = channel;
    try {
      while (this.#channel === channel && this.#unsent.length > 0) await channel.send(this.#unsent.shift()!);
    } catch {
      channel.close(); // what was not taken goes with the next connection
    } finally {
      if (this.#pumped === channel) this.#pumped = null;
    }
  }

  async #end(held: Held): Promise<void> {
    if (!this.#release(held)) return;
    if ([...this.#held].some(({ pattern }) => pattern === held.pattern)) return;
    await this.#channel?.request({ kind: "unsubscribe", pattern: held.pattern });
  }

  /** Whether it was held. */
  #release(held: Held): boolean {
    this.#ofTopic.clear();
    return this.#held.delete(held);
  }

  #heldFor(topic: string): readonly Held[] {
    let held = this.#ofTopic.get(topic);
    if (held === undefined) {
      const segments = topic.split(".");
      held = [...this.#held].filter((each) => matches(each.segments, segments));
      if (this.#ofTopic.size >= MAX_TOPICS) this.#ofTopic.clear();
      this.#ofTopic.set(topic, held);
    }
    return held;
  }

  #messageOf(topic: string, payload: Uint8Array, options: PublishOptions, isReliable: boolean): BusPublish {
    const { type = "event", priority = "normal", ttlMs = 0, correlation = null } = options;
    const number = isReliable ? ++this.#published : 0;
    return { kind: "busPublish", number, isReliable, topic, type, priority, ttlMs, correlation, payload };
  }

  #take({ number, refused }: BusTaken): void {
    for (const { number: which, refusal } of refused) {
      this.#untaken.get(which)?.reject(new BusRefusedError(refusal, `The agent refuses the message: ${refusal}`));
      this.#untaken.delete(which);
    }
    for (const [which, { resolve }] of this.#untaken) {
      if (which > number) break;
      resolve();
      this.#untaken.delete(which);
    }
  }

  #deliver(deliveries: BusDeliveries): void {
    const { stream, lost, messages } = deliveries;
    if (stream !== this.#stream) {
      // Another run of the agent, or one that has forgotten this side: numbers begin anew.
      this.#stream = stream;
      this.#received = this.#acknowledged = 0;
      this.#acknowledgeAfter = byLot(ACKNOWLEDGE_AFTER);
    }
    this.#waiting += messages.length;
    if (this.#waiting > 2 * WINDOW) throw new WireError("The agent sends more than it was granted");
    this.lost = lost;
    const channel = this.#channel;
    // Behind those that handlers still wait with; most wait for nothing, and then it is not put off.
    if (this.#unhandled++ === 0) this.#handling = this.#handle(deliveries, channel);
    else this.#handling = this.#handling.then(() => this.#handle(deliveries, channel));
  }

  async #handle({ firstNumber, lost, messages }: BusDeliveries, channel: Channel | null): Promise<void> {
    for (let i = 0; i < messages.length; i++) {
      this.#waiting--;
      const number = firstNumber + i, message = messages[i]!;
      if (number <= this.#received) {
        this.duplicates++;
        continue;
      }
      this.#received = number;
      const delivery = { message, number, lost }, receivers = this.#heldFor(message.topic);
      for (let j = 0; j < receivers.length; j++) {
        const held = receivers[j]!;
        if (!this.#held.has(held)) continue; // ended while another handler took its time
        try {
          const pending = held.handler(delivery);
          if (pending !== undefined) await pending;
        } catch (error) {
          this.#notice(
            `a message of ${message.topic} is not handled: ${error instanceof Error ? error.message : error}`,
          );
        }
      }
    }
    this.#unhandled--;
    if (channel === null || channel !== this.#channel) return;
    if (this.#received - this.#acknowledged >= this.#acknowledgeAfter) this.#acknowledge(channel);
    else if (this.#isAwaited) this.#timer ??= setTimeout(() => this.#acknowledge(channel), byLot(ACKNOWLEDGE_MS));
  }

  /** Whether anything of what comes is delivered at least once. */
  get #isAwaited(): boolean {
    for (const { quality } of this.#held) if (quality === "at-least-once") return true;
    return false;
  }

  #acknowledge(channel: Channel): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (channel !== this.#channel || this.#acknowledged === this.#received) return;
    this.#acknowledged = this.#received;
    this.#acknowledgeAfter = ACKNOWLEDGE_AFTER;
    channel.send({ kind: "busConsumed", number: this.#received, window: WINDOW }).catch(() => {});
  }
}

/** From 1 to `most`, any of them as likely. */
function byLot(most: number): number {
  return 1 + Math.floor(Math.random() * most);
}
