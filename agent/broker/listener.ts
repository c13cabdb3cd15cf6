/**
 * The broker's socket: accepts collectors and keeps one session for each.
 *
 * Who may connect is decided by the socket's directory and mode, who is served by the token. A socket file that a killed
 * agent left is removed; one that somebody listens on is not touched. A connection's fault is its own: it is noticed and
 * counted, and the others go on.
 *
 * @module
 */
import { dirname } from "node:path";
import { Channel } from "../../proto/channel.ts";
import { HandshakeError } from "../../proto/handshake.ts";
import type { ConnectionStatus } from "../../proto/status.ts";
import type { Counters } from "../counters.ts";
import { share } from "../share.ts";
import type { Stream } from "../store/streams.ts";
import { type Intake, type Refusal, Session, type SessionOptions } from "./session.ts";

const SOCKET_MODE = 0o660;
/** For one frame to come whole: a mebibyte at the slowest. */
const FRAME_TIMEOUT_MS = 10_000;
/** How long a collector may take to close when the agent stops: those of today close when they are told. */
const LEAVE_MS = 500;
/** After a failed accept (no file descriptors left), so that it does not spin. */
const ACCEPT_RETRY_MS = 100;

export interface BrokerOptions extends Omit<SessionOptions, "supersede" | "admitted" | "intake"> {
  readonly counters: Counters;
  /** Called when a collector has proven itself. */
  readonly joined: (stream: Stream) => void;
  readonly maxConnections: number;
  readonly idleTimeoutMs: number;
}

/** The socket cannot be listened on; the text ends in what to do. */
export class SocketError extends Error {
  override name = "SocketError";
}

/** Listens on a socket file at `path`, in place of one that nobody listens on. @throws SocketError */
export async function listenAt(path: string): Promise<Deno.UnixListener> {
  let listener: Deno.UnixListener;
  try {
    listener = Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw socketError(path, error);
    await removeStale(path);
    try {
      listener = Deno.listen({ transport: "unix", path });
    } catch (again) {
      throw socketError(path, again);
    }
  }
  share(path, SOCKET_MODE);
  return listener;
}

export class Broker {
  readonly #listener: Deno.UnixListener;
  readonly #options: BrokerOptions;
  readonly #sessions = new Map<Session, Promise<void>>();
  #intake: Intake | Refusal = { refuse: "The agent is starting" };
  /** Set when it stops: ends with the last connection. */
  #stopped: Promise<void> | null = null;

  constructor(listener: Deno.UnixListener, options: BrokerOptions) {
    this.#listener = listener;
    this.#options = options;
  }

