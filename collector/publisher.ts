/**
 * Carries the collector's stream to the agent, over any number of connections.
 *
 * The agent is not trusted: it must prove that it knows the token and run as the configured user, and what it sends is
 * bounded in shape by `proto/wire.ts` and in meaning here. Whatever goes wrong ends the connection, is noticed, and leads
 * to the next try with backoff; what was not acknowledged is sent again, and the agent drops what it has by its number.
 *
 * An agent that has more than was ever sent under this epoch knows a later state of our log: it is given another epoch.
 * One that has less than it acknowledged was set back: it gets again what is still kept, and sees by the numbers what is
 * not.
 *
 * @module
 */
import { answerCall } from "../proto/bus/answer_call.ts";
import { Answering, type AnsweringCounts, type Handle, newAnsweringCounts } from "../proto/bus/answering.ts";

import { Channel, type Connection } from "../proto/channel.ts";
import { HandshakeError, joinAgent } from "../proto/handshake.ts";
import { printable } from "../proto/printable.ts";
import type { Registration } from "../proto/registration.ts";
import { VERSION } from "../proto/version.ts";
import type { LedgerHead, LedgerNotes, LedgerTaken, ReplyBody, RequestBody, WireMessage } from "../proto/messages.ts";
import type { NextFrame, Outbox } from "./outbox.ts";
import { HEARTBEAT_MS } from "./requests.ts";
import { StorageError } from "./wal/storage.ts";

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** How long the agent may take to end the connection after a goodbye. */
const GOODBYE_MS = 500;
/** An agent that does not listen, or says that it takes nothing yet, is asked at least this often: it should find us soon. */
const AWAY_RETRY_MS = 1_000;
/** Both tiers start at once: an agent that does not listen yet is worth a word only after this time. */
const AGENT_START_MS = 3_000;
/** An agent that never grants more than this gets no more than this in flight. */
const MAX_CREDIT = 1_000_000;
/** After a failed reading from the log. */
const READ_RETRY_MS = 1_000;
/** Longest reason of the agent's that is repeated. */
const MAX_REASON_LENGTH = 300;
/** Calls of the agent that are carried out at one time. */
const MAX_CALLS = 12;

export interface PublisherOptions {
  /** A new connection to the agent's socket. */
  readonly connect: () => Promise<Connection>;
  readonly token: string;
  readonly collectorId: string;
  readonly bootId: string;
  readonly source: string;
  /** Its own version; the product's where it is left out. */
  readonly softwareVersion?: string;
  /** What it registers at the agent; without it, as collectors of earlier versions, it does not. */
  readonly registration?: Registration;
  /** Throws when the listener of the socket is not the agent. */
  readonly checkPeer: () => void;
  readonly answer: (body: RequestBody) => ReplyBody;
  /** Carries out the agent's calls; without it they are refused by {@linkcode PublisherOptions.answer}. */
  readonly carryOut?: Handle;
  /** The audit ledger: its newest checkpoint, and what the agent has to enter. */
  readonly ledger?: {
    readonly head: () => LedgerHead | null;
    readonly receive: (notes: LedgerNotes) => void;
    readonly disconnected: () => void;
    /** The agent has less than it had acknowledged. */
    readonly setBack: (stored: number, acknowledged: number) => void;
  };
  readonly notice: (text: string) => void;
  /** Longest time between two tries to connect, in milliseconds. */
  readonly lastRetryMs?: number;
  /** Unix milliseconds, and numbers from 0 to 1: the runtime's own, unless a simulation brings others. */
  readonly now?: () => number;
  readonly random?: () => number;
}

export class Publisher {
  #channel: Channel | null = null;
  /** How far this connection has come, frames that are lost included, and without them. */
  #sent = 0;
  #lastSent = 0;
  /** What the agent of this connection has; less than the outbox knows when its store was set back. */
  #acknowledged = 0;
  #credit = 0;
  /** Whether the agent acknowledged something new since the last try. */
  #hasProgress = false;
  #stopping = false;
  /** The connection that {@linkcode stop} says goodbye on, and closes. */
  #leaving: Channel | null = null;
  #isPaused = false;
  #answering: Answering | null = null;
  readonly answered: AnsweringCounts = newAnsweringCounts();
  #wake: () => void = () => {};
  #epoch = "";
  #readFault = "";
  /** Why the agent of this connection ended it, as it says. */
  #farewell = "";
  connections = 0;

