/**
 * Frames of deliveries. Who gets the same messages at the same time gets the same bytes but for a few at the beginning:
 * they are put together, and their checksum is made, once for all.
 *
 * @module
 */
import { encodeBusMessage, JoinedMessages, joinMessages } from "../../proto/bus/codec.ts";
import type { Published } from "./published.ts";

/** Longest frame whose memory is kept for the next one: that of a few events. */
const KEPT_BYTES = 4_096;

export class DeliveryFrames {
  /** Those of the last frame. */
  #messages: readonly Published[] = [];
  #joined = new JoinedMessages(new Uint8Array(0));

  /**
   * The frame that brings `messages`, numbered from `first` on, to one client. It lies in `room`, where there is one, and
   * is then valid until the next.
   */
  of(messages: readonly Published[], stream: number, first: number, lost: number, room = new FrameRoom()): Frame {
    if (!this.#isSame(messages)) {
      this.#joined = new JoinedMessages(joinMessages(messages.map((each) => each.encoded ??= encodeBusMessage(each))));
      this.#messages = [...messages];
    }
    const frame = room.ofLength(this.#joined.frameLength);
    this.#joined.write(frame, stream, first, lost);
    return frame;
  }

  #isSame(messages: readonly Published[]): boolean {
    const last = this.#messages;
    if (messages.length !== last.length) return false;
    for (let i = 0; i < messages.length; i++) if (messages[i] !== last[i]) return false;
    return true;
  }
}

type Frame = Uint8Array<ArrayBuffer>;

/**
 * Memory for the frames of one connection, each of which is written before the next is made: one frame each in memory of
 * its own is what most of the collections of garbage would be for.
 */
export class FrameRoom {
  #all: Frame = new Uint8Array(0);
  #last: Frame = this.#all;

  ofLength(length: number): Frame {
    if (this.#last.length === length) return this.#last;
    if (length > KEPT_BYTES) return new Uint8Array(length);
    if (length > this.#all.length) this.#all = new Uint8Array(length);
    return this.#last = this.#all.subarray(0, length);
  }
}