  /** Collectors that are connected and have proven themselves. */
  connections(): ConnectionStatus[] {
    return [...this.#sessions.keys()].map((session) => session.status()).filter((status) => status !== null);
  }

  /** The connection of a collector that has proven itself, `null` when there is none. */
  target(collectorId: string): Session | null {
    for (const session of this.#sessions.keys()) {
      if (session.stream?.collectorId === collectorId && session.endReason === null) return session;
    }
    return null;
  }

  /** Whether what collectors send is taken. */
  get isServing(): boolean {
    return !("refuse" in this.#intake);
  }

  /** From here on collectors are served from this store. */
  take(intake: Intake): void {
    this.#intake = intake;
  }

  /** Has every collector know what the rules need now. */
  demand(): void {
    for (const session of this.#sessions.keys()) if (session.stream !== null) session.demand();
  }

  /** Ends every session: nothing is taken after this returns, and who comes is refused with the reason. */
  refuse(reason: string): void {
    this.#intake = { refuse: `The agent's store takes nothing now: ${reason}` };
    for (const session of this.#sessions.keys()) if (session.stream !== null) session.end(this.#intake.refuse);
  }

  /** Accepts connections until {@linkcode stop}, and returns when all have ended. */
  async serve(): Promise<void> {
    const { journal, counters } = this.#options;
    while (this.#stopped === null) {
      let connection: Deno.UnixConn;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (this.#stopped !== null) break;
        journal.notice(`a connection could not be accepted: ${words(error)}`);
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
        continue;
      }
      // It may have changed since the last one
      const { maxConnections } = this.#options;
      if (this.#sessions.size >= maxConnections) {
        counters.connections_refused += 1;
        journal.notice(`a connection was refused: ${maxConnections} are open; raise agent.max_connections if need be`);
        connection.close();
        continue;
      }
      this.#open(connection);
    }
    await this.#stopped;
  }

  /**
   * Accepts nothing more, tells every collector, takes what they sent before they close, and gives all of this
   * `deadlineMs`.
   */
  stop(deadlineMs: number): void {
    if (this.#stopped !== null) return;
    this.#stopped = this.#finish(deadlineMs);
    this.#listener.close();
    for (const session of this.#sessions.keys()) session.leave("the agent stops", LEAVE_MS);
  }

  async #finish(deadlineMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([Promise.allSettled(this.#sessions.values()), deadline]);
    clearTimeout(timer);
  }

  #open(connection: Deno.UnixConn): void {
    const { counters, journal } = this.#options;
    const { idleTimeoutMs } = this.#options;
    const frameTimeoutMs = Math.min(FRAME_TIMEOUT_MS, idleTimeoutMs);
    const channel = new Channel(connection, { idleTimeoutMs, frameTimeoutMs });
    const session = new Session(channel, {
      ...this.#options,
      intake: () => this.#intake,
      supersede: (collectorId, by) => this.#supersede(collectorId, by),
      admitted: (stream) => {
        counters.connections += 1;
        const { collectorId, epoch, source, lastSequence } = stream;
        this.#options.joined(stream);
        journal.say(`collector ${collectorId} connected (${source}, epoch ${epoch}, stored up to ${lastSequence})`);
      },
    });
    const done = session.run().catch((error) => this.#noteFailure(session, error)).finally(() => {
      this.#sessions.delete(session);
      if (session.stream !== null && this.#stopped === null) {
        const why = session.endReason === null ? "" : `: ${session.endReason}`;
        journal.say(`collector ${session.stream.collectorId} disconnected${why}`);
      }
    });
    this.#sessions.set(session, done);
  }

  #supersede(collectorId: string, by: Session): void {
    for (const session of this.#sessions.keys()) {
      if (session === by || session.stream?.collectorId !== collectorId || session.endReason !== null) continue;
      session.end("a newer connection of the same collector replaces this one");
    }
  }

  #noteFailure(session: Session, error: unknown): void {
    const { counters, journal, registry } = this.#options;
    if (session.stream === null) {
      counters.connections_refused += 1;
      if (registry !== undefined && error instanceof HandshakeError && error.claimed !== "") {
        return void registry.refused(error.claimed, "identity", error.message);
      }
      // Why the store takes nothing is told once, not with every try of every collector.
      if (!session.postponed) journal.notice(`a connection was refused: ${words(error)}`);
    } else {
      counters.connections_failed += 1;
      journal.notice(`the connection of collector ${session.stream.collectorId} ended: ${words(error)}`);
    }
  }
}

/** The file of a socket that refuses connections was left by an agent that did not end properly. */
async function removeStale(path: string): Promise<void> {
  if (!Deno.lstatSync(path).isSocket) {
    throw new SocketError(`${path} is in the way and is not a socket; move it away`);
  }
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw socketError(path, error);
    try {
      Deno.removeSync(path);
      return;
    } catch (failure) {
      throw socketError(path, failure);
    }
  }
  throw new SocketError(`Another agent listens on ${path}; stop it, or choose another state directory by --state`);
}

function socketError(path: string, cause: unknown): SocketError {
  return new SocketError(
    `The agent cannot listen on ${path}: ${words(cause)}; let the agent's user write ${dirname(path)}`,
    { cause },
  );
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
