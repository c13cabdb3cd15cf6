/**
 * The response helper's socket: one connection, the collector's.
 *
 * Who may reach it is decided by the directory that it lies in, who is served by the user that the kernel says connected.
 * A message that is none ends its connection. What was asked for goes on when the connection breaks; its end is told to
 * the next one.
 *
 * @module
 */
import { FrameReader } from "../../proto/frame.ts";
import type { ResponseAnswer } from "../../proto/response/action.ts";
import { closeQuietly, FrameSender } from "../hasher/frame_sender.ts";
import { connectedTo } from "../kernel/peer.ts";
import {
  decodeResponderMessage,
  encodeResponderMessage,
  MAX_RESPONDER_MESSAGE_BYTES,
  type ResponderGreeting,
} from "./protocol.ts";
import type { Responder } from "./responder.ts";

/** Requests that are under way; who asks for more at once is not the collector as it should be. */
const MAX_UNDER_WAY = 32;
/** Ends that nobody was there to be told of. */
const MAX_UNTOLD = 256;

export interface ResponderServerOptions {
  readonly path: string;
  /** The only user that is served. */
  readonly userId: number;
  readonly greeting: () => ResponderGreeting;
  readonly responder: Responder;
  readonly notice: (text: string) => void;
}

export class ResponderServer {
  readonly #options: ResponderServerOptions;
  #current: Deno.UnixConn | null = null;
  #sender: FrameSender | null = null;
  readonly #untold: Uint8Array[] = [];
  #underWay = 0;

  constructor(options: ResponderServerOptions) {
    this.#options = options;
  }

  /** Serves until the listener is closed. */
  async serve(listener: Deno.UnixListener): Promise<void> {
    const { path, userId, notice } = this.#options;
    for await (const connection of listener) {
      const other = connectedTo(path).find((peer) => peer.userId !== userId);
      if (other !== undefined) {
        notice(`user ${other.userId} (process ${other.pid}) is not the collector and was refused`);
        connection.close();
        continue;
      }
      closeQuietly(this.#current);
      this.#current = connection;
      this.#talk(connection).catch((error) => {
        if (this.#current !== connection) return;
        notice(`the connection of the collector ended: ${error instanceof Error ? error.message : error}`);
      }).finally(() => {
        if (this.#current === connection) this.#sender = null;
        closeQuietly(connection);
      });
    }
  }

  async #talk(connection: Deno.UnixConn): Promise<void> {
    const reader = new FrameReader(MAX_RESPONDER_MESSAGE_BYTES), sender = new FrameSender(connection);
    sender.send(encodeResponderMessage({ kind: "greeting", greeting: this.#options.greeting() }));
    this.#sender = sender;
    for (const frame of this.#untold.splice(0)) sender.send(frame);
    for (;;) {
      const count = await connection.read(reader.space());
      if (count === null) return reader.finish();
      reader.filled(count);
      for (let payload = reader.next(); payload !== null; payload = reader.next()) {
        const message = decodeResponderMessage(payload);
        if (message.kind !== "request") throw new TypeError(`A collector sent: ${message.kind}`);
        if (this.#underWay >= MAX_UNDER_WAY) throw new RangeError(`${MAX_UNDER_WAY} requests are under way already`);
        this.#underWay++;
        const { id, request } = message, { responder, notice } = this.#options;
        const { action, process, by } = request;
        const say = (kind: "answer" | "ended") => (answer: ResponseAnswer): void => {
          notice(`${action} of ${process}, asked for by ${by}: ${answer.outcome}: ${answer.text}`);
          this.#tell(encodeResponderMessage({ kind, id, answer }));
        };
        responder.respond(request, say("ended")).then(say("answer")).finally(() => this.#underWay--);
      }
    }
  }

  #tell(frame: Uint8Array): void {
    if (this.#sender !== null) this.#sender.send(frame);
    else if (this.#untold.length < MAX_UNTOLD) this.#untold.push(frame);
  }
}
