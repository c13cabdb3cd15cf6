/**
 * Messages that wait for one subscriber: bounded in number and bytes, the most important first.
 *
 * What finds no room is given up, unless something less important waits: then that is, the oldest of it first. So who
 * does not keep up has the beginning of what it missed, and the rest as a number.
 *
 * @module
 */
import { PRIORITIES, type Priority } from "../../proto/bus/message.ts";
import type { Published } from "./published.ts";

const FIRST_ROOM = 16;
const ORDER: Readonly<Record<Priority, number>> = { critical: 0, high: 1, normal: 2, low: 3 };
/** What a message takes beside its payload, roughly. */
const OVERHEAD_BYTES = 200;

export class MessageQueue {
  readonly #rings: (Ring | null)[] = PRIORITIES.map(() => null);
  #length = 0;
  #bytes = 0;

  /** `givenUp` is told of each message that is, and whether it was to be kept until it is acknowledged. */
  constructor(
    private readonly limit: number,
    private readonly maxBytes: number,
    private readonly givenUp: (message: Published, isReliable: boolean) => void = () => {},
  ) {}

  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the last one that was given by {@linkcode shift} is kept until it is acknowledged. */
  isReliable = false;

  /** Adds a message, and returns how many were given up for want of room, it or others. */
  push(message: Published, isReliable: boolean): number {
    const order = ORDER[message.priority], bytes = bytesOf(message);
    let given = 0;
    while (this.#length >= this.limit || (this.#length > 0 && this.#bytes + bytes > this.maxBytes)) {
      const last = this.#lastOrder();
      given++;
      if (last <= order) {
        this.givenUp(message, isReliable);
        return given;
      }
      const less = this.#shiftFrom(last);
      this.givenUp(less, this.isReliable);
    }
    (this.#rings[order] ??= new Ring()).push(message, isReliable);
    this.#length++;
    this.#bytes += bytes;
    return given;
  }

  shift(): Published | undefined {
    for (let order = 0; order < this.#rings.length; order++) {
      const ring = this.#rings[order]!;
      if (ring !== null && ring.length > 0) return this.#shiftFrom(order);
    }
    return undefined;
  }

  /** Gives up what is not reliable, and returns how many those were. */
  keepReliable(): number {
    const kept: Published[] = [], before = this.#length;
    for (let message = this.shift(); message !== undefined; message = this.shift()) {
      if (this.isReliable) kept.push(message);
    }
    for (const message of kept) this.push(message, true);
    return before - kept.length;
  }

  clear(): void {
    this.#rings.fill(null);
    this.#length = this.#bytes = 0;
  }

  #shiftFrom(order: number): Published {
    const ring = this.#rings[order]!, message = ring.shift();
    this.isReliable = ring.wasReliable;
    this.#length--;
    this.#bytes -= bytesOf(message);
    return message;
  }

  /** The least important that waits. */
  #lastOrder(): number {
    for (let order = this.#rings.length - 1; order > 0; order--) {
      if ((this.#rings[order]?.length ?? 0) > 0) return order;
    }
    return 0;
  }
}

function bytesOf(message: Published): number {
  return message.payload.length + OVERHEAD_BYTES;
}

/** First in, first out, in an array that grows by doubling and is used round and round. */
class Ring {
  #items: (Published | undefined)[] = new Array(FIRST_ROOM).fill(undefined);
  #flags = new Uint8Array(FIRST_ROOM);
  #begin = 0;
  length = 0;
  wasReliable = false;

  push(message: Published, isReliable: boolean): void {
    if (this.length === this.#items.length) this.#grow();
    const at = (this.#begin + this.length++) & (this.#items.length - 1);
    this.#items[at] = message;
    this.#flags[at] = isReliable ? 1 : 0;
  }

  /** The oldest; there must be one. */
  shift(): Published {
    const at = this.#begin, message = this.#items[at]!;
    this.wasReliable = this.#flags[at] === 1;
    this.#items[at] = undefined;
    this.#begin = (at + 1) & (this.#items.length - 1);
    this.length--;
    return message;
  }

  #grow(): void {
    const size = this.#items.length, items: (Published | undefined)[] = new Array(2 * size).fill(undefined);
    const flags = new Uint8Array(2 * size);
    for (let i = 0; i < size; i++) {
      const from = (this.#begin + i) & (size - 1);
      items[i] = this.#items[from];
      flags[i] = this.#flags[from]!;
    }
    this.#items = items;
    this.#flags = flags;
    this.#begin = 0;
  }
}
