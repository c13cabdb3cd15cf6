/**
 * The bus within the agent: a port for each part of it that publishes or subscribes.
 *
 * It is trusted: nothing is limited but its queue. A handler that is slow makes its own port slow, and one that throws is
 * counted and noticed.
 *
 * @module
 */
import {
  type BusPort,
  BusRefusedError,
  type Handler,
  MAX_PAYLOAD_BYTES,
  type PublishOptions,
  type SubscribeOptions,
  type Subscription,
} from "../../proto/bus/message.ts";
import { checkPattern, matches, TopicError } from "../../proto/bus/topic.ts";
import type { Bus } from "./bus.ts";
import type { Published } from "./published.ts";
import { MAX_PATTERNS, type QueueLimits, Subscriber } from "./subscriber.ts";

/** Topics whose handlers are remembered. */
const MAX_TOPICS = 1_024;
/** Messages that are taken out of the queue at once. */
const MAX_BATCH = 64;

interface Held {
  readonly pattern: string;
  readonly segments: readonly string[];
  readonly handler: Handler;
}

export class LocalPort implements BusPort {
  readonly #bus: Bus;
  readonly #subscriber: Subscriber;
  readonly #notice: (text: string) => void;
  readonly #held = new Set<Held>();
  readonly #handlers = new Map<string, Handler[]>();
  #isDraining = false;
  #fault = "";

  constructor(bus: Bus, readonly name: string, notice: (text: string) => void, limits?: QueueLimits) {
    this.#bus = bus;
    this.#notice = notice;
    this.#subscriber = new Subscriber(name, bus.counters, { isRemote: false, limits });
    this.#subscriber.wake = () => {
      if (this.#isDraining) return;
      this.#isDraining = true;
      queueMicrotask(() => this.#drain());
    };
  }

  /** How many messages it has lost. */
  get lost(): number {
    return this.#subscriber.counts.lost;
  }

  /** Whether a message of this topic would go to anybody. */
  wants(topic: string): boolean {
    return this.#bus.wants(topic);
  }

  /** {@linkcode BusPort.publish} without the promise. @throws BusRefusedError */
  tell(topic: string, payload: Uint8Array, options?: PublishOptions): void {
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw new BusRefusedError(
        "malformed",
        `A message holds at most ${MAX_PAYLOAD_BYTES} bytes, got ${payload.length}`,
      );
    }
    try {
      this.#bus.publish(this.name, topic, payload, options);
    } catch (error) {
      throw error instanceof TopicError ? new BusRefusedError("malformed", error.message) : error;
    }
  }

  /** Something could not be made a message. */
  unpublished(): void {
    this.#bus.counters.bus_unpublished++;
  }

  // deno-lint-ignore require-await -- what it throws is to reject, as it does over a socket
  async publish(topic: string, payload: Uint8Array, options?: PublishOptions): Promise<void> {
    this.tell(topic, payload, options);
  }

  // deno-lint-ignore require-await -- the same
  async subscribe(pattern: string, handler: Handler, options: SubscribeOptions = {}): Promise<Subscription> {
    const { patterns } = this.#subscriber;
    if (!patterns.has(pattern) && patterns.size >= MAX_PATTERNS) {
      throw new BusRefusedError("limit", `A port has at most ${MAX_PATTERNS} patterns`);
    }
    let segments: string[];
    try {
      segments = checkPattern(pattern);
    } catch (error) {
      throw error instanceof TopicError ? new BusRefusedError("malformed", error.message) : error;
    }
    const held: Held = { pattern, segments, handler };
    this.#held.add(held);
    const quality = options.quality ?? "at-most-once", known = patterns.get(pattern);
    patterns.set(pattern, { segments, quality: known?.quality === "at-least-once" ? "at-least-once" : quality });
    this.#handlers.clear();
    this.#bus.add(this.#subscriber);
    return {
      pattern,
      end: () => {
        this.#end(held);
        return Promise.resolve();
      },
    };
  }

  /** Ends all of its subscriptions. */
  close(): void {
    for (const held of [...this.#held]) this.#end(held);
  }

  #end(held: Held): void {
    if (!this.#held.delete(held)) return;
    const { patterns } = this.#subscriber;
    if (![...this.#held].some(({ pattern }) => pattern === held.pattern)) patterns.delete(held.pattern);
    this.#handlers.clear();
    if (patterns.size === 0) this.#bus.remove(this.#subscriber);
    else this.#bus.changed();
  }

  async #drain(): Promise<void> {
    const batch: Published[] = [], subscriber = this.#subscriber;
    for (;;) {
      batch.length = 0;
      const first = subscriber.take(batch, MAX_BATCH, Infinity, this.#bus.now());
      if (batch.length === 0) break;
      for (let i = 0; i < batch.length; i++) {
        const message = batch[i]!, delivery = { message, number: first + i, lost: subscriber.counts.lost };
        for (const handler of this.#handlersOf(message.topic)) {
          try {
            const pending = handler(delivery);
            if (pending !== undefined) await pending;
          } catch (error) {
            this.#failed(message.topic, error);
          }
        }
      }
    }
    this.#isDraining = false;
  }

  #handlersOf(topic: string): readonly Handler[] {
    let handlers = this.#handlers.get(topic);
    if (handlers === undefined) {
      const segments = topic.split(".");
      handlers = [...this.#held].filter((held) => matches(held.segments, segments)).map(({ handler }) => handler);
      if (this.#handlers.size >= MAX_TOPICS) this.#handlers.clear();
      this.#handlers.set(topic, handlers);
    }
    return handlers;
  }

  #failed(topic: string, error: unknown): void {
    this.#bus.counters.bus_handler_faults++;
    const fault = `${this.name} cannot handle a message of ${topic}: ${error instanceof Error ? error.message : error}`;
    if (fault !== this.#fault) this.#notice(fault);
    this.#fault = fault;
  }
}
