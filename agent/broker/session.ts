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
import { type Answering, responseTo } from "../../proto/bus/answering.ts";
import { AGENT, failure, type RpcRequest, type RpcResponse } from "../../proto/bus/rpc.ts";
import { type Channel, ChannelClosedError, type RequestOptions } from "../../proto/channel.ts";
import { type Admission, admitCollector } from "../../proto/handshake.ts";
import type { TableDescriptor } from "../../proto/table_descriptor.ts";
import type { ConnectionStatus } from "../../proto/status.ts";
import type { Hello, LedgerHead, ReplyBody, Request, WireMessage } from "../../proto/messages.ts";
import { every, type Repeated } from "../beat.ts";
import type { RemoteClient } from "../bus/remote_client.ts";
import type { RemoteClients } from "../bus/remote_clients.ts";
import type { Link } from "../collectors/entry.ts";
import type { Registry } from "../collectors/registry.ts";
import type { Calls, CallTarget } from "../rpc/calls.ts";
import type { RpcCounters } from "../rpc/counters.ts";
import type { Demands } from "../demands.ts";
import type { Ingest, Progress, StreamMessage } from "../ingest.ts";
import type { Journal } from "../journal.ts";
import type { Store } from "../store/store.ts";
import type { Stream } from "../store/streams.ts";
import { Inquiry } from "./inquiry.ts";
import { NoteDelivery } from "./note_delivery.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Sequences that may be in flight: some 6 MB of usual events. */
const CREDIT = 16_384;
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
  /** Where collectors are clients of the bus; without it they are refused there. */
  readonly clients?: RemoteClients;
  /** Calls in both directions; without it none is answered. */
  readonly calls?: Calls;
  readonly rpcCounters?: RpcCounters;
  /** Who collects; without it registrations are not looked at. */
  readonly registry?: Registry;
  /** There are other tables of collectors than before. */
  readonly tablesChanged?: () => void;
  /** A collector told the newest checkpoint of its ledger. */
  readonly headed?: (collectorId: string, head: LedgerHead) => void;
}

export class Session implements CallTarget {
  readonly #channel: Channel;
  readonly #options: SessionOptions;
  readonly #progress: Progress = { lastEventTime: 0 };
  readonly #since = Date.now();
  #stream: Stream | null = null;
  #ingest: Ingest | null = null;
  #store: Store | null = null;
  #notes: NoteDelivery | null = null;
  #inquiry: Inquiry | null = null;
  #postponed = false;
  #endReason: string | null = null;
  /** Set while the collector may still say what it has to say. */
  #leaving: ReturnType<typeof setTimeout> | null = null;
  #client: RemoteClient | null = null;
  #answering: Answering | null = null;
  /** Late replies of this connection that are in the agent's counts. */
  #lateCounted = 0;
  /** What the registry knows of this connection. */
  #link: Link | null = null;
  #saidGoodbye = false;
  /** While what came is judged and stored. */
  #isBusy = false;

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

  get collectorId(): string {
    return this.#stream?.collectorId ?? "";
  }

  get rpcVersion(): number | null {
    return this.#inquiry?.rpcVersion ?? null;
  }

