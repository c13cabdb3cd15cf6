/**
 * The hasher's socket: one connection, the collector's.
 *
 * Who may reach it is decided by the directory that it lies in, who is served by the user that the kernel says connected.
 * A message that is none ends its connection; a new connection of the collector takes the place of the one before.
 *
 * @module
 */
import { FrameReader } from "../../proto/frame.ts";
import { connectedTo } from "../kernel/peer.ts";
import { closeQuietly, FrameSender } from "./frame_sender.ts";
import type { Lanes } from "./lanes.ts";
import { decodeHashMessage, encodeHashMessage, type HashGreeting, MAX_HASH_MESSAGE_BYTES } from "./protocol.ts";

/** Everybody may connect who gets into the directory. */
const SOCKET_MODE = 0o666;

export interface HashServerOptions {
  readonly path: string;
  /** The only user that is served. */
  readonly userId: number;
  readonly greeting: HashGreeting;
  readonly lanes: Lanes;
  readonly notice: (text: string) => void;
}

/** Listens, in place of a socket that an earlier hasher left. */
export function listenForCollector(path: string): Deno.UnixListener {
  try {
    if (Deno.lstatSync(path).isSocket) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const listener = Deno.listen({ transport: "unix", path });
  Deno.chmodSync(path, SOCKET_MODE);
  return listener;
}

export class HashServer {
  readonly #options: HashServerOptions;
  #current: Deno.UnixConn | null = null;
  #refused = 0;

  constructor(options: HashServerOptions) {
    this.#options = options;
  }

  /** Serves until the listener is closed. */
  async serve(listener: Deno.UnixListener): Promise<void> {
    for await (const connection of listener) {
      if (this.#isRefused()) {
        connection.close();
        continue;
      }
      closeQuietly(this.#current);
      this.#current = connection;
      this.#talk(connection).catch((error) => {
        if (this.#current === connection) {
          this.#options.notice(`the connection of the collector ended: ${words(error)}`);
        }
      }).finally(() => closeQuietly(connection));
    }
  }

  /** Whether whoever connected last is not the collector: connections of others are closed at once, so one is enough. */
  #isRefused(): boolean {
    const { path, userId, notice } = this.#options;
    const other = connectedTo(path).find((peer) => peer.userId !== userId);
    if (other === undefined) return false;
    this.#refused++;
    if (Number.isInteger(Math.log2(this.#refused))) {
      notice(
        `user ${other.userId} (process ${other.pid}) is not the collector and was refused; ${this.#refused} so far`,
      );
    }
    return true;
  }

  async #talk(connection: Deno.UnixConn): Promise<void> {
    const { greeting, lanes } = this.#options;
    const reader = new FrameReader(MAX_HASH_MESSAGE_BYTES), sender = new FrameSender(connection);
    sender.send(encodeHashMessage({ kind: "greeting", greeting }));
    for (;;) {
      const count = await connection.read(reader.space());
      if (count === null) return reader.finish();
      reader.filled(count);
      for (let payload = reader.next(); payload !== null; payload = reader.next()) {
        const message = decodeHashMessage(payload);
        if (message.kind !== "request") throw new TypeError(`A collector sent a ${message.kind}`);
        lanes.ask(message.request, (answer) => sender.send(encodeHashMessage({ kind: "answer", answer })));
      }
    }
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
