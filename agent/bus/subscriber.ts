/**
 * One subscriber as the broker knows it: its patterns, what waits for it, what is under way to it.
 *
 * It numbers what it hands out. Of what is delivered at least once it keeps what was not acknowledged; after another
 * connection it hands that out again under the same numbers. Everything is bounded; what is given up is counted here and
 * in the bus' own counts, and the subscriber is told with the next message.
 *
 * @module
 */
import type { Quality } from "../../proto/bus/message.ts";
import type { BusCounters } from "./counters.ts";
import { MessageQueue } from "./message_queue.ts";
import type { Published } from "./published.ts";
import type { Recipient } from "./receipt.ts";

export interface QueueLimits {
  readonly messages: number;
  readonly bytes: number;
}

/** Of each subscriber, unless the settings say otherwise. */
export const QUEUE_LIMITS: QueueLimits = { messages: 1_000, bytes: 8 << 20 };
/** Patterns of one subscriber. */
export const MAX_PATTERNS = 64;
/** Most that may be under way to one subscriber, whatever it grants. */
export const MAX_WINDOW = 1_000;

/** What was handed out under consecutive numbers: one message, or any number of those that are not sent again. */
interface Sent {
  first: number;
  last: number;
  /** `null` of what is not sent again. */
  readonly message: Published | null;
}

export interface SubscriberCounts {
  delivered: number;
  lost: number;
}

export class Subscriber implements Recipient {
  readonly #queue: MessageQueue;
  readonly #counters: BusCounters;
  readonly patterns = new Map<string, { readonly segments: readonly string[]; quality: Quality }>();
  /** Called when something waits that may be handed out, once until {@linkcode take} has no more. */
  wake: () => void = () => {};
  #isAwake = false;
  /** The number of the last that was handed out. */
  #number = 0;
  #window = MAX_WINDOW;
  /** Within the agent nothing is under way. */
  readonly #isRemote: boolean;
  /** Handed out and not acknowledged, by rising numbers. */
  #underWay: Sent[] = [];
  /** How many messages those are. */
  #underWayCount = 0;
  /** Those that are to be sent again before anything else. */
  #again: Sent[] = [];
  #isConnected = true;
  /** Answers that it owes and that nobody waits for any more. */
  #behind = 0;
  /** Called when it owes none of them any more. */
  keepsUp: () => void = () => {};
  readonly counts: SubscriberCounts = { delivered: 0, lost: 0 };

