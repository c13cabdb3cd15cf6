/**
 * The hasher's socket: one connection, the collector's.
 *
 * Who may reach it is decided by the directory that it lies in, who is served by the user that the kernel says connected.
 * A message that is none ends its connection; a new connection of the collector takes the place of the one before.
 *
 * @module
 */
import { encodeFrame, FrameReader } from "../../proto/frame.ts";
import { connectedTo } from "../kernel/peer.ts";
import type { Lanes } from "./lanes.ts";
import { decodeHashMessage, encodeHashMessage, type HashGreeting, MAX_HASH_MESSAGE_BYTES } from "./protocol.ts";

/** Everybody may connect who gets into the directory. */
const SOCKET_MODE = 0o666;
/** Answers that wait for a collector that does not take them. */
const MAX_UNSENT = 8_192;

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

/** Frames out, in their order, one write at a time. */
export class FrameSender {
  readonly #connection: Deno.Conn;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #isWriting = false;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Sends a payload when its turn comes; a peer that takes nothing is left. */
  send(payload: Uint8Array): void {
    if (this.#waiting.length >= MAX_UNSENT) return closeQuietly(this.#connection);
    this.#waiting.push(encodeFrame(payload));
    if (!this.#isWriting) this.#write().catch(() => closeQuietly(this.#connection));
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        const frames = this.#waiting;
        this.#waiting = [];
        for (const frame of frames) {
          for (let at = 0; at < frame.length;) at += await this.#connection.write(frame.subarray(at));
        }
      }
    } finally {
      this.#isWriting = false;
    }
  }
}

/** Closes a connection that may be closed already. */
export function closeQuietly(connection: Deno.Conn | null): void {
  try {
    connection?.close();
  } catch {
    // It was.
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
