/**
 * A collector as a client of the bus, over any number of connections of one epoch.
 *
 * It is not trusted: what it may do is decided by `rights.ts`, how often by buckets. What it may not do is refused,
 * counted and shown, and costs it its connection never; who does too much of it is read more slowly. What it publishes at
 * least once is known by its number, so that it comes into effect exactly once while this agent runs.
 *
 * @module
 */
import { type Channel, ChannelClosedError } from "../../proto/channel.ts";
import { type Refusal } from "../../proto/bus/message.ts";
import { checkPattern, checkTopic, TopicError } from "../../proto/bus/topic.ts";
import type { BusConsumed, BusPublish, BusSubscribe, BusTaken } from "../../proto/bus/wire.ts";
import type { BusClientStatus } from "../../proto/status.ts";
import type { Bus } from "./bus.ts";
import { Deliveries } from "./deliveries.ts";
import type { DeliveryFrames } from "./delivery_frames.ts";
import { isWithin, rightsOf, segmentsOf } from "./rights.ts";
import { MAX_PATTERNS, type QueueLimits, Subscriber } from "./subscriber.ts";
import { TokenBucket, type TokenRate } from "../token_bucket.ts";

/** Topics of one client that have a bucket of their own; those beyond share one. */
const MAX_TOPIC_BUCKETS = 64;
/** How long a client that publishes too much is not read. */
const CALM_MS = 50;

export interface ClientLimits {
  readonly queue: QueueLimits;
  /** Publications of one client, and those of one of its topics. */
  readonly rate: TokenRate;
  readonly topicRate: TokenRate;
}

export interface RemoteClientOptions {
  readonly bus: Bus;
  readonly collectorId: string;
  /** What its deliveries are called: another name after another start of the agent, or of this client's memory. */
  readonly stream: number;
  readonly limits: ClientLimits;
  /** Shared with the other clients. */
  readonly frames: DeliveryFrames;
  readonly notice: (text: string) => void;
  /** A clock that does not jump, in milliseconds. */
  readonly clock: () => number;
}

export class RemoteClient {
  readonly #options: RemoteClientOptions;
  readonly #subscriber: Subscriber;
  readonly #mayPublish: readonly (readonly string[])[];
  readonly #maySubscribe: readonly (readonly string[])[];
  readonly #bucket: TokenBucket;
  readonly #topics = new Map<string, TokenBucket>();
  #channel: Channel | null = null;
  #deliveries: Deliveries | null = null;
  /** Whether this connection has said what it had received. */
  #isResumed = false;
  /** The last reliable publication that was taken, or refused. */
  #taken = 0;
  #refusals: BusTaken["refused"][number][] = [];
  #owesAnswer = false;
  #isFlooding = false;
  #refused = 0;
  readonly #said = new Set<Refusal>();

  constructor(options: RemoteClientOptions) {
    this.#options = options;
    const { bus, collectorId, limits, clock } = options, rights = rightsOf(collectorId);
    this.#subscriber = new Subscriber(collectorId, bus.counters, { isRemote: true, limits: limits.queue });
    this.#mayPublish = segmentsOf(rights.publish);
    this.#maySubscribe = segmentsOf(rights.subscribe);
    this.#bucket = new TokenBucket(limits.rate, clock());
  }

  get stream(): number {
    return this.#options.stream;
  }

  get isConnected(): boolean {
    return this.#channel !== null;
  }

  /** Whether it did anything on the bus that outlives its connection. */
  get isWorthKeeping(): boolean {
    return this.#taken > 0 || this.#subscriber.isReliable;
  }

  status(): BusClientStatus {
    const { counts: { delivered, lost }, patterns, queued } = this.#subscriber;
    const { collectorId: name } = this.#options, refused = this.#refused;
    return { name, connected: this.isConnected, patterns: patterns.size, queued, delivered, lost, refused };
  }

  /** From here on it is served over this connection. */
  connected(channel: Channel): void {
    this.#channel = channel;
    this.#isResumed = false;
    this.#said.clear();
    this.#deliveries?.end();
    this.#deliveries = new Deliveries(this.#subscriber, channel, this.#options);
    this.#subscriber.connected(this.#deliveries.wake);
  }

