/**
 * The clients of the bus that come over the socket, and for a while those that have gone.
 *
 * A collector that comes back with the same epoch finds what was under way to it. Who has gone is kept for a minute, and
 * only if there is something to keep; those that are kept are few, and the oldest makes room.
 *
 * @module
 */
import type { Channel } from "../../proto/channel.ts";
import type { BusClientStatus } from "../../proto/status.ts";
import type { Bus } from "./bus.ts";
import { DeliveryFrames } from "./delivery_frames.ts";
import { type ClientLimits, RemoteClient } from "./remote_client.ts";
import { QUEUE_LIMITS } from "./subscriber.ts";

/** How long who has gone is kept, and how many of them. */
const KEEP_MS = 60_000, MAX_KEPT = 32;

export const CLIENT_LIMITS: ClientLimits = {
  queue: QUEUE_LIMITS,
  rate: { burst: 1_000, perSecond: 1_000 },
  topicRate: { burst: 500, perSecond: 500 },
};

export interface RemoteClientsOptions {
  readonly notice: (text: string) => void;
  readonly limits?: Partial<ClientLimits>;
  readonly keepMs?: number;
  readonly clock?: () => number;
}

export class RemoteClients {
  readonly #bus: Bus;
  readonly #options: RemoteClientsOptions;
  readonly #frames = new DeliveryFrames();
  /** By collector and epoch. */
  readonly #clients = new Map<string, RemoteClient>();
  /** Those that have gone, the longest gone first. */
  readonly #gone = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(bus: Bus, options: RemoteClientsOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  /** A collector has proven itself on this connection. */
  connected(collectorId: string, epoch: string, channel: Channel): RemoteClient {
    const key = `${collectorId} ${epoch}`;
    clearTimeout(this.#gone.get(key));
    this.#gone.delete(key);
    let client = this.#clients.get(key);
    if (client === undefined) {
      const { notice, limits, clock = () => performance.now() } = this.#options;
      client = new RemoteClient({
        bus: this.#bus,
        collectorId,
        stream: randomNumber(),
        limits: { ...CLIENT_LIMITS, ...limits },
        frames: this.#frames,
        notice,
        clock,
      });
      this.#clients.set(key, client);
    }
    client.connected(channel);
    return client;
  }

  disconnected(collectorId: string, epoch: string, channel: Channel): void {
    const key = `${collectorId} ${epoch}`, client = this.#clients.get(key);
    if (client === undefined) return;
    client.disconnected(channel);
    if (client.isConnected) return; // a newer connection took its place
    if (!client.isWorthKeeping) return this.#forget(key);
    clearTimeout(this.#gone.get(key));
    this.#gone.delete(key);
    this.#gone.set(key, setTimeout(() => this.#forget(key), this.#options.keepMs ?? KEEP_MS));
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= MAX_KEPT) break;
      this.#forget(oldest);
    }
  }

  statuses(): BusClientStatus[] {
    return [...this.#clients.values()].map((client) => client.status())
      .filter(({ patterns, refused, delivered }) => patterns > 0 || refused > 0 || delivered > 0);
  }

  stop(): void {
    for (const key of [...this.#gone.keys()]) this.#forget(key);
  }

  #forget(key: string): void {
    clearTimeout(this.#gone.get(key));
    this.#gone.delete(key);
    this.#clients.get(key)?.forget();
    this.#clients.delete(key);
  }
}

/** From 1 to 2^53 - 1: no two clients of any runs of the agent have the same. */
function randomNumber(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return 1 + (high & 0xf_ffff) * 2 ** 32 + low;
}
