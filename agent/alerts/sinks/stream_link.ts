/**
 * A stream to a log server: syslog over TCP, TLS or a Unix socket.
 *
 * Syslog acknowledges nothing, so the end of the connection does: each write has a connection of its own, which this side
 * ends when all is sent, and a server that has read to that end closes its own side. One that died, hangs or is gone from
 * the network does not, and one that left something unread answers with a reset: then all of it goes again, and the
 * receiver tells second copies by the alert's id. What stays untold: a server that shuts its side down in order before it
 * closes, with bytes unread that came longer ago than a connection must stand here. Its end looks as if it had read all.
 *
 * For servers that never close their side there is a lasting connection: what was sent counts as taken when it stood for
 * a while after. A host that vanishes without a word can then lose what was on its way.
 *
 * @module
 */
import type net from "node:net";
import { failed, textOf } from "../sink.ts";
import { type ChannelTarget, connectChannel, discard, targetText, within } from "./channel.ts";

/** How long a lasting connection must stand after the last byte: a reset takes a round trip. */
const SETTLE_MS = 100;
/**
 * How long one that is to be ended must stand before: a server that turns a connection away closes it at once, which must
 * not be taken for the answer to our end. In round trips, which the time to connect tells, and within bounds.
 */
const STAND_ROUND_TRIPS = 2, MIN_STAND_MS = 20, MAX_STAND_MS = 500;
/** Bytes that are waited for at a time: a slow receiver that takes some is not a hung one. */
const STEP_BYTES = 65_536;
/** How long a last word may take. */
const CLOSE_MS = 500;

/** A connection, and when it ends: rejects then, and never resolves. */
interface Connection {
  readonly socket: net.Socket;
  readonly ended: Promise<never>;
  /** From asking for it on. */
  readonly connectMs: number;
}

export class StreamLink {
  readonly #target: ChannelTarget;
  readonly #timeoutMs: number;
  readonly #isConfirmed: boolean;
  #connection: Connection | null = null;

  /** @param isConfirmed whether the server closes its side when we end ours, and so says that it has all */
  constructor(target: ChannelTarget, timeoutMs: number, isConfirmed: boolean) {
    this.#target = target;
    this.#timeoutMs = timeoutMs;
    this.#isConfirmed = isConfirmed;
  }

  /** Sends all of it. @throws {SinkError} when it is not known to have been taken */
  async send(bytes: Uint8Array): Promise<void> {
    const { socket, ended, connectMs } = this.#connection ??= await this.#connected();
    try {
      for (let at = 0; at < bytes.length; at += STEP_BYTES) {
        const step = bytes.subarray(at, at + STEP_BYTES);
        await within(this.#timeoutMs, "the receiver took nothing", Promise.race([written(socket, step), ended]));
      }
      if (!this.#isConfirmed) return await standing(ended, SETTLE_MS);
      await standing(ended, Math.min(Math.max(STAND_ROUND_TRIPS * connectMs, MIN_STAND_MS), MAX_STAND_MS));
      await within(this.#timeoutMs, UNCONFIRMED, closedByPeer(socket));
      this.#drop(socket);
    } catch (error) {
      this.#drop(socket);
      throw failed(`${targetText(this.#target)}: ${textOf(error)}`, 0, error);
    }
  }

  async close(): Promise<void> {
    const socket = this.#connection?.socket;
    this.#connection = null;
    if (socket === undefined || socket.destroyed) return;
    // Over TLS this is close_notify, without which some receivers complain.
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.end();
    await within(CLOSE_MS, "no end", closed).catch(() => {});
    discard(socket);
  }

  async #connected(): Promise<Connection> {
    const began = performance.now(), socket = await connectChannel(this.#target, this.#timeoutMs);
    const connectMs = performance.now() - began;
    const { promise: ended, reject } = Promise.withResolvers<never>();
    ended.catch(() => {}); // nobody may be waiting
    const end = (error?: unknown): void => {
      this.#drop(socket);
      reject(error instanceof Error ? error : new Error("the receiver closed the connection"));
    };
    socket.once("error", end).once("end", () => end()).once("close", () => end());
    // What a receiver says is read and forgotten: only so its end is seen before the next alert.
    socket.resume();
    return { socket, ended, connectMs };
  }

  #drop(socket: net.Socket): void {
    if (this.#connection?.socket === socket) this.#connection = null;
    discard(socket);
  }
}

const UNCONFIRMED =
  "the receiver did not close the connection, by which it says that it has all (where it never does, " +
  "set confirm: no)";

/** Ends our side, and waits for the other to do the same. @throws when it resets the connection instead */
function closedByPeer(socket: net.Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => isEnd(error) ? resolve() : reject(error));
    socket.once("end", () => resolve()).once("close", (hadError) => hadError || resolve());
    socket.end();
  });
}

/** A server that ends TLS without a last word of TLS has closed it all the same. */
function isEnd(error: Error): boolean {
  return /close_notify/.test(error.message);
}

/** @throws when the connection ends within the time that it must stand */
async function standing(ended: Promise<never>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const settled = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([settled, ended]).finally(() => clearTimeout(timer));
}

function written(socket: net.Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, (error) => error ? reject(error) : resolve()));
}
