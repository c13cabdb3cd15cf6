/**
 * A conversation in messages over a connection: both ends of the broker socket use it.
 *
 * The peer is not trusted. It cannot make memory grow: one buffer takes what it sends, a sender waits for it, requests
 * that wait for an answer are counted on both sides. It cannot hold a channel in silence: a frame that is not whole in
 * time, a peer that says nothing at all, and one that takes nothing end the channel. After any error the channel is
 * closed, since nobody knows where the next frame begins; other channels are not touched.
 *
 * @module
 */
import { encodeFrame, FrameReader, MAX_FRAME_BYTES } from "./frame.ts";
import { decodeMessage, encodeMessage, type ReplyBody, type RequestBody, type WireMessage } from "./wire.ts";
import { WireError } from "./wire_error.ts";

/** What a channel needs of a connection; `Deno.Conn` has it. `close` makes a pending `read` and `write` end. */
export interface Connection {
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  close(): void;
}

export interface ChannelOptions {
  /** Waiting for the rest of one frame, all its pieces together. */
  readonly frameTimeoutMs?: number;
  /** Waiting for anything at all, and for the peer to take one piece of what is sent. */
  readonly idleTimeoutMs?: number;
  /** Waiting for the answer to a request. */
  readonly requestTimeoutMs?: number;
  /** Requests that wait for an answer at one time, in each direction. */
  readonly maxRequests?: number;
  /** Bytes given to {@linkcode Channel.sendFrame} that the connection has not taken. */
  readonly maxUnsentBytes?: number;
}

const DEFAULTS = {
  frameTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  requestTimeoutMs: 10_000,
  maxRequests: 16,
  maxUnsentBytes: 8 * MAX_FRAME_BYTES,
} satisfies Required<ChannelOptions>;

/** The peer did not do in time what `waitedFor` names. */
export class ChannelTimeoutError extends Error {
  override name = "ChannelTimeoutError";
  constructor(readonly waitedFor: "frame" | "idle" | "send" | "reply") {
    super(`The peer ${LATE[waitedFor]} for too long`);
  }
}

const LATE = {
  frame: "left a frame unfinished",
  idle: "said nothing",
  send: "took nothing",
  reply: "did not answer",
} as const;

/** The channel is closed, by this side or because the connection broke (`cause`). */
export class ChannelClosedError extends Error {
  override name = "ChannelClosedError";
  constructor(options?: ErrorOptions) {
    super(
      options?.cause instanceof Error ? `The connection broke: ${options.cause.message}` : "The channel is closed",
      options,
    );
  }
}

/** More waits to be sent or answered than the options allow. */
export class ChannelFullError extends Error {
  override name = "ChannelFullError";
}