  constructor(
    readonly name: string,
    counters: BusCounters,
    { isRemote, limits = QUEUE_LIMITS }: { readonly isRemote: boolean; readonly limits?: QueueLimits | undefined },
  ) {
    this.#counters = counters;
    this.#isRemote = isRemote;
    this.#queue = new MessageQueue(limits.messages, limits.bytes, (message, isReliable) => {
      if (isReliable) message.receipt?.gone(this);
    });
  }

  /** Messages that wait. */
  get queued(): number {
    return this.#queue.length + this.#again.length;
  }

  /** The number of the last that was handed out; 0 before the first. */
  get number(): number {
    return this.#number;
  }

  /** How many may be handed out now. */
  get credit(): number {
    return this.#window - this.#underWayCount;
  }

  /** Whether anything of it is worth keeping for another connection. */
  get isReliable(): boolean {
    for (const { quality } of this.patterns.values()) if (quality === "at-least-once") return true;
    return false;
  }

  /** Whether nobody waits for what it acknowledges: it did not in time, and has not made up for that. */
  get isBehind(): boolean {
    return this.#behind > 0;
  }

  fellBehind(): boolean {
    this.#counters.bus_unacknowledged += 1;
    this.#behind += 1;
    return this.#behind === 1;
  }

  caughtUp(): void {
    this.#behind -= 1;
    if (this.#behind === 0) this.keepsUp();
  }

  offer(message: Published, isReliable: boolean): void {
    if (!isReliable && !this.#isConnected) return;
    if (isReliable && !this.isBehind) message.receipt?.offered(this);
    const given = this.#queue.push(message, isReliable);
    if (given > 0) this.#lose(given, "bus_lost_full");
    if (this.credit > 0) this.#stir();
  }

  /**
   * Hands out what is next: at most `max` messages with consecutive numbers and, but for the first, `maxBytes` of
   * payload. Returns the first one's number.
   */
  take(into: Published[], max: number, maxBytes: number, now: number): number {
    const most = Math.min(max, this.credit);
    if (this.#again.length > 0) return this.#takeAgain(into, most);
    const first = this.#number + 1;
    let bytes = 0;
    while (into.length < most && bytes < maxBytes) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      if (message.ttlMs > 0 && now - message.time > message.ttlMs) {
        message.receipt?.gone(this);
        this.#lose(1, "bus_lost_expired");
        continue;
      }
      this.#number++;
      bytes += message.payload.length;
      if (this.#isRemote) this.#handedOut(this.#queue.isReliable ? message : null);
      else message.receipt?.acknowledged(this);
      into.push(message);
    }
    this.counts.delivered += into.length;
    this.#counters.bus_delivered += into.length;
    this.#isAwake = this.queued > 0 && this.credit > 0;
    return first;
  }

  /**
   * The other side has taken all up to `number`, and has room for `window` at a time. Says no to a number that was not
   * handed out.
   */
  acknowledge(number: number, window: number): boolean {
    if (number > this.#number) return false;
    this.#window = Math.min(Math.max(window, 0), MAX_WINDOW);
    this.#underWayCount -= this.#dropUpTo(this.#underWay, number);
    if (this.queued > 0 && this.credit > 0) this.#stir();
    return true;
  }

  /** The connection is gone. What is kept for the next one are messages that are delivered at least once. */
  disconnected(): void {
    this.wake = () => {};
    this.#isAwake = this.#isConnected = false;
    const kept = this.#underWay.filter(({ message }) => message !== null);
    const lost = this.#underWayCount - kept.length + this.#queue.keepReliable();
    this.#again = [...kept, ...this.#again];
    this.#underWay = [];
    this.#underWayCount = 0;
    if (lost > 0) this.#lose(lost, "bus_lost_disconnected");
  }

  /** There is another connection; nothing is handed out before {@linkcode resumed}. */
  connected(wake: () => void): void {
    this.wake = wake;
    this.#isConnected = true;
    this.#isAwake = false;
    this.#window = 0;
  }

  /** The other side had taken all up to `received` when its last connection ended; it has room for `window`. */
  resumed(received: number, window: number): void {
    this.#dropUpTo(this.#again, received);
    this.#window = Math.min(Math.max(window, 0), MAX_WINDOW);
    if (this.queued > 0 && this.credit > 0) this.#stir();
  }

  /** It will not come back: what it did not acknowledge it does not get. */
  forgotten(): void {
    for (const { message } of [...this.#again, ...this.#underWay]) message?.receipt?.gone(this);
    for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift()) {
      message.receipt?.gone(this);
    }
    this.#again = [];
    this.#underWay = [];
    this.#underWayCount = 0;
  }

  /** Under the newest number. */
  #handedOut(message: Published | null): void {
    const number = this.#number, before = this.#underWay.at(-1);
    this.#underWayCount++;
    if (message === null && before?.message === null && before.last === number - 1) before.last = number;
    else this.#underWay.push({ first: number, last: number, message });
  }

  #takeAgain(into: Published[], most: number): number {
    const again = this.#again, first = again[0]!.first;
    let count = 0;
    while (count < again.length && count < most && again[count]!.first === first + count) {
      const sent = again[count++]!;
      this.#underWay.push(sent);
      into.push(sent.message!);
    }
    again.splice(0, count);
    this.#underWayCount += count;
    this.#counters.bus_redelivered += count;
    this.#isAwake = this.queued > 0 && this.credit > 0;
    return first;
  }

  #lose(count: number, why: "bus_lost_full" | "bus_lost_expired" | "bus_lost_disconnected"): void {
    this.counts.lost += count;
    this.#counters[why] += count;
  }

  #stir(): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.wake();
  }

  /** Returns how many messages those were. */
  #dropUpTo(sent: Sent[], number: number): number {
    let gone = 0, messages = 0;
    for (; gone < sent.length && sent[gone]!.last <= number; gone++) {
      const { first, last, message } = sent[gone]!;
      message?.receipt?.acknowledged(this);
      messages += last - first + 1;
    }
    if (gone > 0) sent.splice(0, gone);
    const rest = sent[0];
    if (rest === undefined || rest.first > number) return messages;
    messages += number + 1 - rest.first;
    rest.first = number + 1;
    return messages;
  }
}
