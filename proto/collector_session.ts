/**
 * A collector's side of one connection to the agent: join, register, say that it lives, send, and be told.
 *
 * For collectors that are not this project's own; what they see and how they keep it until it is acknowledged is theirs.
 * The agent is not trusted: what it may not say ends the session with an error. A session ends once; a collector that
 * wants to go on opens another connection and joins again, from the `lastSequence` that it is then told.
 *
 * @module
 */
import { capabilitiesOf } from "./capabilities.ts";
import type { Answering } from "./bus/answering.ts";
import { RPC_VERSION } from "./bus/rpc.ts";
import type { Channel } from "./channel.ts";
import { type CollectorIdentity, joinAgent } from "./handshake.ts";
import type { Registration } from "./registration.ts";
import type { ReplyBody, Request, RequestBody, WireMessage } from "./messages.ts";

/** What a session needs to know. */
export interface CollectorSessionOptions {
  /** The token, or the collector's own (`ownToken`). */
  readonly token: string | Uint8Array;
  /** Who the collector is. */
  readonly identity: CollectorIdentity;
  /** What it sees, and into which tables that goes. */
  readonly registration: Registration;
  /** Everything up to `sequence` is committed. */
  readonly acknowledged?: (sequence: number) => void;
  /** All expected collectors have registered: what should wait for the others need not wait any more. */
  readonly begun?: () => void;
  /** Carries out the agent's calls (`docs/bus.md`); without it the agent makes none. It may serve several sessions. */
  readonly calls?: Answering;
  /** Answers what the agent asks beside `capabilities`, which the registration answers; by default with an error. */
  readonly answer?: (body: RequestBody) => ReplyBody;
}

/** How long the agent may take to close after a goodbye. */
const GOODBYE_MS = 500;

/** What a session sends of itself. */
export type StreamMessage = Extract<WireMessage, { kind: "events" | "gap" | "snapshot" | "sources" }>;

/** A collector's side of one connection to the agent, from the handshake to the end. */
export class CollectorSession {
  readonly #channel: Channel;
  readonly #options: CollectorSessionOptions;
  #acknowledged: number;
  #credit: number;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #isLeaving = false;
  readonly #closed = Promise.withResolvers<void>();

  private constructor(channel: Channel, options: CollectorSessionOptions, lastSequence: number, credit: number) {
    this.#channel = channel;
    this.#options = options;
    this.#acknowledged = lastSequence;
    this.#credit = credit;
    this.#beat(options.registration.heartbeatMs);
  }

  /**
   * Proves who it is, registers, and returns; {@linkcode run} must then be called.
   *
   * @throws HandshakeError, and what {@linkcode Channel} throws
   */
  static async join(channel: Channel, options: CollectorSessionOptions): Promise<CollectorSession> {
    const { token, identity, registration } = options;
    const { lastSequence, credit } = await joinAgent(channel, token, identity, { registration });
    return new CollectorSession(channel, options, lastSequence, credit);
  }

  /** Everything up to this sequence is committed. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** The highest sequence that may be sent now. */
  get mayReach(): number {
    return this.#acknowledged + this.#credit;
  }

  /** Sends events, a gap, a process table or sources. @throws what `Channel.send` throws */
  async send(message: StreamMessage): Promise<void> {
    await this.#channel.send(message);
  }

  /** Serves the agent until the connection ends. @throws for what the agent may not say, and what `Channel` throws */
  async run(): Promise<void> {
    try {
      for (let messages = await this.#channel.receive(); messages !== null; messages = await this.#channel.receive()) {
        for (const message of messages) if (!await this.#obey(message)) return;
      }
    } finally {
      this.close();
    }
  }

  /**
   * Says goodbye, and ends the session when the agent has closed, which it does once it has stored and acknowledged what
   * it was sent; one that does not is not waited for longer than half a second.
   */
  async leave(reason: string): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#isLeaving = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.#channel.send({ kind: "goodbye", reason });
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, GOODBYE_MS));
      await Promise.race([this.#closed.promise, late]);
    } catch {
      // it has ended already
    }
    clearTimeout(timer);
    this.close();
  }

  /** Ends the session and its connection at once. */
  close(): void {
    clearInterval(this.#heartbeat);
    this.#closed.resolve();
    this.#channel.close();
    this.#options.calls?.cancelAll();
  }

  async #obey(message: WireMessage): Promise<boolean> {
    const { acknowledged, begun } = this.#options;
    switch (message.kind) {
      case "ack":
        this.#acknowledged = Math.max(this.#acknowledged, message.sequence);
        this.#credit = message.credit;
        acknowledged?.(this.#acknowledged);
        return true;
      case "registered":
        this.#beat(message.heartbeatMs);
        return true;
      case "begin":
        begun?.();
        return true;
      case "request":
        await this.#reply(message);
        return true;
      case "rpcCancel":
        this.#options.calls?.cancel(message.id);
        return true;
      case "heartbeat":
      case "ledgerNotes": // sent before the agent knew that it keeps no ledger; another collector enters them
        return true;
      case "goodbye":
        return this.#isLeaving; // both go at the same time: what it acknowledges comes after that
      default:
        throw new TypeError(`The agent sent ${message.kind}, which only a collector may send`);
    }
  }

  async #reply({ id, body }: Request): Promise<void> {
    const { calls } = this.#options, send = (body: ReplyBody) => this.#channel.send({ kind: "reply", id, body });
    if (body.kind !== "rpc" || calls === undefined) return await send(this.#answer(body));
    // Nothing waits for it here: it may take as long as the call has.
    void calls.answer(id, body.call).then((response) => send({ kind: "rpc", response })).catch(() => this.close());
  }

  #answer(body: RequestBody): ReplyBody {
    if (body.kind !== "capabilities") {
      return this.#options.answer?.(body) ?? { kind: "error", reason: `This collector does not answer ${body.kind}` };
    }
    const { registration, identity, calls } = this.#options, serverVersion = identity.softwareVersion;
    const versions = { serverVersion, demandVersion: 0, rpcVersion: calls === undefined ? 0 : RPC_VERSION };
    return { kind: "capabilities", ...capabilitiesOf(registration, body.domains, versions) };
  }

  /** Says that it lives, from now on this often. */
  #beat(intervalMs: number): void {
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => {
      this.#channel.send({ kind: "heartbeat", time: Date.now() }).catch(() => this.close());
    }, intervalMs);
  }
}
