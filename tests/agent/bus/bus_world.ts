/**
 * The agent's broker on a real socket, and collectors that are clients of its bus.
 *
 * @module
 */
import { agentHandlers, type AgentServiceOptions } from "../../../agent/rpc/agent_service.ts";
import { Calls } from "../../../agent/rpc/calls.ts";
import { newRpcCounters } from "../../../agent/rpc/counters.ts";
import { Answering, type Handle } from "../../../proto/bus/answering.ts";
import { RPC_VERSION, success } from "../../../proto/bus/rpc.ts";
import { Broker, type BrokerOptions, listenAt } from "../../../agent/broker/listener.ts";
import { Bus } from "../../../agent/bus/bus.ts";
import { LocalPort } from "../../../agent/bus/local_port.ts";
import type { ClientLimits } from "../../../agent/bus/remote_client.ts";
import { RemoteClients } from "../../../agent/bus/remote_clients.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Ingest } from "../../../agent/ingest.ts";
import { SupervisorPipe } from "../../../agent/supervision.ts";
import { Journal } from "../../../agent/journal.ts";
import { Store } from "../../../agent/store/store.ts";
import { RemotePort } from "../../../proto/bus/client.ts";
import { Channel } from "../../../proto/channel.ts";
import { joinAgent } from "../../../proto/handshake.ts";
import type { ReplyBody, RequestBody, WireMessage } from "../../../proto/messages.ts";
import { TOKEN } from "../broker/test_collector.ts";
import { BOOT_ID, TempDir } from "../support.ts";

export class BusWorld implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly socket: string;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly counters = newCounters();
  readonly store = new Store(`${this.dir.path}/events.db`);
  readonly bus = new Bus();
  readonly agent = new LocalPort(this.bus, "agent", (text) => this.journal.notice(text));
  clients!: RemoteClients;
  readonly rpcCounters = newRpcCounters();
  calls!: Calls;
  broker!: Broker;
  #serving!: Promise<void>;

  private constructor(socket: string) {
    this.socket = socket === "" ? `${this.dir.path}/broker.sock` : socket;
  }

  static async begin(
    limits: Partial<ClientLimits> = {},
    more: Partial<BrokerOptions> = {},
    service: Partial<AgentServiceOptions> = {},
    socket = "",
  ): Promise<BusWorld> {
    const world = new BusWorld(socket), { store, counters, journal, rpcCounters } = world;
    world.calls = new Calls({
      handlers: agentHandlers({ supervision: new SupervisorPipe(), registry: null, health: () => [], ...service }),
      counters: rpcCounters,
      target: (collectorId) => world.broker.target(collectorId),
    });
    world.clients = new RemoteClients(world.bus, { notice: (text) => journal.notice(text), limits });
    world.broker = new Broker(await listenAt(world.socket), {
      token: TOKEN,
      storeFailed: () => {},
      journal,
      counters,
      joined: () => {},
      maxConnections: 16,
      idleTimeoutMs: 20_000,
      clients: world.clients,
      calls: world.calls,
      rpcCounters,
      ...more,
    });
    const detection = { judge: () => [], stored: () => {} };
    const ingest = new Ingest({ store, counters, detection, alerted: () => {}, failed: () => {} });
    world.broker.take({ store, ingest });
    world.#serving = world.broker.serve();
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.broker.stop(2_000);
    await this.#serving;
    this.clients.stop();
    this.store.close();
    this.dir[Symbol.dispose]();
  }
}

export interface BusCollectorOptions {
  readonly collectorId?: string;
  readonly epoch?: string;
  readonly answer?: (body: RequestBody) => ReplyBody | Promise<ReplyBody>;
  /** Carries out calls. */
  readonly handle?: Handle;
}

/** What every collector of this version says of itself. */
export function usualAnswer(body: RequestBody): ReplyBody {
  if (body.kind !== "capabilities") return { kind: "error", reason: "A test does not say" };
  return {
    kind: "capabilities",
    success: true,
    domains: ["process"],
    kernelLevel: true,
    realtime: true,
    systemWide: true,
    errorMessage: null,
    serverVersion: "1",
    demandVersion: 0,
    rpcVersion: RPC_VERSION,
  };
}

/** A collector whose connection may break and be made again; the port outlives it. */
export class BusCollector implements Disposable {
  readonly port = new RemotePort();
  readonly received: WireMessage[] = [];
  channel!: Channel;
  ended = false;
  fault: Error | null = null;
  readonly #options: Required<BusCollectorOptions>;
  readonly answering: Answering;

  private constructor(readonly path: string, options: BusCollectorOptions) {
    const handle: Handle = () => Promise.resolve(success({ kind: "done", text: "as a test says" }));
    this.#options = { collectorId: "col", epoch: "epoch-1", answer: usualAnswer, handle, ...options };
    this.answering = new Answering(this.#options.handle, 12);
  }

  static async join(path: string, options: BusCollectorOptions = {}): Promise<BusCollector> {
    const collector = new BusCollector(path, options);
    await collector.connect();
    return collector;
  }

  async connect(): Promise<void> {
    const channel = new Channel(await Deno.connect({ transport: "unix", path: this.path }));
    const { collectorId, epoch } = this.#options;
    await joinAgent(channel, TOKEN, { collectorId, epoch, bootId: BOOT_ID, softwareVersion: "1", source: "ebpf" });
    this.channel = channel;
    this.ended = false;
    this.#receive(channel).catch((error) => this.fault = error).finally(() => {
      if (this.channel === channel) this.ended = true;
    });
    await this.port.connected(channel);
  }

  disconnect(): void {
    this.port.disconnected();
    this.answering.cancelAll();
    this.channel.close();
  }

  async #receive(channel: Channel): Promise<void> {
    for (let messages = await channel.receive(); messages !== null; messages = await channel.receive()) {
      for (const message of messages) {
        this.received.push(message);
        if (message.kind === "busDeliveries" || message.kind === "busTaken") this.port.receive(message);
        else if (message.kind === "rpcCancel") this.answering.cancel(message.id);
        else if (message.kind === "request" && message.body.kind === "rpc") {
          void this.answering.answer(message.id, message.body.call).then((response) =>
            channel.send({ kind: "reply", id: message.id, body: { kind: "rpc", response } })
          ).catch(() => {});
        } else if (message.kind === "request") {
          void Promise.resolve(this.#options.answer(message.body)).then((body) =>
            channel.send({ kind: "reply", id: message.id, body })
          ).catch(() => {});
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.disconnect();
  }
}
