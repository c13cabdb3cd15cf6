/**
 * The broker: takes messages, and gives each to whoever subscribed to its topic.
 *
 * One matcher decides, once for each topic: the answer is kept until subscriptions change. A message that nobody
 * subscribed to is counted and is nothing else. Who may do what is not decided here, but by the ports (`local_port.ts`,
 * `remote_client.ts`); a subscriber that does not keep up loses what is its own (`subscriber.ts`).
 *
 * @module
 */
import { limited } from "../../proto/bus/correlation.ts";
import type { PublishOptions } from "../../proto/bus/message.ts";
import { checkTopic, matches } from "../../proto/bus/topic.ts";
import { type BusCounters, newBusCounters } from "./counters.ts";
import { Published } from "./published.ts";
import type { Receipt } from "./receipt.ts";
import type { Subscriber } from "./subscriber.ts";

/** Topics whose subscribers are remembered; past them all are found anew. */
const MAX_ROUTES = 4_096;

interface Route {
  readonly subscribers: readonly Subscriber[];
  /** Whether what is given to the subscriber at the same place is delivered at least once. */
  readonly isReliable: readonly boolean[];
}

export class Bus {
  readonly counters: BusCounters = newBusCounters();
  readonly #subscribers = new Set<Subscriber>();
  readonly #routes = new Map<string, Route>();
  #sequence = 0;
  /** Called when somebody has subscribed to something, or keeps up again. */
  subscribed: () => void = () => {};

  /** `now` gives Unix milliseconds. */
  constructor(readonly now: () => number = Date.now) {}

  get subscribers(): ReadonlySet<Subscriber> {
    return this.#subscribers;
  }

  /** Whether a message of this topic would go to anybody: who would have to make it asks first. @throws TopicError */
  wants(topic: string): boolean {
    return this.#route(topic).subscribers.length > 0;
  }

  /** Whether a message of this topic would go at least once to anybody who keeps up. @throws TopicError */
  isAwaited(topic: string): boolean {
    const { subscribers, isReliable } = this.#route(topic);
    return subscribers.some(({ isBehind }, i) => isReliable[i]! && !isBehind);
  }

  /** Names of those to whom it would go at least once and who do not keep up. @throws TopicError */
  behind(topic: string): string[] {
    const { subscribers, isReliable } = this.#route(topic);
    return subscribers.filter(({ isBehind }, i) => isReliable[i]! && isBehind).map(({ name }) => name);
  }

  /**
   * Takes a message; `source` is who publishes it. `receipt` gets to know who has it.
   *
   * @throws TopicError
   */
  publish(
    source: string,
    topic: string,
    payload: Uint8Array,
    options?: PublishOptions,
    receipt: Receipt | null = null,
  ): void {
    const { subscribers, isReliable } = this.#route(topic);
    const sequence = ++this.#sequence;
    this.counters.bus_published++;
    if (subscribers.length === 0) return;
    let correlation = options?.correlation ?? null;
    if (correlation !== null) {
      const within = limited(correlation);
      correlation = within.correlation;
      this.counters.bus_cut_texts += within.cut;
    }
    const message = new Published(
      topic,
      options?.type ?? "event",
      source,
      sequence,
      this.now(),
      options?.priority ?? "normal",
      options?.ttlMs ?? 0,
      correlation,
      payload,
      receipt,
    );
    for (let i = 0; i < subscribers.length; i++) subscribers[i]!.offer(message, isReliable[i]!);
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    subscriber.keepsUp = () => this.subscribed();
    this.changed();
    this.subscribed();
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    this.changed();
  }

  /** The patterns of a subscriber are others. */
  changed(): void {
    this.#routes.clear();
  }

  /** What the status shows beside the counters. */
  gauges(): Record<string, number> {
    let subscriptions = 0, queued = 0, behind = 0;
    for (const subscriber of this.#subscribers) {
      subscriptions += subscriber.patterns.size;
      queued += subscriber.queued;
      if (subscriber.isBehind) behind += 1;
    }
    return {
      bus_subscribers: this.#subscribers.size,
      bus_subscriptions: subscriptions,
      bus_queued: queued,
      bus_behind: behind,
    };
  }

  #route(topic: string): Route {
    return this.#routes.get(topic) ?? this.#findRoute(topic);
  }

  #findRoute(topic: string): Route {
    const segments = checkTopic(topic), subscribers: Subscriber[] = [], isReliable: boolean[] = [];
    for (const subscriber of this.#subscribers) {
      let found = false, reliable = false;
      for (const { segments: pattern, quality } of subscriber.patterns.values()) {
        if (!matches(pattern, segments)) continue;
        found = true;
        reliable ||= quality === "at-least-once";
      }
      if (!found) continue;
      subscribers.push(subscriber);
      isReliable.push(reliable);
    }
    if (this.#routes.size >= MAX_ROUTES) this.#routes.clear();
    const route = { subscribers, isReliable };
    this.#routes.set(topic, route);
    return route;
  }
}
