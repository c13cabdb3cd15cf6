/**
 * A conversation in messages over a connection: both ends of the broker socket use it.
 *
 * The peer is not trusted. It cannot make memory grow: one buffer takes what it sends, a sender waits for it, requests
 * that wait for an answer are counted on both sides. It cannot hold a channel in silence: a frame that is not whole in
 * time, a peer that says nothing at all, and one that takes nothing end the channel. After any error the channel is
 * closed, since nobody knows where the next frame begins; other channels are not touched. A peer that has gone takes
 * nothing more, which is no such error: what it sent before, its goodbye above all, is read to the end.
 *
 * @module
 */
import { encodeFrame, FrameReader, MAX_FRAME_BYTES } from "./frame.ts";
import type { ReplyBody, RequestBody, WireMessage } from "./messages.ts";
import { decodeMessage, encodeMessage } from "./wire.ts";
import { WireError } from "./wire_error.ts";

/** What a channel needs of a connection; `Deno.Conn` has it. `close` makes a pending `read` and `write` end. */
export interface Connection {
  /** Fills some of `into`; gives how many bytes, or `null` at the end. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** Writes some of `bytes`; gives how many. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Ends it; what reads or writes then fails. */
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
  /** Its name, by which errors are told apart in text. */
  override name = "ChannelTimeoutError";
  /** `waitedFor`: what did not come in time. */
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

/** Of one request. */
export interface RequestOptions {
  /** In place of the channel's own. */
  readonly timeoutMs?: number;
  /** Aborted when the asker no longer waits: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly resolve: (body: ReplyBody) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Messages over a connection, in frames, with questions and answers. */
export class Channel {
  readonly #connection: Connection;
  readonly #options: Required<ChannelOptions>;
  readonly #reader = new FrameReader();
  #closed = false;
  /** Why nothing more can be sent, though what the peer sent may still be read. */
  #gone: ChannelClosedError | null = null;
  readonly #reading = new Deadline(() => this.close());
  readonly #writing = new Deadline(() => this.close());
  /** Time spent waiting for the rest of the frame that is in the buffer. */
  #frameWaitMs = 0;
  /** Ends when everything before it is sent, or could not be; who sent it hears why. */
  #lastSend: Promise<void> = Promise.resolve();
  #unsentBytes = 0;
  #lastRequest = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Requests that nobody waits for any more: they count until the peer has answered, as it has work with them. */
  readonly #givenUp = new Set<number>();
  /** Answers to those. */
  lateReplies = 0;
  /** Requests of the peer that have no reply yet. */
  readonly #unanswered = new Set<number>();

