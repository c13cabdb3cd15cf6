/**
 * What goes out to a subscriber over one connection: one frame after the other, as the connection takes them.
 *
 * It runs once for each delivery, so it is functions that are made once and no promise of its own; the frames lie in
 * memory that is used again.
 *
 * @module
 */
import type { Channel } from "../../proto/channel.ts";
import type { Bus } from "./bus.ts";
import { type DeliveryFrames, FrameRoom } from "./delivery_frames.ts";
import type { Published } from "./published.ts";
import type { Subscriber } from "./subscriber.ts";

/** What one frame of deliveries holds. */
const FRAME_MESSAGES = 256, FRAME_BYTES = 131_072;

export interface DeliveriesOptions {
  readonly bus: Bus;
  /** What they are called. */
  readonly stream: number;
  /** Shared with the other clients. */
  readonly frames: DeliveryFrames;
}

/** What the frame of now holds: one for all, since it is used up before anything else runs. */
const batch: Published[] = [];

export class Deliveries {
  readonly #subscriber: Subscriber;
  readonly #channel: Channel;
  readonly #options: DeliveriesOptions;
  readonly #room = new FrameRoom();
  #isSending = false;
  #hasEnded = false;

  constructor(subscriber: Subscriber, channel: Channel, options: DeliveriesOptions) {
    this.#subscriber = subscriber;
    this.#channel = channel;
    this.#options = options;
  }

  /** Something may be handed out. What is published in the same turn goes out in one frame. */
  readonly wake = (): void => {
    if (this.#isSending || this.#hasEnded) return;
    this.#isSending = true;
    queueMicrotask(this.#next);
  };

  /** Nothing more goes out over this connection. */
  end(): void {
    this.#hasEnded = true;
  }

  readonly #next = (): void => {
    if (this.#hasEnded) return;
    const { bus, frames, stream } = this.#options, subscriber = this.#subscriber;
    try {
      batch.length = 0;
      const first = subscriber.take(batch, FRAME_MESSAGES, FRAME_BYTES, bus.now());
      this.#isSending = batch.length > 0;
      if (!this.#isSending) return;
      const frame = frames.of(batch, stream, first, subscriber.counts.lost, this.#room);
      this.#channel.sendFrame(frame).then(this.#next, this.#failed);
    } catch {
      this.#failed();
    }
  };

  /** The connection's own end says why; what was under way is known by its numbers. */
  readonly #failed = (): void => {
    this.end();
    this.#channel.failed();
  };
}
