/**
 * The collector's way to the response helper: requests, each answered once or not at all, over any number of connections.
 *
 * Nothing is asked twice: a request that was under way when the connection broke may have been done, and its answer says
 * so.
 *
 * @module
 */
import { refusal, type ResponseAnswer, type ResponseRequest } from "../proto/response/action.ts";
import { FrameSender } from "./hasher/frame_sender.ts";
import { HelperLink } from "./helper_link.ts";
import {
  decodeResponderMessage,
  encodeResponderMessage,
  MAX_RESPONDER_MESSAGE_BYTES,
  type ResponderGreeting,
} from "./responder/protocol.ts";

/** Of a bundle with its executable; whoever waits gives up long before. */
const ANSWER_MS = 100_000;
/** What was asked for and is not over: traces, whose end is told. */
const MAX_OPEN = 1_024;

export interface ResponderClientOptions {
  readonly socket: string;
  /** Throws when the listener of the socket is not the helper. */
  readonly checkPeer: () => void;
  /** What a request began is over. */
  readonly ended: (request: ResponseRequest, answer: ResponseAnswer) => void;
  readonly greeted: (greeting: ResponderGreeting) => void;
  /** The helper that greeted is connected no more. */
  readonly left: () => void;
  readonly notice: (text: string) => void;
}

export class ResponderClient {
  readonly #options: ResponderClientOptions;
  readonly #waiting = new Map<number, (answer: ResponseAnswer) => void>();
  /** By number, also after their answer. */
  readonly #asked = new Map<number, ResponseRequest>();
  #lastId = Math.floor(Math.random() * 0x1000_0000);
  readonly #link: HelperLink;
  #sender: FrameSender | null = null;
  #greeting: ResponderGreeting | null = null;

  constructor(options: ResponderClientOptions) {
    this.#options = options;
    const { socket, checkPeer, notice } = options;
    this.#link = new HelperLink({
      name: "response helper",
      socket,
      maxMessageBytes: MAX_RESPONDER_MESSAGE_BYTES,
      checkPeer,
      take: (payload, connection) => this.#take(connection, payload),
      ended: () => this.#ended(),
      notice,
    });
  }

  /** What the helper that is connected said of itself; `null` without one. */
  get greeting(): ResponderGreeting | null {
    return this.#greeting;
  }

  /** Whether it may still be that it has not come up, or that it went as it was told to. */
  get mayBeAway(): boolean {
    return this.#link.mayBeAway;
  }

  /** Why none is connected. */
  get fault(): string {
    return this.#link.fault;
  }

  /** Asks, and resolves with the answer, or with why there is none. */
  async ask(request: ResponseRequest): Promise<ResponseAnswer> {
    const sender = this.#sender;
    if (sender === null) return refusal(`the response helper cannot be reached: ${this.fault}`);
    if (this.#asked.size >= MAX_OPEN) this.#asked.delete(this.#asked.keys().next().value!);
    const id = this.#lastId = this.#lastId % 0x7fff_ffff + 1;
    const { promise, resolve } = Promise.withResolvers<ResponseAnswer>();
    this.#asked.set(id, request);
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => {
      resolve(unanswered(`the response helper has not answered within ${ANSWER_MS / 1_000} s`));
    }, ANSWER_MS);
    sender.send(encodeResponderMessage({ kind: "request", id, request }));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
      if (request.action !== "trace") this.#asked.delete(id);
    }
  }

  /** Connects, and connects again, until {@linkcode stop}. */
  run(): Promise<void> {
    return this.#link.run();
  }

  stop(): void {
    this.#link.stop();
  }

  #ended(): void {
    if (this.#greeting !== null) this.#options.left();
    this.#sender = this.#greeting = null;
    const lost = "the connection to the response helper broke; it may have been done, see its own log and 'audit show'";
    for (const resolve of this.#waiting.values()) resolve(unanswered(lost));
  }

  #take(connection: Deno.Conn, payload: Uint8Array): void {
    const message = decodeResponderMessage(payload);
    switch (message.kind) {
      case "greeting":
        this.#link.greeted();
        this.#greeting = message.greeting;
        this.#sender = new FrameSender(connection);
        return this.#options.greeted(message.greeting);
      case "answer":
        return this.#waiting.get(message.id)?.(message.answer);
      case "ended": {
        const request = this.#asked.get(message.id);
        if (request === undefined) return; // of an earlier run of the collector, whose ledger has its begin
        this.#asked.delete(message.id);
        return this.#options.ended(request, message.answer);
      }
      case "request":
        throw new TypeError("The response helper asked for a response");
    }
  }
}

function unanswered(text: string): ResponseAnswer {
  return { outcome: "failed", text, processes: [], place: "" };
}
