/**
 * Frames out over a connection, for both ends.
 *
 * @module
 */
import { encodeFrame } from "../../proto/frame.ts";

/** Frames that wait for a peer that does not take them. */
const MAX_UNSENT = 8_192;

/** Bytes of one write, unless a single frame is longer: to wake the peer for each frame costs more than the frame. */
const WRITE_BYTES = 65_536;

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
      await Promise.resolve(); // whoever sends one often has more
      while (this.#waiting.length > 0) {
        const bytes = this.#take();
        for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
      }
    } finally {
      this.#isWriting = false;
    }
  }

  /** The first frames that wait, as the bytes of one write. */
  #take(): Uint8Array<ArrayBuffer> {
    const waiting = this.#waiting;
    let count = 1, size = waiting[0]!.length;
    while (count < waiting.length && size + waiting[count]!.length <= WRITE_BYTES) size += waiting[count++]!.length;
    const frames = waiting.splice(0, count);
    if (count === 1) return frames[0]!;
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const frame of frames) {
      bytes.set(frame, at);
      at += frame.length;
    }
    return bytes;
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
