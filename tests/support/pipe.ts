/**
 * Two connections in memory, joined like a socket pair, that can be slow, small and cut off.
 *
 * @module
 */
import type { Connection } from "../../proto/channel.ts";

export interface PipeOptions {
  /** Most bytes that one read gives. */
  readonly maxRead?: number;
  /** Most bytes that one write takes. */
  readonly maxWrite?: number;
  /** Bytes on their way at which a write waits for a read. */
  readonly capacity?: number;
}

/** One end. It counts what a test wants to know. */
export class PipeEnd implements Connection {
  peer!: PipeEnd;
  /** What the peer wrote and this end has not read. */
  #incoming = new Uint8Array(0);
  #ended = false;
  #closed = false;
  #changed = Promise.withResolvers<void>();
  reads = 0;
  writes = 0;
  bytesWritten = 0;

  constructor(private readonly options: Required<PipeOptions>) {}

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that the peer wrote and this end has not read. */
  get waiting(): number {
    return this.#incoming.length;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    this.reads++;
    for (;;) {
      if (this.#closed) throw new Error("read on a closed connection");
      const count = Math.min(this.#incoming.length, into.length, this.options.maxRead);
      if (count > 0) {
        into.set(this.#incoming.subarray(0, count));
        this.#incoming = this.#incoming.slice(count);
        this.#change();
        this.peer.#change();
        return count;
      }
      if (this.#ended) return null;
      await this.#changed.promise;
    }
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    this.writes++;
    for (;;) {
      if (this.#closed) throw new Error("write on a closed connection");
      if (this.peer.#closed) throw new Error("broken pipe");
      const count = Math.min(bytes.length, this.options.maxWrite, this.options.capacity - this.peer.#incoming.length);
      if (count > 0) {
        const joined = new Uint8Array(this.peer.#incoming.length + count);
        joined.set(this.peer.#incoming);
        joined.set(bytes.subarray(0, count), this.peer.#incoming.length);
        this.peer.#incoming = joined;
        this.bytesWritten += count;
        this.peer.#change();
        return count;
      }
      await this.#changed.promise;
    }
  }

  close(): void {
    if (this.#closed) throw new Error("closed twice");
    this.#closed = true;
    this.peer.#ended = true;
    this.#change();
    this.peer.#change();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** Two joined ends. */
export function pipe(options: PipeOptions = {}): [PipeEnd, PipeEnd] {
  const all = { maxRead: Infinity, maxWrite: Infinity, capacity: 1 << 16, ...options };
  const left = new PipeEnd(all), right = new PipeEnd(all);
  left.peer = right;
  right.peer = left;
  return [left, right];
}
