/**
 * Brings what is to be entered into the audit ledger to the collector that keeps it, some notes at a time: the next ones
 * when those are in it.
 *
 * @module
 */
import type { Channel } from "../../proto/channel.ts";
import type { Store } from "../store/store.ts";
import type { Stream } from "../store/streams.ts";
import { ProtocolError } from "./protocol_error.ts";

export interface NoteDeliveryOptions {
  readonly channel: Channel;
  readonly store: Store;
  readonly stream: Stream;
  /** Whether this side has ended the connection. */
  readonly isEnded: () => boolean;
  readonly storeFailed: (store: Store, error: unknown) => void;
}

export class NoteDelivery {
  readonly #options: NoteDeliveryOptions;
  /** The last note that was sent and not answered. */
  #sent: number | null = null;

  constructor(options: NoteDeliveryOptions) {
    this.#options = options;
  }

  /** Sends what waits, unless some is under way. */
  send(): void {
    const { channel, store, stream, isEnded, storeFailed } = this.#options;
    if (stream.hasNoLedger === true || this.#sent !== null || isEnded() || channel.closed) return;
    try {
      const notes = store.notesFor(stream.collectorId);
      if (notes.length === 0) return;
      this.#sent = notes.at(-1)!.id;
      channel.send({ kind: "ledgerNotes", notes }).catch(() => {}); // they are sent again on the next connection
    } catch (error) {
      storeFailed(store, error);
    }
  }

  /** The collector has entered notes up to this one. @throws ProtocolError for one that was not sent */
  taken(id: number): void {
    const { store, stream, storeFailed } = this.#options;
    if (this.#sent === null || id > this.#sent) {
      throw new ProtocolError(`The collector says that it entered note ${id}, which it was not sent`);
    }
    try {
      store.forgetNotes(id, stream.collectorId);
    } catch (error) {
      return storeFailed(store, error);
    }
    if (id === this.#sent) this.#sent = null;
    this.send();
  }
}
