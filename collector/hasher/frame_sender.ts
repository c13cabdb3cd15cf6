/**
 * Frames out over a connection, for both ends.
 *
 * @module
 */
import { encodeFrame } from "../../proto/frame.ts";

/** Frames that wait for a peer that does not take them. */
const MAX_UNSENT = 8_192;

/** Frames out, in their order, one write at a time. */
export class FrameSender {
  readonly #connection: Deno.Conn;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #isWriting = false;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Sends a payload when its turn comes; a peer that takes nothing is left. */
  send(payload: Uint8Array): void {
    if (this.#waiting.length >= MAX_UNSENT) return closeQuietly(this.#connection);
    this.#waiting.push(encodeFrame(payload));
    if (!this.#isWriting) this.#write().catch(() => closeQuietly(this.#connection));
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        const frames = this.#waiting;
        this.#waiting = [];
        for (const frame of frames) {
          for (let at = 0; at < frame.length;) at += await this.#connection.write(frame.subarray(at));
        }
      }
    } finally {
      this.#isWriting = false;
    }
  }
}

/** Closes a connection that may be closed already. */
export function closeQuietly(connection: Deno.Conn | null): void {
  try {
    connection?.close();
  } catch {
    // It was.
  }
}