interface Waiting {
  readonly resolve: (body: ReplyBody) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Channel {
  readonly #connection: Connection;
  readonly #options: Required<ChannelOptions>;
  readonly #reader = new FrameReader();
  #closed = false;
  /** Time spent waiting for the rest of the frame that is in the buffer. */
  #frameWaitMs = 0;
  /** Ends when everything before it is sent. Never rejects. */
  #lastSend: Promise<unknown> = Promise.resolve();
  #unsentBytes = 0;
  #lastRequest = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Requests of the peer that have no reply yet. */
  readonly #unanswered = new Set<number>();

  constructor(connection: Connection, options: ChannelOptions = {}) {
    this.#connection = connection;
    this.#options = { ...DEFAULTS, ...options };
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Longest payload that is received from here on: while the peer has not proven itself, a small one. */
  set maxReceivedBytes(bytes: number) {
    this.#reader.maxPayload = bytes;
  }

  /**
   * Every message that one read completes, replies excepted: those go to their requests, and so the list may be empty.
   * `null` when the channel is at its end. One call at a time.
   *
   * @throws FrameError, WireError, ChannelTimeoutError; ChannelClosedError when the connection broke.
   */
  async receive(): Promise<WireMessage[] | null> {
    try {
      const messages: WireMessage[] = [];
      let payload = await this.#nextPayload();
      if (payload === null) return null;
      for (; payload !== null; payload = this.#reader.next()) this.#accept(decodeMessage(payload), messages);
      return messages;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The next message alone, what came with it left for the next call. Otherwise like {@linkcode receive}. */
  async receiveOne(): Promise<WireMessage | null> {
    try {
      const messages: WireMessage[] = [];
      while (messages.length === 0) {
        const payload = await this.#nextPayload();
        if (payload === null) return null;
        this.#accept(decodeMessage(payload), messages);
      }
      return messages[0]!;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sends a message. Resolves when the connection has taken it. @throws WireError, and as {@linkcode sendFrame} does. */
  async send(message: WireMessage): Promise<void> {
    const frame = encodeFrame(encodeMessage(message));
    if (message.kind === "reply") this.#unanswered.delete(message.id);
    await this.sendFrame(frame);
  }

  /**
   * Sends a frame as it is, after everything that was sent before. Resolves when the connection has taken it; a sender
   * that waits for that is as slow as the peer.
   *
   * @throws ChannelFullError (the channel stays open), ChannelTimeoutError, ChannelClosedError
   */
  async sendFrame(frame: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#closed) throw new ChannelClosedError();
    if (this.#unsentBytes + frame.length > this.#options.maxUnsentBytes) {
      throw new ChannelFullError(`${this.#unsentBytes} bytes wait to be sent`);
    }
    this.#unsentBytes += frame.length;
    const sent = this.#lastSend.then(() => this.#writeAll(frame));
    this.#lastSend = sent.catch(() => {});
    try {
      await sent;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      this.#unsentBytes -= frame.length;
    }
  }

  /**
   * Asks, and resolves with the answer, which {@linkcode receive} must be running to get. An answer that comes too late
   * is dropped.
   *
   * @throws ChannelFullError, ChannelTimeoutError (the channel stays open), ChannelClosedError
   */
  async request(body: RequestBody): Promise<ReplyBody> {
    if (this.#waiting.size >= this.#options.maxRequests) {
      throw new ChannelFullError(`${this.#waiting.size} requests wait for an answer`);
    }
    const id = ++this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<ReplyBody>();
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(new ChannelTimeoutError("reply"));
    }, this.#options.requestTimeoutMs);
    this.#waiting.set(id, { resolve, reject, timer });
    try {
      // Whichever fails first is the error; a reply cannot come before the request has gone.
      await Promise.race([this.send({ kind: "request", id, body }), promise]);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Ends the channel: what waits for the peer rejects, and {@linkcode receive} gives `null`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#connection.close();
    } catch {
      // it has closed itself
    }
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new ChannelClosedError());
    }
    this.#waiting.clear();
  }

  /** Reads until a payload is whole. `null` at the end of the stream. */
  async #nextPayload(): Promise<Uint8Array<ArrayBuffer> | null> {
    while (!this.#closed) {
      const payload = this.#reader.next();
      if (payload !== null) {
        this.#frameWaitMs = 0;
        return payload;
      }
      const count = await this.#read();
      if (count === null) {
        if (!this.#closed) this.#reader.finish();
        this.close();
      } else this.#reader.filled(count);
    }
    return null;
  }

  async #read(): Promise<number | null> {
    const { frameTimeoutMs, idleTimeoutMs } = this.#options;
    const within = this.#reader.pending > 0;
    // Pieces of one frame share one time, or a peer could hold the channel by a byte now and then. Only waiting counts:
    // this side may have been busy between two reads.
    const began = performance.now();
    const limit = within ? Math.max(0, frameTimeoutMs - this.#frameWaitMs) : idleTimeoutMs;
    try {
      return await this.#inTime(this.#connection.read(this.#reader.space()), limit, within ? "frame" : "idle");
    } catch (error) {
      if (error instanceof ChannelTimeoutError) throw error;
      if (this.#closed) return null;
      throw new ChannelClosedError({ cause: error });
    } finally {
      if (within) this.#frameWaitMs += performance.now() - began;
    }
  }

  async #writeAll(frame: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let rest = frame; rest.length > 0;) {
      if (this.#closed) throw new ChannelClosedError();
      let count: number;
      try {
        count = await this.#inTime(this.#connection.write(rest), this.#options.idleTimeoutMs, "send");
      } catch (error) {
        throw error instanceof ChannelTimeoutError ? error : new ChannelClosedError({ cause: error });
      }
      if (count <= 0) throw new ChannelClosedError();
      rest = rest.subarray(count);
    }
  }

  /** What `pending` gives, or after `ms` the error; then the channel is closed, which ends `pending`. */
  async #inTime<T>(pending: Promise<T>, ms: number, waitedFor: "frame" | "idle" | "send"): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new ChannelTimeoutError(waitedFor));
      this.close();
    }, ms);
    try {
      return await Promise.race([pending, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Replies go to their requests, everything else to `messages`. */
  #accept(message: WireMessage, messages: WireMessage[]): void {
    if (message.kind === "reply") {
      if (message.id > this.#lastRequest) {
        throw new WireError(`The peer answers request ${message.id}, which was not sent`);
      }
      // No longer waiting: the answer to a request that was given up.
      this.#waiting.get(message.id)?.resolve(message.body);
      return;
    }
    if (message.kind === "request") this.#admitRequest(message.id);
    messages.push(message);
  }

  #admitRequest(id: number): void {
    if (this.#unanswered.has(id)) throw new WireError(`The peer sends request ${id} twice`);
    if (this.#unanswered.size >= this.#options.maxRequests) {
      throw new WireError(`The peer sends more than ${this.#options.maxRequests} requests without awaiting an answer`);
    }
    this.#unanswered.add(id);
  }
}