  /** Takes the connection for itself; {@linkcode Channel.run} must be called for anything to come. */
  constructor(connection: Connection, options: ChannelOptions = {}) {
    this.#connection = connection;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Whether nothing more can be sent; what came before may still be received. */
  get closed(): boolean {
    return this.#closed || this.#gone !== null;
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
  receive(): Promise<WireMessage[] | null> {
    return this.#receive(Infinity);
  }

  /** The next message alone, what came with it left for the next call. Otherwise like {@linkcode receive}. */
  async receiveOne(): Promise<WireMessage | null> {
    for (;;) {
      const messages = await this.#receive(1);
      if (messages === null) return null;
      if (messages.length > 0) return messages[0]!;
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
  sendFrame(frame: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#closed || this.#gone !== null) return Promise.reject(this.#gone ?? new ChannelClosedError());
    if (this.#unsentBytes + frame.length > this.#options.maxUnsentBytes) {
      return Promise.reject(new ChannelFullError(`${this.#unsentBytes} bytes wait to be sent`));
    }
    const before = this.#unsentBytes === 0 ? null : this.#lastSend;
    this.#unsentBytes += frame.length;
    return this.#lastSend = this.#write(frame, before);
  }

  /**
   * Asks, and resolves with the answer, which {@linkcode receive} must be running to get. An answer that comes too late
   * is dropped and counted; the peer of a call is told that nobody waits for it any more.
   *
   * @throws ChannelFullError, ChannelTimeoutError (the channel stays open), ChannelClosedError
   */
  async request(body: RequestBody, { timeoutMs, signal }: RequestOptions = {}): Promise<ReplyBody> {
    const unanswered = this.#waiting.size + this.#givenUp.size;
    if (unanswered >= this.#options.maxRequests) {
      throw new ChannelFullError(`${unanswered} requests wait for an answer`);
    }
    signal?.throwIfAborted();
    const id = ++this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<ReplyBody>();
    const giveUp = (error: Error): void => {
      if (!this.#waiting.delete(id)) return;
      this.#givenUp.add(id);
      reject(error);
      if (body.kind === "rpc" && !this.#closed) this.send({ kind: "rpcCancel", id }).catch(() => {});
    };
    const timer = setTimeout(
      () => giveUp(new ChannelTimeoutError("reply")),
      timeoutMs ?? this.#options.requestTimeoutMs,
    );
    const abort = (): void => giveUp(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#waiting.set(id, { resolve, reject, timer });
    try {
      // Whichever fails first is the error; a reply cannot come before the request has gone.
      await Promise.race([this.send({ kind: "request", id, body }), promise]);
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      this.#waiting.delete(id);
    }
  }

  /** Something could not be said: closes, but reads to its end what a peer that has gone sent before. */
  failed(): void {
    if (this.#gone === null) this.close();
  }

  /** Ends the channel: what waits for the peer rejects, and {@linkcode receive} gives `null`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reading.stop();
    this.#writing.stop();
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

  /**
   * At most `most` messages of one read: one function that waits, as each wait that it made by another would cost each
   * message some turns and some memory more.
   */
  async #receive(most: number): Promise<WireMessage[] | null> {
    const { frameTimeoutMs, idleTimeoutMs } = this.#options, reader = this.#reader;
    try {
      while (!this.#closed) {
        let payload = reader.next();
        if (payload !== null) {
          const messages: WireMessage[] = [];
          this.#frameWaitMs = 0;
          for (let count = 1;; count++) {
            this.#accept(decodeMessage(payload), messages);
            if (count >= most || (payload = reader.next()) === null) return messages;
          }
        }
        const within = reader.pending > 0;
        // Pieces of one frame share one time, or a peer could hold the channel by a byte now and then. Only waiting counts:
        // this side may have been busy between two reads.
        const began = within ? performance.now() : 0;
        const limit = within ? Math.max(0, frameTimeoutMs - this.#frameWaitMs) : idleTimeoutMs;
        let count: number | null;
        try {
          const pending = this.#connection.read(reader.space());
          count = await this.#reading.within(limit, within ? "frame" : "idle", pending);
        } catch (error) {
          if (error instanceof ChannelTimeoutError) throw error;
          if (this.#closed) return null;
          throw new ChannelClosedError({ cause: error });
        }
        if (within) this.#frameWaitMs += performance.now() - began;
        if (count !== null) reader.filled(count);
        else {
          if (!this.#closed) reader.finish();
          this.close();
        }
      }
      return null;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Writes all of it when `before` has ended. */
  async #write(frame: Uint8Array<ArrayBuffer>, before: Promise<void> | null): Promise<void> {
    try {
      // Also behind one that failed: that closed the channel, and this one then says so.
      if (before !== null) await before.catch(nothing);
      for (let rest = frame;;) {
        if (this.#closed || this.#gone !== null) throw this.#gone ?? new ChannelClosedError();
        let count: number;
        try {
          count = await this.#writing.within(this.#options.idleTimeoutMs, "send", this.#connection.write(rest));
        } catch (error) {
          if (error instanceof ChannelTimeoutError || this.#closed) throw error;
          this.#writing.stop();
          throw this.#gone = new ChannelClosedError({ cause: error });
        }
        if (count <= 0) throw new ChannelClosedError();
        if (count >= rest.length) return;
        rest = rest.subarray(count);
      }
    } catch (error) {
      if (this.#gone === null) this.close();
      throw error;
    } finally {
      this.#unsentBytes -= frame.length;
    }
  }

  /** Replies go to their requests, everything else to `messages`. */
  #accept(message: WireMessage, messages: WireMessage[]): void {
    if (message.kind === "reply") {
      if (message.id > this.#lastRequest) {
        throw new WireError(`The peer answers request ${message.id}, which was not sent`);
      }
      if (this.#givenUp.delete(message.id)) this.lateReplies++;
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

function nothing(): void {}

/**
 * How long one wait after another may take, with a timer that is set seldom: a wait costs a look at the clock, and a timer
 * that fires looks whether what is waited for then has had its time.
 */
class Deadline {
  #due = Infinity;
  /** End the wait of now. What it waited for may still come when it has ended: then nobody waits here any more. */
  #resolve: (value: never) => void = nothing;
  #end: (error: Error) => void = nothing;
  #waitedFor: ChannelTimeoutError["waitedFor"] = "idle";
  #firesAt = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `missed` is called when a wait took too long; it has ended then, and there are no others. */
  constructor(private readonly missed: () => void) {}

  /** What `pending` gives, or after `ms` an error; `pending` may never end. One wait at a time. */
  within<T>(ms: number, waitedFor: ChannelTimeoutError["waitedFor"], pending: Promise<T>): Promise<T> {
    const now = performance.now();
    this.#due = now + ms;
    this.#waitedFor = waitedFor;
    if (this.#due < this.#firesAt) this.#set(now);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#end = reject;
      pending.then(this.#came, this.#failed);
    });
  }

  // Not made for each wait: there is one for each frame.
  readonly #came = (value: unknown): void => {
    this.#due = Infinity;
    this.#resolve(value as never);
  };

  readonly #failed = (error: Error): void => {
    this.#due = Infinity;
    this.#end(error);
  };

  /** There are no more waits: that of now ends. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#firesAt = this.#due = Infinity;
    this.#end(new ChannelClosedError());
  }

  #set(now: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = this.#due;
    this.#timer = setTimeout(() => this.#fired(), this.#due - now);
  }

  #fired(): void {
    this.#firesAt = Infinity;
    if (this.#due === Infinity) return;
    const now = performance.now();
    if (now < this.#due) return this.#set(now);
    this.#end(new ChannelTimeoutError(this.#waitedFor));
    this.missed();
  }
}
