/**
 * Carries the collector's stream to the agent, over any number of connections.
 *
 * The agent is not trusted: it must prove that it knows the token and run as the configured user, and what it sends is
 * bounded in shape by `proto/wire.ts` and in meaning here. Whatever goes wrong ends the connection, is noticed, and leads
 * to the next try with backoff; what was not acknowledged is sent again, and the agent drops what it has by its number.
 *
 * @module
 */
import { Channel } from "../proto/channel.ts";
import { joinAgent } from "../proto/handshake.ts";
import { VERSION } from "../proto/version.ts";
import type { ReplyBody, RequestBody, WireMessage } from "../proto/wire.ts";
import type { Outbox } from "./outbox.ts";

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** Well below the agent's idle timeout. */
const HEARTBEAT_MS = 5_000;
/** Both tiers start at once: an agent that does not listen yet is worth a word only after this time. */
const AGENT_START_MS = 3_000;
/** An agent that never grants more than this gets no more than this in flight. */
const MAX_CREDIT = 1_000_000;

export interface PublisherOptions {
  readonly socket: string;
  readonly token: string;
  readonly collectorId: string;
  readonly epoch: string;
  readonly bootId: string;
  readonly source: string;
  /** Throws when the listener of the socket is not the agent. */
  readonly checkPeer: () => void;
  readonly answer: (body: RequestBody) => ReplyBody;
  readonly notice: (text: string) => void;
}

export class Publisher {
  #channel: Channel | null = null;
  #sent = 0;
  #credit = 0;
  #stopping = false;
  #wake: () => void = () => {};
  connections = 0;

  constructor(private readonly outbox: Outbox, private readonly options: PublisherOptions) {}

  get connected(): boolean {
    return this.#channel !== null;
  }

  /** Says that the outbox has something new. */
  poke(): void {
    this.#wake();
  }

  /** Connects, sends, and connects again, until {@linkcode stop}. */
  async run(): Promise<void> {
    let delay = FIRST_RETRY_MS;
    let lastFault = "";
    const firstTry = Date.now();
    while (!this.#stopping) {
      const began = Date.now();
      try {
        await this.#serveOnce();
        lastFault = "";
      } catch (error) {
        const fault = error instanceof Error ? error.message : String(error);
        const starting = isAbsent(error) && this.connections === 0 && Date.now() - firstTry < AGENT_START_MS;
        if (!starting && fault !== lastFault && !this.#stopping) {
          this.options.notice(`connection to the agent: ${fault}`);
          lastFault = fault; // an agent that stays away is said once, not every try
        }
      }
      if (Date.now() - began > LAST_RETRY_MS) delay = FIRST_RETRY_MS;
      if (!this.#stopping) await this.#pause(delay * (0.75 + Math.random() / 2));
      delay = Math.min(delay * 2, LAST_RETRY_MS);
    }
  }

  /** Sends what waits for at most `deadlineMs`, says goodbye, and ends {@linkcode run}. */
  async stop(deadlineMs: number, reason: string): Promise<void> {
    const end = Date.now() + deadlineMs;
    while (this.#channel !== null && this.outbox.waiting > 0 && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#stopping = true;
    this.#wake();
    const channel = this.#channel;
    if (channel === null) return;
    try {
      await channel.send({ kind: "goodbye", reason });
    } catch {
      // the peer has gone: nothing is left to say to it
    }
    channel.close();
  }

  async #serveOnce(): Promise<void> {
    const { socket, token, collectorId, epoch, bootId, source } = this.options;
    const connection = await Deno.connect({ transport: "unix", path: socket });
    const channel = new Channel(connection, { idleTimeoutMs: 6 * HEARTBEAT_MS });
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    try {
      this.options.checkPeer();
      const welcome = await joinAgent(channel, token, { collectorId, epoch, bootId, softwareVersion: VERSION, source });
      this.outbox.acknowledge(welcome.lastSequence);
      this.#sent = welcome.lastSequence;
      this.#grant(welcome.credit);
      this.#channel = channel;
      this.connections++;
      heartbeat = setInterval(() => {
        channel.send({ kind: "heartbeat", time: Date.now() }).catch(() => channel.close());
      }, HEARTBEAT_MS);
      // Either side ending ends the other: closing the channel makes both return.
      const sending = this.#send(channel).finally(() => channel.close());
      const receiving = this.#receive(channel).finally(() => {
        channel.close();
        this.#channel = null;
        this.#wake();
      });
      const [received, sent] = await Promise.allSettled([receiving, sending]);
      if (received.status === "rejected") throw received.reason;
      if (sent.status === "rejected") throw sent.reason;
    } finally {
      clearInterval(heartbeat);
      this.#channel = null;
      channel.close();
    }
  }

  async #send(channel: Channel): Promise<void> {
    while (this.#channel === channel && !this.#stopping) {
      const frame = this.outbox.frameAfter(this.#sent);
      const allowed = frame !== null &&
        (frame.last <= this.outbox.acknowledged + this.#credit || this.#sent <= this.outbox.acknowledged);
      if (!allowed) {
        await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      this.#sent = frame.last;
      await channel.sendFrame(frame.bytes);
    }
  }

  async #receive(channel: Channel): Promise<void> {
    for (let messages = await channel.receive(); messages !== null; messages = await channel.receive()) {
      for (const message of messages) await this.#obey(channel, message);
    }
    if (!this.#stopping) this.options.notice("the agent closed the connection");
  }

  async #obey(channel: Channel, message: WireMessage): Promise<void> {
    switch (message.kind) {
      case "ack":
        if (message.sequence > this.#sent) throw new RangeError("The agent acknowledges what it was not sent");
        this.outbox.acknowledge(message.sequence);
        this.#grant(message.credit);
        return this.#wake();
      case "request":
        return await channel.send({ kind: "reply", id: message.id, body: this.options.answer(message.body) });
      case "heartbeat":
        return;
      case "goodbye":
        return channel.close();
      default:
        throw new TypeError(`The agent sent ${message.kind}, which only a collector may send`);
    }
  }

  #grant(credit: number): void {
    this.#credit = Math.min(Math.max(credit, 0), MAX_CREDIT);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (!this.#stopping) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Whether nobody listens on the socket. */
function isAbsent(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused;
}
