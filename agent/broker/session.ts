/**
 * One collector's connection, from its handshake to its end.
 *
 * The peer is not trusted before it proves that it knows the token, and bounded after it. Whatever it does wrong ends its
 * own connection with a reason, and nothing else. Acknowledgements follow commits, so a connection may end anywhere.
 *
 * While the store takes nothing, a collector that has proven itself is refused with the reason, and one that is connected
 * is told goodbye: so it shows the reason, keeps its events, backs off, and begins anew at the watermark of the store that
 * is then open. To keep the connection and grant no credit would need another way to begin anew within it.
 *
 * @module
 */
import { type Channel, ChannelClosedError } from "../../proto/channel.ts";
import { type Admission, admitCollector } from "../../proto/handshake.ts";
import { type Demand, DEMAND_VERSION } from "../../proto/demand.ts";
import type { ConnectionStatus } from "../../proto/status.ts";
import { VERSION } from "../../proto/version.ts";
import type { Hello, LedgerHead, WireMessage } from "../../proto/wire.ts";
import type { Demands } from "../demands.ts";
import type { Ingest, Progress, StreamMessage } from "../ingest.ts";
import type { Journal } from "../journal.ts";
import type { Store, Stream } from "../store/store.ts";

/** Sequences that may be in flight: some 6 MB of usual events. */
export const CREDIT = 16_384;
const HEARTBEAT_MS = 5_000;
/** The kernel writes boot ids as UUIDs; the first eight digits name processes. */
const BOOT_ID = /^[0-9a-f]{8}[0-9a-f-]{0,28}$/;

/** Where what a collector sends goes. */
export interface Intake {
  readonly store: Store;
  readonly ingest: Ingest;
}

/** Why nothing is taken now. */
export interface Refusal {
  readonly refuse: string;
}

export interface SessionOptions {
  readonly token: string;
  /** Where batches go now. */
  readonly intake: () => Intake | Refusal;
  /** The store did not take a stream. */
  readonly storeFailed: (store: Store, error: unknown) => void;
  readonly journal: Journal;
  /** Ends the connection that the same collector had before. */
  readonly supersede: (collectorId: string, by: Session) => void;
  readonly admitted: (stream: Stream) => void;
  /** What rules need that the collector collects on demand; without it nothing is asked for. */
  readonly demands?: Demands;
  /** A collector told the newest checkpoint of its ledger. */
  readonly headed?: (collectorId: string, head: LedgerHead) => void;
}