  /** The connection is gone, if it is still this one. */
  disconnected(channel: Channel): void {
    if (this.#channel !== channel) return;
    this.#channel = null;
    this.#deliveries?.end();
    this.#deliveries = null;
    this.#refusals = [];
    this.#owesAnswer = false;
    const { patterns } = this.#subscriber;
    // What is delivered at most once ends with its connection.
    for (const [pattern, { quality }] of patterns) if (quality === "at-most-once") patterns.delete(pattern);
    this.#subscriber.disconnected();
    if (patterns.size === 0) this.#options.bus.remove(this.#subscriber);
    else this.#options.bus.changed();
  }

  /** It will not come back under its epoch, or not in time. */
  forget(): void {
    this.#options.bus.remove(this.#subscriber);
    this.#subscriber.forgotten();
  }

  /** Returns why it is refused, or `null`. */
  subscribe({ pattern, quality, stream, received, window }: BusSubscribe): string | null {
    const { patterns } = this.#subscriber;
    let segments: string[];
    try {
      segments = checkPattern(pattern);
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      return this.#refuse("malformed", error.message);
    }
    if (!isWithin(this.#maySubscribe, segments)) {
      return this.#refuse("rights", `it may not subscribe to ${pattern}; see docs/bus.md for what a collector may`);
    }
    if (!patterns.has(pattern) && patterns.size >= MAX_PATTERNS) {
      return this.#refuse("limit", `it has ${MAX_PATTERNS} patterns, which is the most`);
    }
    patterns.set(pattern, { segments, quality });
    this.#options.bus.add(this.#subscriber);
    if (!this.#isResumed) {
      this.#isResumed = true;
      this.#subscriber.resumed(stream === this.stream ? received : 0, window);
    }
    return null;
  }

  unsubscribe(pattern: string): void {
    const { patterns } = this.#subscriber;
    if (!patterns.delete(pattern)) return;
    if (patterns.size === 0) this.#options.bus.remove(this.#subscriber);
    else this.#options.bus.changed();
  }

  /** Says no to a number that was not handed out. */
  consumed({ number, window }: BusConsumed): boolean {
    return this.#subscriber.acknowledge(number, window);
  }

  publish(message: BusPublish): void {
    const { bus, collectorId, clock } = this.#options;
    if (message.isReliable) {
      this.#owesAnswer = true;
      if (message.number <= this.#taken) {
        bus.counters.bus_duplicates++;
        return;
      }
      this.#taken = message.number;
    }
    const now = clock();
    // Before anything is looked at: also what is refused costs.
    if (!this.#bucket.take(now) || !this.#bucketOf(message.topic, now).take(now)) {
      this.#isFlooding = true;
      return this.#refusePublication(message, "rate", "it publishes too much: what is above its rate is refused");
    }
    let segments: string[];
    try {
      segments = checkTopic(message.topic);
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      return this.#refusePublication(message, "malformed", error.message);
    }
    if (!isWithin(this.#mayPublish, segments)) {
      const why = `it may not publish ${message.topic}; see docs/bus.md for what a collector may`;
      return this.#refusePublication(message, "rights", why);
    }
    bus.publish(collectorId, message.topic, message.payload, message);
  }

  /** Answers what was published since the last time, and slows down who publishes too much. */
  async settle(): Promise<void> {
    if (this.#owesAnswer && this.#channel !== null) {
      const refused = this.#refusals;
      this.#refusals = [];
      this.#owesAnswer = false;
      try {
        await this.#channel.send({ kind: "busTaken", number: this.#taken, refused });
      } catch (error) {
        if (!(error instanceof ChannelClosedError)) throw error;
      }
    }
    if (!this.#isFlooding) return;
    this.#isFlooding = false;
    await new Promise((resolve) => setTimeout(resolve, CALM_MS));
  }

  #refusePublication(message: BusPublish, refusal: Refusal, why: string): void {
    if (message.isReliable) this.#refusals.push({ number: message.number, refusal });
    this.#refuse(refusal, why);
  }

  /** Counts it, and says the first of its kind on each connection. */
  #refuse(refusal: Refusal, why: string): string {
    const { bus: { counters }, collectorId, notice } = this.#options;
    this.#refused++;
    if (refusal !== "closed") counters[`bus_refused_${refusal}`]++;
    if (!this.#said.has(refusal)) notice(`collector ${collectorId} is refused on the bus: ${why}`);
    this.#said.add(refusal);
    return why;
  }

  #bucketOf(topic: string, now: number): TokenBucket {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const isRoom = this.#topics.size < MAX_TOPIC_BUCKETS, bucket = new TokenBucket(this.#options.limits.topicRate, now);
    if (isRoom) this.#topics.set(topic, bucket);
    else return this.#topics.get("") ?? (this.#topics.set("", bucket), bucket);
    return bucket;
  }
}
