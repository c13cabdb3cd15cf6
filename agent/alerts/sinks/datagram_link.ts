/**
 * Datagrams to a log server: UDP (RFC 5426), or the socket of the host's own log daemon.
 *
 * UDP tells nobody that a datagram was lost: what was sent counts as taken. A Unix socket is the kernel's own queue: what
 * it took is there, and a daemon that is gone refuses. Deno's own sockets, as those of `node:dgram` look a name up by
 * themselves, for which the grant of a host and port is not enough.
 *
 * @module
 */
import { disabled, failed, SinkError, textOf } from "../sink.ts";
import { within } from "./channel.ts";

/** Where datagrams go; a name is looked up for each, and leads to an IPv4 address. */
export type DatagramTarget =
  | { readonly transport: "udp"; readonly hostname: string; readonly port: number }
  | { readonly transport: "unixpacket"; readonly path: string };

/** What Deno has behind `--unstable-net`, as far as it is used. */
interface Datagrams {
  listenDatagram?(
    options: { transport: "unixpacket"; path: string } | { transport: "udp"; hostname: string; port: number },
  ): DatagramSocket;
}

interface DatagramSocket {
  send(bytes: Uint8Array, to: DatagramTarget): Promise<number>;
  close(): void;
}

export class DatagramLink {
  readonly #target: DatagramTarget;
  readonly #own: string;
  readonly #timeoutMs: number;
  #socket: DatagramSocket | null = null;

  /** @param own a path of the agent's own, where Unix datagrams leave from */
  constructor(target: DatagramTarget, own: string, timeoutMs: number) {
    this.#target = target;
    this.#own = own;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws {SinkError} */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      const socket = this.#socket ??= this.#opened();
      await within(this.#timeoutMs, "nothing was taken", socket.send(bytes, this.#target));
    } catch (error) {
      this.close();
      throw error instanceof SinkError ? error : failed(`${this.#place}: ${textOf(error)}`, 0, error);
    }
  }

  close(): void {
    this.#socket?.close();
    if (this.#socket !== null && this.#target.transport === "unixpacket") removeIfThere(this.#own);
    this.#socket = null;
  }

  get #place(): string {
    return this.#target.transport === "udp" ? `${this.#target.hostname}:${this.#target.port}` : this.#target.path;
  }

  #opened(): DatagramSocket {
    const { listenDatagram } = Deno as unknown as Datagrams;
    if (listenDatagram === undefined) {
      throw disabled(`${this.#place}: this Deno sends no datagrams; start the agent with --unstable-net`);
    }
    if (this.#target.transport === "udp") {
      const hostname = this.#target.hostname.includes(":") ? "::" : "0.0.0.0";
      return listenDatagram({ transport: "udp", hostname, port: 0 });
    }
    removeIfThere(this.#own); // of a run that was killed
    return listenDatagram({ transport: "unixpacket", path: this.#own });
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