/** The peer said something that its part in the conversation does not allow. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

export class Session {
  readonly #channel: Channel;
  readonly #options: SessionOptions;
  readonly #progress: Progress = { lastEventTime: 0 };
  readonly #since = Date.now();
  #stream: Stream | null = null;
  #ingest: Ingest | null = null;
  #store: Store | null = null;
  /** The last note that was sent and not answered. */
  #noteSent: number | null = null;
  #postponed = false;
  /** Whether the collector takes demands; `null` until it has said so. */
  #takesDemand: boolean | null = null;
  #isAsking = false;
  /** The demand that it has answered last. */
  #demanded: Demand | null = null;
  #demandFault = "";
  #endReason: string | null = null;

  constructor(channel: Channel, options: SessionOptions) {
    this.#channel = channel;
    this.#options = options;
  }

  /** `null` until the collector has proven itself. */
  get stream(): Stream | null {
    return this.#stream;
  }

  /** Why this side ended it, `null` while it has not. */
  get endReason(): string | null {
    return this.#endReason;
  }

  /** Refused for the store's sake: the collector did nothing wrong, and comes again. */
  get postponed(): boolean {
    return this.#postponed;
  }

  status(): ConnectionStatus | null {
    if (this.#stream === null) return null;
    const { collectorId, epoch, lastSequence } = this.#stream;
    return {
      collectorId,
      epoch,
      connectedSince: this.#since,
      lastSequence,
      lastEventTime: this.#progress.lastEventTime,
    };
  }

  /** Serves the connection to its end. @throws whatever ended it, but for an end that one side asked for. */
  async run(): Promise<void> {
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    try {
      await admitCollector(this.#channel, this.#options.token, (hello) => this.#admit(hello));
      heartbeat = setInterval(() => {
        this.#channel.send({ kind: "heartbeat", time: Date.now() }).catch(() => this.#channel.close());
        this.#sendNotes();
        // What was not answered in time is asked again.
        if (this.#takesDemand === null) this.#askCapabilities();
        else this.demand();
      }, HEARTBEAT_MS);
      this.#sendNotes();
      this.#options.demands?.joined(this.#stream!.collectorId);
      this.#askCapabilities();
      for (;;) {
        const messages = await this.#channel.receive();
        if (messages === null || this.#endReason !== null) return;
        if (!await this.#handle(messages)) return;
      }
    } catch (error) {
      if (this.#endReason === null) throw error;
    } finally {
      clearInterval(heartbeat);
      this.#channel.close();
    }
  }

  /** Ends the connection; nothing more of it is stored after this returns. */
  end(reason: string): void {
    if (this.#endReason !== null) return;
    this.#endReason = reason;
    if (this.#channel.closed) return;
    this.#channel.send({ kind: "goodbye", reason }).catch(() => {}).finally(() => this.#channel.close());
  }

  /**
   * Says what the rules need now, unless the collector has that already. An older one, which would take the question for
   * damage, is not asked.
   */
  demand(): void {
    const { demands, journal } = this.#options;
    if (demands === undefined || this.#takesDemand !== true || this.#isAsking || this.#channel.closed) return;
    const { demand } = demands, { collectorId } = this.#stream!;
    if (demand === this.#demanded) return;
    this.#isAsking = true;
    this.#channel.request({ kind: "demand", demand }).then((reply) => {
      this.#isAsking = false;
      if (reply.kind === "demand") {
        demands.answered(collectorId, reply.attributes);
        this.#demanded = demand;
        this.#demandFault = "";
        return this.demand(); // which may have changed meanwhile
      }
      // Asked again with the next heartbeat.
      const why = reply.kind === "error" ? `takes no demand now: ${reply.reason}` : `answers a demand by ${reply.kind}`;
      demands.unanswered(collectorId, why);
      if (why !== this.#demandFault) journal.notice(`collector ${collectorId} ${why}`);
      this.#demandFault = why;
    }).catch((error: unknown) => {
      this.#isAsking = false;
      if (this.#channel.closed) return; // the connection's own end says why
      journal.notice(`collector ${collectorId}: ${error instanceof Error ? error.message : error}`);
    });
  }

  #admit(hello: Hello): Admission {
    const { collectorId, epoch, bootId, softwareVersion: version, source } = hello;
    if (!BOOT_ID.test(bootId)) return { refuse: `The boot id ${bootId} is not one` };
    this.#options.supersede(collectorId, this);
    const intake = this.#options.intake();
    if ("refuse" in intake) {
      this.#postponed = true;
      return intake;
    }
    try {
      const stream = intake.store.openStream({ collectorId, epoch, bootId, version, source }, Date.now());
      this.#options.admitted(stream);
      this.#stream = stream;
      this.#ingest = intake.ingest;
      this.#store = intake.store;
      return { lastSequence: stream.lastSequence, credit: CREDIT };
    } catch (error) {
      this.#options.storeFailed(intake.store, error);
      return { refuse: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Says no when the collector has said goodbye or this side ended the connection. */
  async #handle(messages: readonly WireMessage[]): Promise<boolean> {
    const data: StreamMessage[] = [];
    let goodbye = false;
    for (const message of messages) {
      switch (message.kind) {
        case "events":
        case "gap":
        case "snapshot":
        case "sources":
          data.push(message);
          break;
        case "heartbeat":
          break;
        case "goodbye":
          goodbye = true;
          break;
        case "ledgerHead":
          this.#options.headed?.(this.#stream!.collectorId, message);
          break;
        case "ledgerTaken":
          this.#notesTaken(message.id);
          break;
        case "request":
          await this.#channel.send({
            kind: "reply",
            id: message.id,
            body: { kind: "error", reason: "The agent answers no requests" },
          });
          break;
        default:
          throw new ProtocolError(`The collector sent ${message.kind}, which only an agent may send`);
      }
      if (goodbye) break;
    }
    await this.#ingest!.take(this.#stream!, data, this.#progress, async () => {
      // Superseded: the newer connection has its own acknowledgements.
      if (this.#endReason !== null) return false;
      await this.#acknowledge();
      return this.#endReason === null;
    }, () => this.#endReason === null);
    this.#sendNotes();
    if (goodbye) this.#endReason ??= "the collector said goodbye";
    return this.#endReason === null;
  }

  /** Sends what is to be entered into the ledger, some notes at a time: the collector answers when they are in it. */
  #sendNotes(): void {
    const store = this.#store;
    if (store === null || this.#noteSent !== null || this.#endReason !== null || this.#channel.closed) return;
    try {
      const notes = store.notesFor(this.#stream!.collectorId);
      if (notes.length === 0) return;
      this.#noteSent = notes.at(-1)!.id;
      this.#channel.send({ kind: "ledgerNotes", notes }).catch(() => {}); // they are sent again on the next connection
    } catch (error) {
      this.#options.storeFailed(store, error);
    }
  }

  #notesTaken(id: number): void {
    const store = this.#store!;
    if (this.#noteSent === null || id > this.#noteSent) {
      throw new ProtocolError(`The collector says that it entered note ${id}, which it was not sent`);
    }
    try {
      store.forgetNotes(id, this.#stream!.collectorId);
    } catch (error) {
      return this.#options.storeFailed(store, error);
    }
    if (id === this.#noteSent) this.#noteSent = null;
    this.#sendNotes();
  }

  async #acknowledge(): Promise<void> {
    try {
      await this.#channel.send({ kind: "ack", sequence: this.#stream!.lastSequence, credit: CREDIT });
    } catch (error) {
      // The collector has gone: what it sent before is stored all the same, it cannot send it again.
      if (!(error instanceof ChannelClosedError)) throw error;
    }
  }

  /** What the collector can see, and whether it takes demands; nothing waits for the answer. */
  #askCapabilities(): void {
    const { collectorId } = this.#stream!, { journal } = this.#options;
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#channel.request({ kind: "capabilities", clientId: "agent", domains: ["process"], clientVersion: VERSION })
      .then((reply) => {
        this.#isAsking = false;
        this.#takesDemand = reply.kind === "capabilities" && reply.demandVersion >= DEMAND_VERSION;
        if (this.#takesDemand) this.demand();
        else this.#options.demands?.tookNone(collectorId);
        if (reply.kind !== "capabilities") {
          return journal.notice(`collector ${collectorId} does not say what it can do`);
        }
        const { domains, kernelLevel, realtime, systemWide } = reply;
        const how = [
          kernelLevel ? "from the kernel" : "by polling",
          realtime ? "as it happens" : "with delay",
          systemWide ? "system-wide" : "in part",
        ];
        journal.say(`collector ${collectorId} reports ${domains.join(", ")} ${how.join(", ")}`);
      })
      .catch((error: unknown) => {
        this.#isAsking = false;
        if (this.#channel.closed) return; // the connection's own end says why
        journal.notice(`collector ${collectorId}: ${error instanceof Error ? error.message : error}`);
      });
  }
}
