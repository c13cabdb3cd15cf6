/**
 * Frames of deliveries. Who gets the same messages at the same time gets the same bytes but for a few at the beginning:
 * they are put together, and their checksum is made, once for all.
 *
 * @module
 */
import { deliveriesFrame, encodeBusMessage, joinMessages } from "../../proto/bus/codec.ts";
import { crc32c } from "../../proto/crc32c.ts";
import type { Published } from "./published.ts";

export class DeliveryFrames {
  /** Those of the last frame. */
  #messages: readonly Published[] = [];
  #joined: Uint8Array = new Uint8Array(0);
  #checksum = 0;

  /** The frame that brings `messages`, numbered from `first` on, to one client. */
  of(messages: readonly Published[], stream: number, first: number, lost: number): Uint8Array<ArrayBuffer> {
    if (!this.#isSame(messages)) {
      this.#joined = joinMessages(messages.map((each) => each.encoded ??= encodeBusMessage(each)));
      this.#checksum = crc32c(this.#joined);
      this.#messages = [...messages];
    }
    return deliveriesFrame(stream, first, lost, this.#joined, this.#checksum);
  }

  #isSame(messages: readonly Published[]): boolean {
    const last = this.#messages;
    if (messages.length !== last.length) return false;
    for (let i = 0; i < messages.length; i++) if (messages[i] !== last[i]) return false;
    return true;
  }
}
