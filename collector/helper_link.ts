/**
 * The collector's connection to a helper process of its own: made, and made again when it breaks.
 *
 * The helper is not trusted beyond what its user may do: its socket's listener is checked, its frames are bounded, and
 * whatever it sends that it may not say ends the connection, with a word to the operator, and leads to the next one. A
 * helper that is not there is tried again, less and less often, and one that has greeted at once.
 *
 * @module
 */
import { FrameReader } from "../proto/frame.ts";
import { pause } from "../proto/pause.ts";
import { closeQuietly } from "./hasher/frame_sender.ts";

const FIRST_RETRY_MS = 100, LAST_RETRY_MS = 5_000;
/** All start at once: a helper that is not there yet is worth a word only after this time. */
const START_MS = 3_000;

export interface HelperLinkOptions {
  /** As people read it. */
  readonly name: string;
  readonly socket: string;
  readonly maxMessageBytes: number;
  /** Throws when the listener of the socket is not the helper. */
  readonly checkPeer: () => void;
  /** There is a connection, on which the helper has not greeted yet. */
  readonly connected?: () => void;
  /** A frame came. What it throws ends the connection. */
  readonly take: (payload: Uint8Array<ArrayBuffer>, connection: Deno.Conn) => void;
  /** All that one reading brought is taken. */
  readonly taken?: () => void;
  /** The connection has ended. */
  readonly ended: () => void;
  readonly notice: (text: string) => void;
}

export class HelperLink {
  readonly #options: HelperLinkOptions;
  readonly #began = performance.now();
  readonly #stop = new AbortController();
  #connection: Deno.Conn | null = null;
  #fault = "it has not been reached yet";
  #hasGreeted = false;
  /** Why this side ended the connection. */
  #abandoned: string | null = null;
  /** Connections on which the helper greeted. */
  greetings = 0;

  constructor(options: HelperLinkOptions) {
    this.#options = options;
  }

  /** Whether it may still be that the helper has not come up, or that it went as it was told to. */
  get mayBeAway(): boolean {
    return this.#isStopped || (this.greetings === 0 && performance.now() - this.#began < START_MS);
  }

  /** Why none is connected. */
  get fault(): string {
    return this.#fault;
  }

  /** The helper has said what it is. @throws {TypeError} when it had said so on this connection */
  greeted(): void {
    if (this.#hasGreeted) throw new TypeError(`The ${this.#options.name} greeted twice`);
    this.#hasGreeted = true;
    this.greetings++;
  }

  /** Ends the connection, for this reason; another one is made. */
  abandon(reason: string): void {
    this.#abandoned = reason;
    closeQuietly(this.#connection);
  }

  /** Connects, and connects again, until {@linkcode stop}. */
  async run(): Promise<void> {
    const { name, notice } = this.#options;
    let delay = FIRST_RETRY_MS, said = "";
    while (!this.#isStopped) {
      try {
        await this.#serveOnce();
        this.#fault = "it closed the connection";
      } catch (error) {
        this.#fault = this.#abandoned ?? (error instanceof Error ? error.message : String(error));
      }
      if (this.#isStopped) return;
      if (this.#hasGreeted) delay = FIRST_RETRY_MS;
      if (!this.mayBeAway && this.#fault !== said) {
        notice(`connection to the ${name}: ${this.#fault}`);
        said = this.#fault;
      }
      await pause(delay * (0.75 + Math.random() / 2), this.#stop.signal);
      delay = Math.min(delay * 2, LAST_RETRY_MS);
    }
  }

  stop(): void {
    this.#stop.abort();
    closeQuietly(this.#connection);
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #serveOnce(): Promise<void> {
    const { socket, checkPeer, connected, ended } = this.#options;
    this.#hasGreeted = false;
    this.#abandoned = null;
    const connection = await Deno.connect({ transport: "unix", path: socket });
    try {
      checkPeer();
      this.#connection = connection;
      if (this.#isStopped) return;
      connected?.();
      await this.#listen(connection);
    } finally {
      this.#connection = null;
      closeQuietly(connection);
      ended();
    }
  }

  async #listen(connection: Deno.Conn): Promise<void> {
    const { maxMessageBytes, take, taken } = this.#options, reader = new FrameReader(maxMessageBytes);
    for (;;) {
      const count = await connection.read(reader.space());
      if (count === null) return reader.finish();
      reader.filled(count);
      for (let payload = reader.next(); payload !== null; payload = reader.next()) take(payload, connection);
      taken?.();
    }
  }
}