  readonly #now: () => number;
  readonly #random: () => number;

  constructor(private readonly outbox: Outbox, private readonly options: PublisherOptions) {
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
  }

  get connected(): boolean {
    return this.#channel !== null;
  }

  /** Tells the agent, if it is connected: it asks again on its next connection. */
  tell(message: LedgerHead | LedgerTaken): void {
    this.#channel?.send(message).catch(() => {}); // the connection's own end says why
  }

  /** Whether this agent wants nothing to be sent; it ends with its connection. What is seen is kept meanwhile. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#wake();
  }

  /** Says that the outbox has something new. */
  poke(): void {
    this.#wake();
  }

  /** Connects, sends, and connects again, until {@linkcode stop}. */
  async run(): Promise<void> {
    let delay = FIRST_RETRY_MS;
    let lastFault = "";
    const firstTry = this.#now();
    while (!this.#stopping) {
      const began = this.#now();
      let isAway = false;
      this.#hasProgress = false;
      try {
        await this.#serveOnce();
        lastFault = "";
      } catch (error) {
        const fault = error instanceof Error ? error.message : String(error);
        isAway = isAbsent(error) || error instanceof HandshakeError && error.reason === "refused";
        const starting = isAbsent(error) && this.connections === 0 && this.#now() - firstTry < AGENT_START_MS;
        const kind = fault.replace(/\d+/g, "0"); // an agent that starts says how far it is
        if (!starting && kind !== lastFault && !this.#stopping) {
          this.options.notice(`connection to the agent: ${fault}`);
          lastFault = kind; // an agent that stays away is said once, not every try
        }
      }
      // An agent that stored something before it went is worth a quick try; one that only greets is not.
      if (this.#hasProgress || this.#now() - began > LAST_RETRY_MS) delay = FIRST_RETRY_MS;
      if (!this.#stopping) await this.#pause(delay * (0.75 + this.#random() / 2));
      delay = Math.min(delay * 2, isAway ? AWAY_RETRY_MS : LAST_RETRY_MS, this.options.lastRetryMs ?? Infinity);
    }
  }

  /** Sends what waits for at most `deadlineMs`, says goodbye, and ends {@linkcode run}. */
  async stop(deadlineMs: number, reason: string): Promise<void> {
    const end = this.#now() + deadlineMs;
    while (this.#channel !== null && this.outbox.waiting > 0 && this.#now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#stopping = true;
    const channel = this.#leaving = this.#channel;
    this.#wake();
    if (channel === null) return;
    try {
      await channel.send({ kind: "goodbye", reason });
      // The agent closes when it has read that. To close before it would take from it what it has not read yet, should it
      // be about to write: an answer, and the goodbye itself.
      const last = performance.now() + GOODBYE_MS;
      while (this.#channel === channel && performance.now() < last) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    } catch {
      // the peer has gone: nothing is left to say to it
    }
    channel.close();
  }

  async #serveOnce(): Promise<void> {
    const { connect, token, collectorId, bootId, source, registration } = this.options;
    const channel = new Channel(await connect(), { idleTimeoutMs: 6 * HEARTBEAT_MS });
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    try {
      this.options.checkPeer();
      const { epoch } = this.outbox, { softwareVersion = VERSION } = this.options;
      const identity = { collectorId, epoch, bootId, softwareVersion, source };
      const welcome = await joinAgent(channel, token, identity, registration === undefined ? {} : { registration });
      // The outbox may have gone on with another log meanwhile.
      if (this.outbox.epoch !== epoch || !this.#agrees(welcome.lastSequence)) return;
      this.#acknowledged = this.#sent = this.#lastSent = welcome.lastSequence;
      this.outbox.noteStored(welcome.lastSequence);
      this.#grant(welcome.credit);
      this.#epoch = epoch;
      this.#channel = channel;
      this.#isPaused = false;
      this.#farewell = "";
      const { carryOut } = this.options;
      this.#answering = carryOut === undefined ? null : new Answering(carryOut, MAX_CALLS, this.answered);
      this.connections++;
      const head = this.options.ledger?.head() ?? null;
      // Before the first event, so that no alert is without it.
      if (head !== null) await channel.send(head);
      heartbeat = setInterval(() => {
        channel.send({ kind: "heartbeat", time: this.#now() }).catch(() => channel.close());
      }, registration?.heartbeatMs ?? HEARTBEAT_MS);
      // Either side ending ends the other: closing the channel makes both return.
      const sending = this.#send(channel).finally(() => {
        if (this.#leaving !== channel) channel.close();
      });
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
      this.#answering?.cancelAll();
      this.options.ledger?.disconnected();
    }
  }

  /** Takes what the agent says that it has. Returns false when the outbox began another epoch for it. */
  #agrees(lastSequence: number): boolean {
    if (lastSequence < this.outbox.acknowledged) {
      this.options.ledger?.setBack(lastSequence, this.outbox.acknowledged);
      this.options.notice(
        `the agent has stored up to ${lastSequence} and had acknowledged up to ${this.outbox.acknowledged}: its store ` +
          `was set back; it gets again what is still kept`,
      );
    }
    const { lastGiven } = this.outbox;
    if (lastSequence <= lastGiven) return true;
    const why = `the agent has stored up to ${lastSequence} of it, while it ends at ${lastGiven}: it was set back`;
    if (this.outbox.renew(why)) return false;
    throw new RangeError(`The agent acknowledges ${lastSequence}, but the last one on disk is ${lastGiven}`);
  }

  async #send(channel: Channel): Promise<void> {
    while (this.#channel === channel && !this.#stopping) {
      if (this.outbox.epoch !== this.#epoch) {
        return await channel.send({ kind: "goodbye", reason: "another log took over" });
      }
      const frame = await this.#next();
      if (frame === null) continue;
      this.#sent = frame.last;
      if (frame.bytes === null) continue; // the agent sees by the next number that these are lost
      this.#lastSent = frame.last;
      this.outbox.noteOffered(frame.last);
      await channel.sendFrame(frame.bytes);
    }
  }

  /** What may be sent now; waits when that is nothing, and gives `null` when it is worth looking again. */
  async #next(): Promise<NextFrame | null> {
    try {
      const frame = this.#isPaused ? null : this.outbox.frameAfter(this.#sent);
      // One frame may always be under way, whatever the credit.
      const isQuiet = this.#lastSent <= this.#acknowledged;
      if (frame !== null && (isQuiet || frame.last <= this.#acknowledged + this.#credit)) return frame;
      await new Promise<void>((resolve) => this.#wake = resolve);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (error.message !== this.#readFault) this.options.notice(`the log cannot be read: ${error.message}`);
      this.#readFault = error.message;
      await this.#pause(READ_RETRY_MS);
    }
    return null;
  }

  async #receive(channel: Channel): Promise<void> {
    for (let messages = await channel.receive(); messages !== null; messages = await channel.receive()) {
      for (const message of messages) await this.#obey(channel, message);
    }
    if (this.#stopping) return;
    this.options.notice(`the agent closed the connection${this.#farewell === "" ? "" : `: ${this.#farewell}`}`);
  }

  async #obey(channel: Channel, message: WireMessage): Promise<void> {
    switch (message.kind) {
      case "ack":
        if (message.sequence > this.#sent) throw new RangeError("The agent acknowledges what it was not sent");
        // Of an earlier epoch when another log has just taken over: this connection ends.
        if (this.outbox.epoch === this.#epoch) this.outbox.acknowledge(message.sequence);
        this.#hasProgress ||= message.sequence > this.#acknowledged;
        this.#acknowledged = Math.max(this.#acknowledged, message.sequence);
        this.#grant(message.credit);
        return this.#wake();
      case "request":
        if (message.body.kind === "rpc" && this.#answering !== null) {
          return answerCall(channel, this.#answering, message.id, message.body.call);
        }
        return await channel.send({ kind: "reply", id: message.id, body: this.options.answer(message.body) });
      case "rpcCancel":
        return this.#answering?.cancel(message.id);
      case "heartbeat":
      case "registered":
      case "begin": // it watches since its own start: to wait for an agent would be blindness
        return;
      case "ledgerNotes":
        return this.options.ledger?.receive(message);
      case "goodbye":
        this.#farewell = printable(message.reason.slice(0, MAX_REASON_LENGTH));
        // Both go at the same time: what it acknowledges comes after that.
        return this.#leaving === channel ? undefined : channel.close();
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