  /** Calls the collector. @throws as {@linkcode Channel.request} does, and WireError for what cannot be sent */
  async call(request: RpcRequest, options: RequestOptions): Promise<RpcResponse> {
    const reply = await this.#channel.request({ kind: "rpc", call: request }, options);
    if (reply.kind === "rpc") return reply.response;
    const why = reply.kind === "error" ? reply.reason : `it answers by ${reply.kind}`;
    return responseTo(request, failure("communication", "NO_ANSWER", `Collector ${this.collectorId}: ${why}`), 0);
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
    let heartbeat: Repeated | undefined;
    try {
      await admitCollector(this.#channel, this.#options.token, (hello) => this.#admit(hello));
      this.#answering = this.#options.calls?.answering(this.collectorId) ?? null;
      this.#client = this.#options.clients?.connected(this.#stream!.collectorId, this.#stream!.epoch, this.#channel) ??
        null;
      heartbeat = every(HEARTBEAT_MS, () => {
        this.#channel.send({ kind: "heartbeat", time: Date.now() }).catch(() => this.#channel.failed());
        this.#notes!.send();
        this.#inquiry!.heartbeat();
      });
      this.#notes!.send();
      this.#options.demands?.joined(this.#stream!.collectorId);
      this.#inquiry!.ask();
      for (;;) {
        const messages = await this.#channel.receive();
        this.#countLateReplies();
        // Heard also when this side ends the connection just now: it is no failure of the collector's.
        if (messages?.at(-1)?.kind === "goodbye") this.#saidGoodbye = true;
        if (messages === null || this.#endReason !== null) return;
        // Who says goodbye and nothing else is not told to begin anew for it.
        if (messages[0]?.kind !== "goodbye") {
          this.#options.registry?.heard(this.#stream!.collectorId, this.#link!);
        }
        this.#isBusy = true;
        if (!await this.#handle(messages)) return;
        this.#isBusy = false;
      }
    } catch (error) {
      if (this.#endReason === null && this.#leaving === null) throw error;
    } finally {
      heartbeat?.stop();
      this.#left();
      this.#channel.close();
      this.#answering?.cancelAll();
      if (this.#client !== null) {
        this.#options.clients!.disconnected(this.#stream!.collectorId, this.#stream!.epoch, this.#channel);
      }
      if (this.#link !== null) {
        this.#options.registry?.left(this.#stream!.collectorId, this.#link, this.#saidGoodbye);
      }
    }
  }

  /**
   * Ends the connection; nothing more of it is taken after this returns. What waits to be stored still may be: it comes
   * again, and is known by its number.
   */
  end(reason: string): void {
    if (this.#endReason !== null) return;
    this.#endReason = reason;
    if (this.#channel.closed) return;
    this.#channel.send({ kind: "goodbye", reason }).catch(() => {}).finally(() => this.#channel.close());
  }

  /**
   * Says goodbye, and takes what comes until the collector closes, for at most `ms`. The agent stops, and so may the
   * collector: what it sent last, its goodbye above all, is under way just then.
   */
  leave(reason: string, ms: number): void {
    if (this.#stream === null) return this.end(reason);
    if (this.#endReason !== null || this.#leaving !== null) return;
    this.#leaving = setTimeout(() => {
      this.#endReason ??= reason;
      this.#channel.close();
    }, ms);
    this.#channel.send({ kind: "goodbye", reason }).catch(() => this.#channel.failed());
  }

  /** Says what the rules need now, unless the collector has that already. */
  demand(): void {
    this.#inquiry?.demand();
  }

  #admit(hello: Hello): Admission {
    const { collectorId, epoch, bootId, softwareVersion: version, source } = hello;
    if (!BOOT_ID.test(bootId)) return { refuse: `The boot id ${bootId} is not one` };
    // In messages and calls that is the agent itself.
    if (collectorId === AGENT) return { refuse: `A collector cannot be called ${AGENT}; set collector.id` };
    const conflict = this.#options.registry?.conflict(hello) ?? null;
    if (conflict !== null) return { refuse: conflict };
    this.#options.supersede(collectorId, this);
    const intake = this.#options.intake();
    if ("refuse" in intake) {
      this.#postponed = true;
      return intake;
    }
    try {
      // What an older connection sent and waits to be stored is not sent again.
      intake.ingest.settle();
      const stream = intake.store.openStream({ collectorId, epoch, bootId, version, source }, Date.now());
      this.#options.admitted(stream);
      this.#stream = stream;
      this.#ingest = intake.ingest;
      this.#store = intake.store;
      delete stream.hasNoLedger; // until it registers
      delete stream.tables;
      const tell: Link["tell"] = (message) => void this.#channel.send(message).catch(() => {});
      this.#link = { epoch, tell, isBusy: () => this.#isBusy };
      this.#options.registry?.joined(hello, this.#link);
      this.#takeUp(stream, intake.store);
      return { lastSequence: stream.lastSequence, credit: CREDIT };
    } catch (error) {
      this.#options.storeFailed(intake.store, error);
      return { refuse: error instanceof Error ? error.message : String(error) };
    }
  }

  /** What goes to a collector beside answers, once it is known. */
  #takeUp(stream: Stream, store: Store): void {
    const { journal, demands, registry, storeFailed } = this.#options, channel = this.#channel;
    const isEnded = (): boolean => this.#endReason !== null, end = (reason: string): void => this.end(reason);
    this.#notes = new NoteDelivery({ channel, store, stream, isEnded, storeFailed });
    this.#inquiry = new Inquiry({ channel, collectorId: stream.collectorId, journal, demands, registry, end });
  }

  #countLateReplies(): void {
    const { rpcCounters } = this.#options, { lateReplies } = this.#channel;
    if (rpcCounters !== undefined) rpcCounters.rpc_late_replies += lateReplies - this.#lateCounted;
    this.#lateCounted = lateReplies;
  }

  /** Says no when the collector has said goodbye or this side ended the connection. */
  async #handle(messages: readonly WireMessage[]): Promise<boolean> {
    const { registry } = this.#options, { collectorId } = this.#stream!;
    const data: StreamMessage[] = [];
    let goodbye = false;
    for (const message of messages) {
      switch (message.kind) {
        case "registration": {
          const define = (tables: readonly TableDescriptor[]): string | null => this.#define(tables);
          const fault = registry?.register(collectorId, this.#link!, message, define) ?? null;
          if (fault !== null) return this.#refuse(fault);
          if (!message.keepsLedger) this.#stream!.hasNoLedger = true;
          break;
        }
        case "events":
        case "rows":
        case "snapshot":
        case "gap":
        case "sources": {
          const fault = message.kind === "gap"
            ? null
            : message.kind === "rows"
            ? registry?.rowsFault(collectorId, message.table) ?? null
            : message.kind === "sources"
            ? registry?.sourcesFault(collectorId, message.sources) ?? null
            : registry?.eventsFault(collectorId) ?? null;
          if (fault !== null) return this.#refuse(fault);
          data.push(message);
          break;
        }
        case "heartbeat":
          break;
        case "goodbye":
          goodbye = true;
          break;
        case "ledgerHead":
          this.#options.headed?.(this.#stream!.collectorId, message);
          break;
        case "ledgerTaken":
          this.#notes!.taken(message.id);
          break;
        case "request":
          await this.#reply(message);
          break;
        case "rpcCancel":
          this.#answering?.cancel(message.id);
          break;
        case "busPublish":
          this.#client?.publish(message);
          break;
        case "busConsumed":
          if (this.#client !== null && !this.#client.consumed(message)) {
            throw new ProtocolError("The collector acknowledges a message of the bus that it was not sent");
          }
          break;
        default:
          throw new ProtocolError(`The collector sent ${message.kind}, which only an agent may send`);
      }
      if (goodbye) break;
    }
    await this.#ingest!.take(this.#stream!, data, this.#progress, this.#committed, () => this.#endReason === null);
    // Messages of the bus alone are no reason to ask the store.
    if (data.length > 0 || goodbye) this.#notes!.send();
    await this.#client?.settle();
    if (goodbye) {
      this.#saidGoodbye = true;
      this.#ingest!.settle(); // while it can be told
      this.#endReason ??= "the collector said goodbye";
    }
    return this.#endReason === null;
  }

  /** Takes over the tables that the collector brings; returns why not, `null` when it did. */
  #define(tables: readonly TableDescriptor[]): string | null {
    const store = this.#store!, stream = this.#stream!, before = store.tables;
    try {
      const fault = store.defineTables(tables, stream.collectorId, Date.now());
      if (fault !== null) return fault;
    } catch (error) {
      this.#options.storeFailed(store, error);
      return "the store does not take them now; try again";
    }
    stream.tables = new Map(tables.map((each) => [each.name, each]));
    if (store.tables !== before) this.#options.tablesChanged?.();
    return null;
  }

  /** Ends the connection of a collector that contradicts itself; what came with that is not taken. */
  #refuse(reason: string): false {
    this.end(reason);
    return false;
  }

  /** Something was stored: says so. One function, known by itself as the same. */
  readonly #committed = async (): Promise<boolean> => {
    // Superseded: the newer connection has its own acknowledgements.
    if (this.#endReason !== null) return false;
    await this.#acknowledge();
    return this.#endReason === null;
  };

  async #reply({ id, body }: Request): Promise<void> {
    const reply = (answer: ReplyBody): Promise<void> => this.#channel.send({ kind: "reply", id, body: answer });
    const client = this.#client;
    if (body.kind === "rpc" && this.#answering !== null) {
      // Nothing waits for it here.
      return void this.#answering.answer(id, body.call).then((response) => reply({ kind: "rpc", response }))
        .catch(() => this.#channel.failed());
    }
    if (client === null) return await reply({ kind: "error", reason: "The agent answers no requests" });
    switch (body.kind) {
      case "subscribe": {
        const refusal = client.subscribe(body);
        return await reply(
          refusal === null ? { kind: "subscribed", stream: client.stream } : { kind: "error", reason: refusal },
        );
      }
      case "unsubscribe":
        client.unsubscribe(body.pattern);
        return await reply({ kind: "subscribed", stream: client.stream });
      default:
        return await reply({ kind: "error", reason: `The agent is not asked for ${body.kind}` });
    }
  }

  /** What came while it was leaving is stored before anything else is closed. */
  #left(): void {
    if (this.#leaving === null) return;
    clearTimeout(this.#leaving);
    try {
      this.#ingest!.settle();
    } catch {
      // The store's keeper says why; the collector has it still
    }
  }

  async #acknowledge(): Promise<void> {
    try {
      await this.#channel.send({ kind: "ack", sequence: this.#stream!.lastSequence, credit: CREDIT });
    } catch (error) {
      // The collector has gone: what it sent before is stored all the same, it cannot send it again.
      if (!(error instanceof ChannelClosedError)) throw error;
    }
  }
}
